"""Sets for diffusion-pipe: a dataset file in TOML, one directory for each concept, and another for held-out pictures.

As it reads them (`utils/dataset.py: DirectoryDataset, SizeBucketDataset`): a directory is not walked into, and every
file but texts and a few others is a picture; the caption is the text of the same stem, opened in the locale's
encoding; a mask is the picture of the same stem in `mask_path`, of the same size. `num_repeats` is a float, and what
it makes of the pictures of one aspect, or the clips of one size, is rounded down; below 1 the same pictures are left
out of every epoch. There are no regularization images. It writes `cache/` into each directory.

Clips: a video is brought to the model's rate by taking frames twice or not at all, and goes to the longest bucket that
is not longer; one that is too short for all is left out. `size_buckets` (width, height, frames) of a directory stand in
the place of `resolutions` and `frame_buckets`, so that no clip is scaled.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Any

from dataset_pipeline.training.exporters.documents import (
    Profile,
    as_toml,
    below,
    captioned_and_masked,
    clip_folders,
    masks_apart,
    places_in_flat_folders,
)
from dataset_pipeline.training.exporters.image_set import CLIP_PARTS, TRAIN, VALIDATION, Concept, ImageSet, Picture
from dataset_pipeline.training.exporters.regularization import Regularization
from dataset_pipeline.training.num_repeats import least_factor

DATASET, HELD_OUT = "dataset.toml", "eval.toml"
GENERAL: dict[str, Any] = {
    "resolutions": [1024],
    "enable_ar_bucket": True,
    "min_ar": 0.4,
    "max_ar": 2.5,
    "num_ar_buckets": 9,
    "frame_buckets": [1],
}


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    def text(part: str) -> str:
        directories = [_directory(images, concept, folder) for concept in images.concepts_of(part)]
        for concept, path, clips in clip_folders(images, part):
            sizes = Counter((clip.width_px, clip.height_px, clip.frames) for clip in clips)
            repeats = num_repeats(sizes.values(), concept.multiply)
            buckets = [list(size) for size in sorted(sizes)]
            directories.append({"path": below(folder, path), "num_repeats": repeats, "size_buckets": buckets})
        return as_toml([("", GENERAL), *(("[[directory]]", directory) for directory in directories)])

    is_held_out = {VALIDATION, CLIP_PARTS[VALIDATION]} & set(images.parts)
    return {DATASET: text(TRAIN)} | ({HELD_OUT: text(VALIDATION)} if is_held_out else {})


def _directory(images: ImageSet, concept: Concept, folder: str) -> dict[str, Any]:
    masks = {"mask_path": below(folder, f"masks/{concept.flat_folder}")} if images.has_masks else {}
    repeats = num_repeats(Counter(map(_aspect, concept.pictures)).values(), concept.multiply)
    return {"path": below(folder, concept.flat_folder), "num_repeats": repeats, **masks}


def num_repeats(counts: Collection[int], multiply: float) -> float:
    """The least repeats, 1 at least, with which an epoch has as many of a directory's pictures or clips as by their
    multiply, although those of each bucket, of which `counts` says how many there are, are rounded down."""
    total = sum(counts)
    wanted = round(total * multiply)
    steps = {1.0}  # where one more picture is seen; `wanted / total` is the least that could do
    for images in counts:
        steps |= {least_factor(images, images * wanted // total + more) for more in range(images + 2)}
    return min(step for step in steps if step >= 1 and sum(int(images * step) for images in counts) >= wanted)


def _aspect(picture: Picture) -> int:
    """Which of the aspects the picture is counted to: the nearest, by their logarithms."""
    lowest, highest = math.log(GENERAL["min_ar"]), math.log(GENERAL["max_ar"])
    step = (highest - lowest) / (GENERAL["num_ar_buckets"] - 1)
    place = round((math.log(picture.width_px / picture.height_px) - lowest) / step)
    return min(max(place, 0), GENERAL["num_ar_buckets"] - 1)


def instructions(images: ImageSet) -> str:
    text = (
        f"In the training file, `dataset = '<this folder>/absolute/{DATASET}'`; write your `resolutions` into it. "
        "It knows no regularization images, so that the set holds none. Captions are read in the locale's encoding: on "
        "Windows set `PYTHONUTF8=1`."
    )
    if images.clips:
        text += " `size_buckets` are the sizes of the clips (width, height, frames); a model of pictures takes none."
    if {VALIDATION, CLIP_PARTS[VALIDATION]} & set(images.parts):
        text += (
            " Held-out pictures: `eval_datasets = [{name = 'validation', config = "
            f"'<this folder>/absolute/{HELD_OUT}'}}]`."
        )
    return text


PROFILE = Profile(
    title="diffusion-pipe",
    instructions=instructions,
    places=places_in_flat_folders,
    files=partial(captioned_and_masked, masks_apart),
    configs=configs,
    masks=masks_apart,
    reads_clips=True,
    regularization=Regularization(known=False),
    format=3,
)
