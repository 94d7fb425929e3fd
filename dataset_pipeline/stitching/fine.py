"""Sub-pixel registration of two frames: Lucas-Kanade on chosen points, robust, with gain and offset.

B. D. Lucas and T. Kanade, An iterative image registration technique, 1981, in the inverse compositional form (S. Baker
and I. Matthews, 2004), weighted by Tukey's biweight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset_pipeline.stitching.preparing import BLOCK_PX, Look, Points, softened

_TUKEY = 4.685
_MAD_TO_SIGMA = 1.4826
_MIN_SIGMA = 0.5  # grey levels
_MIN_POINTS = 60
_ROUNDS = 10
_STILL_PX = 0.003
_LARGEST_STEP_PX = 2.0
_GAIN_FROM, _GAIN_TO = 0.2, 5.0


@dataclass(frozen=True)
class Fit:
    """`shift_px`: from points of the one working picture to the other's. `gain`: how bright the other is by the one."""

    shift_px: tuple[float, float]
    gain: float


def fine_shift(
    one: Look, other: Look, shift_px: tuple[float, float], blocks: np.ndarray, gain: float = 1.0
) -> Fit | None:
    """The sub-pixel shift next to a coarse one, both in working pixels; None where it does not settle.

    `blocks`: bool [rows, columns] of the coarse picture, those whose points count.
    """
    points = _within(one.points, blocks)
    if len(points.x) < _MIN_POINTS:
        return None
    start = np.array(shift_px)
    shift, offset = start.copy(), 0.0
    for _ in range(_ROUNDS):
        step = _step(points, other, shift, gain, offset)
        if step is None:
            return None
        moved = np.clip(step[:2], -_LARGEST_STEP_PX, _LARGEST_STEP_PX)
        shift += moved
        gain, offset = gain + step[2], offset + step[3]
        if np.abs(moved).max() < _STILL_PX:
            break
    if np.abs(shift - start).max() > 4 * _LARGEST_STEP_PX or not _GAIN_FROM < gain < _GAIN_TO:
        return None
    pair = _levels(points, other, shift)
    if pair is None:
        return None
    return Fit((float(shift[0]), float(shift[1])), level_gain(*pair[:2], gain, offset))


def _within(points: Points, blocks: np.ndarray) -> Points:
    """The points in blocks that count."""
    size = 2 * BLOCK_PX
    row, column = points.y // size, points.x // size
    counted = (row < blocks.shape[0]) & (column < blocks.shape[1])
    counted[counted] = blocks[row[counted], column[counted]]
    return Points(points.x[counted], points.y[counted], points.value[counted], points.gradient[counted])


def _levels(points: Points, other: Look, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Levels of the points and of where they lie in the other, and the points' gradients; None of too few in sight."""
    height, width = other.grey.shape
    whole = np.floor(shift).astype(int)
    fraction = shift - whole
    x, y = points.x + whole[0], points.y + whole[1]
    seen = (x >= 0) & (x < width - 1) & (y >= 0) & (y < height - 1)
    if np.count_nonzero(seen) < _MIN_POINTS:
        return None
    there = softened(other.grey, float(fraction[0]), float(fraction[1]))[y[seen], x[seen]]
    return points.value[seen], there, points.gradient[seen]


def _step(points: Points, other: Look, shift: np.ndarray, gain: float, offset: float) -> np.ndarray | None:
    """What to add to shift (x, y), gain and offset; None where too few points are in sight."""
    levels = _levels(points, other, shift)
    if levels is None:
        return None
    here, there, gradient = levels
    off = gain * here + offset - there
    weight = tukey_weights(off)
    system = np.column_stack([gain * gradient, -here, -np.ones_like(here)]).astype(np.float64)
    normal = (system * weight[:, None]).T @ system
    normal += np.diag(1e-6 * np.diag(normal) + 1e-9)
    return np.linalg.solve(normal, system.T @ (weight * off))


def level_gain(here: np.ndarray, there: np.ndarray, gain: float, offset: float) -> float:
    """How bright there is by here, of the points that fit. The gain of the fit is one of contrast: over the frames of a
    shot, detail that a codec adds little by little would add up to a fade that nobody drew."""
    weight = tukey_weights(gain * here + offset - there)
    return float((weight @ there) / max(float(weight @ here), 1e-9))


def tukey_weights(off: np.ndarray) -> np.ndarray:
    """Weights 0..1 of residuals by the spread of most of them."""
    sigma = max(_MIN_SIGMA, _MAD_TO_SIGMA * float(np.median(np.abs(off))))
    ratio = np.minimum(np.abs(off) / (_TUKEY * sigma), 1)
    return (1 - ratio * ratio) ** 2
