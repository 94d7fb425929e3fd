"""A locked-off background under more than one light: each look is a plate of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dataset_pipeline.stitching.aligning import spread

SAMPLED = 96
ALIKE = 5.0  # levels
STILL_SHARE = 35  # percent of the cells that nobody stands before, at the least
DARK = 24.0  # levels: night looks the same under every light
LEAST_FRAMES, LEAST_S = 12, 0.5  # a look that is there for less is a flash or a step of a fade


def looks_of(signatures: np.ndarray, pts_s: Sequence[float]) -> list[np.ndarray]:
    """Which frames of a shot show each look of its background, in the order in which the looks begin.

    signatures: levels of luma, float32 [frames, rows, columns]. Frames are of one look if a good part of their cells is
    alike in levels, whoever stands before the others. A look may come back. Frames of none, as in a fade, are left out;
    so is what lies between frames of two looks. Where there is no more than one look all frames are of it.
    """
    sampled = np.array(spread(len(signatures), SAMPLED))
    of_sample = _clustered(signatures[sampled])
    numbers = np.full(len(signatures), -1)
    for one, other, look, next_look in zip(sampled, sampled[1:], of_sample, of_sample[1:], strict=False):
        if look == next_look:
            numbers[one : other + 1] = look
    step_s = float(np.median(np.diff(pts_s))) if len(pts_s) > 1 else 0.0
    found = (np.flatnonzero(numbers == number) for number in range(max(of_sample, default=-1) + 1))
    held = [frames for frames in found if len(frames) >= LEAST_FRAMES and len(frames) * step_s >= LEAST_S]
    return sorted(held, key=lambda frames: int(frames[0])) if len(held) > 1 else [np.arange(len(signatures))]


def _clustered(frames: Iterable[np.ndarray]) -> list[int]:
    """The number of each frame's look: the nearest leader's (Hartigan 1975), or a new one."""
    leaders: list[np.ndarray] = []
    found = []
    for frame in frames:
        off = [_apart(frame, leader) for leader in leaders]
        nearest = int(np.argmin(off)) if off else -1
        if nearest < 0 or off[nearest] > ALIKE:
            nearest = len(leaders)
            leaders.append(frame)
        found.append(nearest)
    return found


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    lit = np.maximum(one, other) > DARK
    return float(np.percentile(np.abs(one - other)[lit], STILL_SHARE)) if lit.any() else 0.0
