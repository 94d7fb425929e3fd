"""What two releases' signatures of the same frames differ by: framing, brightness, colours of each shot, and coding."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dataset_pipeline.super_resolution.resampling import resampling_matrix

SIGNATURE = 18, 32  # rows and columns
_ROUNDS = 5
_MOST_FRAMES = 800
_CUT_OFF = 5.0  # of the deviation: beyond it all differences are alike
_LEAST_LEVELS, _MOST_OFF = 0.4, 6.0  # levels: a deviation that rounding leaves, one that is of another picture
_LARGEST_BIAS = 8.0  # levels, by which colours that are mistaken for others change a luma
_LEAST_STEP, _MOST_STEP = 0.7, 1.4


@dataclass(frozen=True, eq=False)
class SignatureFit:
    """Cell (x, y) of the low release lies at `start + step * (x, y)` of the high one, in cells from the upper left
    corner; its level is `gain * level + offset + bias` of the shot. `bias`: float32 [shots, 18, 32]. `noise`: variance
    of what is left, and `noise_at_edges`: what it grows by with the squared slope of the levels."""

    start: tuple[float, float] = (0.0, 0.0)
    step: tuple[float, float] = (1.0, 1.0)
    gain: float = 1.0
    offset: float = 0.0
    bias: np.ndarray = field(default_factory=lambda: np.zeros((1, *SIGNATURE), np.float32))
    noise: float = 1.0
    noise_at_edges: float = 0.01

    def as_low(self, high: np.ndarray) -> np.ndarray:
        """float32 [n, 18, 32]: the high release's signatures as the low one would show them, without its bias."""
        return self.gain * self._framed(high) + self.offset

    def apart(self, as_low: np.ndarray, low: np.ndarray, shots: np.ndarray) -> np.ndarray:
        """float32 [n]: mean over the cells of squared deviations, about 1 where they show the same, 25 at most.
        as_low, low: [n, 18, 32]. shots: int64 [n], of the low release."""
        off = low - as_low - self.bias_of(shots)
        slope_x, slope_y = _slopes(as_low)
        variance = self.noise + self.noise_at_edges * (slope_x**2 + slope_y**2)
        return np.minimum(off**2 / variance, _CUT_OFF**2).mean(axis=(1, 2))

    def bias_of(self, shots: np.ndarray) -> np.ndarray:
        """float32 [n, 18, 32] of frames of these shots; none of shots whose frames were not matched."""
        return self.bias[np.minimum(shots, len(self.bias) - 1)] * (shots < len(self.bias))[:, None, None]

    def _framed(self, high: np.ndarray) -> np.ndarray:
        across, down = (
            resampling_matrix(cells, cells, "catmull_rom", self.step[axis], self.start[axis])
            .toarray()
            .astype(np.float32)
            for axis, cells in enumerate(SIGNATURE[::-1])
        )
        return down @ high.astype(np.float32) @ across.T


def fit_signatures(high: np.ndarray, low: np.ndarray, shots: np.ndarray) -> SignatureFit:
    """The fit of frames matched one to one, most of them rightly: both uint8 [n, 18, 32], with the number of the low
    release's shot, int64 [n]."""
    every = slice(None, None, -(-len(high) // _MOST_FRAMES))
    fit = SignatureFit()
    for _ in range(_ROUNDS):
        fit = _corrected(fit, high[every], low[every].astype(np.float32))
    off = low - fit.as_low(high)
    bias = np.zeros((int(shots.max()) + 1, *SIGNATURE), np.float32)
    for shot in np.unique(shots):
        bias[shot] = np.median(off[shots == shot], axis=0)
    bias = bias.clip(-_LARGEST_BIAS, _LARGEST_BIAS)
    off = off[every] - bias[shots[every]]
    slope_x, slope_y = _slopes(fit.as_low(high[every]))
    steep = slope_x**2 + slope_y**2
    noise = max(_LEAST_LEVELS**2, _variance(off[steep <= np.quantile(steep, 0.5)]))
    edges = steep > np.quantile(steep, 0.8)
    at_edges = max(0.0, _variance(off[edges]) - noise) / max(1e-6, float(np.median(steep[edges])))
    return replace(fit, bias=bias, noise=noise, noise_at_edges=max(at_edges, 1e-4))


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


def _slopes(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How levels [n, 18, 32] change from cell to cell along x and along y."""
    return np.gradient(levels, axis=2), np.gradient(levels, axis=1)
