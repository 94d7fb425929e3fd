"""Exported folders that somebody made so that a rewrite would leave them, or that are broken with a right checksum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_pipeline.training.exporters import PROFILES, ExportError
from dataset_pipeline.training.exporters.folder import differences_in
from dataset_pipeline.training.exporters.remake import rebalance, recaption
from dataset_pipeline.training.exporters.rewrite import NEXT, PARTIAL
from dataset_pipeline_tests.training.exporters.test_remake import exported, resealed

HEAVIER = {"weights": [{"pattern": "2_characters", "weight": 6.0}]}
OUTSIDE = [
    "../x",
    "../../x",
    "/etc/x",
    "C:\\x",
    "C:x",
    "a\\..\\..\\b",
    "a\\b",
    "",
    ".",
    "a/../../b",
    "a//b",
    "a\0b",
    "~/a/./b",
]
FERN = "train/1_1_character~fern/show~e1@00000000.webp"


def all_below(root: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()
    }


def refused(root: Path, folder: Path, *texts: str) -> str:
    """The message, in which the texts stand; nothing below the root was changed by either call."""
    before = all_below(root)
    message = ""
    for call in (lambda: recaption(folder, {"template": "sentence"}), lambda: rebalance(folder, HEAVIER)):
        with pytest.raises(ExportError) as caught:
            call()
        message = str(caught.value)
        assert all(text in message for text in texts), message
        assert all_below(root) == before
    return message


@pytest.mark.parametrize("key", ["file", "mask_file"])
@pytest.mark.parametrize("path", OUTSIDE)
def test_a_manifest_that_names_a_file_out_of_the_folder_is_refused_by_file_image_and_path(
    path: str, key: str, tmp_path: Path
):
    folder = exported("kohya", tmp_path / "sets", masks=True)
    resealed(folder, lambda manifest: manifest["images"][0].update({key: path}))
    refused(tmp_path, folder, str(folder), "manifest.json", "image show.e1/00000000", key, repr(path))


@pytest.mark.parametrize("profile", ["parquet", "webdataset"])
@pytest.mark.parametrize("path", ["../x#a.webp", "/etc/x.tar#a.webp", "#a.webp", "train\\0.tar#a.webp"])
def test_a_shard_out_of_the_folder_is_refused(path: str, profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path / "sets")
    resealed(folder, lambda manifest: manifest["images"][0].update(file=path))
    refused(tmp_path, folder, str(folder), "manifest.json", "image show.e1/00000000", "file")


def test_no_folder_is_renamed_out_of_or_into_the_set(tmp_path: Path):
    """The fault of old: the folder of the pictures, called by its repeats, was renamed from wherever that was."""
    folder = exported("kohya", tmp_path / "sets" / "mine")
    (tmp_path / "precious").mkdir()
    picture = next(folder.rglob("show~e1@00000003.webp"))
    shutil.copy(picture, tmp_path / "precious" / picture.name)
    outside = f"../../../precious/{picture.name}"

    def lead_out(manifest: dict[str, Any]) -> None:
        next(entry for entry in manifest["images"] if entry["image_id"].endswith("03"))["file"] = outside

    resealed(folder, lead_out)
    refused(tmp_path, folder, outside)
    assert (tmp_path / "precious" / picture.name).is_file()


@pytest.mark.parametrize("path", OUTSIDE)
def test_checksums_of_a_file_out_of_the_folder_are_refused_by_their_line(path: str, tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets")
    victim = tmp_path / "sets" / "x"
    victim.write_bytes(b"not of the set")
    lines = (folder / "checksums.sha256").read_text().splitlines()
    lines.insert(2, f"{hashlib.sha256(b'not of the set').hexdigest()}  {path}")
    (folder / "checksums.sha256").write_text("\n".join(lines) + "\n")
    refused(tmp_path, folder, "checksums.sha256, line 3")
    assert victim.read_bytes() == b"not of the set"
    [difference] = differences_in(folder)
    assert "line 3" in difference


@pytest.mark.parametrize("path", ["../x", "/x", "a\\b"])
def test_files_beside_the_manifest_are_beside_it(path: str, tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets")
    resealed(folder, lambda manifest: manifest["recipe"]["beside"].update({path: "0" * 64}))
    refused(tmp_path, folder, "recipe", "beside")


@pytest.mark.parametrize("concept", ["../../x", "/x", "a/../../b", "C:\\x", "a\\..\\..\\b"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_concept_leads_nowhere(concept: str, profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path / "sets")
    resealed(folder, lambda manifest: manifest["images"][0].update(concept=concept))
    refused(tmp_path, folder, "image show.e1/00000000", "concept")


def test_what_is_said_of_an_image_is_not_where_it_lies(tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets")
    resealed(folder, lambda manifest: manifest["images"][0]["said"].update(path="../../x"))
    refused(tmp_path, folder, "said", "path")


def leading_out(folder: Path, name: str, elsewhere: Path) -> None:
    """What the folder has of this name is moved elsewhere, and a link put in its place."""
    elsewhere.mkdir(exist_ok=True)
    shutil.move(folder / name, elsewhere / Path(name).name)
    (folder / name).symlink_to(elsewhere / Path(name).name)


@pytest.mark.parametrize(
    "name",
    [FERN, FERN.replace(".webp", ".txt"), "train", "train/1_1_character~fern", "metadata", "manifest.json", "absolute",
     "checksums.sha256", "README.md", "dataset.toml", "masks"],
)  # fmt: skip
def test_a_link_out_of_the_folder_is_not_followed(name: str, tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets", masks=True)
    leading_out(folder, name, tmp_path / "elsewhere")
    refused(tmp_path, folder, str(folder), name.partition("/")[0], "link")


def test_a_link_that_stays_in_the_folder_is_followed(tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets")
    (folder / "train").rename(folder / "kept")
    (folder / "train").symlink_to("kept")
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert rebalance(linked, HEAVIER).renamed
    assert (folder / "kept/10_2_characters~fern+stark").is_dir()


@pytest.mark.parametrize("name", [PARTIAL, f"{PARTIAL}/x", NEXT])
def test_a_file_in_the_making_is_no_way_out(name: str, tmp_path: Path):
    folder = exported("parquet", tmp_path / "sets")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (folder / name.partition("/")[0]).symlink_to(victim)
    if name == NEXT:
        refused(tmp_path, folder, NEXT, "link")
    else:
        assert recaption(folder, {"template": "sentence"}).captions
    assert victim.read_bytes() == b"precious"


def test_an_unfinished_rewrite_of_another_set_is_not_finished(tmp_path: Path):
    folder, other = exported("kohya", tmp_path / "sets"), exported("kohya", tmp_path / "others")
    resealed(other, lambda manifest: manifest["images"][0].update(sha256="0" * 64))
    shutil.copy(other / "manifest.json", folder / NEXT)
    refused(tmp_path / "sets", folder, NEXT, "remove it")
    (folder / NEXT).write_text(json.dumps({"images": [{"file": "../../x"}]}))
    refused(tmp_path / "sets", folder, NEXT)


def deep(manifest: dict[str, Any]) -> None:
    manifest["images"][0]["said"]["tags"] = [[["a"]]]


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "no image": lambda manifest: manifest["images"].clear(),
    "images": lambda manifest: manifest.update(images={"a": 1}),
    "image": lambda manifest: manifest["images"].__setitem__(0, "x"),
    "image null": lambda manifest: manifest["images"].__setitem__(0, None),
    "width": lambda manifest: manifest["images"][0].update(width_px="64"),
    "height": lambda manifest: manifest["images"][0].update(height_px=0),
    "quality": lambda manifest: manifest["images"][0].update(quality="good"),
    "multiply": lambda manifest: manifest["images"][0].update(multiply="2"),
    "no multiply": lambda manifest: manifest["images"][0].update(multiply=-1.0),
    "endless": lambda manifest: manifest["images"][0].update(multiply=float("inf")),
    "no number": lambda manifest: manifest["images"][0].update(quality=float("nan")),
    "caption": lambda manifest: manifest["images"][0].update(caption=5),
    "half a character": lambda manifest: manifest["images"][0].update(caption="a \ud800 b"),
    "part": lambda manifest: manifest["images"][0].update(part="../train"),
    "kind": lambda manifest: manifest["images"][0].update(kind=["still"]),
    "id": lambda manifest: manifest["images"][0].update(image_id="../../x"),
    "id twice": lambda manifest: manifest["images"][0].update(image_id=manifest["images"][1]["image_id"]),
    "sha256": lambda manifest: manifest["images"][0].update(sha256="abc"),
    "no file": lambda manifest: manifest["images"][0].pop("file"),
    "other file": lambda manifest: manifest["images"][0].update(file="x.webp"),
    "tags": lambda manifest: manifest["images"][0]["said"].update(tags="smile"),
    "deep tags": deep,
    "people": lambda manifest: manifest["images"][0]["said"].update(n_people="two"),
    "said": lambda manifest: manifest["images"][0].update(said=[]),
    "recipe": lambda manifest: manifest.update(recipe=[]),
    "captions": lambda manifest: manifest["recipe"].update(captions=["booru"]),
    "balance": lambda manifest: manifest["recipe"].update(balance=["booru"]),
    "kinds": lambda manifest: manifest["recipe"].update(tag_kinds={"hair": "long"}),
    "beside": lambda manifest: manifest["recipe"].update(beside=["a"]),
    "about": lambda manifest: manifest.update(about="mine"),
    "models": lambda manifest: manifest["about"].update(models=["clip"]),
    "profile": lambda manifest: manifest.update(profile=["kohya"]),
    "format": lambda manifest: manifest.update(format="1"),
    "content": lambda manifest: manifest.pop("content"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("profile", ["kohya", "parquet"])
def test_a_broken_manifest_with_a_right_checksum_is_told_and_the_folder_left(broken: str, profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path)
    resealed(folder, BROKEN[broken])
    refused(tmp_path, folder)


@pytest.mark.parametrize("text", ["[" * 200_000, "null", "[]", '"x"', "5", "\x00", "{", '{"profile": "kohya"}'])
def test_a_manifest_that_is_no_list_of_a_set_is_told(text: str, tmp_path: Path):
    folder = exported("kohya", tmp_path)
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(text)
    sums = (folder / "checksums.sha256").read_text()
    (folder / "checksums.sha256").write_text(sums.replace(digest, hashlib.sha256(text.encode()).hexdigest()))
    refused(tmp_path, folder, str(folder), "is no folder that `dataset-pipeline export` wrote: manifest.json")
    beside = exported("kohya", tmp_path)
    assert beside.name == f"{folder.name}-2"


@pytest.mark.parametrize("line", ["nonsense", "0123  README.md", f"{'0' * 64} README.md", f"{'0' * 64}  "])
def test_checksums_that_are_none_are_told_by_their_line(line: str, tmp_path: Path):
    folder = exported("kohya", tmp_path)
    sums = (folder / "checksums.sha256").read_text()
    (folder / "checksums.sha256").write_text(f"{sums}{line}\n")
    refused(tmp_path, folder, f"checksums.sha256, line {len(sums.splitlines()) + 1}")


def test_a_mask_without_a_checksum_is_told(tmp_path: Path):
    folder = exported("kohya", tmp_path, masks=True)
    lines = (folder / "checksums.sha256").read_text().splitlines()
    (folder / "checksums.sha256").write_text("\n".join(line for line in lines if "  masks/" not in line) + "\n")
    refused(tmp_path, folder, "checksums.sha256", "masks/")


@pytest.mark.parametrize("profile", ["parquet", "webdataset"])
def test_a_shard_with_a_right_checksum_that_is_none_is_told(profile: str, tmp_path: Path):
    folder = exported(profile, tmp_path)
    shard = next(folder.glob("data/train*.parquet" if profile == "parquet" else "train/*.tar"))
    before = hashlib.sha256(shard.read_bytes()).hexdigest()
    shard.write_bytes(b"no shard")
    sums = (folder / "checksums.sha256").read_text()
    (folder / "checksums.sha256").write_text(sums.replace(before, hashlib.sha256(b"no shard").hexdigest()))
    with pytest.raises(ExportError, match=r"does not hold .*: copy the folder again"):
        recaption(folder, {"template": "sentence"})
    assert shard.read_bytes() == b"no shard"


def test_an_export_reads_nothing_beyond_a_link_in_a_folder_of_its_name(tmp_path: Path):
    folder = exported("kohya", tmp_path / "sets")
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for good
    (folder / FERN).unlink()
    (folder / FERN).symlink_to(tmp_path / "pipe")
    assert differences_in(folder) == [f"{FERN} is a link out of the folder"]
    assert exported("kohya", tmp_path / "sets").name == f"{folder.name}-2"
