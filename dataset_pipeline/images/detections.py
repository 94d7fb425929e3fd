"""From a detector's boxes to what the store keeps of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

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
