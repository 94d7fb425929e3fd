"""Captions and multiplies made again in an exported folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app
from dataset_pipeline.cli.common import PARTLY
from dataset_pipeline.settings import SettingsError, load_settings, resources_folder
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.tags.templates import render
from dataset_pipeline.training.balance import balance
from dataset_pipeline.training.exporters import PROFILES, ExportError, export
from dataset_pipeline.training.exporters.folder import differences_in
from dataset_pipeline.training.exporters.remake import rebalance, recaption, recipe_of
from dataset_pipeline.training.exporters.rewrite import NEXT, PARTIAL
from dataset_pipeline.training.num_repeats import num_repeats

SETTINGS = load_settings(resources_folder() / "settings.toml")
RULES = load_rules(SETTINGS.tag_rules)
BESIDE = {"emb_init.json": b"{}\n", "wildcard.txt": b"fern\n"}
BESIDE_PICTURES = (
    "ai_toolkit",
    "diffusion_pipe",
    "everydream",
    "kohya",
    "musubi",
    "onetrainer",
    "plain",
    "simpletuner",
)
CAPTIONED = tuple(name for name in PROFILES if name != "hydrus")  # its sidecars hold tags alone
NO_CLASSES = ("diffusion_pipe", "musubi")  # the trainers know no regularization images
FERN, BOTH, OTHERS = "1_character/fern", "2_characters/fern+stark", "0_characters/character_others"
MULTIPLIES = {
    share.concept: round(share.multiply, 4)
    for share in balance({FERN: 3, BOTH: 1, OTHERS: 1}, SETTINGS.concept_balance.weights, 1.0, 10.0)
}
SENTENCE = SETTINGS.captions.model_copy(update={"template": "sentence"})


def set_of(masks: bool = False) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Five pictures to train on in three concepts, one held out and one for regularization; of some there are masks."""
    rows, data = [], {}
    concepts = [FERN, FERN, FERN, BOTH, OTHERS, FERN, "1girl"]
    for number, concept in enumerate(concepts):
        buffer = io.BytesIO()
        Image.new("RGB", (64 + number, 48), (number * 20, 90, 200)).save(buffer, "webp")
        path = f"training_images/show.e1/{number}.webp"
        data[path] = buffer.getvalue()
        row: dict[str, Any] = {
            "image_id": f"show.e1/{number:08d}",
            "episode": "show.e1",
            "show": "show",
            "kind": "head" if number == 1 else "still",
            "characters": ["fern"],
            "concept": concept,
            "multiply": 2.0 if number > 4 else MULTIPLIES[concept],
            "people": "1girl",
            "n_people": 1,
            "show_title": "The Show",
            "series": [],
            "artists": ["somebody"],
            "image_type": "screencap",
            "rating": "general",
            "face_position": "left",
            "quality_word": "",
            "activation_tags": [],
            "tags": ["purple_hair", "smile", f"tag {number}"],
            "text": "",
            "quality": 0.1 * number,
            "path": path,
            "width_px": 64 + number,
            "height_px": 48,
            "file_sha256": hashlib.sha256(data[path]).hexdigest(),
            "split": "validation" if number == 5 else "train",
            "is_reg": number == 6,
        }
        if masks and number in (0, 3):
            row["mask_path"] = f"masks/{number}.png"
            mask = io.BytesIO()
            Image.new("L", (64 + number, 48), number).save(mask, "png")
            data[row["mask_path"]] = mask.getvalue()
        rows.append(row | {"caption": caption_of(row, SETTINGS.captions)})
    return rows, data


def caption_of(row: dict[str, Any], settings: Any) -> str:
    return render(row | {"show": row["show_title"]}, settings, RULES)


