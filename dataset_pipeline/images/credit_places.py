"""Credits that come one by one: at a place of the screen where the frames of an episode have other words each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

MIN_FRAMES = 3  # that have lettering at the place, no two of them as long
# How far off their lower edges, and their left or right edges or middles, may be, and how far apart widths are those of
# other words, in heights of a line; and how many times that height another may have.
PLACE_OFF, WIDTH_OFF, HEIGHTS = 0.5, 0.5, 1.6


class Placed(NamedTuple):
    """A line of lettering, its frame, and the width and height of that in pixels."""

    frame: str
    size_px: tuple[int, int]
    line: Mapping[str, Any]


def one_by_one(lines: Sequence[Placed]) -> set[int]:
    """The numbers of the lines that are credits by their place. A sign in the scene may come again at its place too,
    but with the same words, which take the same width."""
    numbers: dict[tuple[int, int], list[int]] = {}
    for number, it in enumerate(lines):
        numbers.setdefault(it.size_px, []).append(number)
    return {of_size[it] for of_size in numbers.values() for it in _of_one_size([lines[number] for number in of_size])}


def _of_one_size(lines: Sequence[Placed]) -> Iterable[int]:
    frames = np.array([it.frame for it in lines])
    x0, y0, x1, y1 = np.array([[it.line[f"{side}_px"] for side in ("x0", "y0", "x1", "y1")] for it in lines]).T
    widths, heights = x1 - x0, y1 - y0
    for number in range(len(lines)):
        near = PLACE_OFF * heights[number]
        on_row = (abs(y1 - y1[number]) <= near) & (abs(np.log(heights / heights[number])) <= np.log(HEIGHTS))
        for edge in (x0, (x0 + x1) / 2, x1):
            there = on_row & (abs(edge - edge[number]) <= near)
            if len(set(frames[there])) >= MIN_FRAMES and _others(widths[there], WIDTH_OFF * heights[number]):
                yield number
                break


def _others(widths: np.ndarray, apart: float) -> bool:
    """Whether at least MIN_FRAMES of the widths lie so far apart."""
    found, last = 0, -np.inf
    for width in np.sort(widths):
        if width - last > apart:
            found, last = found + 1, width
    return found >= MIN_FRAMES
