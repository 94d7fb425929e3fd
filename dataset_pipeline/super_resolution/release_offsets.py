"""At which distances in time two releases of one episode may lie, by short vectors that stand for their signatures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SPEED_UP = 25 * 1001 / 24000  # of film on PAL television
_RATES = tuple(rate * slower for rate in (24.0, 25.0, 30.0, 50.0, 60.0) for slower in (1.0, 1000 / 1001))
_RATE_TOLERANCE = 4e-4
_LENGTH = 48  # of a vector
_FLAT_LEVELS = 4.0  # a frame of this spread counts half
_BLOCK_FRAMES = 128
_SHORT_FRAMES = 32
_SAMPLES = 32  # of a block, at most
_NEARBY_S = 180.0
_BETTER, _ALIKE = 0.005, 0.7
_PEAKS = 6  # of each block
_MOST_OFFSETS = 64
_WINDOWS, _WINDOW_S, _WINDOW_SAMPLES = 12, 15.0, 90
_NEAR_TIE = 0.1


@dataclass(frozen=True, eq=False)
class Look:
    """vectors: float32 [n, 48] of length 1. weight: float32 [n], 0..1, how much of a picture a frame holds."""

    vectors: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Clock:
    """Times of both releases' frames, float64 and ascending, from the first of each, in seconds of the high one."""

    high_s: np.ndarray
    low_s: np.ndarray
    step_s: float  # from one frame of the high release to the next
    speed: float  # of the low release
    is_usual: bool = True  # of equal time, or frame for frame

    def high_at(self, offset_s: float, low: slice | np.ndarray = slice(None)) -> np.ndarray:
        """int64, for each of these low frames the high frame that is shown `offset_s` later; -1 where there is none."""
        shown_s = self.low_s[low] + offset_s
        frame = np.searchsorted(self.high_s, shown_s, side="right") - 1
        end_s = np.append(self.high_s[1:], self.high_s[-1] + self.step_s)
        is_there = (frame >= 0) & (shown_s < end_s[frame])
        return np.where(is_there, frame, -1)


