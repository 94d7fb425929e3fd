"""Small copies of people, by which poses are told apart: grey, without what is known to be the place behind them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box

COPY_ROWS = 64
MAX_COLUMNS = 96
BACKDROP_ROWS = 180  # of the small pictures that show the place behind people
MOST_LOOKS = 32  # of a shot, from which the place is known
STEADY_LEVELS = 20  # of 255: what is seen of the place differs by less from look to look, else it is not known
STEADY_SHARE = 0.7  # of what is seen twice; where less is steady, the camera moves
SAME_LEVELS = 12  # of 255: a copy shows the place where it differs by less from it
NO_PERSON = 128  # the value of a copy where it shows the place
CORE_COLUMNS, CORE_ROWS = 0.75, (0.1, 0.9)  # of a copy, that are sought on another one: less of the place, and no edge
MOST_LARGER = 3.0  # boxes whose heights differ by more are compared as if they had one height
SOFTENED_PX = 1.5  # the deviation by which copies are blurred, so that a step beside an edge is no difference
BOX_SCALES = (0.94, 1.0, 1.06)  # boxes of one pose differ by so much


def small_copy(grey: np.ndarray) -> np.ndarray:
    """uint8 [64, columns] of uint8 [height, width], in its shape as long as that is no wider than 3 : 2."""
    height, width = grey.shape
    columns = min(MAX_COLUMNS, max(4, round(width * COPY_ROWS / height)))
    return cv2.resize(grey, (columns, COPY_ROWS), interpolation=cv2.INTER_AREA)


def as_copy(thumb: bytes) -> np.ndarray:
    """uint8 [64, columns], as a sample of `tracks` holds it."""
    return np.frombuffer(thumb, np.uint8).reshape(COPY_ROWS, -1)


class Backdrop:
    """The place behind the people of a shot whose camera stands still, gathered from looks at it: where no box of a
    person lies, a look shows the place."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        """size_px: width and height of the shot's pictures."""
        self._scale = BACKDROP_ROWS / size_px[1]
        self._size = max(1, round(size_px[0] * self._scale)), BACKDROP_ROWS
        self._seen: list[tuple[int, np.ndarray]] = []
        self._looks, self._stride = 0, 1

    def see(self, grey: np.ndarray, people: Sequence[Box]) -> None:
        """The next look: uint8 [height, width] with the boxes of all people that were found. Of many looks those that
        are spread evenly are kept."""
        if self._looks % self._stride == 0:
            small = cv2.resize(grey, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
            for x0, y0, x1, y1 in people:
                rows, columns = ((int(max(0.0, a) * self._scale), int(np.ceil(b * self._scale)))
                                 for a, b in ((y0, y1), (x0, x1)))  # fmt: skip
                small[slice(*rows), slice(*columns)] = np.nan
            self._seen.append((self._looks, small))
        self._looks += 1
        while len(self._seen) > MOST_LOOKS:
            self._stride *= 2
            self._seen = [(number, small) for number, small in self._seen if number % self._stride == 0]

    def known(self) -> np.ndarray | None:
        """float32 [180, columns]: the place, NaN where it was never seen or is not steady; None if the camera moves."""
        if not self._seen:
            return None
        seen = np.stack([small for _, small in self._seen])
        often = np.isfinite(seen).sum(axis=0)
        ordered = np.sort(seen, axis=0)  # NaN last
        high = np.take_along_axis(ordered, np.maximum(often - 1, 0)[None], 0)[0]
        middle = np.take_along_axis(ordered, (np.maximum(often - 1, 0) // 2)[None], 0)[0]
        steady = (often > 0) & (high - ordered[0] < STEADY_LEVELS)
        if (steady & (often > 1)).sum() < STEADY_SHARE * (often > 1).sum():
            return None
        return np.where(steady, middle, np.nan)

    def taken_from(self, copy: np.ndarray, box: Box, place: np.ndarray | None) -> np.ndarray:
        """A copy of what lies in a box with `NO_PERSON` where it shows the place, an answer of `known`."""
        if place is None:
            return copy
        columns, rows = (
            (np.arange(count) + 0.5) / count * (high - low) + low
            for count, low, high in ((copy.shape[1], box[0], box[2]), (copy.shape[0], box[1], box[3]))
        )
        x, y = np.meshgrid(
            (columns * self._scale - 0.5).astype(np.float32), (rows * self._scale - 0.5).astype(np.float32)
        )
        behind = cv2.remap(place, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        same = (np.abs(copy - behind) < SAME_LEVELS).astype(np.uint8)  # false where it is NaN
        same = cv2.morphologyEx(same, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return np.where(same == 1, np.uint8(NO_PERSON), copy)


def apart(one: np.ndarray, other: np.ndarray, heights_px: tuple[float, float]) -> float:
    """How differently somebody shows on two copies, by what they look like inside: 0 for the same to 2.

    The core of the copy of the lower box is sought on the other one, at the size that both have in the picture, for a
    box may be cut off, and at that of boxes of equal height, for a person may come nearer, and a little smaller and
    larger than that, for boxes are inexact. It is one less the best normalized correlation (`TM_CCOEFF_NORMED`) of the
    softened copies, so that light does not count. Copies without any contrast show nothing different. heights_px: of
    the boxes.
    """
    if heights_px[0] > heights_px[1]:
        one, other, heights_px = other, one, (heights_px[1], heights_px[0])
    one, other = (cv2.GaussianBlur(copy, (0, 0), SOFTENED_PX) for copy in (one, other))
    core = _core(one)
    if core.std() < 1.0 or other.std() < 1.0:
        return 0.0
    larger = heights_px[1] / max(1.0, heights_px[0])
    scales = {1.0, larger} if larger <= MOST_LARGER else {1.0}
    return 1.0 - max(_best_fit(core, other, scale * inexact) for scale in sorted(scales) for inexact in BOX_SCALES)


def _core(copy: np.ndarray) -> np.ndarray:
    rows, columns = copy.shape
    left = round((1 - CORE_COLUMNS) / 2 * columns)
    return np.ascontiguousarray(copy[round(CORE_ROWS[0] * rows) : round(CORE_ROWS[1] * rows), left : columns - left])


def _best_fit(core: np.ndarray, copy: np.ndarray, scale: float) -> float:
    """The greatest correlation of a core with a place on a copy, enlarged by a scale."""
    if scale != 1.0:
        size = round(copy.shape[1] * scale), round(copy.shape[0] * scale)
        copy = cv2.resize(copy, size, interpolation=cv2.INTER_LINEAR)
    rows, columns = (max(0, core.shape[side] - copy.shape[side]) for side in (0, 1))
    if rows or columns:
        margins = rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
        copy = cv2.copyMakeBorder(copy, *margins, cv2.BORDER_REPLICATE)
    return float(cv2.matchTemplate(copy, core, cv2.TM_CCOEFF_NORMED).max())
