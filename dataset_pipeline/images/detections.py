"""Between a detector's boxes and the rows of the `detections` table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

# Boxes are kept to a hundredth of a pixel: finer differences are noise of the arithmetic.
BOX_DECIMALS, SCORE_DECIMALS = 2, 4


def as_found_boxes(found: Iterable[Iterable[Any]]) -> Iterator[dict]:
    """One `{"boxes": [...]}` for each picture, of a detector's boxes (kind, x0, y0, x1, y1 in px, score)."""
    for boxes in found:
        yield {
            "boxes": [
                {
                    "kind": box.kind,
                    "x0_px": round(float(box.x0), BOX_DECIMALS),
                    "y0_px": round(float(box.y0), BOX_DECIMALS),
                    "x1_px": round(float(box.x1), BOX_DECIMALS),
                    "y1_px": round(float(box.y1), BOX_DECIMALS),
                    "score": round(float(box.score), SCORE_DECIMALS),
                }
                for box in boxes
            ]
        }


def detection_rows(measured: pa.Table) -> list[dict]:
    """Rows of `detections`, one a box, from `detections_measured`, one a picture. A box seen twice counts once."""
    rows = {}
    for picture in measured.to_pylist():
        for box in picture["boxes"]:
            row = {"image_id": picture["image_id"], "model_sha256": picture["model_sha256"], **box}
            key = tuple(row[name] for name in ("image_id", "kind", "x0_px", "y0_px", "x1_px", "y1_px"))
            if key not in rows or rows[key]["score"] < row["score"]:
                rows[key] = row
    return list(rows.values())
