"""Frames that differ by a similarity: a shift, a scale and a turn about the picture's centre.

Points of pictures are complex numbers x + iy counted from the working picture's centre; a similarity takes z to
turn * z + shift, with turn = exp(log_scale + i angle).
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.stitching.fine import level_gain, tukey_weights
from dataset_pipeline.stitching.preparing import Look, Points, softened

_LEVELS = (4, 2, 1)  # how often the working picture is reduced
_ROUNDS = 10
_MIN_POINTS = 40
_STILL_PX = 0.004
_LARGEST_TURN = 0.7  # of the logarithm, either part
_GAIN_FROM, _GAIN_TO = 0.2, 5.0


@dataclass(frozen=True)
class Similarity:
    turn: complex = 1 + 0j
    shift: complex = 0j

    def after(self, first: Similarity) -> Similarity:
        """The similarity that does `first` and then this one."""
        return Similarity(self.turn * first.turn, self.turn * first.shift + self.shift)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.turn, -self.shift / self.turn)

    def matrix(self, shape: tuple[int, ...], reduced: int = 2) -> np.ndarray:
        """[2, 3] from pixel numbers to pixel numbers of pictures of `shape`, `reduced` times smaller than working."""
        centre = complex((shape[1] - 1) / 2, (shape[0] - 1) / 2)
        rest = centre + self.shift / reduced - self.turn * centre
        real, imag = self.turn.real, self.turn.imag
        return np.array([[real, -imag, rest.real], [imag, real, rest.imag]])

    def reach(self, shape: tuple[int, ...]) -> float:
        """How far it moves points of a working picture, as a share of its sides, on average over corners and centre."""
        return float(reach(np.array(self.turn), np.array(self.shift), shape))


def reach(turns: np.ndarray, shifts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`Similarity.reach` of many, complex arrays of one shape."""
    x, y = shape[1] / 2, shape[0] / 2
    points = np.array([0, complex(x, y), complex(-x, y), complex(x, -y), complex(-x, -y)])
    moved = (turns[..., None] - 1) * points + shifts[..., None]
    return np.maximum(np.abs(moved.real).mean(-1) / shape[1], np.abs(moved.imag).mean(-1) / shape[0])


def fit_similarity(one: Look, other: Look, start: Similarity, gain: float = 1.0) -> tuple[Similarity, float] | None:
    """Similarity and gain between two frames, by Lucas-Kanade from coarse to fine; None where it does not settle."""
    found, offset, brightness = start, 0.0, gain
    for reduced in _LEVELS:
        a, b = one.reduced(reduced), other.reduced(reduced)
        here = Similarity(found.turn, found.shift / reduced)
        soft = softened(b.grey, 0.0, 0.0)
        for _ in range(_ROUNDS):
            step = _step(a.points, a.grey.shape, soft, here, gain, offset)
            if step is None:
                return None
            here = Similarity(here.turn * cmath.exp(complex(step[2], step[3])), here.shift + complex(step[0], step[1]))
            gain, offset = gain + step[4], offset + step[5]
            moved = max(abs(step[0]), abs(step[1]), max(abs(step[2]), abs(step[3])) * a.grey.shape[1] / 2)
            if moved < _STILL_PX:
                break
        levels = _levels(a.points, a.grey.shape, soft, here)
        if levels is None:
            return None
        brightness = level_gain(levels[0], levels[1], gain, offset)
        found = Similarity(here.turn, here.shift * reduced)
        log_turn = cmath.log(found.turn)
        if max(abs(log_turn.real), abs(log_turn.imag)) > _LARGEST_TURN or not _GAIN_FROM < gain < _GAIN_TO:
            return None
    return found, brightness


def _levels(
    points: Points, shape: tuple[int, ...], soft: np.ndarray, here: Similarity
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Of the points in sight: their levels, those of where they lie in the other, their gradients, and where they lie
    about its centre before the shift; None of too few."""
    centre = complex((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    turned = here.turn * (points.x + 1j * points.y - centre)
    to = turned + here.shift + centre
    seen = (to.real >= 1) & (to.real <= shape[1] - 2) & (to.imag >= 1) & (to.imag <= shape[0] - 2)
    if np.count_nonzero(seen) < _MIN_POINTS:
        return None
    return points.value[seen], _sampled(soft, to[seen]), points.gradient[seen], turned[seen]


def _step(
    points: Points, shape: tuple[int, ...], soft: np.ndarray, here: Similarity, gain: float, offset: float
) -> np.ndarray | None:
    """What to add to shift (x, y), log scale, angle, gain and offset."""
    levels = _levels(points, shape, soft, here)
    if levels is None:
        return None
    value, there, gradient, turned = levels
    off = gain * value + offset - there
    slope = gain * np.conj((gradient[:, 0] + 1j * gradient[:, 1]) / np.conj(here.turn))
    columns = (slope.real, -slope.imag, (slope * turned).real, (slope * 1j * turned).real, -value, -np.ones_like(value))
    system = np.column_stack(columns).astype(np.float64)
    weight = tukey_weights(off)
    normal = (system * weight[:, None]).T @ system
    normal += np.diag(1e-6 * np.diag(normal) + 1e-9)
    return np.linalg.solve(normal, system.T @ (weight * off))


def _sampled(soft: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The picture at points, cubic; in rows of a width that OpenCV can take."""
    width = 1024
    padded = np.zeros(-(-len(at) // width) * width, complex)
    padded[: len(at)] = at
    x, y = (part.reshape(-1, width).astype(np.float32) for part in (padded.real, padded.imag))
    return cv2.remap(soft, x, y, cv2.INTER_CUBIC).ravel()[: len(at)]
