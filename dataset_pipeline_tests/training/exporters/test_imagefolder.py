from __future__ import annotations

import io
import json
import math
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from dataset_pipeline.base.ids import image_id

PARTS = ("train", "validation", "reg")


def as_imagefolder_is_read(split: Path) -> dict[str, dict]:
    """File name -> metadata, by the rules of the layout: one metadata file, plain relative paths, every line the same
    keys, every picture of the folder named once."""
    assert [path.name for path in split.iterdir() if path.suffix in (".jsonl", ".csv", ".parquet")] == [
        "metadata.jsonl"
    ]
    lines = [json.loads(line) for line in (split / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert len({tuple(line) for line in lines}) == 1
    for line in lines:
        for key in ("file_name", "mask_file_name"):
            if key in line:
                assert "://" not in line[key]
                assert "\\" not in line[key]
                assert ".." not in PurePosixPath(line[key]).parts
                assert not PurePosixPath(line[key]).is_absolute()
                assert (split / line[key]).is_file()
    found = {line["file_name"]: line for line in lines}
    assert len(found) == len(lines)
    assert found.keys() == {path.name for path in split.iterdir() if path.suffix == ".webp"}
    return found


def test_every_split_names_its_pictures_with_text_and_facts(parted, tmp_path: Path):
    folder = parted.export("imagefolder", tmp_path).folder
    for part in PARTS:
        rows = parted.of_part(part)
        found = as_imagefolder_is_read(folder / part)
        assert {PurePosixPath(name).stem for name in found} == rows.keys()
        for name, line in found.items():
            row = rows[PurePosixPath(name).stem]
            assert (folder / part / name).read_bytes() == parted.data[row["path"]]
            assert line["text"] == row["caption"]
            assert {key: line[key] for key in ("image_id", "concept", "multiply", "characters", "width_px")} == {
                **{key: row[key] for key in ("image_id", "concept", "width_px")},
                "multiply": parted.multiply_of(row),
                "characters": ", ".join(row["characters"]),
            }


@pytest.mark.parametrize("how", ["imagefolder", "folder"])
def test_hugging_face_reads_pictures_texts_and_splits(parted, tmp_path: Path, how: str):
    import datasets

    parted.add(20, "1_character/test", 2.0)  # a folder of that name would be taken for the split `test`
    folder = parted.export("imagefolder", tmp_path / "exports").folder
    cache = str(tmp_path / "cache")
    if how == "folder":
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        assert set(loaded) == set(PARTS)
    else:
        loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=cache)
        assert set(loaded) == {"train", "validation"}
    for part in loaded:
        rows = {row["image_id"]: row for row in parted.of_part(part).values()}
        assert {row["image_id"] for row in loaded[part]} == rows.keys()
        for row in loaded[part]:
            source = rows[row["image_id"]]
            assert row["image"].size == (source["width_px"], source["height_px"])
            assert (row["text"], row["multiply"]) == (source["caption"], parted.multiply_of(source))


@pytest.mark.parametrize("how", ["imagefolder", "folder"])
@pytest.mark.parametrize("empty", ["train", "validation", "reg"])
def test_a_part_without_tags_characters_and_quality_is_read_with_the_others(
    parted, tmp_path: Path, how: str, empty: str
):
    import datasets

    for row in parted.rows:
        row |= {"tags": ["smile", "hat"], "characters": ["fern", "stark"]}
    for row in parted.of_part(empty).values():
        row |= {"tags": [], "characters": [], "quality": None}
    folder = str(parted.export("imagefolder", tmp_path / "exports").folder)
    name = {"imagefolder": ("imagefolder", None, folder), "folder": (folder, None, None)}[how]
    loaded = datasets.load_dataset(*name, cache_dir=str(tmp_path / "cache"))
    for part in loaded:
        for row in loaded[part]:
            facts = (row["tags"], row["characters"])
            assert facts == (("", "") if part == empty else ("smile, hat", "fern, stark"))
            assert math.isnan(row["quality"]) if part == empty else row["quality"] == 0.5


def test_hugging_face_reads_masks(masked, tmp_path: Path):
    import datasets

    folder = masked.export("imagefolder", tmp_path / "exports").folder
    as_imagefolder_is_read(folder / "train")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    masks = {row["image_id"]: row["mask"] for row in loaded}
    assert masks.keys() == {row["image_id"] for row in masked.rows}
    assert masks["show.e1/00000012"].convert("L").getextrema() == (12, 12)
    assert masks["show.e1/00000000"].convert("L").getextrema() == (255, 255)


def test_a_file_name_is_that_of_the_image_id(sample, tmp_path: Path):
    folder = sample.export("imagefolder", tmp_path).folder
    for name, line in as_imagefolder_is_read(folder / "train").items():
        assert image_id(name) == line["image_id"]
        with Image.open(io.BytesIO((folder / "train" / name).read_bytes())) as picture:
            assert picture.format == "WEBP"