def exported(profile: str, root: Path, masks: bool = False) -> Path:
    rows, data = set_of(masks)
    tags = {tag for row in rows for tag in row["tags"]}
    recipe = recipe_of(
        SETTINGS.captions.model_dump(mode="json"), SETTINGS.concept_balance.model_dump(mode="json"), tags, RULES
    )
    about = {"made_with_demo_models": False, "models": []}
    return export(profile, rows, data.__getitem__, root, about, recipe=recipe, extra_files=BESIDE).folder


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_by_trainer(profile: str, folder: Path) -> dict[str, tuple[str, float]]:
    """Picture's stem -> caption and how often it is seen, as the profile's trainer finds them; held-out images with
    nothing where it has no place to say how often."""
    found: dict[str, tuple[str, float]] = {}
    if profile == "parquet":
        for path in folder.glob("data/*.parquet"):
            for row in pq.read_table(path).to_pylist():
                found[Path(row["image"]["path"]).stem] = (row["text"], row["multiply"])
        return found
    if profile == "webdataset":
        for path in folder.glob("*/*.tar"):
            with tarfile.open(path) as tar:
                files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
            for name in files:
                if name.endswith(".txt"):
                    facts = json.loads(files[name.replace(".txt", ".json")])
                    found[Path(name).stem] = (files[name].decode(), facts["multiply"])
        return found
    if profile == "imagefolder":
        for path in folder.glob("*/metadata.jsonl"):
            for line in map(json.loads, path.read_text("utf-8").splitlines()):
                found[Path(line["file_name"]).stem] = (line["text"], line["multiply"])
        return found
    for picture in (path for path in folder.rglob("*.webp") if path.parts[len(folder.parts)] != "masks"):
        name = picture.stem.removeprefix("00000-")  # before regularization images of kohya's
        caption = picture.with_suffix(".txt").read_text("utf-8")
        if profile == "ai_toolkit":
            caption = ", ".join(caption.split(","))
        found[name] = (caption, seen(profile, folder, picture))
    return found


def seen(profile: str, folder: Path, picture: Path) -> float:
    import yaml

    within = picture.parent.relative_to(folder).as_posix()
    if profile == "everydream":
        return float((picture.parent / "multiply.txt").read_text())
    if profile == "kohya":
        return int(picture.parent.name.partition("_")[0])
    if profile == "onetrainer":
        concepts = json.loads((folder / "concepts.json").read_text("utf-8"))
        return next(concept["balancing"] for concept in concepts if concept["path"] == within)
    if profile == "ai_toolkit":
        datasets = yaml.safe_load((folder / "datasets.yaml").read_text("utf-8"))["datasets"]
        return next((entry["num_repeats"] for entry in datasets if entry["folder_path"] == within), 0)
    if profile == "diffusion_pipe":
        files = [tomllib.loads((folder / name).read_text("utf-8")) for name in ("dataset.toml", "eval.toml")]
        listed = [entry for file in files for entry in file["directory"]]
        return next((entry["num_repeats"] for entry in listed if entry["path"] == within), 0)
    if profile == "simpletuner":
        datasets = json.loads((folder / "multidatabackend.json").read_text("utf-8"))
        return next(entry["repeats"] + 1 for entry in datasets if entry.get("instance_data_dir") == within)
    if profile == "musubi":
        datasets = tomllib.loads((folder / "dataset.toml").read_text("utf-8"))["datasets"]
        return next((entry["num_repeats"] for entry in datasets if entry["image_directory"] == within), 0)
    return 0


