"""Where a square window is laid around a part of a still, so that it cuts through no head.

A window is (x, y, side) in whole pixels, with its corner at the upper left, and lies inside of its still.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dataset_pipeline.base.boxes import Box, area, iou, middle, share_inside, shared_area

SMALL, CUTS_HEAD, HOLDS_FACE, TOUCHES_UNKNOWN = "small", "cuts_head", "holds_face", "touches_unknown"
SMALLEST_SHARE = 0.75  # of the size that is asked for
# Of a head or a face in a window: between them the window's edge runs through it. Hair may be cut, a chin may not.
CUT_SHARES, FACE_CUT_SHARES = (0.05, 0.95), (0.02, 0.98)
FACE_SHARE = 0.5  # of a face, that makes a window one of the face
SAME_IOU = 0.5  # from here on two windows show the same,
INSIDE_SHARE, INSIDE_RATIO = 0.8, 0.5  # and if the smaller lies in the larger so far and is more than half as large
STEP = 0.9  # by which a window that finds no place is made smaller
SPREAD = 5  # evenly spread places that are tried on each axis


class Window(NamedTuple):
    x: int
    y: int
    side: int

    @property
    def box(self) -> Box:
        return float(self.x), float(self.y), float(self.x + self.side), float(self.y + self.side)


@dataclass(frozen=True)
class Part:
    """What a window is laid around. scale: the window's side by the part's longer side. least_fill: the share of the
    window's side that the part takes at least. holds: what lies wholly in the window, the best first; the next is for
    where that would cut through a head. avoids_faces: whether a window with most of a face is none of this part."""

    kind: str
    box: Box
    score: float
    scale: float
    least_fill: float
    holds: Sequence[Box]
    avoids_faces: bool = False


class Unknown:
    """The pixels of a still that nobody has seen. mask: bool [height, width], true where they are."""

    def __init__(self, mask: np.ndarray) -> None:
        sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
        sums[1:, 1:] = mask.astype(np.int64).cumsum(0).cumsum(1)
        self._sums = sums

    def touched(self, window: Window) -> bool:
        """Whether a window holds any."""
        x, y, side = window
        sums = self._sums
        return bool(sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x])


@dataclass(frozen=True)
class Surroundings:
    """What else is on a still. size_px: its width and height. heads, faces: all of them, cut to the still."""

    size_px: tuple[int, int]
    heads: Sequence[Box] = ()
    faces: Sequence[Box] = ()
    unknown: Unknown | None = None

    def fault(self, window: Window, avoids_faces: bool = False) -> str:
        """Why a window may not lie there; empty if it may."""
        if self.unknown is not None and self.unknown.touched(window):
            return TOUCHES_UNKNOWN
        if avoids_faces and any(share_inside(face, window.box) > FACE_SHARE for face in self.faces):
            return HOLDS_FACE
        cut = _is_cut(self.heads, window, CUT_SHARES) or _is_cut(self.faces, window, FACE_CUT_SHARES)
        return CUTS_HEAD if cut else ""


def _is_cut(boxes: Iterable[Box], window: Window, between: tuple[float, float]) -> bool:
    low, high = between
    return any(low < share_inside(box, window.box) < high for box in boxes)


def longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def around(box: Box, others: Iterable[Box]) -> Box | None:
    """The smallest of the others that holds the middle of a box."""
    x, y = middle(box)
    holding = [it for it in others if it[0] <= x <= it[2] and it[1] <= y <= it[3]]
    return min(holding, key=lambda it: (area(it), it), default=None)


def united(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of these."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def show_the_same(one: Box, other: Box) -> bool:
    """Whether of two windows of one still the second shows little more than the first."""
    smaller, larger = sorted((area(one), area(other)))
    inside = shared_area(one, other) >= INSIDE_SHARE * smaller and smaller > INSIDE_RATIO * larger
    return inside or iou(one, other) >= SAME_IOU


def snapped(side: float, step_px: int) -> int:
    """A side in whole steps of a trainer's buckets, or in whole pixels where there is no step; never a larger one."""
    return int(side // step_px * step_px) if step_px else int(side)


def side_of(part: Part, size_px: tuple[int, int], target_px: int) -> float:
    """The side of the window that a part asks for: its longer side times its scale, or the target if that is more, and
    no more than the still has; or less, where the part would take too little of it. A face of 300 px takes 600, one of
    128 takes 512, and one of 96 takes 384 of a target of 512."""
    longest = longer_side(part.box)
    side = min(max(longest * part.scale, target_px), *size_px)
    return min(side, longest / part.least_fill)


def lay(part: Part, there: Surroundings, target_px: int, step_px: int = 0) -> tuple[Window, str]:
    """The window of a part, and why there is none: then the window is the one that was wished for.

    It lies in the middle of the part if it can, else as near to that as it may without cutting through a head, without
    touching what is unknown and without another's face. Where it may nowhere, a smaller one is tried, and then one that
    holds more.
    """
    wanted, least = side_of(part, there.size_px, target_px), SMALLEST_SHARE * target_px
    fault = ""
    wish = _places(part, part.holds[0], max(1, snapped(wanted, step_px)), there)[0]
    if wish.side < least:
        return wish, SMALL
    for hold in part.holds:
        holding = longer_side(_whole(hold))
        side = snapped(min(max(wanted, holding + step_px), *there.size_px), step_px)
        if holding > side or side * part.least_fill > max(longer_side(part.box), wanted * part.least_fill):
            fault = fault or CUTS_HEAD
            continue
        while side >= max(least, holding):
            places = _places(part, hold, side, there)
            found = next((it for it in places if not there.fault(it, part.avoids_faces)), None)
            if found:
                return found, ""
            fault = fault or there.fault(places[0], part.avoids_faces)
            side = snapped(min(side * STEP, side - 1), step_px)
    return wish, fault


def _whole(box: Box) -> Box:
    x0, y0, x1, y1 = box
    return float(math.floor(x0)), float(math.floor(y0)), float(math.ceil(x1)), float(math.ceil(y1))


def _places(part: Part, hold: Box, side: int, there: Surroundings) -> list[Window]:
    """Windows of that side that hold a box, the nearest to the middle of the part first."""
    hold = _whole(hold)
    axes = []
    for axis in (0, 1):
        limit = max(0, there.size_px[axis] - side)
        low, high = (min(max(0, int(it)), limit) for it in (hold[axis + 2] - side, hold[axis]))
        low, high = min(low, high), max(low, high)
        best = min(max(round(middle(part.box)[axis] - side / 2), low), high)
        edges = [it for head in (*there.heads, *there.faces) for it in _beside(head, axis, side)]
        spread = np.linspace(low, high, SPREAD).round().astype(int).tolist()
        places = {it for it in (*edges, *spread) if low <= it <= high} | {best}
        axes.append((best, sorted(places)))
    (best_x, xs), (best_y, ys) = axes
    found = (Window(x, y, side) for x, y in itertools.product(xs, ys))
    return sorted(found, key=lambda it: (abs(it.x - best_x) + abs(it.y - best_y), it))


def _beside(head: Box, axis: int, side: int) -> Iterator[int]:
    """Where a window begins that ends beside a head, begins behind it, or holds it just so."""
    low, high = head[axis], head[axis + 2]
    yield from (math.floor(low - side), math.ceil(high), math.floor(low), math.ceil(high - side))
