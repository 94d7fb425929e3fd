"""Columns of an image in the exports that datasets libraries read: imagefolder, parquet, webdataset."""

from __future__ import annotations

from typing import Any

from dataset_pipeline.training.exporters.image_set import ImageSet, Picture

# Column: type by the names Hugging Face's `datasets` and Arrow share; a list means a list of that type.
COLUMNS: dict[str, str | list[str]] = {
    "image_id": "string",
    "show": "string",
    "episode": "string",
    "kind": "string",
    "characters": ["string"],
    "tags": ["string"],
    "concept": "string",
    "multiply": "float64",
    "quality": "float64",
    "width_px": "int64",
    "height_px": "int64",
}


def column_values(picture: Picture) -> dict[str, Any]:
    """The values of COLUMNS for an image."""
    row = picture.row
    return {
        "image_id": picture.image_id,
        "show": row["show"],
        "episode": row["episode"],
        "kind": row["kind"],
        "characters": list(row["characters"]),
        "tags": list(picture.tags),
        "concept": picture.concept,
        "multiply": picture.multiply,
        "quality": picture.quality,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
    }


def shards(images: ImageSet, part: str, size: int) -> list[list[Picture]]:
    """The part's pictures in pieces of `size`, by id."""
    pictures = images.pictures_of(part)
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]
