"""Sets in Hugging Face's imagefolder layout: a folder for each split with pictures and one metadata.jsonl.

As `datasets` reads it: `file_name` is a plain path relative to the metadata's folder and becomes the column `image`,
`mask_file_name` the column `mask`; other keys become columns. Splits are found by folder names, and folder names of
concepts could be taken for splits (a character called Test), so that all pictures of a split lie in one folder. Types
are guessed for each metadata file and must be those of the others, where a column of empty lists or of nulls has none
(`folder_based_builder.py`): lists are written as one text, and a number that is not known as NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_pipeline.training.exporters.columns import column_values
from dataset_pipeline.training.exporters.documents import Profile
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, ImageSet, Picture
from dataset_pipeline.training.exporters.plain import places


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    for picture in images.pictures:
        yield images.file(places[picture.image_id], picture)
        if images.has_masks:
            yield images.mask_file(_mask(picture), picture)
    for part in images.parts:
        lines = [json.dumps(_line(images, picture), ensure_ascii=False) for picture in images.pictures_of(part)]
        yield File(f"{part}/metadata.jsonl", ("\n".join(lines) + "\n").encode())


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {picture.image_id: _mask(picture) for picture in images.pictures}


def _mask(picture: Picture) -> str:
    return f"{picture.part}/masks/{picture.stem}.png"


def _line(images: ImageSet, picture: Picture) -> dict[str, Any]:
    mask = {"mask_file_name": f"masks/{picture.stem}.png"} if images.has_masks else {}
    columns = {name: _typed(value) for name, value in column_values(picture).items()}
    return {"file_name": picture.name, **mask, "text": picture.caption, **columns}


def _typed(value: Any) -> Any:
    """The value, so written that its type can be told even if no other picture has one."""
    if value is None:
        return math.nan  # of the columns only `quality`, a float, can be unknown
    return ", ".join(value) if isinstance(value, list) else value


PROFILE = Profile(
    title="Hugging Face datasets (imagefolder)",
    instructions=lambda images: (
        '`datasets.load_dataset("<this folder>")`; `load_dataset("imagefolder", data_dir="<this folder>")` leaves '
        "regularization images out. For diffusers' scripts `--train_data_dir <this folder>/train`. The prompt is the "
        "column `text`; `characters` and `tags` are texts with commas. How often an image should be seen is the column "
        "`multiply`; nothing applies it by itself."
    ),
    places=places,
    files=files,
    splits={part: f"{part}/**" for part in (TRAIN, VALIDATION, REGULARIZATION)},
    masks=masks,
    format=2,
)
