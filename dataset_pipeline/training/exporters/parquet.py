"""Sets as Parquet with the pictures in it, as the Hugging Face hub stores them.

A picture is a struct of its encoded bytes and its file name. The schema's metadata holds the features under
`huggingface`, by which `datasets` gives pictures instead of structs. Shards are called as on the hub,
`data/<split>-00000-of-00001.parquet`, from which splits are found.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pipeline.training.exporters.columns import COLUMNS, column_values, shards
from dataset_pipeline.training.exporters.documents import Profile
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, ImageSet, Picture

SHARD_IMAGES = 1000
ROW_GROUP_IMAGES = 100  # readers that want one picture read a whole row group
MASK = "mask/"  # before the names of masks in a shard; names of pictures have no slash
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def places(images: ImageSet) -> dict[str, str]:
    """The shard and, after a `#`, the picture's name in it."""
    return {picture.image_id: f"{path}#{picture.name}" for path, pictures in _shards(images) for picture in pictures}


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {
        picture.image_id: f"{path}#{MASK}{picture.stem}.png" for path, found in _shards(images) for picture in found
    }


def read_from_shard(shard: Path, name: str) -> bytes:
    """The picture, or after `mask/` the mask, of this name in a shard."""
    column, name = ("mask", name.removeprefix(MASK)) if name.startswith(MASK) else ("image", name)
    changed_ns = shard.stat().st_mtime_ns
    return _row_group(shard, changed_ns, column, _row_groups(shard, changed_ns, column)[name])[name]


@functools.lru_cache(maxsize=2)
def _row_groups(shard: Path, changed_ns: int, column: str) -> dict[str, int]:
    """Which row group each picture lies in."""
    with pq.ParquetFile(shard) as file:
        return {
            name.as_py(): number
            for number in range(file.num_row_groups)
            for name in file.read_row_group(number, [f"{column}.path"])[column].combine_chunks().field("path")
        }


@functools.lru_cache(maxsize=2)
def _row_group(shard: Path, changed_ns: int, column: str, number: int) -> dict[str, bytes]:
    with pq.ParquetFile(shard) as file:
        found = file.read_row_group(number, [column])[column].to_pylist()
    return {entry["path"]: entry["bytes"] for entry in found}


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    schema = _schema(images)
    for path, pictures in _shards(images):
        yield File(path, functools.partial(_write, images, pictures, schema))


def _shards(images: ImageSet) -> Iterator[tuple[str, list[Picture]]]:
    for part in images.parts:
        pieces = shards(images, part, SHARD_IMAGES)
        for number, pictures in enumerate(pieces):
            yield f"data/{part}-{number:05d}-of-{len(pieces):05d}.parquet", pictures


def _schema(images: ImageSet) -> pa.Schema:
    pictures = ["image", "mask"] if images.has_masks else ["image"]
    values: dict[str, Any] = {"text": "string", **COLUMNS}
    fields = [pa.field(name, PICTURE) for name in pictures]
    features: dict[str, Any] = {name: {"_type": "Image"} for name in pictures}
    for name, kind in values.items():
        is_list = isinstance(kind, list)
        value = {"dtype": kind[0] if is_list else kind, "_type": "Value"}
        features[name] = {"feature": value, "_type": "Sequence"} if is_list else value
        arrow = pa.type_for_alias(value["dtype"])
        fields.append(pa.field(name, pa.list_(arrow) if is_list else arrow))
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _write(images: ImageSet, pictures: list[Picture], schema: pa.Schema, out: BinaryIO) -> None:
    with pq.ParquetWriter(out, schema) as writer:
        for start in range(0, len(pictures), ROW_GROUP_IMAGES):
            rows = [_row(images, picture) for picture in pictures[start : start + ROW_GROUP_IMAGES]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _row(images: ImageSet, picture: Picture) -> dict[str, Any]:
    row = {
        "image": {"bytes": images.bytes_of(picture), "path": picture.name},
        "text": picture.caption,
        **column_values(picture),
    }
    if images.has_masks:
        row["mask"] = {"bytes": images.mask(picture), "path": f"{picture.stem}.png"}
    return row


PROFILE = Profile(
    title="Hugging Face datasets (Parquet)",
    instructions=lambda images: (
        '`datasets.load_dataset("<this folder>")`, or `load_dataset("parquet", data_dir="<this folder>/data")`. The '
        "picture is the column `image`, the prompt `text`. How often an image should be seen is the column `multiply`; "
        "nothing applies it by itself."
    ),
    places=places,
    files=files,
    splits={part: f"data/{part}-*.parquet" for part in (TRAIN, VALIDATION, REGULARIZATION)},
    masks=masks,
    read_from_shard=read_from_shard,
)