def expected(profile: str, captions: Any, multiplies: dict[str, float]) -> dict[str, tuple[str, float]]:
    rows, _ = set_of()
    trained = Counter(row["concept"] for row in rows[:5])
    repeats = num_repeats(trained, multiplies)
    found = {}
    by_multiplies = round(sum(trained[concept] * multiplies[concept] for concept in trained))
    slots = {
        "kohya": 1,  # of one class alone the trainer itself repeats the pictures until they fill the slots
        "ai_toolkit": 1,  # and this one takes every second step for it
        "simpletuner": sum(trained[concept] * repeats[concept] for concept in trained),
        "onetrainer": by_multiplies,
        "everydream": by_multiplies,
    }
    for number, row in enumerate(rows):
        if number == 6 and profile in NO_CLASSES:
            continue
        multiply = multiplies[row["concept"]] if number < 5 else {5: 1.0, 6: slots.get(profile, 2.0)}[number]
        if profile in ("kohya", "ai_toolkit", "musubi", "simpletuner") and number < 5:
            multiply = repeats[row["concept"]]
        if profile in ("onetrainer", "diffusion_pipe") and number < 5:  # all are of one aspect
            multiply = round(trained[row["concept"]] * multiply) / trained[row["concept"]]
        if profile == "plain" or (profile, number) in (("ai_toolkit", 5), ("musubi", 5)):
            multiply = 0
        elif profile == "everydream":
            multiply = round(multiply, 2)
        found[row["image_id"].replace(".", "~").replace("/", "@")] = (
            caption_of(row, SETTINGS.captions if number == 6 else captions),
            pytest.approx(multiply, rel=1e-5),
        )
    return found


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each picture and mask that lies by itself, by name."""
    found = [path for path in folder.rglob("*") if path.suffix in (".webp", ".png")]
    return {
        path.name if "reg" in path.parts else path.parent.name.partition("_")[2] + path.name: (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
        )
        for path in found
    }


@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("profile", CAPTIONED)
def test_captions_by_another_template_are_what_the_trainer_reads_and_back_again_no_byte_differs(
    profile: str, masks: bool, tmp_path: Path
):
    folder = exported(profile, tmp_path, masks)
    first, pictures = bytes_in(folder), stamps(folder)
    assert read_by_trainer(profile, folder) == expected(profile, SETTINGS.captions, MULTIPLIES)
    same = recaption(folder, {})
    assert (same.captions, same.written, same.left, same.finished) == (frozenset(), 0, (), False)
    assert bytes_in(folder) == first
    made = recaption(folder, {"template": "sentence"})
    assert len(made.captions) == 6
    assert made.images == 7 - (profile in NO_CLASSES)
    assert made.written >= 2
    assert read_by_trainer(profile, folder) == expected(profile, SENTENCE, MULTIPLIES)
    assert stamps(folder) == pictures
    assert differences_in(folder) == []
    recaption(folder, {"template": "booru"})
    assert bytes_in(folder) == first
    assert stamps(folder) == pictures


@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("profile", CAPTIONED)
def test_multiplies_by_other_weights_are_those_of_the_balance(profile: str, masks: bool, tmp_path: Path):
    folder = exported(profile, tmp_path, masks)
    first, pictures = bytes_in(folder), stamps(folder)
    assert rebalance(folder, {}).written == 0
    assert bytes_in(folder) == first
    weights = [{"pattern": "2_characters", "weight": 6.0}, {"pattern": "1_character", "weight": 2.0}]
    made = rebalance(folder, {"weights": weights, "max_multiply": 8.0})
    settings = SETTINGS.concept_balance.model_validate(
        SETTINGS.concept_balance.model_dump() | {"weights": weights, "max_multiply": 8.0}
    )
    shares = balance({FERN: 3, BOTH: 1, OTHERS: 1}, settings.weights, settings.min_multiply, settings.max_multiply)
    multiplies = {share.concept: round(share.multiply, 4) for share in shares}
    assert multiplies == {FERN: 1.0, BOTH: 8.0, OTHERS: 1.5}
    assert read_by_trainer(profile, folder) == expected(profile, SETTINGS.captions, multiplies)
    assert stamps(folder) == pictures
    assert differences_in(folder) == []
    assert bool(made.renamed) == (profile == "kohya")
    assert made.multiplies == {"show.e1/00000003"}
    rebalance(folder, {"weights": SETTINGS.concept_balance.model_dump()["weights"], "max_multiply": 10.0})
    assert bytes_in(folder) == first


def test_sidecars_of_tags_are_left_by_new_captions_and_multiplies(tmp_path: Path):
    folder = exported("hydrus", tmp_path)
    sidecars = {name: data for name, data in bytes_in(folder).items() if name.endswith(".webp.txt")}
    assert len(sidecars) == 7
    assert len(recaption(folder, {"template": "sentence"}).captions) == 6
    assert rebalance(folder, {"max_multiply": 2.0}).multiplies
    assert differences_in(folder) == []
    assert sidecars.items() <= bytes_in(folder).items()


def test_a_folder_of_repeats_takes_a_trainers_caches_along_and_its_config_names_it(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    (folder / "train/3_2_characters~fern+stark/show~e1@00000003_0064x0048_flux.npz").write_bytes(b"latents")
    made = rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]})
    assert "train/3_2_characters~fern+stark -> train/10_2_characters~fern+stark" in made.renamed
    assert (folder / "train/10_2_characters~fern+stark/show~e1@00000003_0064x0048_flux.npz").read_bytes() == b"latents"
    for where in (".", "absolute"):
        config = tomllib.loads((folder / where / "dataset.toml").read_text("utf-8"))
        folders = [subset["image_dir"] for subset in config["datasets"][0]["subsets"]]
        assert all((folder / path).is_dir() for path in folders)
    assert {path.stem for path in folder.glob("metadata/*")} == {path.name for path in folder.glob("train/*")}


@pytest.mark.parametrize("profile", BESIDE_PICTURES)
def test_a_caption_edited_by_hand_is_kept_and_named_each_time(profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path)
    edited = next(folder.rglob("show~e1@00000003.txt"))
    edited.write_text("my own words")
    for template in ("sentence", "components", "booru"):
        made = recaption(folder, {"template": template})
        assert made.left == (edited.relative_to(folder).as_posix(),)
        assert edited.read_text() == "my own words"
        settings = SETTINGS.captions.model_copy(update={"template": template})
        others = expected(profile, settings, MULTIPLIES)
        del others["show~e1@00000003"]
        read = read_by_trainer(profile, folder)
        assert read.pop("show~e1@00000003")[0] == "my own words"
        assert read == others
    edited.unlink()
    assert recaption(folder, {}).left == ()
    assert read_by_trainer(profile, folder) == expected(profile, SETTINGS.captions, MULTIPLIES)
    assert differences_in(folder) == []


def test_whatever_a_person_changed_is_left_and_a_renamed_folder_loses_none_of_it(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    for name in ("dataset.toml", "absolute/finetune.toml", "README.md", "metadata/3_2_characters~fern+stark.json"):
        (folder / name).write_text("mine")
    (folder / "train/3_2_characters~fern+stark/show~e1@00000003.txt").write_text("my own words")
    made = rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]})
    assert set(made.left) == {
        "dataset.toml", "absolute/finetune.toml", "README.md", "metadata/3_2_characters~fern+stark.json",
        "train/10_2_characters~fern+stark/show~e1@00000003.txt",
    }  # fmt: skip
    assert all((folder / name).read_text() in ("mine", "my own words") for name in made.left)
    assert (folder / "metadata/10_2_characters~fern+stark.json").is_file()


@pytest.mark.parametrize("profile", ["everydream", "kohya", "parquet"])
def test_killed_at_any_step_the_next_finishes_it(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def change(folder: Path) -> Any:
        recaption(folder, {"template": "sentence"})
        return rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]})

    whole = exported(profile, tmp_path / "whole")
    change(whole)
    wanted = {name: data for name, data in bytes_in(whole).items() if not name.startswith("absolute/")}
    before = exported(profile, tmp_path / "before")
    real, steps = os.replace, 0
    for fatal in range(1, 100):
        folder = tmp_path / str(fatal) / before.name
        shutil.copytree(before, folder)
        steps = 0

        def killed(source: Any, target: Any, fatal: int = fatal) -> None:
            nonlocal steps
            steps += 1
            if steps == fatal:
                raise KeyboardInterrupt
            real(source, target)

        monkeypatch.setattr(os, "replace", killed)
        try:
            change(folder)
            monkeypatch.setattr(os, "replace", real)
            break
        except KeyboardInterrupt:
            monkeypatch.setattr(os, "replace", real)
        made = change(folder)
        assert made.left == (), fatal
        found = {name: data for name, data in bytes_in(folder).items() if not name.startswith("absolute/")}
        assert found == wanted, fatal
        assert not (folder / NEXT).exists()
        assert not (folder / PARTIAL).exists()
    assert fatal > 6


def test_another_rewrite_than_the_killed_one_finishes_that_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = exported("kohya", tmp_path)
    first, real, left = bytes_in(folder), os.replace, [4]

    def killed(source: Any, target: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]})
    monkeypatch.setattr(os, "replace", real)
    made = recaption(folder, {})
    assert made.finished
    assert read_by_trainer("kohya", folder)["show~e1@00000003"][1] == 10
    rebalance(folder, {"weights": SETTINGS.concept_balance.model_dump()["weights"]})
    assert bytes_in(folder) == first


@pytest.mark.parametrize("profile", ["kohya", "onetrainer", "parquet"])
def test_a_folder_that_was_moved_is_made_anew_there(profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path / "here")
    other = tmp_path / "trainer's disk" / "my set"
    shutil.copytree(folder, other)
    shutil.rmtree(folder)
    made = recaption(other, {"template": "sentence"})
    assert made.left == ()
    assert read_by_trainer(profile, other) == expected(profile, SENTENCE, MULTIPLIES)
    for path in (other / "absolute").glob("*"):
        assert str(tmp_path / "here") not in path.read_text("utf-8")
        assert other.as_posix() in path.read_text("utf-8")


def test_caches_are_no_change_of_a_person_and_those_of_old_captions_are_named(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    beside = folder / "train/1_1_character~fern"
    names = ["show~e1@00000000_0064x0048_sdxl.npz", "show~e1@00000000_te_outputs.npz", "show~e1@00000001_flux_te.npz"]
    for name in (*names, "metadata_cache.json"):
        (beside / name).write_bytes(b"cache")
    assert recaption(folder, {}).stale == ()
    (beside / "show~e1@00000001.txt").write_text("my own words, of which the cache is")
    made = recaption(folder, {"template": "sentence"})
    assert set(made.stale) == {
        "train/1_1_character~fern/metadata_cache.json",
        "train/1_1_character~fern/show~e1@00000000_te_outputs.npz",
    }
    assert all((beside / name).read_bytes() == b"cache" for name in names)


CACHES_OF_TRAINERS = {
    # sd-scripts, SimpleTuner, diffusion-pipe, in the folder of the pictures
    "{folder}/metadata_cache.json": True,
    "{folder}/show~e1@00000000_te_outputs.npz": False,
    "{folder}/aspect_ratio_bucket_indices_train-0001.json": True,
    "{folder}/aspect_ratio_bucket_metadata_train-0001.json": True,
    "{folder}/cache/sdxl/metadata/metadata.arrow": True,
    # musubi-tuner, where its dataset file says
    "cache/0001/show~e1@00000000_qi_te.safetensors": False,
}
NEVER_STALE = (
    "{folder}/show~e1@00000000_0064x0048_sdxl.npz",
    "{folder}/_t_e_cache/show~e1@00000000_AbC.safetensors",  # ai-toolkit's goes by the caption itself
    "{folder}/.aitk_size.json",
    "cache/0001/show~e1@00000000_0064x0048_qi.safetensors",
)


def with_caches(folder: Path, pictures: str) -> set[str]:
    """Lays a cache of each trainer into the set; the names that a change of captions makes stale."""
    for name in (*CACHES_OF_TRAINERS, *NEVER_STALE):
        path = folder / name.format(folder=pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"cache")
    return {told(name.format(folder=pictures)) for name in CACHES_OF_TRAINERS}


def told(name: str) -> str:
    """The name that is printed: diffusion-pipe's folder is told whole."""
    return name.partition("/cache/")[0] + "/cache/" if "/cache/" in name else name


