"""How many faces each image shows, and how large."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import shows_nobody

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them


class Faces(NamedTuple):
    """height_share: of the largest, by the image's height; 0 without any."""

    count: int = 0
    height_share: float = 0.0


def face_sizes(
    detections: pa.Table, images: Iterable[Mapping[str, Any]], min_score: float
) -> dict[str, list[tuple[float, float]]]:
    """Width and height of the faces of each image that shows any, in pixels of its still, by image id.

    images: rows of `images`. An image shows the faces of `min_score` and more whose box has its centre within it;
    a clean plate shows none.
    """
    found = detections.filter(
        pc.and_(pc.equal(detections["kind"], "face"), pc.greater_equal(detections["score"], min_score))
    )
    corners = (found[name].to_pylist() for name in ("image_id", "x0_px", "y0_px", "x1_px", "y1_px"))
    by_still: dict[str, list[tuple[float, float, float, float]]] = {}
    for still_id, x0, y0, x1, y1 in zip(*corners, strict=True):
        by_still.setdefault(still_id, []).append(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
    sizes = {}
    for row in images:
        shown = [
            (width, height)
            for x, y, width, height in by_still.get(row["still_id"], ())
            if 0 <= x - row["x_px"] < row["width_px"] and 0 <= y - row["y_px"] < row["height_px"]
        ]
        if shown and not shows_nobody(row["still_id"]):
            sizes[row["image_id"]] = shown
    return sizes


def faces_on(detections: pa.Table, images: Sequence[Mapping[str, Any]], min_score: float) -> dict[str, Faces]:
    """The faces of each image that shows any, as `face_sizes` finds them, by image id."""
    sizes = face_sizes(detections, images, min_score)
    return {
        row["image_id"]: Faces(len(shown), min(1.0, max(height for _, height in shown) / row["height_px"]))
        for row in images
        if (shown := sizes.get(row["image_id"]))
    }
