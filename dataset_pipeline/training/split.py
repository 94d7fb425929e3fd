"""Which images are held out for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from dataset_pipeline.base.ids import episode_of, pts_ms_of, still_of

TRAIN, VALIDATION = "train", "validation"
STRETCH_MS = 60_000  # frames of one scene lie close together, and a trainer would know one held-out frame by another


def held_out(image_ids: Iterable[str], share: float, seed: int) -> set[str]:
    """About `share` of the images, in whole stretches: a minute of a video, a picture of a folder, with all crops.

    What is held out of an episode depends on its own images alone, so that further episodes change nothing.
    """
    return {image_id for image_id in image_ids if _draw(image_id, seed) < share}


def _draw(image_id: str, seed: int) -> float:
    """A number from 0 to 1 that all images of a stretch share."""
    pts_ms = pts_ms_of(image_id)
    stretch = still_of(image_id) if pts_ms is None else f"{episode_of(image_id)}/{pts_ms // STRETCH_MS}"
    return int.from_bytes(hashlib.sha256(f"{seed} {stretch}".encode()).digest()[:8]) / 2**64