def test_new_captions_make_the_cache_of_every_trainer_stale_that_holds_them(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    names = with_caches(folder, "train/1_1_character~fern")
    assert recaption(folder, {}).stale == ()
    assert set(recaption(folder, {"template": "sentence"}).stale) == names


def test_a_renamed_folder_makes_every_cache_stale_that_names_it(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    with_caches(folder, "train/3_2_characters~fern+stark")
    with_caches(folder, "train/1_1_character~fern")  # this one keeps its name
    made = rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]})
    renamed = "train/10_2_characters~fern+stark"
    assert f"train/3_2_characters~fern+stark -> {renamed}" in made.renamed
    others = {told(name.format(folder=renamed)) for name, names_folder in CACHES_OF_TRAINERS.items() if names_folder}
    assert set(made.stale) == others


def test_a_concept_called_cache_is_not_taken_for_one(tmp_path: Path):
    rows, data = set_of()
    for row, concept in zip(rows, ["1_character", "1_character/cache"] * 4, strict=False):
        row |= {"concept": concept, "multiply": 1.0, "split": "train", "is_reg": False}
    captions, weights = (section.model_dump(mode="json") for section in (SETTINGS.captions, SETTINGS.concept_balance))
    recipe = recipe_of(captions, weights, set(), RULES)
    folder = export("everydream", rows, data.__getitem__, tmp_path, {}, recipe=recipe).folder
    (folder / "train/1_character/cache/latents.npz").write_bytes(b"cache")
    made = recaption(folder, {"template": "sentence"})
    assert len(made.captions) == 7
    assert made.stale == ()


