"""The two pictures of a pair: the high release's frame on the low one's pixels cut finer, and the low one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from dataset_pipeline.settings.super_resolution import LEAST_LOW_SHARE
from dataset_pipeline.super_resolution.release_geometry import (
    Geometry,
    Size,
    fit_geometry,
    shown_by_both,
    warped,
    whole_frame,
    with_room,
)
from dataset_pipeline.super_resolution.release_pairs import ColourMatch, Comparison, compared, fit_colours
from dataset_pipeline.super_resolution.resampling import resampling_matrix

Colours = Literal["of_low", "of_high", "own"]
Pair = tuple[np.ndarray, np.ndarray]  # the high and the low frame, RGB uint8 as coded
Sides = tuple[int, int, int, int]  # left, top, right, bottom
NO_SIDES: Sides = (0, 0, 0, 0)


class CannotPair(Exception):
    """Two releases of which no pair can be made, and why."""


@dataclass(frozen=True)
class PairPictures:
    """high: uint8 [h * scale, w * scale, 3]. low: uint8 [h, w, 3]. comparison: of the two in the same colours, by
    blocks of the low one."""

    high: np.ndarray
    low: np.ndarray
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class Pairing:
    """How pairs of two releases are made. `geometry`: of the low frames as they are coded, at `low_px`. They are shrunk
    to `pair_px`, the same where the high release has pixels enough, and lie there as `shrunk` says. `box`: x0, y0, x1,
    y1, what of the shrunk frame is shown by both, without bars. `to_low`, `to_high`: the colours of one as the other
    has them."""

    geometry: Geometry
    low_px: Size
    shrunk: Geometry
    pair_px: Size
    scale: int
    box: tuple[int, int, int, int]
    colours: Colours
    to_low: ColourMatch
    to_high: ColourMatch

    @property
    def low_shares(self) -> tuple[float, float]:
        """What of the low frame's width and height, in pixels, its pictures keep: 1 where they are its own pixels."""
        return self.pair_px[0] / self.low_px[0], self.pair_px[1] / self.low_px[1]

    def pictures(self, high: np.ndarray, low: np.ndarray) -> PairPictures:
        """The pictures of two frames that show the same. Raises ValueError for frames of another size than those by
        which the releases were laid on each other."""
        if (low.shape[1], low.shape[0]) != self.low_px:
            raise ValueError(f"the frame is {low.shape[1]}x{low.shape[0]} px, not {self.low_px[0]}x{self.low_px[1]}")
        x0, y0, x1, y1 = self.box
        both = self.to_low.applied(warped(high, self.shrunk, self.pair_px))[y0:y1, x0:x1]
        low_part = _resized(low, self.pair_px)[y0:y1, x0:x1]
        comparison = compared(both, low_part)
        large = warped(high, self.shrunk, self.pair_px, self.scale)
        large = large[y0 * self.scale : y1 * self.scale, x0 * self.scale : x1 * self.scale]
        if self.colours == "of_low":
            large = self.to_low.applied(large)
        elif self.colours == "of_high":
            low_part = self.to_high.applied(low_part)
        return PairPictures(large.round().clip(0, 255).astype(np.uint8), np.ascontiguousarray(low_part), comparison)