def looks_of(high: np.ndarray, low: np.ndarray) -> tuple[Look, Look]:
    """Both releases' signatures, [n, 18, 32] in levels, by what tells the high one's frames apart, at any contrast."""
    some = _leveled(high[:: max(1, len(high) // 2000)])[0]
    centre = some.mean(axis=0)
    basis = np.linalg.eigh((some - centre).T @ (some - centre))[1][:, -_LENGTH:].astype(np.float32)
    return _look(high, centre, basis), _look(low, centre, basis)


def _look(signatures: np.ndarray, centre: np.ndarray, basis: np.ndarray) -> Look:
    vectors, weights = [], []
    for begin in range(0, len(signatures), 4096):
        leveled, spread = _leveled(signatures[begin : begin + 4096])
        vectors.append((leveled - centre) @ basis)
        weights.append(spread**2 / (spread**2 + _FLAT_LEVELS**2))
    found = np.concatenate(vectors)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-3)
    return Look(found, np.concatenate(weights))


def _leveled(signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [n, 576] without brightness and contrast, and the spread that they had in levels."""
    levels = signatures.reshape(len(signatures), -1).astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    spread = levels.std(axis=1)
    return levels / (spread + 1.0)[:, None], spread


def clocks_of(high_s: np.ndarray, low_s: np.ndarray, high: Look, low: Look) -> list[Clock]:
    """That of equal time, and clocks whose speeds bring stretches of 15 s to agree, where they are near the best of
    all: that which shows frame for frame, and speeds to and from PAL. The likeliest first."""
    high_s, low_s = high_s - high_s[0], low_s - low_s[0]
    step_s, low_step_s = _frame_step_s(high_s), _frame_step_s(low_s)
    speeds, frame_for_frame = [1.0], step_s / low_step_s
    for speed in (frame_for_frame, SPEED_UP, 1 / SPEED_UP):
        if min(abs(speed / other - 1) for other in speeds) > 1e-5:
            speeds.append(speed)
    usual = [min(abs(speed / other - 1) for other in (1.0, frame_for_frame)) <= 1e-5 for speed in speeds]
    clocks = [Clock(high_s, low_s * speed, step_s, speed, its) for speed, its in zip(speeds, usual, strict=True)]
    agreed = [_agreement(clock, high, low) for clock in clocks]
    order = np.argsort([-one for one in agreed], kind="stable")
    return [clocks[one] for one in order if not one or agreed[one] >= max(agreed) - _NEAR_TIE]


def _frame_step_s(times_s: np.ndarray) -> float:
    """Seconds from frame to frame: that of a usual rate, where the times, which may be rounded, are near one."""
    reach = max(1, min(1000, len(times_s) // 4))
    step_s = float(np.median(times_s[reach:] - times_s[:-reach])) / reach
    usual = min(_RATES, key=lambda rate: abs(rate * step_s - 1))
    return 1 / usual if abs(usual * step_s - 1) < _RATE_TOLERANCE else step_s


def _agreement(clock: Clock, high: Look, low: Look) -> float:
    """How well stretches of the low release agree with their best places in the high one, on average."""
    lasts_s = clock.low_s[-1]
    length_s = min(_WINDOW_S, lasts_s)
    ahead_s = np.linspace(0, length_s, _WINDOW_SAMPLES)
    begins_s = np.unique(np.linspace(0, lasts_s - length_s, _WINDOWS))
    grid = _on_grid(clock, high)
    return float(np.mean([_scores(clock, grid, low, begin_s + ahead_s)[0].max() for begin_s in begins_s]))


def likely_offsets(clock: Clock, high: Look, low: Look) -> np.ndarray:
    """float64 [k], ascending: offsets in seconds, whole frames of the high release, that stretches of 128 frames agree
    with, 64 at most."""
    grid, votes = _on_grid(clock, high), dict[int, float]()
    for begin_s, ahead_s in _blocks(clock, _BLOCK_FRAMES, _BLOCK_FRAMES):
        scores, first = _scores(clock, grid, low, begin_s + ahead_s)
        for place in _highest(scores):
            offset = first + place - round(begin_s / clock.step_s)
            votes[offset] = votes.get(offset, 0.0) + max(0.0, float(scores[place])) ** 4
    kept = sorted(votes, key=lambda offset: -votes[offset])[:_MOST_OFFSETS]
    return np.array(sorted(kept)) * clock.step_s


def better_offsets(clock: Clock, high: Look, low: Look, known_s: np.ndarray) -> dict[float, list[slice]]:
    """Offsets, 64 at most, that stretches of 32 frames agree with better than with those known for their frames, each
    with the low frames of those stretches. known_s: float64 [n], NaN where none is known; others are sought within
    three minutes of the nearest."""
    grid, reach = _on_grid(clock, high), round(_NEARBY_S / clock.step_s)
    known = np.flatnonzero(np.isfinite(known_s))
    found, votes = dict[int, list[slice]](), dict[int, float]()
    for begin_s, ahead_s in _blocks(clock, _SHORT_FRAMES, _SHORT_FRAMES // 2):
        begin, end = np.searchsorted(clock.low_s, [begin_s - 1e-6, begin_s + ahead_s[-1]])
        near = known_s[known[np.abs(known - (begin + end) / 2).argmin()]]
        there = round((begin_s + near) / clock.step_s)
        from_step = min(max(0, there - reach), grid.shape[1] - 1)
        scores, first = _scores(clock, grid[:, from_step : max(from_step + 1, there + reach)], low, begin_s + ahead_s)
        at = there - from_step - first
        own = float(scores[at]) if 0 <= at < len(scores) else 0.0
        best = int(scores.argmax())
        if scores[best] > max(own + _BETTER, _ALIKE):
            offset = first + best + from_step - round(begin_s / clock.step_s)
            votes[offset] = votes.get(offset, 0.0) + float(scores[best]) - own
            found.setdefault(offset, []).append(slice(int(begin), int(end) + 1))
    return {
        offset * clock.step_s: found[offset] for offset in sorted(votes, key=lambda one: -votes[one])[:_MOST_OFFSETS]
    }


def _blocks(clock: Clock, frames: int, hop: int) -> Iterator[tuple[float, np.ndarray]]:
    """When stretches of the low release begin, and how much later its frames that are looked at come, in seconds."""
    ahead_s = np.arange(0, frames, max(2, frames // _SAMPLES)) * clock.step_s
    for begin_s in np.arange(0, clock.low_s[-1], hop * clock.step_s):
        yield float(begin_s), ahead_s


def _on_grid(clock: Clock, high: Look) -> np.ndarray:
    """float32 [48, n]: the high release's vectors, a column for each step of its time."""
    steps = int(clock.high_s[-1] / clock.step_s) + 1
    frames = np.searchsorted(clock.high_s, (np.arange(steps) + 0.5) * clock.step_s, side="right") - 1
    return np.ascontiguousarray((high.vectors * high.weight[:, None])[frames].T)


def _scores(clock: Clock, grid: np.ndarray, low: Look, times_s: np.ndarray) -> tuple[np.ndarray, int]:
    """How well low frames shown at ascending times agree with the high ones if the first lies at each step of the
    grid, and the step of the first score, below 0 since the beginning may be missing."""
    frames = np.searchsorted(clock.low_s, times_s[times_s <= clock.low_s[-1]] + clock.step_s / 2, side="right") - 1
    ahead = np.rint((times_s[: len(frames)] - times_s[0]) / clock.step_s).astype(int)
    length = int(ahead[-1])
    products = np.zeros((len(frames), grid.shape[1] + 2 * length), np.float32)
    products[:, length : length + grid.shape[1]] = low.vectors[frames] @ grid
    count = grid.shape[1] + length
    scores = np.zeros(count, np.float32)
    for place, row in zip(ahead, products, strict=True):
        scores += row[place : place + count]
    return scores / max(1.0, float(low.weight[frames].sum())), -length


def _highest(scores: np.ndarray) -> Iterator[int]:
    """Places of the highest scores, none close to another."""
    left = scores.copy()
    for _ in range(_PEAKS):
        place = int(left.argmax())
        yield place
        left[max(0, place - 6) : place + 7] = -np.inf
