"""Samples of one place averaged so that what is foreign to the place does not count."""

from __future__ import annotations

from functools import cache

import numpy as np

EMPTY = 255  # fills what holds no sample: it is sorted to the end
REACH = 24.0  # levels off the median at which a sample counts for nothing


def robust_mean(samples: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Tukey's biweight about the median (Beaton and Tukey 1974), one step, of each column; float32 [m].

    samples: uint8 [k, m], EMPTY where there is none; they are left sorted. counts: uint8 [m], how many are samples.
    A column without samples gives 0.
    """
    sort_columns(samples)
    middle = _medians(samples, counts)
    weights = np.zeros(middle.shape, np.float32)
    total = np.zeros(middle.shape, np.float32)
    for rank, sample in enumerate(samples):
        off = sample.astype(np.float32)
        off -= middle
        weight = off * np.float32(1 / REACH)
        weight *= weight
        np.subtract(1, weight, out=weight)
        np.maximum(weight, 0, out=weight)
        weight *= weight
        weight[counts <= rank] = 0
        weights += weight
        off *= weight
        total += off
    return np.where(counts > 0, middle + total / np.maximum(weights, 1e-6), 0).astype(np.float32)


def medians_of(samples: np.ndarray, there: np.ndarray) -> np.ndarray:
    """uint8 [m, k], rounded down: the median of those of uint8 [n, m, k] that are there, bool [n, m]; 0 of none."""
    ordered = np.where(there[..., None], samples, EMPTY).reshape(len(samples), -1)
    sort_columns(ordered)
    counts = there.sum(0).repeat(samples.shape[-1])
    return _medians(ordered, counts).astype(np.uint8).reshape(samples.shape[1:])


def sort_columns(samples: np.ndarray) -> None:
    """Sorts [k, m] along the first axis in place, by whole rows at a time: faster than column by column."""
    lower = np.empty_like(samples[0])
    for one, other in _comparisons(len(samples)):
        np.minimum(samples[one], samples[other], out=lower)
        np.maximum(samples[one], samples[other], out=samples[other])
        samples[one] = lower


def _medians(ordered: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if not len(counts):
        return np.zeros(0, np.float32)
    lowest, most = int(counts.min()), int(counts.max())
    if lowest == most:
        return _middle(ordered, max(most, 1))
    found = np.zeros(counts.shape, np.float32)
    for count in range(max(lowest, 1), most + 1):
        here = np.flatnonzero(counts == count)
        if len(here):
            found[here] = _middle(ordered[:, here], count)
    return found


def _middle(ordered: np.ndarray, count: int) -> np.ndarray:
    return (ordered[(count - 1) // 2].astype(np.float32) + ordered[count // 2]) / 2


@cache
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge sort (1968) for any count: pairs that are put in order one after the other."""
    pairs = []
    step = 1
    while step < count:
        apart = step
        while apart >= 1:
            for start in range(apart % step, count - apart, 2 * apart):
                ends = min(start + apart, count - apart)
                pairs += [
                    (at, at + apart) for at in range(start, ends) if at // (2 * step) == (at + apart) // (2 * step)
                ]
            apart //= 2
        step *= 2
    return tuple(pairs)
