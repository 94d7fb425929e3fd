"""What two releases' signatures of the same frames differ by: framing, brightness, and what is left of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dataset_pipeline.super_resolution.resampling import resampling_matrix

SIGNATURE = 18, 32  # rows and columns
_ROUNDS = 5
_MOST_FRAMES = 800
_CUT_OFF = 5.0  # of the deviation: beyond it all differences are alike
_SOFTENING = 1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16
_LEAST_LEVELS, _MOST_OFF = 0.2, 6.0  # levels: a deviation that rounding leaves, one that is of another picture
_CHANGE_NOISE, _NOISE_AT_CHANGES = 0.1, 0.5  # variance of changes that differ, what it grows by with the change
_MOVING_TIMES = 8.0  # the change of most cells, beyond which a change is no motion of all, and tells exactly
_LEAST_STEP, _MOST_STEP = 0.7, 1.4


@dataclass(frozen=True, eq=False)
class SignatureFit:
    """Cell (x, y) of the low release lies at `start + step * (x, y)` of the high one, in cells from the upper left
    corner; its level is `gain * level + offset`. `noise`: variance of what is left, and `noise_at_edges`: what it grows
    by with the squared slope of the levels."""

    start: tuple[float, float] = (0.0, 0.0)
    step: tuple[float, float] = (1.0, 1.0)
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 1.0
    noise_at_edges: float = 0.01

    def as_low(self, high: np.ndarray) -> np.ndarray:
        """float32 [n, 18, 32]: the high release's signatures as the low one would show them."""
        return self.gain * self._framed(high) + self.offset

    def apart(self, as_low: np.ndarray, low: np.ndarray) -> np.ndarray:
        """float32 [n]: mean over the cells of squared deviations, about 1 where they show the same, 25 at most.
        as_low, low: [n, 18, 32]."""
        apart = np.square(low - as_low)
        apart /= self._variance(as_low)
        return np.minimum(apart, _CUT_OFF**2, out=apart).mean(axis=(1, 2))

    def carried(self, before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is left of deviations from one frame of the low release to the next, all float32 [n, 18, 32]: the share
        of each cell that stays, all where nothing changes, and the variance of what comes new."""
        whole = self._variance(after)
        moving = np.minimum((after - before) ** 2, _MOVING_TIMES * moved(before, after)[:, None, None])
        new = np.minimum(_CHANGE_NOISE + _NOISE_AT_CHANGES * moving, 1.8 * whole)
        keeps = 1 - new / (2 * whole)
        return keeps, (1 - keeps**2) * whole

    def _variance(self, levels: np.ndarray) -> np.ndarray:
        """float32 [n, 18, 32], of what is left where two show the same."""
        return self.noise + self.noise_at_edges * _squared_slopes(levels)

    def _framed(self, high: np.ndarray) -> np.ndarray:
        across, down = (
            resampling_matrix(cells, cells, "catmull_rom", self.step[axis], self.start[axis])
            .toarray()
            .astype(np.float32)
            for axis, cells in enumerate(SIGNATURE[::-1])
        )
        return down @ high.astype(np.float32) @ across.T


def moved(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float32 [n]: by how much most of each picture [n, 18, 32] changes, squared: nothing where only a mouth moves."""
    return np.quantile(np.square(after - before).reshape(len(after), -1), 0.75, axis=1).astype(np.float32)


def softened(signatures: np.ndarray) -> np.ndarray:
    """float32 [n, 18, 32]: signatures without what lies between their cells, so that they can be moved by parts of a
    cell: a line that moves over the edge of a cell changes it by more than its neighbours tell."""
    down, across = (_softening(cells) for cells in SIGNATURE)
    return down @ signatures.astype(np.float32) @ across.T


def _softening(cells: int) -> np.ndarray:
    matrix, every = np.zeros((cells, cells), np.float32), np.arange(cells)
    for ahead, share in enumerate(_SOFTENING, -2):
        matrix[every, (every + ahead).clip(0, cells - 1)] += share
    return matrix


def fit_signatures(high: np.ndarray, low: np.ndarray) -> SignatureFit:
    """The fit of frames matched one to one, most of them rightly: both [n, 18, 32]."""
    every = slice(None, None, -(-len(high) // _MOST_FRAMES))
    fit = SignatureFit()
    for _ in range(_ROUNDS):
        fit = _corrected(fit, high[every], low[every].astype(np.float32))
    framed = fit.as_low(high[every])
    noise, at_edges = _noise(low[every] - framed, _squared_slopes(framed), _LEAST_LEVELS**2)
    return replace(fit, noise=noise, noise_at_edges=at_edges)


def _noise(off: np.ndarray, steep: np.ndarray, least: float) -> tuple[float, float]:
    """The variance of what is off where little is steep, and what it grows by with that."""
    noise = max(least, _variance(off[steep <= np.quantile(steep, 0.5)]))
    edges = steep > np.quantile(steep, 0.8)
    at_edges = max(0.0, _variance(off[edges]) - noise) / max(1e-6, float(np.median(steep[edges])))
    return noise, max(at_edges, 1e-4)


def _corrected(fit: SignatureFit, high: np.ndarray, low: np.ndarray) -> SignatureFit:
    """One step of Gauss and Newton, weighted against what differs more than most."""
    framed = fit._framed(high)
    slope_x, slope_y = _slopes(framed)
    x, y = (np.arange(cells, dtype=np.float32) + 0.5 for cells in SIGNATURE[::-1])
    moved = (slope_x, slope_x * x[None, None], slope_y, slope_y * y[None, :, None])
    columns = np.stack([framed, np.ones_like(framed), *moved], axis=-1)
    off = np.abs(low - fit.gain * framed - fit.offset)
    weight = 1 / (1 + (off / max(_LEAST_LEVELS, 1.4826 * float(np.median(off)))) ** 2)
    weighted = columns * weight[..., None]
    over = ((0, 1, 2), (0, 1, 2))
    normal = np.tensordot(weighted, columns, axes=over).astype(np.float64)
    target = np.tensordot(weighted, low, axes=over)
    found = np.linalg.solve(normal + np.diag(1e-6 * np.diag(normal) + 1e-9), target)
    gain = max(float(found[0]), 0.2)
    change = [float(one) / gain for one in found[2:]]
    step = (fit.step[0] * (1 + change[1]), fit.step[1] * (1 + change[3]))
    return replace(
        fit,
        start=(fit.start[0] + fit.step[0] * change[0], fit.start[1] + fit.step[1] * change[2]),
        step=(min(max(step[0], _LEAST_STEP), _MOST_STEP), min(max(step[1], _LEAST_STEP), _MOST_STEP)),
        gain=gain,
        offset=float(found[1]),
    )


def _variance(off: np.ndarray) -> float:
    return float(np.minimum(np.square(off), _MOST_OFF**2).mean()) if off.size else 0.0


def _squared_slopes(levels: np.ndarray) -> np.ndarray:
    slope_x, slope_y = _slopes(levels)
    return np.square(slope_x) + np.square(slope_y)


def _slopes(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How levels [n, 18, 32] change from cell to cell along x and along y."""
    return np.gradient(levels, axis=2), np.gradient(levels, axis=1)
