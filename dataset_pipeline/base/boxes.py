"""Boxes in a picture: (x0, y0, x1, y1), x from its left and y from its upper edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Box = tuple[float, float, float, float]
SIDES = ("x0_px", "y0_px", "x1_px", "y1_px")  # of a row that holds a box


def box_of(row: Mapping[str, Any]) -> Box:
    """The box of a row with its sides in pixels."""
    x0, y0, x1, y1 = (row[side] for side in SIDES)
    return x0, y0, x1, y1


def place_of(image: Mapping[str, Any]) -> Box:
    """Where an image lies in its still: a row of `crops` or `images`, in pixels."""
    x, y = image["x_px"], image["y_px"]
    return x, y, x + image["width_px"], y + image["height_px"]


def area(box: Box) -> float:
    """0 for a box that is turned inside out."""
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def shared_area(one: Box, other: Box) -> float:
    """Of what lies in both."""
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))


def share_inside(box: Box, other: Box) -> float:
    """The share of a box's area that lies in the other; 0 for one without area."""
    whole = area(box)
    return shared_area(box, other) / whole if whole else 0.0


def iou(one: Box, other: Box) -> float:
    """Intersection over union."""
    both = shared_area(one, other)
    return both / (area(one) + area(other) - both) if both else 0.0


def middle(box: Box) -> tuple[float, float]:
    """Its middle (x, y)."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def holds(box: Box, point: tuple[float, float]) -> bool:
    """Whether a point (x, y) lies in the box; its right and lower edges are outside."""
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]


def clipped(box: Box, size_px: tuple[int, int]) -> Box:
    """What of a box lies in a picture of this width and height."""
    width, height = size_px
    x0, x1 = (min(max(float(x), 0.0), float(width)) for x in (box[0], box[2]))
    y0, y1 = (min(max(float(y), 0.0), float(height)) for y in (box[1], box[3]))
    return x0, y0, x1, y1
