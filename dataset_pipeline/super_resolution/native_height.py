"""The height in pixels that an episode was drawn at, before it was upscaled to the height of its video.

A picture that was upscaled from h rows lies in the range of the matrix of that upscale, so that least squares leave
little of it; another h leaves more. Getnative (github.com/Infiziert90/getnative) descales and upscales again to find
such a dip; here the residual of the projection is taken itself, which needs no threshold on the error: a codec's noise
lifts all of the curve alike. What a codec makes of soft pictures looks like an upscale too: a block of eight rows that
lost its finest part is made of seven. Such heights have to dip more, or are none that anybody draws at. Not found are
the heights of pictures that a network enlarged, and of frames that are interlaced or were resized once more since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dataset_pipeline.super_resolution.resampling import Kernel, least_squares_source, resampling_matrix

FRAMES = 24  # that are enough, of different shots
LOWEST, HIGHEST = 0.4, 0.9  # of the frame's height: below is no upscale of a production, above blocks of codecs dip
MIN_DIP, MIN_Z = 0.35, 10.0
# What is taken off the dips of heights that are so many eighths of the frame's: soft pictures at crf 28 reach 0.54.
_BLOCK_DIPS = {4: 0.55, 5: np.inf, 6: 0.55, 7: np.inf}
_NATIVE_DIP, _NATIVE_Z = 0.25, 8.0  # a deeper dip that is no upscale leaves the height unknown
_MOST = 0.5  # more of the frames have to dip themselves
_MIN_FRAMES = 3
_MIN_DETAIL = 2.0  # squared levels that half the height leaves: less is rounding
_MIN_FINE_SHARE = 0.3  # of that, which most of the height leaves of a picture drawn at all of it
_NEAR, _FAR = 3, 12  # heights away, between which the neighbours of a dip lie
_LEAST_ROWS = 240
_COLUMNS = 24  # of each frame at 1080 rows: the cost grows with rows, heights and columns
_EDGE_ROWS = 8  # scalers differ in what they take to be beyond the edge
_SEARCHED_BY: Kernel = "mitchell"  # finds what other kernels upscaled as well, a little less deep
_KERNELS: tuple[Kernel, ...] = ("mitchell", "catmull_rom", "bilinear", "lanczos3")


@dataclass(frozen=True, eq=False)
class NativeHeight:
    """`verdict`: `upscaled` from `height_px`, `native`, where that is the frame's own, or `unknown`, where it is the
    likeliest of those below, or 0 where no frame has enough detail to tell. `dip`: how much less that height leaves
    than its neighbours, a logarithm, mean over the frames, without what blocks may add. `z`: the dip in standard
    deviations of all heights' dips. `share` of the frames dips itself. `frames`: how many have enough detail. `kernel`:
    of those tried the one that leaves least. `frame_width_px`, `frame_height_px`: of each frame. `heights_px` int64 [k]
    and `curve` float64 [k]: the mean logarithm of what each height leaves, to be plotted."""

    verdict: Literal["native", "upscaled", "unknown"]
    height_px: int
    dip: float
    z: float
    share: float
    frames: int
    kernel: Kernel
    frame_width_px: int
    frame_height_px: int
    heights_px: np.ndarray
    curve: np.ndarray


def frames_to_look_at(candidates: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of rows of `keyframes` those that tell the height: of each of 24 equal parts the sharpest, all of the size that
    most have."""
    rows = list(candidates)
    if not rows:
        return []
    [(size, _)] = Counter((row["width_px"], row["height_px"]) for row in rows).most_common(1)
    alike = [row for row in rows if (row["width_px"], row["height_px"]) == size]
    parts = np.array_split(np.arange(len(alike)), min(FRAMES, len(alike)))
    return [alike[max(part, key=lambda at: alike[at]["sharpness"])] for part in parts]