def test_a_mark_that_no_trainer_is_told_is_refused_by_name(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"captions.keep_mark = '###': Input should be '' or '\|\|\|'"):
        load_settings(resources_folder() / "settings.toml", captions__keep_mark="###")
    folder = exported("kohya", tmp_path)
    before = bytes_in(folder)
    with pytest.raises(SettingsError, match=r"captions.keep_mark = '###'"):
        recaption(folder, {"keep_mark": "###"})
    assert bytes_in(folder) == before
    recaption(folder, {"keep_mark": "|||"})
    assert 'keep_tokens_separator = "|||"' in (folder / "dataset.toml").read_text("utf-8")


def test_pictures_that_are_gone_leave_the_set_only_if_that_is_said(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    first = bytes_in(folder)
    victim = folder / "train/1_1_character~fern/show~e1@00000001.webp"
    victim.unlink()
    with pytest.raises(ExportError, match=r"1 pictures are not in .*, the first is that of show\.e1/00000001: copy"):
        recaption(folder, {"template": "sentence"})
    assert bytes_in(folder).items() <= first.items()
    made = rebalance(folder, {}, drop_missing=True)
    assert made.dropped == ("show.e1/00000001",)
    assert not victim.with_suffix(".txt").exists()
    assert "show~e1@00000001" not in read_by_trainer("kohya", folder)
    assert differences_in(folder) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "is no folder that `dataset-pipeline export` wrote"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "is no folder that"),
        (lambda folder: (folder / "checksums.sha256").unlink(), "cannot be read: copy the folder again"),
        (lambda folder: (folder / "data/train-00000-of-00001.parquet").write_bytes(b"x"), "parquet was changed since"),
        (lambda folder: (folder / "data/train-00000-of-00001.parquet").unlink(), "5 pictures are not in"),
    ],
)
def test_what_cannot_be_made_anew_is_left_alone_and_told(spoil: Callable, message: str, tmp_path: Path):
    folder = exported("parquet", tmp_path)
    spoil(folder)
    before = bytes_in(folder)
    with pytest.raises(ExportError, match=message):
        recaption(folder, {"template": "sentence"})
    assert bytes_in(folder) == before


