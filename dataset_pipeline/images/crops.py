"""Which boxes become crops, and where they are cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import crop_id
from dataset_pipeline.settings import CropsSettings


def plan_crops(
    still_id: str, size_px: tuple[int, int], boxes: Iterable[Mapping[str, Any]], settings: CropsSettings
) -> list[dict]:
    """Rows of the `crops` table (without path and pixel_sha256) for the boxes of one still, sorted by id.

    size_px: (width, height) of the still. boxes: rows of `detections`. Boxes of other kinds, below the kind's score or
    outside the still count as not found and get no row; a box found but too small keeps a row with reason `small`.
    The id comes from the box alone; of two boxes with one id the higher score stays.
    """
    width, height = size_px
    found: dict[str, dict] = {}
    for box in boxes:
        kind, score = box["kind"], float(box["score"])
        if kind not in settings.kinds or not score >= settings.min_score(kind):  # nor one that is no number
            continue
        x0, x1 = (min(max(float(box[name]), 0.0), float(width)) for name in ("x0_px", "x1_px"))
        y0, y1 = (min(max(float(box[name]), 0.0), float(height)) for name in ("y0_px", "y1_px"))
        if not (x1 - x0 >= 1 and y1 - y0 >= 1):
            continue
        image_id = crop_id(still_id, kind, (x0, y0, x1, y1), size_px)
        if image_id in found and found[image_id]["score"] >= score:
            continue
        left, top, crop_width, crop_height = _place((x0, y0, x1, y1), size_px, settings.scale(kind))
        small = min(crop_width, crop_height) < settings.min_side_px(kind)
        found[image_id] = {
            "image_id": image_id,
            "still_id": still_id,
            "kind": kind,
            "x_px": left,
            "y_px": top,
            "width_px": crop_width,
            "height_px": crop_height,
            "score": score,
            "still_share": crop_width * crop_height / (width * height),
            "kept": not small,
            "reason": "small" if small else "kept",
        }
    return [found[image_id] for image_id in sorted(found)]


def plan_all_crops(
    stills: Mapping[str, Mapping[str, Any]], boxes: Iterable[Mapping[str, Any]], settings: CropsSettings
) -> list[dict]:
    """`plan_crops` over an episode: stills by id with width_px, height_px, pixel_sha256; boxes of any of them."""
    by_still: dict[str, list[Mapping[str, Any]]] = {}
    for box in boxes:
        by_still.setdefault(box["image_id"], []).append(box)
    return [
        {**row, "still_sha256": stills[still_id]["pixel_sha256"]}
        for still_id in sorted(by_still.keys() & stills.keys())
        for row in plan_crops(
            still_id, (stills[still_id]["width_px"], stills[still_id]["height_px"]), by_still[still_id], settings
        )
    ]


def _place(
    box: tuple[float, float, float, float], size_px: tuple[int, int], scale: float | None
) -> tuple[int, int, int, int]:
    """(x, y, width, height) in whole pixels inside the still: the box as it is, or with a scale the square around it,
    shifted off the still's edges and never larger than its short side."""
    x0, y0, x1, y1 = box
    if scale is None:
        left, top = round(x0), round(y0)
        return left, top, max(1, round(x1) - left), max(1, round(y1) - top)
    side = max(1, min(round(max(x1 - x0, y1 - y0) * scale), *size_px))
    left, top = (
        min(max(round((low + high - side) / 2), 0), limit - side)
        for low, high, limit in ((x0, x1, size_px[0]), (y0, y1, size_px[1]))
    )
    return left, top, side, side


def cut(picture: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """The pixels of a planned crop as a new array. picture: [height, width, 3] of the still.
    Raises ValueError if the crop does not lie inside the picture."""
    x, y, width, height = (int(row[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
    if x < 0 or y < 0 or x + width > picture.shape[1] or y + height > picture.shape[0]:
        raise ValueError(
            f"crop {row['image_id']} ({width}x{height} at {x},{y}) does not lie inside its still of "
            f"{picture.shape[1]}x{picture.shape[0]}"
        )
    return np.ascontiguousarray(picture[y : y + height, x : x + width])
