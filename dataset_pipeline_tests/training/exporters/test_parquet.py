from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_pipeline.training.exporters import parquet

PARTS = ("train", "validation", "reg")


def test_a_shard_holds_the_very_bytes_of_the_pictures_and_tells_their_features(parted, tmp_path: Path):
    parted.rows[0]["tags"] = ["long hair", "dress"]
    folder = parted.export("parquet", tmp_path).folder
    for part in PARTS:
        table = pq.read_table(folder / f"data/{part}-00000-of-00001.parquet")
        rows = {row["image_id"]: row for row in parted.of_part(part).values()}
        assert table["image_id"].to_pylist() == sorted(rows)
        for line in table.to_pylist():
            row = rows[line["image_id"]]
            assert line["image"]["bytes"] == parted.data[row["path"]]
            assert line["image"]["path"].endswith(".webp")
            assert (line["text"], line["tags"]) == (row["caption"], row.get("tags", []))
            assert (line["concept"], line["multiply"]) == (row["concept"], parted.multiply_of(row))
        assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == table.schema.names
        assert features["image"] == {"_type": "Image"}


def test_a_large_set_is_cut_into_shards_of_row_groups(
    sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_in
):
    monkeypatch.setattr(parquet, "SHARD_IMAGES", 4)
    monkeypatch.setattr(parquet, "ROW_GROUP_IMAGES", 3)
    folder = sample.export("parquet", tmp_path).folder
    names = [f"data/train-{number:05d}-of-00002.parquet" for number in range(2)]
    assert [name for name in files_in(folder) if name.startswith("data/")] == names
    files = [pq.ParquetFile(folder / name) for name in names]
    assert [file.metadata.num_rows for file in files] == [4, 2]
    assert [file.metadata.num_row_groups for file in files] == [2, 1]


@pytest.mark.parametrize("how", ["parquet", "folder"])
def test_hugging_face_gives_pictures(parted, tmp_path: Path, how: str):
    import datasets

    folder = parted.export("parquet", tmp_path / "exports").folder
    cache = str(tmp_path / "cache")
    if how == "folder":
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        assert set(loaded) == set(PARTS)
    else:
        files = {part: str(folder / f"data/{part}-*.parquet") for part in PARTS}
        loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)
    for part in PARTS:
        assert isinstance(loaded[part].features["image"], datasets.Image)
        rows = {row["image_id"]: row for row in parted.of_part(part).values()}
        assert {row["image_id"] for row in loaded[part]} == rows.keys()
        for row in loaded[part]:
            source = rows[row["image_id"]]
            assert row["image"].size == (source["width_px"], source["height_px"])
            assert (row["text"], row["characters"]) == (source["caption"], source["characters"])


def test_hugging_face_gives_masks(masked, tmp_path: Path):
    import datasets

    folder = masked.export("parquet", tmp_path / "exports").folder
    loaded = datasets.load_dataset(
        "parquet", data_dir=str(folder / "data"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    masks = {row["image_id"]: row["mask"] for row in loaded}
    assert masks["show.e1/00000011"].getextrema() == (11, 11)
    assert masks["show.e1/00000013"].getextrema() == (255, 255)
