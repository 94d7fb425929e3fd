"""What holds for every profile."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dataset_pipeline.training.exporters as exporters
from dataset_pipeline.settings import resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.exporters import PROFILES, ExportError, export, load_profile
from dataset_pipeline.training.exporters.documents import CARD, EMB_INIT, MANIFEST, WILDCARD
from dataset_pipeline.training.exporters.folder import CHECKSUMS
from dataset_pipeline.training.exporters.image_set import CAPTION_FIELDS

SHARED = {
    *(
        "columns",
        "documents",
        "exported_folder",
        "folder",
        "image_set",
        "manifest_json",
        "publishing",
        "regularization",
    ),
    *("remake", "rewrite", "trainer_caches"),
}
DOCUMENTS = {CARD, MANIFEST, CHECKSUMS, EMB_INIT, WILDCARD}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_module_of_the_folder_is_a_profile_that_the_settings_know():
    modules = {module.name for module in pkgutil.iter_modules(exporters.__path__)}
    assert modules - SHARED == set(PROFILES)
    assert all(load_profile(name).title for name in PROFILES)


def test_an_unknown_profile_lists_the_known(sample, tmp_path: Path):
    listed = (
        "ai_toolkit, diffusion_pipe, everydream, hydrus, imagefolder, kohya, musubi, onetrainer, parquet, plain, "
        "simpletuner, webdataset"
    )
    with pytest.raises(ExportError, match=f"unknown trainer profile 'sdxl'; known: {listed}"):
        sample.export("sdxl", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_settings_file_lists_every_profile():
    """In the comment on `[exported_set] profile`."""
    text = (resources_folder() / "settings.toml").read_text("utf-8")
    comment = text.partition("# Trainer or format to export for: ")[2].partition("\nprofile = ")[0]
    words = re.sub(r"\([^)]*\)|\n#", "", comment).rstrip(".").split(",")
    assert tuple(word.strip() for word in words) == PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_set_gives_the_same_bytes_elsewhere_and_in_another_order(parted, tmp_path: Path, profile: str):
    SCHEMAS["training_set"].table(
        [
            {name: ({"split": "train"} | CAPTION_FIELDS | row)[name] for name in SCHEMAS["training_set"].columns}
            for row in parted.rows
        ]
    )
    one = parted.export(profile, tmp_path / "a").folder
    parted.rows.reverse()
    other = parted.export(profile, tmp_path / "b").folder
    assert one.name == other.name
    here, there = bytes_in(one), bytes_in(other)
    assert here.keys() == there.keys()
    for path, data in here.items():
        if path.startswith("absolute/"):
            assert str(one).encode() in data
            data = data.replace(str(one).encode(), str(other).encode())
        assert data == there[path], path


@pytest.mark.parametrize("profile", PROFILES)
def test_manifest_and_checksums_describe_every_file(parted, tmp_path: Path, profile: str):
    report = parted.export(profile, tmp_path)
    data = bytes_in(report.folder)
    knows_classes = profile not in ("diffusion_pipe", "musubi")
    assert report.folder.name == f"show-{profile}-{report.content_sha256[:8]}"
    images, concepts = (11, 5) if knows_classes else (9, 4)
    assert (report.images, report.concepts, report.reused, report.changed) == (images, concepts, False, ())
    assert report.size_bytes == sum(map(len, data.values()))
    listed = dict(line.split("  ", 1)[::-1] for line in data[CHECKSUMS].decode().splitlines())
    assert set(listed) == {path for path in data if path != CHECKSUMS and not path.startswith("absolute/")}
    assert all(hashlib.sha256(data[path]).hexdigest() == digest for path, digest in listed.items())
    manifest = json.loads(data[MANIFEST])
    rows = sorted(parted.rows, key=lambda row: row["image_id"])[:images]
    assert manifest["about"]["training_set"] == "0123456789ab"
    assert [entry["image_id"] for entry in manifest["images"]] == [row["image_id"] for row in rows]
    for entry, row in zip(manifest["images"], rows, strict=True):
        path, _, inside = entry["file"].partition("#")
        assert path in listed
        if not inside:
            assert hashlib.sha256(data[path]).hexdigest() == entry["sha256"]
        assert entry["sha256"] == row["file_sha256"]
        assert entry["caption"] == row["caption"]
        assert entry["said"] == {"characters": ["fern"]}
        assert (entry["concept"], entry["multiply"]) == (row["concept"], parted.multiply_of(row))
    assert sum(concept["images"] for concept in manifest["concepts"]) == images
    classes = {"regularization": {"1girl": None}} if knows_classes else {}
    assert manifest["recipe"] == {"beside": {name: listed[name] for name in (EMB_INIT, WILDCARD)}} | classes


def test_the_same_images_with_other_core_tags_are_another_set(sample, tmp_path: Path):
    one = sample.export("plain", tmp_path)
    other = export("plain", sample.rows, sample.data.__getitem__, tmp_path, {}, extra_files={WILDCARD: b"frieren\n"})
    assert (other.reused, other.content_sha256 == one.content_sha256) == (False, False)
    assert (other.folder / WILDCARD).read_bytes() == b"frieren\n"
    assert "`wildcard.txt` has prompts" in (one.folder / CARD).read_text()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_card_tells_what_to_give_the_trainer(parted, tmp_path: Path, profile: str):
    card = (parted.export(profile, tmp_path).folder / CARD).read_text("utf-8")
    told = card.partition("## For the trainer\n\n")[2].partition("\n\n## Concepts")[0]
    assert "`" in told
    assert told.rstrip().endswith((".", "`"))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_documents_lie_on_top_and_nothing_else_where_pictures_are(parted, tmp_path: Path, profile: str):
    folder = parted.export(profile, tmp_path).folder
    on_top = {path.name for path in folder.iterdir() if path.is_file()}
    configs = {path.name for path in folder.glob("absolute/*")}
    assert on_top == DOCUMENTS | configs
    below = {path.suffix for part in ("train", "validation", "reg", "data") for path in folder.glob(f"{part}/**/*.*")}
    allowed = {"imagefolder": {".webp", ".jsonl"}, "parquet": {".parquet"}, "webdataset": {".tar"}}
    assert below == allowed.get(profile, {".webp", ".txt"})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_folder_that_a_person_changed_is_left_alone_and_told(sample, tmp_path: Path, profile: str):
    first = sample.export(profile, tmp_path)
    again = sample.export(profile, tmp_path, about={"other": "facts"})
    assert (again.folder, again.reused, again.size_bytes) == (first.folder, True, first.size_bytes)
    victim = next(
        path for path in sorted(first.folder.rglob("*")) if path.suffix in (".txt", ".tar", ".parquet", ".jsonl")
    )
    victim.write_bytes(b"better words")
    (first.folder / "latents.npz").write_bytes(b"1")
    second = sample.export(profile, tmp_path)
    assert (second.folder.name, second.reused) == (f"{first.folder.name}-2", False)
    name = victim.relative_to(first.folder).as_posix()
    assert set(second.changed) == {f"{first.folder.name}: {name} changed", f"{first.folder.name}: latents.npz added"}
    assert victim.read_bytes() == b"better words"
    assert sample.export(profile, tmp_path).folder == second.folder


@pytest.mark.parametrize("profile", PROFILES)
def test_an_export_that_fails_leaves_nothing(sample, tmp_path: Path, profile: str):
    whole = dict(sample.data)
    del sample.data[sample.rows[3]["path"]]
    with pytest.raises(KeyError):
        sample.export(profile, tmp_path)
    assert list(tmp_path.iterdir()) == []
    sample.data.update(whole)
    sample.data[sample.rows[3]["path"]] = b"another picture"
    with pytest.raises(ExportError, match=r"picture of image show.e1/00000003 is not the one the set lists"):
        sample.export(profile, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_killed_leaves_no_set_and_the_next_clears_its_rest_away(sample, tmp_path: Path):
    script = (
        "import json, os, sys, pathlib\n"
        "from dataset_pipeline.training.exporters import export\n"
        "def read(path):\n"
        "    if path.endswith('/4.webp'): os._exit(9)\n"
        "    return bytes.fromhex(given['data'][path])\n"
        "given = json.load(sys.stdin)\n"
        "export('plain', given['rows'], read, pathlib.Path(sys.argv[1]), {})\n"
    )
    given = {"rows": sample.rows, "data": {path: data.hex() for path, data in sample.data.items()}}
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], input=json.dumps(given).encode(), check=False
    )
    assert killed.returncode == 9
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".show-plain-")
    assert left[0].endswith(".partial")
    folder = export("plain", sample.rows, sample.data.__getitem__, tmp_path, {}).folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert left[0] == f".{folder.name}.partial"


@pytest.mark.parametrize("profile", PROFILES)
def test_pictures_of_a_local_store_are_copied_and_never_linked(sample, tmp_path: Path, profile: str, files_in):
    store = tmp_path / "store"
    for path, data in sample.data.items():
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_bytes(data)
    local = sample.export(profile, tmp_path / "a", local_path=lambda path: store / path).folder
    assert bytes_in(local).keys() == bytes_in(sample.export(profile, tmp_path / "b").folder).keys()
    for name in files_in(local):
        assert not (local / name).is_symlink()
        assert (local / name).stat().st_nlink == 1
    for picture in local.rglob("*.webp"):
        picture.write_bytes(b"a trainer's doing")
    assert {path: (store / path).read_bytes() for path in sample.data} == sample.data


def test_a_picture_that_changed_on_the_local_disk_is_refused(sample, tmp_path: Path):
    (tmp_path / "other.webp").write_bytes(b"other")
    with pytest.raises(ExportError, match="is not the one the set lists"):
        sample.export("plain", tmp_path / "exports", local_path=lambda path: tmp_path / "other.webp")


def test_a_local_picture_is_copied_where_the_kernel_cannot(sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: int, target: int, *more: object) -> int:
        os.write(target, b"some bytes first")
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    (tmp_path / "store").mkdir()
    for path, data in sample.data.items():
        (tmp_path / "store" / Path(path).name).write_bytes(data)
    folder = sample.export("plain", tmp_path, local_path=lambda path: tmp_path / "store" / Path(path).name).folder
    assert {path.read_bytes() for path in folder.rglob("*.webp")} == set(sample.data.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": ""}, "show.e1/00000004 has no one-line caption: ''"),
        ({"caption": "two\nlines"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": "two\u2028lines"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": "one line\n"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": "\ufeffmarked"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": None}, "show.e1/00000004 has no one-line caption: ''"),
        ({"concept": "1_character/fern"}, "concept 1_character/fern has two multiplies"),
        ({"multiply": 0.0}, "has the multiply 0.0"),
        ({"multiply": float("nan")}, "has the multiply nan"),
        ({"multiply": float("inf")}, "has the multiply inf"),
        ({"concept": "../elsewhere"}, r"concept \.\./elsewhere is no folder of a set"),
        ({"concept": "/etc"}, "concept /etc is no folder of a set"),
        ({"concept": "1_character~fern"}, "concepts 1_character/fern and 1_character~fern would be one folder"),
        ({"concept": "1_character/FERN"}, "concepts 1_character/fern and 1_character/FERN would be one folder"),
        ({"image_id": "show.e1/00000003"}, "image show.e1/00000003 is in the set twice"),
        ({"split": "test"}, "is of the split 'test'; there are train and validation"),
        ({"path": "4.tiff"}, "does not read 4.tiff of image show.e1/00000004"),
    ],
)
@pytest.mark.parametrize("profile", ["plain", "parquet"])
def test_what_no_trainer_should_be_given_is_refused(sample, tmp_path: Path, profile: str, change: dict, message: str):
    sample.rows[4] |= change
    with pytest.raises(ExportError, match=message):
        sample.export(profile, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_files_that_would_be_one_are_refused(parted, tmp_path: Path):
    parted.add(20, "REG/1girl")  # lies where EveryDream2 gets the regularization images of 1girl
    with pytest.raises(
        ExportError, match=r"train/reg/1girl/multiply.txt and train/REG/1girl/multiply.txt would be one"
    ):
        parted.export("everydream", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_set_with_nothing_to_train_on_is_refused(sample, tmp_path: Path):
    with pytest.raises(ExportError, match="the training set is empty"):
        export("plain", [], sample.data.__getitem__, tmp_path, {})
    with pytest.raises(ExportError, match="the training set is empty"):
        export("plain", [row | {"is_reg": True} for row in sample.rows], sample.data.__getitem__, tmp_path, {})


def test_a_set_that_is_all_held_out_names_the_setting(sample, tmp_path: Path):
    held_out = [row | {"split": "validation"} for row in sample.rows]
    with pytest.raises(ExportError, match=r"all is held out for validation: lower \[training_set\] validation_share"):
        export("plain", held_out, sample.data.__getitem__, tmp_path, {})


def test_a_set_of_several_shows_is_called_set(sample, tmp_path: Path):
    sample.add(20, image_id="other.e1/00000020", show="other")
    assert sample.export("plain", tmp_path).folder.name.startswith("set-plain-")


@pytest.mark.parametrize(
    "change", [{"caption": "another"}, {"concept": "1_character/stark"}, {"image_id": "show.e1/00000009"}]
)
def test_another_content_gets_another_folder_and_the_old_one_stays(sample, tmp_path: Path, change: dict):
    first = sample.export("everydream", tmp_path).folder
    sample.rows[5] |= change
    assert sample.export("everydream", tmp_path).folder != first
    assert first.is_dir()


@pytest.mark.parametrize("profile", ["kohya", "onetrainer", "ai_toolkit"])
def test_files_with_absolute_paths_are_renewed_when_gone_and_left_alone_when_edited(
    sample, tmp_path: Path, profile: str
):
    folder = sample.export(profile, tmp_path).folder
    config = min(folder.glob("absolute/*"))
    text = config.read_bytes()
    config.unlink()
    again = sample.export(profile, tmp_path)
    assert (again.reused, again.changed, config.read_bytes()) == (True, (), text)
    config.write_bytes(text + b" ")
    edited = sample.export(profile, tmp_path)
    assert (edited.folder, edited.reused, config.read_bytes()) == (folder, True, text + b" ")
    assert edited.changed == (
        f"{folder.name}: absolute/{config.name} was edited, or the folder was moved; "
        "delete it to have it written again",
    )


def test_the_card_says_what_is_in_the_set_and_how_it_was_made(parted, tmp_path: Path):
    card = (parted.export("kohya", tmp_path).folder / CARD).read_text("utf-8")
    assert "11 pictures (6 to train on, 3 held out for validation, 2 for regularization)" in card
    assert "| train | 2_characters/fern+フリーレン | 2 | 3.7 | 4 | +0.30 |" in card
    assert "| tagger | wd-swinv2-tagger-v3 | " + "ab" * 32 + " | Apache-2.0 |" in card
    assert "- training_set: 0123456789ab" in card
    assert "The pictures belong to the makers" in card
    # 3 x 1.361 + 2 x 3.7 + 1 x 1 = 12.483 images; whole: 3 x 1 + 2 x 4 + 1 x 1 = 12.
    assert "an epoch has 12.5 images, by whole repeats 12 (-3.87%)" in card
    assert "demo models" not in card


def test_the_card_says_that_demo_models_made_the_set(sample, tmp_path: Path):
    card = (sample.export("plain", tmp_path, about={"made_with_demo_models": True}).folder / CARD).read_text("utf-8")
    assert "**Made with the demo models, which know nothing of real pictures." in card
    assert "No model is named." in card


def test_the_manifest_gives_the_error_of_whole_repeats_by_concept(sample, tmp_path: Path):
    manifest = json.loads((sample.export("kohya", tmp_path).folder / MANIFEST).read_text("utf-8"))
    assert [(c["concept"], c["images"], c["multiply"], c["repeats"], c["error"]) for c in manifest["concepts"]] == [
        ("0_characters/character_others", 1, 1.0, 1, 0.0),
        ("1_character/fern", 3, 1.361, 1, -0.361),
        ("2_characters/fern+フリーレン", 2, 3.7, 4, 0.3),
    ]


def test_the_mark_that_only_kohya_knows_is_a_comma_to_others(sample, tmp_path: Path):
    sample.rows[0]["caption"] = "1girl, fern ||| long hair, dress"
    folder = sample.export("plain", tmp_path).folder
    assert (folder / "train/show~e1@00000000.txt").read_text("utf-8") == "1girl, fern, long hair, dress"
    folder = sample.export("kohya", tmp_path).folder
    assert next(folder.rglob("show~e1@00000000.txt")).read_text("utf-8") == sample.rows[0]["caption"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_held_out_image_is_seen_once_whatever_its_concept_is_balanced_to(parted, tmp_path: Path, profile: str):
    manifest = json.loads((parted.export(profile, tmp_path).folder / MANIFEST).read_text("utf-8"))
    held_out = [entry["multiply"] for entry in manifest["images"] if entry["part"] == "validation"]
    assert held_out == [1.0, 1.0, 1.0]
    (concept,) = (entry for entry in manifest["concepts"] if entry["part"] == "validation")
    assert concept["multiply"] == concept.get("repeats", 1) == 1


def test_plain_gives_one_folder_of_pictures_and_texts(parted, tmp_path: Path, pictures_right_in, caption_beside):
    folder = parted.export("plain", tmp_path).folder
    for part in ("train", "validation", "reg"):
        found, rows = pictures_right_in(folder / part), parted.of_part(part)
        assert found.keys() == rows.keys()
        for stem, picture in found.items():
            assert picture.read_bytes() == parted.data[rows[stem]["path"]]
            assert caption_beside(picture) == rows[stem]["caption"]
