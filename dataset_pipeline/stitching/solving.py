"""Places of all frames from the distances of pairs: robust least squares over the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDS = 12
_HUBER_FROM = 0.05  # px, at least; else by the spread


@dataclass(frozen=True)
class Pair:
    """Two frames, by index, and what was measured between them.

    `step`: [k], what is added to the one's values to get the other's. `weight`: how far it is trusted.
    """

    one: int
    other: int
    step: tuple[float, ...]
    weight: float = 1.0


def solve_steps(count: int, pairs: list[Pair], anchor: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values [count, k] of all frames and, by pair, how far it lies off them.

    The frame `anchor` has zeros; nothing else pulls towards zero. The pairs must connect all frames. Huber's weights by
    iterated least squares: P. J. Huber, Robust estimation of a location parameter, 1964.
    """
    ones, others = (np.array([getattr(pair, end) for pair in pairs], int) for end in ("one", "other"))
    steps = np.array([pair.step for pair in pairs], float)
    trust = np.array([pair.weight for pair in pairs], float)
    values = np.zeros((count, steps.shape[1]))
    off = np.zeros(len(pairs))
    weights = trust
    for _ in range(_ROUNDS):
        values = _least_squares(count, ones, others, steps, weights, anchor)
        off = np.linalg.norm(values[others] - values[ones] - steps, axis=1)
        limit = max(_HUBER_FROM, 2 * float(np.median(off)))
        weights = trust * np.minimum(1, limit / np.maximum(off, 1e-12))
    return values, off


def _least_squares(
    count: int, ones: np.ndarray, others: np.ndarray, steps: np.ndarray, weights: np.ndarray, anchor: int
) -> np.ndarray:
    normal = np.zeros((count, count))
    right = np.zeros((count, steps.shape[1]))
    np.add.at(normal, (ones, ones), weights)
    np.add.at(normal, (others, others), weights)
    np.add.at(normal, (ones, others), -weights)
    np.add.at(normal, (others, ones), -weights)
    np.add.at(right, others, weights[:, None] * steps)
    np.add.at(right, ones, -weights[:, None] * steps)
    free = np.arange(count) != anchor
    values = np.zeros_like(right)
    if free.any():
        values[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
    return values


def largest_component(count: int, pairs: list[Pair]) -> np.ndarray:
    """Indices of the frames of the largest part that pairs connect, in order; of equals the first."""
    label = np.arange(count)
    for pair in pairs:
        a, b = label[pair.one], label[pair.other]
        label[label == max(a, b)] = min(a, b)
    names, sizes = np.unique(label, return_counts=True)
    return np.flatnonzero(label == names[np.argmax(sizes)])