def test_a_set_without_what_its_captions_are_made_of_says_so(tmp_path: Path):
    rows, data = set_of()
    folder = export("plain", rows, data.__getitem__, tmp_path, {}).folder
    with pytest.raises(ExportError, match=r"does not say by which settings .* then export the set again"):
        recaption(folder, {})
    with pytest.raises(ExportError, match="does not say how it was balanced: run, then export the set again"):
        rebalance(folder, {})


def resealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The manifest changed, and its checksum with it, as another version would have written both."""
    path, sums = folder / "manifest.json", folder / "checksums.sha256"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(profile="a_later_trainer"),
        lambda manifest: manifest["recipe"]["captions"].update(a_later_key=1),
        lambda manifest: manifest["recipe"]["captions"].update(template="a_later_template"),
    ],
)
def test_a_set_of_another_version_is_named_and_no_settings_file_is_blamed(change: Callable, tmp_path: Path):
    folder = exported("plain", tmp_path)
    resealed(folder, change)
    with pytest.raises(ExportError, match="was exported by another version of dataset-pipeline") as caught:
        recaption(folder, {"template": "sentence"})
    assert str(folder) in str(caught.value)
    assert "settings.toml" not in str(caught.value)


def test_a_change_that_cannot_be_blames_no_settings_file(tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        recaption(exported("plain", tmp_path), {"colour": 1})
    assert "settings.toml" not in str(caught.value)


def test_a_set_that_lost_all_it_trains_on_is_left_alone(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    shutil.rmtree(folder / "train")
    before = bytes_in(folder)
    with pytest.raises(ExportError, match="no picture to train on is left"):
        recaption(folder, {}, drop_missing=True)
    assert bytes_in(folder) == before


def test_a_located_file_that_is_no_text_is_left_as_a_person_put_it(tmp_path: Path):
    folder = exported("kohya", tmp_path)
    (folder / "absolute/dataset.toml").write_bytes(b"\xff\xfe")
    made = recaption(folder, {"template": "sentence"})
    assert made.left == ("absolute/dataset.toml",)
    assert (folder / "absolute/dataset.toml").read_bytes() == b"\xff\xfe"


def test_what_the_disk_refuses_is_named_and_the_next_call_finishes_it(tmp_path: Path):
    folder = exported("plain", tmp_path)
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    call = ["recaption", str(folder), "--template", "sentence"]
    stopped = CliRunner().invoke(app, call)
    assert (stopped.exit_code, type(stopped.exception)) == (1, SystemExit)
    assert f"{folder / 'README.md'}: Is a directory" in stopped.output
    (folder / "README.md").rmdir()
    assert CliRunner().invoke(app, call).exit_code == 0
    assert differences_in(folder) == []


def test_settings_that_there_are_not_or_that_need_pictures_are_refused_by_name(tmp_path: Path):
    folder = exported("plain", tmp_path)
    with pytest.raises(SettingsError, match=r"captions\.template = 'haiku'"):
        recaption(folder, {"template": "haiku"})
    with pytest.raises(SettingsError, match=r"captions\.colour = 1: unknown key"):
        recaption(folder, {"colour": 1})
    with pytest.raises(SettingsError, match=r"min_multiply = 20\.0 is above"):
        rebalance(folder, {"min_multiply": 20.0})
    with pytest.raises(ExportError, match=r"captions\.face_min_score decides what is found on pictures"):
        recaption(folder, {"face_min_score": 0.9})
    assert differences_in(folder) == []


def test_what_a_setting_says_of_every_image_follows_it(tmp_path: Path):
    folder = exported("plain", tmp_path)
    order = ["quality", "kind", "character", "tags"]
    words = [{"min_quality": 0.3, "word": "best"}]
    recaption(folder, {"order": order, "image_type": "anime", "drop": ["hair"], "quality_words": words})
    read = read_by_trainer("plain", folder)
    assert read["show~e1@00000004"][0] == "best, anime, fern, smile, tag 4"
    assert read["show~e1@00000001"][0] == "portrait, fern, smile, tag 1"


@pytest.mark.parametrize("is_old", [False, True], ids=["of this version", "of the version before"])
def test_what_pictures_are_called_is_said_anew_of_pictures_and_not_of_frames(is_old: bool, tmp_path: Path):
    rows, data = set_of()
    for row in rows[:2]:
        row |= {
            "image_id": f"show.e1/picture-0a1b2c3{row['image_id'][-1]}",
            "image_type": "screencap" if is_old else "",
        }
        row["caption"] = caption_of(row, SETTINGS.captions)
    captions = SETTINGS.captions.model_dump(mode="json")
    if is_old:
        del captions["picture_type"]
    folder = export(
        "plain", rows, data.__getitem__, tmp_path, {}, recipe=recipe_of(captions, None, set(), RULES)
    ).folder
    assert recaption(folder, {}).captions == frozenset()
    frames = {row["image_id"] for row in rows[2:6]}  # regularization images keep their captions
    pictures = {rows[0]["image_id"]}  # the other one is a crop, which says of which part
    assert recaption(folder, {"picture_type": "illustration"}).captions == pictures
    assert recaption(folder, {"image_type": "anime"}).captions == frames
    other = exported("plain", tmp_path)
    assert recaption(other, {"picture_type": "illustration"}).captions == frozenset()


def test_a_set_of_the_version_before_calls_pictures_and_frames_alike(tmp_path: Path):
    rows, data = set_of()
    rows[0]["image_id"] = "show.e1/picture-0a1b2c3d"
    captions = SETTINGS.captions.model_dump(mode="json", exclude={"picture_type"})
    folder = export(
        "plain", rows, data.__getitem__, tmp_path, {}, recipe=recipe_of(captions, None, set(), RULES)
    ).folder
    recaption(folder, {"image_type": "anime"})
    read = read_by_trainer("plain", folder)
    called = {name[-2:]: ("anime" in caption, "screencap" in caption) for name, (caption, _) in read.items()}
    assert called.pop("01") == (False, False)  # a crop, which says of which part
    assert called.pop("06") == (False, True)  # for regularization: it keeps its caption
    assert set(called.values()) == {(True, False)}


def test_a_set_made_anew_is_not_taken_for_the_set_it_was(tmp_path: Path):
    folder = exported("plain", tmp_path)
    recaption(folder, {"template": "sentence"})
    beside = exported("plain", tmp_path)
    assert beside.name == f"{folder.name}-2"
    recaption(folder, {"template": "booru"})
    assert exported("plain", tmp_path) == folder


def test_the_commands_do_it_and_tell_by_their_exit_code_what_was_left(tmp_path: Path):
    folder = exported("everydream", tmp_path)
    runner = CliRunner()
    done = runner.invoke(app, ["recaption", str(folder), "--template", "components", "--set", "seed=3", "--json"])
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["captions"]) == 6
    settings = SETTINGS.captions.model_copy(update={"template": "components", "seed": 3})
    assert read_by_trainer("everydream", folder) == expected("everydream", settings, MULTIPLIES)
    (tmp_path / "w.csv").write_text("2_characters,6\n")
    multiply = folder / "train" / BOTH / "multiply.txt"
    done = runner.invoke(app, ["rebalance", str(folder), "--weights", str(tmp_path / "w.csv"), "--max-multiply", "4"])
    assert (done.exit_code, multiply.read_text()) == (0, "4.00\n")
    multiply.write_text("7\n")
    done = runner.invoke(app, ["rebalance", str(folder), "--max-multiply", "3"])
    assert (done.exit_code, multiply.read_text()) == (PARTLY, "7\n")
    assert f"train/{BOTH}/multiply.txt: changed by hand" in done.output
    assert runner.invoke(app, ["recaption", str(tmp_path)]).exit_code == 1


def test_the_command_loads_neither_dagster_nor_torch(tmp_path: Path):
    folder = exported("parquet", tmp_path)
    script = (
        "import sys\n"
        "from dataset_pipeline.cli.app import app\n"
        "app(['recaption', sys.argv[1], '--template', 'sentence'], standalone_mode=False)\n"
        "app(['rebalance', sys.argv[1], '--max-multiply', '2'], standalone_mode=False)\n"
        "assert not {'dagster', 'torch', 'onnxruntime'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, cwd=tmp_path)
    assert read_by_trainer("parquet", folder)["show~e1@00000003"][0] == caption_of(set_of()[0][3], SENTENCE)
