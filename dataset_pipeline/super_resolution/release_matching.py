"""Which frame of a high-resolution release a frame of a low-resolution release of the same episode shows.

Both are known by 32 x 18 luma signatures of all their frames, so that nothing is decoded. Along an episode the distance
in time between the two is constant but for places where one of them was cut or holds more; offsets that many stretches
vote for are the states of a Viterbi search (A. J. Viterbi, Error Bounds for Convolutional Codes, 1967), in which to go
from one to another costs, and so does to show what the other release lacks. It is run twice: on the correlation of
signatures, then, once the difference of framing and colours is known, on what is left between the two, and on how that
changes (`release_scenes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dataset_pipeline.super_resolution.release_offsets import (
    Clock,
    Look,
    better_offsets,
    clocks_of,
    likely_offsets,
    looks_of,
)
from dataset_pipeline.super_resolution.release_scenes import Search, bounds_of, cost_of, edges_of, scenes_of
from dataset_pipeline.super_resolution.signature_fit import SIGNATURE, SignatureFit, fit_signatures, softened

UNMATCHED = -1
_SWITCH_COST = 8.0  # as much as 16 frames of the worst agreement that is still one
_ABSENT_COST = 0.5  # one minus the correlation of signatures, from which on two frames show different pictures
_UNUSUAL = 1.1  # times as much counts the cost of another speed than those of equal time and frame for frame
_MIN_SEGMENT_S = 0.4  # a shorter one is chance
_ABSENT_TIMES, _ABSENT_FROM = 2.0, 4.0  # the squared deviation of most frames that is a different picture's
_REACH_FRAMES, _SHORT_REACH_FRAMES = 250, 100  # an offset is tried so far beyond where it was found
_EDGE_FRAMES = 15  # so near what is known scenes of both may begin or end together
_LEAST_LIKENESS, _LEAST_SPREAD = 0.6, 0.01
_LESS_ALIKE = 4.0  # times as far below the usual correlation as a tenth of the frames lies
_FLAT = 4.0  # added to variances, so that what says nothing counts as alike
_PHASES = 0.5, 0.3, 0.7, 0.1, 0.9  # of a frame: pulldown shows four frames in the time of five


@dataclass(frozen=True, eq=False)
class Release:
    """times_s: float64 [n], ascending, when each frame is shown. signatures: uint8 [n, 18, 32]. shots: int64 [n],
    ascending, the number of its shot."""

    times_s: np.ndarray
    signatures: np.ndarray
    shots: np.ndarray


@dataclass(frozen=True)
class Segment:
    """Frames `first` to `last` of the low release, which show those of the high one `offset_s` later: at
    `speed * time + offset_s`. `likeness`: mean correlation of their signatures."""

    first: int
    last: int
    offset_s: float
    likeness: float


@dataclass(frozen=True, eq=False)
class Matching:
    """`high`: int64 [n], for each frame of the low release the number of the high one's frame, or `UNMATCHED`.
    `likeness`: float32 [n], correlation of the two signatures, framed alike, 0 where unmatched. `speed`: seconds of the
    high release to one of the low one, 1.0427 where it was sped up for PAL."""

    high: np.ndarray
    likeness: np.ndarray
    speed: float
    segments: tuple[Segment, ...]

    def missing_from_low(self, high_frames: int) -> list[tuple[int, int]]:
        """Stretches of the high release, first and last frame, that no frame of the low one lies next to."""
        seen = np.zeros(high_frames + 2, bool)
        for segment in self.segments:
            shown = self.high[segment.first : segment.last + 1]
            seen[shown.min() + 1 : shown.max() + 2] = True
        seen[0] = seen[-1] = True
        edges = np.flatnonzero(np.diff(seen.astype(np.int8)))
        return [(int(begin), int(end) - 1) for begin, end in edges.reshape(-1, 2)]


def release_of(shots: Iterable[Mapping[str, Any]]) -> Release:
    """A release by its rows of the table `shots`, with their `frame_pts_s` and `signatures`."""
    rows = sorted(shots, key=lambda row: row["number"])
    times_s = np.concatenate([np.asarray(row["frame_pts_s"], np.float64) for row in rows] or [np.zeros(0)])
    signatures = np.frombuffer(b"".join(row["signatures"] for row in rows), np.uint8)
    shots_of_frames = np.repeat(np.arange(len(rows)), [len(row["frame_pts_s"]) for row in rows])
    return Release(times_s, signatures.reshape(-1, *SIGNATURE), shots_of_frames)


def match_releases(high: Release, low: Release) -> Matching:
    """For each frame of the low release the frame of the high one that shows the same.

    Each may lack what the other shows; the low one may run at another speed or show frames twice (pulldown), since
    frames are found by their times. What is shown nowhere, or for less than 0.4 s, is unmatched, and so is a part of a
    shot that is far less alike than the rest. Where either release has fewer than two frames, all are.
    """
    if min(len(high.times_s), len(low.times_s)) < 2:
        nothing = np.full(len(low.times_s), UNMATCHED), np.zeros(len(low.times_s), np.float32)
        return Matching(*nothing, speed=1.0, segments=())
    looks = looks_of(high.signatures, low.signatures)
    paths = [_coarse(clock, *looks) for clock in clocks_of(high.times_s, low.times_s, *looks)]
    likeliest = min(paths, key=lambda path: path.cost * (1 if path.clock.is_usual else _UNUSUAL))
    return _matching(*_fine(high, low, likeliest))


@dataclass(frozen=True, eq=False)
class _Path:
    """For each frame of the low release the place of its offset among `offsets_s`, or -1."""

    clock: Clock
    offsets_s: np.ndarray
    states: np.ndarray
    cost: float

    def segments(self) -> list[tuple[int, int, int]]:
        """First frame, end and state of each run of one state, in order; without what is nowhere."""
        edges = np.flatnonzero(np.diff(self.states, prepend=-2, append=-2))
        runs = pairwise(edges)
        return [(int(begin), int(end), int(self.states[begin])) for begin, end in runs if self.states[begin] >= 0]


def _coarse(clock: Clock, high: Look, low: Look) -> _Path:
    """The cheapest path by the correlations of signatures, over offsets that long stretches agree with."""
    offsets_s = likely_offsets(clock, high, low)
    cost = np.empty((len(low.vectors), len(offsets_s) + 1), np.float32)
    for state, offset_s in enumerate(offsets_s):
        frames = clock.high_at(offset_s + 0.5 * clock.step_s)
        likeness = np.einsum("ij,ij->i", high.vectors[frames], low.vectors)
        cost[:, state] = np.where(frames >= 0, (1 - likeness) * low.weight, 2.0)
    cost[:, -1] = _ABSENT_COST * low.weight
    states, total = _cheapest(cost, _SWITCH_COST)
    return _without_short(_Path(clock, offsets_s, states, total))


def _fine(high: Release, low: Release, coarse: _Path) -> tuple[_Path, np.ndarray, np.ndarray]:
    """The path once more, by what is left between signatures whose framing and colours have been made alike, and the
    high frame of each low one, int64 [n], with how alike they are, float32 [n]."""
    clock, count = coarse.clock, len(coarse.states)
    matched, known_s = np.full(count, UNMATCHED), np.full(count, np.nan)
    for begin, end, state in coarse.segments():
        known_s[begin:end] = coarse.offsets_s[state]
        matched[begin:end] = clock.high_at(coarse.offsets_s[state] + 0.5 * clock.step_s, slice(begin, end))
    guessed = np.flatnonzero(matched >= 0)
    if not len(guessed):
        return coarse, matched, np.zeros(count, np.float32)
    scenes, edges = scenes_of(low.signatures, low.shots), edges_of(scenes_of(high.signatures, high.shots))
    high_soft, low_soft = (softened(one.signatures) for one in (high, low))
    fit = fit_signatures(high_soft[matched[guessed]], low_soft[guessed])
    as_low = fit.as_low(high_soft)
    near = {float(coarse.offsets_s[state]): list[slice]() for _, _, state in coarse.segments()}
    for begin, end, state in coarse.segments():
        near[float(coarse.offsets_s[state])].append(_widened(begin, end, _REACH_FRAMES))
    for offset_s, stretches in better_offsets(clock, *looks_of(as_low, low_soft), known_s).items():
        wider = [_widened(one.start, one.stop, _SHORT_REACH_FRAMES) for one in stretches]
        near[offset_s] = near.get(offset_s, []) + wider
    for offset_s, stretch in _edge_to_edge(clock, matched, scenes, edges):
        near.setdefault(offset_s, []).append(stretch)
    offsets_s, frames = _offsets_nearby(clock, near)
    usual = float(np.quantile(_apart(fit, as_low[matched[guessed]], low_soft[guessed]), 0.9))
    absent = float(cost_of(max(_ABSENT_FROM, _ABSENT_TIMES * usual)))
    states, total = Search(fit, as_low, low_soft, scenes, frames, edges, absent).cheapest()
    states = _to_their_ends(
        states, frames, lambda at, shown: float(fit.apart(as_low[[shown]], low_soft[[at]])[0]) <= usual
    )
    path = _without_short(_Path(clock, offsets_s, states, total))
    matched = np.where(path.states >= 0, frames[path.states, np.arange(count)], UNMATCHED)
    likeness = _likeness(fit.as_low(high.signatures), low.signatures, matched)
    return _without_lookalikes(path, low.shots, matched, likeness)


def _without_lookalikes(
    path: _Path, shots: np.ndarray, matched: np.ndarray, likeness: np.ndarray
) -> tuple[_Path, np.ndarray, np.ndarray]:
    """Without parts of shots that are far less alike than is usual: the same place, but with somebody else in it."""
    if not (matched >= 0).any():
        return path, matched, likeness
    usual, less = np.quantile(likeness[matched >= 0], [0.5, 0.1])
    least = max(_LEAST_LIKENESS, usual - _LESS_ALIKE * max(usual - less, _LEAST_SPREAD))
    states = path.states.copy()
    for begin, end in pairwise(
        np.flatnonzero(np.diff(states, prepend=-2, append=-2) | np.diff(shots, prepend=-2, append=-2))
    ):
        if np.median(likeness[begin:end]) < least:
            states[begin:end] = -1
    kept = _Path(path.clock, path.offsets_s, states, path.cost)
    return kept, np.where(states >= 0, matched, UNMATCHED), np.where(states >= 0, likeness, 0.0)


def _widened(begin: int, end: int, reach: int) -> slice:
    return slice(max(0, begin - reach), end + reach)


def _offsets_nearby(clock: Clock, near: dict[float, list[slice]]) -> tuple[np.ndarray, np.ndarray]:
    """The offsets and those next to them that lead to other frames, in seconds, [k], and these, int32 [k, n]; -1 but in
    the stretches `near` an offset, where it is tried."""
    offsets_s, frames = list[float](), dict[bytes, tuple[np.ndarray, np.ndarray]]()
    for offset_s, stretches in near.items():
        tried = np.zeros(len(clock.low_s), bool)
        for stretch in stretches:
            tried[stretch] = True
        tried = np.flatnonzero(tried)
        for step in (0, -1, 1):
            for phase in _PHASES:
                exact_s = offset_s + (step + phase) * clock.step_s
                shown = clock.high_at(exact_s, tried)
                its = tried[shown >= 0], shown[shown >= 0]
                if frames.setdefault(b"".join(one.tobytes() for one in its), its) is its:
                    offsets_s.append(exact_s)
    found = np.full((len(frames), len(clock.low_s)), -1, np.int32)
    for row, (at, shown) in zip(found, frames.values(), strict=True):
        row[at] = shown
    return np.array(offsets_s), found


def _edge_to_edge(
    clock: Clock, matched: np.ndarray, scenes: np.ndarray, edges: np.ndarray
) -> Iterator[tuple[float, slice]]:
    """Offsets at which a scene of the low release begins or ends with one of the high one, near where it was found."""
    high_edges = np.flatnonzero(edges)
    for begin, end in bounds_of(scenes):
        its = begin + np.flatnonzero(matched[begin:end] >= 0)
        for edge, known in ((begin, its[:1]), (end, its[-1:])):
            if not len(known):
                continue
            shown = int(matched[known[0]])
            near = np.abs(high_edges - (shown + edge - known[0])) <= _EDGE_FRAMES
            its_own = np.searchsorted(high_edges, shown, side="right") - (edge == begin)
            near[its_own] = True
            for other in high_edges[near]:
                apart_s = _begin_s(clock.high_s, int(other)) - _begin_s(clock.low_s, edge)
                yield round(apart_s / clock.step_s) * clock.step_s, slice(begin, end)


def _to_their_ends(states: np.ndarray, frames: np.ndarray, is_alike: Callable[[int, int], bool]) -> np.ndarray:
    """The states with runs of one grown over frames that have none and are as alike at its offset as usual: by changes
    alone the first and the last frame of a run are uncertain."""
    grown = states.copy()
    for way in (1, -1):
        for at in range(len(states))[::way][1:]:
            state = grown[at - way]
            if grown[at] == -1 and state >= 0 and frames[state, at] >= 0 and is_alike(at, int(frames[state, at])):
                grown[at] = state
    return grown


def _begin_s(times_s: np.ndarray, frame: int) -> float:
    """When a frame begins, or the last one ends."""
    return float(times_s[frame] if frame < len(times_s) else 2 * times_s[-1] - times_s[-2])


def _apart(fit: SignatureFit, as_low: np.ndarray, low: np.ndarray) -> np.ndarray:
    """`SignatureFit.apart` in parts that fit into memory."""
    parts = range(0, len(low), 2048)
    return np.concatenate([fit.apart(as_low[begin : begin + 2048], low[begin : begin + 2048]) for begin in parts])


def _cheapest(cost: np.ndarray, switch: float) -> tuple[np.ndarray, float]:
    """The states, int64 [n], of the cheapest way through costs [n, k], and its cost; the last state counts as -1."""
    best = cost[0].astype(np.float64)
    came_from = np.empty(cost.shape, np.int16)
    stayed = np.arange(cost.shape[1], dtype=np.int16)
    for frame in range(1, len(cost)):
        cheapest = int(best.argmin())
        jump = best[cheapest] + switch
        came_from[frame] = np.where(best <= jump, stayed, cheapest)
        best = np.minimum(best, jump) + cost[frame]
    states = np.empty(len(cost), np.int64)
    states[-1] = best.argmin()
    for frame in range(len(cost) - 1, 0, -1):
        states[frame - 1] = came_from[frame, states[frame]]
    return np.where(states == cost.shape[1] - 1, -1, states), float(best.min())


def _without_short(path: _Path) -> _Path:
    states = path.states.copy()
    for begin, end, _ in path.segments():
        if path.clock.low_s[end - 1] - path.clock.low_s[begin] < _MIN_SEGMENT_S:
            states[begin:end] = -1
    return _Path(path.clock, path.offsets_s, states, path.cost)


def _likeness(as_low: np.ndarray, low: np.ndarray, matched: np.ndarray) -> np.ndarray:
    likeness = np.zeros(len(matched), np.float32)
    every = np.flatnonzero(matched >= 0)
    for begin in range(0, len(every), 4096):
        there = every[begin : begin + 4096]
        likeness[there] = correlation(as_low[matched[there]], low[there])
    return likeness


def _matching(path: _Path, matched: np.ndarray, likeness: np.ndarray) -> Matching:
    segments = [
        Segment(begin, end - 1, float(path.offsets_s[state]), float(likeness[begin:end].mean()))
        for begin, end, state in path.segments()
    ]
    return Matching(matched, likeness, path.clock.speed, tuple(segments))


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float32 [n], of pairs of signatures or pictures of one size, [n, h, w]; 1 where both are flat."""
    one, other = (part.reshape(len(part), -1).astype(np.float32) for part in (one, other))
    one, other = (part - part.mean(axis=1, keepdims=True) for part in (one, other))
    spreads = (np.square(one).mean(axis=1) + _FLAT) * (np.square(other).mean(axis=1) + _FLAT)
    return ((one * other).mean(axis=1) + _FLAT) / np.sqrt(spreads)
