"""Which images are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import episode_of, pts_ms_of, still_of

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

TRAIN, VALIDATION, REGULARIZATION = "train", "validation", "reg"
STRETCH_MS = 60_000  # frames of one scene lie close together, and a trainer would know one held-out frame by another
FRAME = r"^(?P<episode>[^/]*/)(?P<ms>[0-9]{8,17})(?:#.*)?$"  # an image of a frame


def held_out(image_ids: Iterable[str], share: float, seed: int) -> set[str]:
    """About `share` of the images, in whole stretches: a minute of a video, a picture of a folder, with all crops.

    What is held out of an episode depends on its own images alone, so that further episodes change nothing.
    """
    ids = pa.array(image_ids, pa.string())
    return set(ids.filter(are_held_out(ids, share, seed)).to_pylist())


def are_held_out(image_ids: pa.Array | pa.ChunkedArray, share: float, seed: int) -> pa.Array:
    """Of each image whether it is one of `held_out`."""
    stretches = _stretches(image_ids).dictionary_encode()
    drawn = pa.array([_draw(stretch, seed) < share for stretch in stretches.dictionary.to_pylist()], pa.bool_())
    return drawn.take(stretches.indices)


def _stretches(image_ids: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """The stretch of each image. Those of frames are found for all images at once."""
    frames = pc.extract_regex(image_ids, FRAME)
    if isinstance(frames, pa.ChunkedArray):
        frames = frames.combine_chunks()
    minutes = pc.divide(pc.struct_field(frames, "ms").cast(pa.int64()), STRETCH_MS).cast(pa.string())
    stretches = pc.binary_join_element_wise(pc.struct_field(frames, "episode"), minutes, "")
    if stretches.null_count:
        others = [_stretch(image_id) for image_id in image_ids.filter(pc.is_null(stretches)).to_pylist()]
        stretches = pc.replace_with_mask(stretches, pc.is_null(stretches), pa.array(others, pa.string()))
    return stretches


def _stretch(image_id: str) -> str:
    pts_ms = pts_ms_of(image_id)
    return still_of(image_id) if pts_ms is None else f"{episode_of(image_id)}/{pts_ms // STRETCH_MS}"


def _draw(stretch: str, seed: int) -> float:
    """A number from 0 to 1 that all images of a stretch share."""
    return int.from_bytes(hashlib.sha256(f"{seed} {stretch}".encode()).digest()[:8]) / 2**64
