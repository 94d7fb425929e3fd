from __future__ import annotations

import json
import tarfile
from itertools import groupby
from pathlib import Path

import pytest

from dataset_pipeline.training.exporters import ExportError, webdataset

PARTS = ("train", "validation", "reg")


def samples_of(shard: Path) -> dict[str, dict[str, bytes]]:
    """Key -> field -> bytes, by the format's rules: the key ends at the first dot, a sample's files follow one
    another, all samples have the same fields; and owners, times and modes say nothing of this machine."""
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
        for member in members:
            assert member.isfile()
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.mode == 0o644
        assert [member.name for member in members] == sorted(member.name for member in members)
        found = {}
        for key, files in groupby(members, key=lambda member: member.name.partition(".")[0]):
            assert key not in found
            found[key] = {file.name.partition(".")[2]: tar.extractfile(file).read() for file in files}  # type: ignore[union-attr]
    assert len({tuple(fields) for fields in found.values()}) == 1
    return found


def test_every_sample_has_picture_text_and_facts(parted, tmp_path: Path):
    folder = parted.export("webdataset", tmp_path).folder
    for part in PARTS:
        rows, samples = parted.of_part(part), samples_of(folder / part / "00000.tar")
        assert samples.keys() == rows.keys()
        for key, sample in samples.items():
            assert sample.keys() == {"webp", "txt", "json"}
            assert sample["webp"] == parted.data[rows[key]["path"]]
            assert sample["txt"].decode("utf-8") == rows[key]["caption"]
            facts = json.loads(sample["json"])
            assert {name: facts[name] for name in ("image_id", "concept", "multiply")} == {
                name: (rows[key] | {"multiply": parted.multiply_of(rows[key])})[name]
                for name in ("image_id", "concept", "multiply")
            }


def test_a_large_set_is_cut_into_shards(sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webdataset, "SHARD_IMAGES", 4)
    folder = sample.export("webdataset", tmp_path).folder
    sizes = {path.name: len(samples_of(path)) for path in folder.glob("train/*")}
    assert sizes == {"00000.tar": 4, "00001.tar": 2}


def test_with_masks_every_sample_has_one(masked, tmp_path: Path):
    samples = samples_of(masked.export("webdataset", tmp_path).folder / "train/00000.tar")
    assert all(sample.keys() == {"webp", "txt", "json", "mask.png"} for sample in samples.values())
    assert samples["show~e1@00000011"]["mask.png"] == masked.data["masks/11.png"]


def test_ids_longer_than_old_tar_names_keep_their_names(sample, tmp_path: Path):
    episode = "show." + "e" * 95
    row = sample.add(20, image_id=f"{episode}/00000020#person-100-200-300-400")
    samples = samples_of(sample.export("webdataset", tmp_path).folder / "train/00000.tar")
    key = next(key for key in samples if len(key) > 100)
    assert json.loads(samples[key]["json"])["image_id"] == row["image_id"]


def test_pictures_of_two_formats_are_refused(sample, tmp_path: Path):
    sample.add(20, suffix=".png")
    with pytest.raises(ExportError, match=r"pictures of one format, this set has \.png \(as show\.e1/00000020\)"):
        sample.export("webdataset", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_webdataset_library_reads_the_shards(parted, tmp_path: Path):
    import webdataset as wds

    folder = parted.export("webdataset", tmp_path).folder
    rows = parted.of_part("train")
    read = wds.WebDataset(str(folder / "train/00000.tar"), shardshuffle=False).decode("pil")
    found = {sample["__key__"]: sample for sample in read}
    assert found.keys() == rows.keys()
    for key, sample in found.items():
        assert sample["webp"].size == (rows[key]["width_px"], rows[key]["height_px"])
        assert sample["txt"] == rows[key]["caption"]
        assert sample["json"]["multiply"] == rows[key]["multiply"]


@pytest.mark.parametrize("how", ["webdataset", "folder"])
def test_hugging_face_reads_the_shards(parted, tmp_path: Path, how: str):
    import datasets

    folder = parted.export("webdataset", tmp_path / "exports").folder
    cache = str(tmp_path / "cache")
    if how == "folder":
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        assert set(loaded) == set(PARTS)
    else:
        loaded = datasets.load_dataset("webdataset", data_dir=str(folder / "train"), cache_dir=cache)
    rows = parted.of_part("train")
    assert {row["__key__"] for row in loaded["train"]} == rows.keys()
    for row in loaded["train"]:
        assert row["webp"].size == (rows[row["__key__"]]["width_px"], rows[row["__key__"]]["height_px"])
        assert row["txt"] == rows[row["__key__"]]["caption"]
        assert row["json"]["concept"] == rows[row["__key__"]]["concept"]
