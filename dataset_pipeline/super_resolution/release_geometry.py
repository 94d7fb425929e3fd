"""Where the pixels of a low-resolution release lie in the high-resolution one: a scale and a shift along each axis.

Frames are warped to the low release and compared block by block by phase correlation (C. D. Kuglin and D. C. Hines,
The Phase Correlation Image Alignment Method, 1975); a robust line through the blocks' shifts corrects the map. What is
left, less than a pixel, is found from the slopes of all pixels (B. D. Lucas and T. Kanade, An Iterative Image
Registration Technique, 1981), again until nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dataset_pipeline.super_resolution.resampling import Kernel, resampling_matrix

FRAMES = 16  # that are enough, of different shots
_BLOCK_PX, _BLOCK_STEP_PX = 64, 48
_ROUNDS = 6
_NEAR_PX = 0.3  # where slopes take over from blocks
_STILL_PX = 0.002
_FINE_ROUNDS = 12
_SMOOTHED_PX, _SURROUND_PX = 1.0, 3.0  # between them lie edges, without noise and without colours of areas
_MOST_LEVELS = 12.0  # of difference, from which on a pixel counts for ever less
_MIN_SPREAD = 6.0  # levels: a block that varies less says nothing
_MIN_RESPONSE = 0.03
_MIN_BLOCKS = 12
_FIT_ROUNDS = 10
_TUKEY = 4.685
_MARGIN_PX = 12  # along the edge, where releases are cropped and codecs pad
_RIDGE = 1e-6
_ENLARGED = 0.995  # a step this near to 1 is the rounding of sizes

Size = tuple[int, int]  # width and height in pixels


@dataclass(frozen=True)
class Geometry:
    """Point (x, y) of a low frame, counted in its pixels from its upper left corner, lies in the high frame at
    (start_x_px + step_x * x, start_y_px + step_y * y), in pixels of the high one.

    `error_px`: the standard error of that at the corner where it is largest, in low pixels, by how the frames that it
    was found by differ, whose own deviation is `spread_px`: large where the releases differ by more than one scale and
    one shift. 0 where it is not measured.
    """

    step_x: float
    step_y: float
    start_x_px: float
    start_y_px: float
    error_px: float = 0.0
    spread_px: float = 0.0

    @property
    def largest_scale(self) -> int:
        """How many times the low release's size pairs can have without a pixel of the high one being enlarged."""
        return int(min(self.step_x, self.step_y) / _ENLARGED)


def with_room(geometry: Geometry, low_px: Size, scale: int) -> tuple[Geometry, Size]:
    """The geometry of a smaller low release, and its size: shrunk along each side where the high one has fewer than
    `scale` times its pixels until it has so many, so that none of them is enlarged."""
    across, down = (
        round(px * step / scale) if step < scale * _ENLARGED else px
        for px, step in zip(low_px, (geometry.step_x, geometry.step_y), strict=True)
    )
    steps = geometry.step_x * low_px[0] / max(1, across), geometry.step_y * low_px[1] / max(1, down)
    return replace(geometry, step_x=steps[0], step_y=steps[1]), (across, down)


def whole_frame(high_px: Size, low_px: Size) -> Geometry:
    """Both show the same rectangle."""
    return Geometry(high_px[0] / low_px[0], high_px[1] / low_px[1], 0.0, 0.0)


def warped(
    high: np.ndarray, geometry: Geometry, low_px: Size, scale: int = 1, kernel: Kernel = "lanczos3"
) -> np.ndarray:
    """The high frame, [h, w] or [h, w, 3] of any numbers, on the low frame's pixels cut in `scale` by `scale`, as
    float32. Raises ValueError where that would enlarge it."""
    if scale > geometry.largest_scale:
        raise ValueError(f"{scale} times the size of the low release is more than the high one has")
    rows, columns = (
        resampling_matrix(source_px, target_px * scale, kernel, step / scale, start).astype(np.float32)
        for source_px, target_px, step, start in (
            (high.shape[0], low_px[1], geometry.step_y, geometry.start_y_px),
            (high.shape[1], low_px[0], geometry.step_x, geometry.start_x_px),
        )
    )
    planes = high[..., None] if high.ndim == 2 else high
    drawn = [(columns @ (rows @ planes[..., plane].astype(np.float32)).T).T for plane in range(planes.shape[2])]
    return drawn[0] if high.ndim == 2 else np.stack(drawn, axis=-1)