def fitted(
    frames: Sequence[Pair],
    scale: int,
    colours: Colours,
    high_bars: Sides = NO_SIDES,
    low_bars: Sides = NO_SIDES,
    shrink_low_to: float = 1.0,
) -> Pairing:
    """How pairs are made, by frames that show the same, some 16 of different shots. The bars of each are in its own
    pixels. Where the high release has fewer than `scale` times the low one's pixels along a side, the low one is
    shrunk, to that share of its side at least. Raises CannotPair where the two do not lie alike, where that is not
    enough and a pixel of the high release would be enlarged, or where nothing is shown by both."""
    if not frames:
        raise CannotPair("no frame of both could be read")
    high_px, low_px = ((one.shape[1], one.shape[0]) for one in frames[0])
    if (whole := whole_frame(high_px, low_px)).largest_scale < 1:
        raise CannotPair(_too_few_pixels(whole, scale))
    alike = [it for it in frames if it[0].shape == frames[0][0].shape and it[1].shape == frames[0][1].shape]
    try:
        geometry = fit_geometry([(_luma(high), _luma(low)) for high, low in alike])
    except ValueError as error:
        raise CannotPair(str(error)) from error
    if scale > geometry.largest_scale and min(geometry.step_x, geometry.step_y) < scale * shrink_low_to:
        raise CannotPair(_too_few_pixels(geometry, scale))
    shrunk, pair_px = with_room(geometry, low_px, scale)
    low_bars = _shrunk_sides(low_bars, low_px, pair_px)
    box = _without_bars(shown_by_both(shrunk, high_px, pair_px), shrunk, high_px, pair_px, high_bars, low_bars)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise CannotPair("the two show nothing of one another")
    x0, y0, x1, y1 = box
    inner = np.s_[y0:y1, x0:x1]
    drawn = [(warped(high, shrunk, pair_px)[inner], _resized(low, pair_px)[inner]) for high, low in alike]
    turned: Iterable[Pair] = ((low, high) for high, low in drawn)
    to_low, to_high = fit_colours(drawn), fit_colours(turned)
    return Pairing(geometry, low_px, shrunk, pair_px, scale, box, colours, to_low, to_high)


def _too_few_pixels(geometry: Geometry, scale: int) -> str:
    times = min(geometry.step_x, geometry.step_y)
    smaller, share = geometry.largest_scale, int(100 * times / scale) / 100
    instead = [f"[release_pairs] scale = {smaller}"] if smaller >= 2 else []
    if smaller >= 1 and share >= LEAST_LOW_SHARE:
        instead.append(f"[release_pairs] shrink_low_to = {share}, so that the low one is shrunk")
    advice = f"set {' or '.join(instead)}" if instead else "no scale and no shrink_low_to gives pairs of these two"
    if max(geometry.step_x, geometry.step_y) < 1:
        advice = "name the two the other way round in [release_alignment] pairs, the high one first"
    return (
        f"the high release has {times:.2f} times the low one's pixels along a side, and pairs of scale {scale} would "
        f"enlarge it; {advice}"
    )


def _shrunk_sides(sides: Sides, low_px: Size, pair_px: Size) -> Sides:
    left, top, right, bottom = (-(-px * pair_px[at % 2] // low_px[at % 2]) for at, px in enumerate(sides))
    return left, top, right, bottom


def _resized(low: np.ndarray, pair_px: Size) -> np.ndarray:
    """A low frame uint8 [h, w, 3] at that size: itself where it has it."""
    found = low
    for axis, px in ((0, pair_px[1]), (1, pair_px[0])):
        if found.shape[axis] != px:
            matrix = resampling_matrix(found.shape[axis], px, "lanczos3").toarray().astype(np.float32)
            found = np.moveaxis(np.tensordot(matrix, found.astype(np.float32), (1, axis)), 0, axis)
    return found.round().clip(0, 255).astype(np.uint8) if found is not low else low


def _without_bars(
    box: tuple[int, int, int, int], lies: Geometry, high_px: Size, low_px: Size, high_bars: Sides, low_bars: Sides
) -> tuple[int, int, int, int]:
    """What of the box, in low pixels, no bar of either reaches into."""
    found = list(box)
    for axis, step, start in ((0, lies.step_x, lies.start_x_px), (1, lies.step_y, lies.start_y_px)):
        found[axis] = max(found[axis], low_bars[axis])
        found[axis + 2] = min(found[axis + 2], low_px[axis] - low_bars[axis + 2])
        if high_bars[axis]:
            found[axis] = max(found[axis], int(np.ceil((high_bars[axis] - start) / step)))
        if high_bars[axis + 2]:
            found[axis + 2] = min(found[axis + 2], int((high_px[axis] - high_bars[axis + 2] - start) / step))
    return found[0], found[1], found[2], found[3]


def _luma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