def native_height(frames: Iterable[np.ndarray], top_px: int = 0, bottom_px: int = 0) -> NativeHeight:
    """The height of an episode by luma of its frames, [height, width] of one size, in levels 0..255.

    Full frames as they are decoded, neither resized nor without their bars: `top_px` and `bottom_px` rows of those are
    passed over. Two dozen sharp frames of different shots are enough (`FRAMES`); each is looked at as it comes, and
    only columns of it are kept. About 10 CPU seconds for 24 frames of 1080 rows. Raises ValueError for frames of
    different sizes.
    """
    columns, size = list[np.ndarray](), (0, 0)
    for frame in frames:
        size = size if columns else frame.shape
        if frame.shape != size:
            raise ValueError(f"frames of one episode have one size, not {size} and {frame.shape}")
        columns.append(_detailed_columns(frame, top_px, bottom_px))
    heights = np.arange(int(LOWEST * size[0]) - _FAR, int(HIGHEST * size[0]) + _FAR + 1)
    if not columns or size[0] < _LEAST_ROWS:
        return _unknown(heights, size)
    seen = _Columns(np.concatenate(columns, axis=1), len(columns), (size[1], size[0]), top_px)
    return _judged(seen, heights, seen.left(heights, _SEARCHED_BY))


@dataclass(frozen=True, eq=False)
class _Columns:
    """values: float64 [rows, n], as many columns of each of `frames` frames of that width and height, below `top_px`
    and the edge."""

    values: np.ndarray
    frames: int
    frame_px: tuple[int, int]
    top_px: int

    @property
    def height_px(self) -> int:
        return self.frame_px[1]

    def left(self, heights: np.ndarray, kernel: Kernel) -> np.ndarray:
        """float64 [k, frames]: what is left of each frame by these heights, in squared levels a degree of freedom."""
        first, rows = self.top_px + _EDGE_ROWS, len(self.values)
        left = np.empty((len(heights), self.frames))
        for place, height in enumerate(heights):
            matrix = resampling_matrix(int(height), self.height_px, kernel)[first : first + rows]
            residual = least_squares_source(matrix, self.values)[1].reshape(self.frames, -1)
            left[place] = residual.mean(axis=1) / (rows * (1 - height / self.height_px))
        return left