def shown_by_both(geometry: Geometry, high_px: Size, low_px: Size) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in low pixels: those that lie within the high frame."""
    box = list[tuple[int, int]]()
    for high, low, step, start in (
        (high_px[0], low_px[0], geometry.step_x, geometry.start_x_px),
        (high_px[1], low_px[1], geometry.step_y, geometry.start_y_px),
    ):
        box.append((max(0, int(np.ceil(-start / step - 1e-3))), min(low, int((high - start) / step + 1e-3))))
    return box[0][0], box[1][0], box[0][1], box[1][1]


def fit_geometry(pairs: Sequence[tuple[np.ndarray, np.ndarray]], start: Geometry | None = None) -> Geometry:
    """The geometry of two releases by frames that show the same, luma [H, W] of the high and [h, w] of the low one, in
    levels 0..255; some 16 of different shots. `start`: where the search begins, by default at `whole_frame`; it is
    found from within a quarter of a block, 16 low pixels. Raises ValueError where too few blocks agree.
    """
    high_px, low_px = ((one.shape[1], one.shape[0]) for one in pairs[0])
    found = start or whole_frame(high_px, low_px)
    for _ in range(_ROUNDS):
        shifts = np.concatenate([_block_shifts(warped(high, found, low_px, 1, "mitchell"), low) for high, low in pairs])
        if len(shifts) < _MIN_BLOCKS:
            raise ValueError(f"only {len(shifts)} blocks of {len(pairs)} frames tell how two releases lie")
        x, y, moved_x, moved_y, response = shifts.T
        across, down = _line(x, moved_x, response, low_px[0]), _line(y, moved_y, response, low_px[1])
        found = _moved(found, (*across, *down), low_px)
        if np.abs([*across, *down]).max() < _NEAR_PX:
            break
    systems = list[tuple[np.ndarray, np.ndarray]]()
    for _ in range(_FINE_ROUNDS):
        systems = [_slope_system(warped(high, found, low_px, 1, "mitchell"), low) for high, low in pairs]
        normal, target = (np.sum(part, axis=0) for part in zip(*systems, strict=True))
        moved = np.linalg.solve(normal + _RIDGE * np.diag(np.diag(normal)), target)
        found = _moved(found, tuple(moved), low_px)
        if np.abs(moved).max() < _STILL_PX:
            break
    normal = np.sum([one for one, _ in systems], axis=0) / len(systems)
    alone = np.array([np.linalg.solve(one + 0.1 * normal, target) for one, target in systems])
    spread = 1.4826 * np.median(np.abs(alone - np.median(alone, axis=0)), axis=0)
    spread_px = float(np.hypot(spread[:2].max(), spread[2:].max()))
    return replace(found, error_px=spread_px / np.sqrt(len(pairs)), spread_px=spread_px)


def _moved(found: Geometry, ends_px: tuple[float, ...], low_px: Size) -> Geometry:
    """The geometry by which what it warps lies so much further: at the left and right edge along x, at the upper and
    lower along y, in low pixels."""
    left, right, upper, lower = ends_px
    return replace(
        found,
        step_x=found.step_x * (1 - (right - left) / low_px[0]),
        step_y=found.step_y * (1 - (lower - upper) / low_px[1]),
        start_x_px=found.start_x_px - found.step_x * left,
        start_y_px=found.start_y_px - found.step_y * upper,
    )


def _slope_system(there: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The normal equations, [4, 4] and [4], of how far the low frame shows everything from where the warped one does,
    at the left and right edge along x and at the upper and lower along y."""
    there, low = (_between(part) for part in (there, low))
    slope_y, slope_x = np.gradient(there)
    inner = np.s_[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in low.shape)
    right, lower = (columns / low.shape[1])[None, :], (rows / low.shape[0])[:, None]
    shares = (-slope_x * (1 - right), -slope_x * right, -slope_y * (1 - lower), -slope_y * lower)
    design = np.stack([share[inner].ravel() for share in (*shares, there)], axis=1).astype(np.float64)
    off = (low - there)[inner].ravel().astype(np.float64)
    weight = 1 / (1 + (off / _MOST_LEVELS) ** 2)
    weighted = design * weight[:, None]
    normal, target = weighted.T @ design, weighted.T @ off
    # The last unknown, by how much stronger the low frame's contrast is, is each frame's own: it is taken out here.
    share = normal[:4, 4] / max(normal[4, 4], 1e-9)
    return normal[:4, :4] - np.outer(share, normal[4, :4]), target[:4] - share * target[4]


def _between(picture: np.ndarray) -> np.ndarray:
    soft = cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), _SMOOTHED_PX)
    return soft - cv2.GaussianBlur(soft, (0, 0), _SURROUND_PX)


def _block_shifts(there: np.ndarray, low: np.ndarray) -> np.ndarray:
    """float64 [n, 5]: of blocks with detail the x and y of the middle, how far the low frame shows it from where the
    warped one does, along x and y, and how sure that is."""
    there, low = np.ascontiguousarray(there, np.float32), np.ascontiguousarray(low, np.float32)
    size = (min(_BLOCK_PX, low.shape[1]), min(_BLOCK_PX, low.shape[0]))
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    found = list[tuple[float, ...]]()
    for top in range(0, low.shape[0] - size[1] + 1, _BLOCK_STEP_PX):
        for left in range(0, low.shape[1] - size[0] + 1, _BLOCK_STEP_PX):
            block = np.s_[top : top + size[1], left : left + size[0]]
            if min(float(low[block].std()), float(there[block].std())) < _MIN_SPREAD:
                continue
            # Copies, as the window is laid on what is handed in.
            (moved_x, moved_y), response = cv2.phaseCorrelate(there[block].copy(), low[block].copy(), window)
            if response >= _MIN_RESPONSE and max(abs(moved_x), abs(moved_y)) < _BLOCK_PX / 4:
                found.append((left + size[0] / 2, top + size[1] / 2, moved_x, moved_y, response))
    return np.array(found).reshape(-1, 5)


def _line(place: np.ndarray, moved: np.ndarray, sure: np.ndarray, length: float) -> tuple[float, float]:
    """The line through what blocks at these places moved, by its ends at 0 and `length`, robust by Tukey's biweight."""
    design = np.column_stack([1 - place / length, place / length])
    weight, ends = sure.copy(), np.zeros(2)
    for _ in range(_FIT_ROUNDS):
        normal = (design * weight[:, None]).T @ design + 1e-9 * np.eye(2)
        ends = np.linalg.solve(normal, design.T @ (weight * moved))
        off = np.abs(moved - design @ ends)
        spread = max(1e-3, 1.4826 * float(np.median(off)))
        weight = sure * (1 - np.minimum(off / (_TUKEY * spread), 1) ** 2) ** 2
    return float(ends[0]), float(ends[1])
