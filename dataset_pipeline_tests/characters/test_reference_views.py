"""What of a reference picture is looked at."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.characters.reference_views import reference_views
from dataset_pipeline.settings import DEFAULTS, load_settings

CROPS = load_settings(DEFAULTS).crops
PICTURE = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 80, 3)  # 80 wide, 100 high


def box(kind: str, x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> dict:
    return {"kind": kind, "x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1, "score": score}


def sizes(*boxes: dict) -> dict[str, tuple[int, ...]]:
    return {kind: pixels.shape[:2] for kind, pixels in reference_views(PICTURE, boxes, CROPS)}


def test_the_largest_person_and_the_largest_head_inside_are_cut_as_crops_are_of_any_size():
    small, large = box("person", 60, 0, 80, 40), box("person", 0, 10, 50, 90)
    heads = box("head", 62, 2, 78, 18), box("head", 20, 12, 30, 22), box("head", 2, 60, 8, 66)
    assert sizes(small, large, *heads) == {"person": (80, 50), "head": (15, 15)}  # squares of 1.5 times the side


def test_of_a_head_alone_the_head_is_looked_at_and_of_nobody_the_whole_picture():
    assert sizes(box("head", 20, 20, 40, 40)) == {"head": (30, 30)}
    assert sizes() == sizes(box("person", 0, 0, 50, 50, score=0.2), box("hand", 0, 0, 50, 50)) == {"picture": (100, 80)}