def _detailed_columns(frame: np.ndarray, top_px: int, bottom_px: int) -> np.ndarray:
    """float64 [rows, n]: of equal parts of the frame's width the column with the most fine detail."""
    rows = frame[top_px + _EDGE_ROWS : len(frame) - bottom_px - _EDGE_ROWS].astype(np.float32)
    detail = np.abs(np.diff(rows, 2, axis=0)).mean(axis=0)
    count = min(frame.shape[1], max(_COLUMNS // 2, _COLUMNS * 1080 // len(frame)))
    parts = np.array_split(np.arange(frame.shape[1]), min(count, 2 * _COLUMNS))
    return rows[:, [part[detail[part].argmax()] for part in parts]].astype(np.float64)


def _unknown(heights: np.ndarray, size: tuple[int, ...]) -> NativeHeight:
    nothing = np.zeros(len(heights))
    return NativeHeight("unknown", 0, 0.0, 0.0, 0.0, 0, _SEARCHED_BY, size[1], size[0], heights, nothing)


def _judged(seen: _Columns, heights: np.ndarray, left: np.ndarray) -> NativeHeight:
    half, most = (int(np.abs(heights - share * seen.height_px).argmin()) for share in (0.5, HIGHEST))
    tells = left[half] >= _MIN_DETAIL
    count = int(tells.sum())
    if not count:
        return _unknown(heights, seen.frame_px[::-1])
    logs = np.log(left[:, tells] + 1e-9)
    each = _dips(logs)
    dips = each.mean(axis=1) - _of_blocks(heights[_FAR:-_FAR], seen.height_px)
    best = int(dips.argmax())
    found, dip, share = int(heights[best + _FAR]), float(dips[best]), float((each[best] >= MIN_DIP).mean())
    z = dip / max(1.4826 * float(np.median(np.abs(dips - np.median(dips)))), 1e-9)
    verdict, height_px = "unknown", found
    if count >= _MIN_FRAMES and dip >= MIN_DIP and z >= MIN_Z and share > _MOST:
        verdict = "upscaled"
    elif count >= _MIN_FRAMES and dip <= _NATIVE_DIP and z <= _NATIVE_Z:
        fine = float(np.median(left[most, tells] / left[half, tells]))
        verdict, height_px = ("native", seen.height_px) if fine >= _MIN_FINE_SHARE else ("unknown", found)
    kernel = min(_KERNELS, key=lambda one: float(np.log(seen.left(np.array([found]), one)[0, tells]).sum()))
    return NativeHeight(verdict, height_px, dip, z, share, count, kernel, *seen.frame_px, heights, logs.mean(axis=1))


def _of_blocks(heights: np.ndarray, height_px: int) -> np.ndarray:
    """float64 [k]: what these heights may dip by for a codec's blocks alone."""
    taken = np.zeros(len(heights))
    for eighths, dip in _BLOCK_DIPS.items():
        taken[np.abs(heights - eighths * height_px / 8) < 1] = dip
    return taken


def _dips(logs: np.ndarray) -> np.ndarray:
    """How much lower than the median of its neighbours each height's logarithm is, [k - 2 * _FAR, n] of [k, n]."""
    inner = logs[_FAR : len(logs) - _FAR]
    away = [step for step in range(-_FAR, _FAR + 1) if abs(step) >= _NEAR]
    around = np.stack([logs[_FAR + step : len(logs) - _FAR + step] for step in away])
    return np.median(around, axis=0) - inner


@dataclass(frozen=True)
class Upscale:
    """That frames of `frame_px` (width, height) were upscaled from `height_px` rows by `kernel`; `bars_px`, left, top,
    right and bottom of them, are no part of the picture."""

    frame_px: tuple[int, int]
    height_px: int
    kernel: Kernel
    bars_px: tuple[int, int, int, int] = (0, 0, 0, 0)

    def of(self, width_px: int, height_px: int) -> Upscale | None:
        """Of a picture of that size: a frame without its bars, or a whole one, since scenes may fill it; None for
        others."""
        left, top, right, bottom = self.bars_px
        if (width_px, height_px) == self.frame_px:
            return replace(self, bars_px=(0, 0, 0, 0))
        inner = self.frame_px[0] - left - right, self.frame_px[1] - top - bottom
        return self if (width_px, height_px) == inner else None

    def giving(self, size_px: tuple[int, int]) -> Upscale | None:
        """The same, with or without its bars, that gives a picture of that size; None if neither does."""
        either = self, replace(self, bars_px=(0, 0, 0, 0))
        return next((it for it in either if it.size_px == size_px), None)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of what `undone` gives."""
        rows, columns = self._window()
        return columns.stop - columns.start, rows.stop - rows.start

    def undone(self, frame: np.ndarray) -> np.ndarray:
        """The picture that a frame uint8 [h, w, 3], with its bars, was made of, without them."""
        return np.ascontiguousarray(descaled(frame, self.height_px, self.kernel)[self._window()])

    def _window(self) -> tuple[slice, slice]:
        """Rows and columns of the descaled frame that no bar reaches into."""
        width, height = self.frame_px
        left, top, right, bottom = self.bars_px
        width_px = _descaled_width(width, height, self.height_px)
        return (
            slice(-(-top * self.height_px // height), (height - bottom) * self.height_px // height),
            slice(-(-left * width_px // width), (width - right) * width_px // width),
        )


def descaled(picture: np.ndarray, height_px: int, kernel: Kernel) -> np.ndarray:
    """uint8 [height_px, width, 3], what a picture uint8 [h, w, 3] was upscaled from by that kernel, by least squares,
    its width by the same factor. Raises ValueError where it is no taller than `height_px`."""
    height, width = picture.shape[:2]
    if height <= height_px:
        raise ValueError(f"a picture of {height} rows is not upscaled from {height_px}")
    width_px = _descaled_width(width, height, height_px)
    rows = least_squares_source(resampling_matrix(height_px, height, kernel), picture.reshape(height, -1) / 1.0)[0]
    across = rows.reshape(height_px, width, 3).transpose(1, 0, 2).reshape(width, -1)
    source = least_squares_source(resampling_matrix(width_px, width, kernel), across)[0]
    return source.reshape(width_px, height_px, 3).transpose(1, 0, 2).round().clip(0, 255).astype(np.uint8)


def _descaled_width(width: int, height: int, height_px: int) -> int:
    return round(width * height_px / height)
