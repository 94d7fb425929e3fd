"""Which of many offsets the frames of a low release have.

Signatures of one picture differ by more than noise, since cells of another framing cut through lines, and since colours
are mistaken for others; in all frames of a scene alike. So levels alone do not tell by which frame a slow zoom is off,
however long it lasts, and count for no more than some frames of a scene. What changes from frame to frame is free of
that, and tells where an offset becomes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dataset_pipeline.super_resolution.signature_fit import SignatureFit, moved

_BREAK_LEVELS, _BREAK_TIMES, _AROUND = 5.0, 4.0, 3  # a change, by the middle one of three frames before and after
_SWITCH_COST = 100.0
_AT_EDGE = 8.0  # less, where both a scene of the low release and one of the high one begin or end
_SCALE = 10.0  # half the independent looks of a frame: neighbouring cells are off alike
_FLOOR = 0.5  # of a squared deviation
_LOOKS = 12  # frames of a scene that are as much as all of them, as they are off alike
_CHANGE_SCALE = 10.0  # of squared deviations of changes, which are less alike
_MOST_CHANGED = 10.0
_DEAD = 0.4  # of them, that framings which are not quite known leave where all of the picture moves
_DEAD_BY_MOTION = 20.0
_AT_ONCE = 512  # times of a frame at an offset, of 2 KB each, that are in memory
_NONE_OF = 0.1  # of the offsets explain a change better than what has none


def scenes_of(signatures: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """int64 [n], ascending, the scene of each frame: shots, and what is too short to be one. signatures: uint8
    [n, 18, 32]. shots: int64 [n]."""
    if not len(signatures):
        return np.zeros(0, np.int64)
    levels = signatures.reshape(len(signatures), -1).astype(np.float32)
    change = np.concatenate([[0.0], np.abs(np.diff(levels, axis=0)).mean(axis=1)])
    padded = np.pad(change, _AROUND, mode="edge")
    around = np.stack([padded[at : at + len(change)] for at in range(2 * _AROUND + 1) if at != _AROUND])
    is_break = (change > _BREAK_LEVELS) & (change > _BREAK_TIMES * np.median(around, axis=0))
    is_break[1:] |= np.diff(shots) != 0
    return np.cumsum(is_break)


def bounds_of(scenes: np.ndarray) -> list[tuple[int, int]]:
    """First frame and end of each scene."""
    return list(pairwise(np.flatnonzero(np.diff(scenes, prepend=-1, append=len(scenes) + 1)).tolist()))


def edges_of(scenes: np.ndarray) -> np.ndarray:
    """bool [n + 1], where a scene begins, or the last one ends."""
    return np.diff(scenes, prepend=-1, append=len(scenes) + 1) != 0


def cost_of(apart: np.ndarray | float) -> np.ndarray:
    """What a frame costs that is so far from what it should show, see `SignatureFit.apart`."""
    return _SCALE * np.log(_FLOOR + np.asarray(apart))


@dataclass(frozen=True, eq=False)
class Search:
    """high: float32 [n_high, 18, 32], `SignatureFit.as_low`. low: float32 [n, 18, 32], and its `scenes`. frames: int32
    [k, n], the high frame of each low one at each of k offsets, -1 where it is not tried. high_edges: bool
    [n_high + 1], see `edges_of`. absent: what a frame costs that has no offset."""

    fit: SignatureFit
    high: np.ndarray
    low: np.ndarray
    scenes: np.ndarray
    frames: np.ndarray
    high_edges: np.ndarray
    absent: float

    def cheapest(self) -> tuple[np.ndarray, float]:
        """The offset of each low frame, int64 [n], -1 for none, of least cost in all, and that cost."""
        best, trails = np.zeros(len(self.frames) + 1), list[_Trail]()
        for begin, end in bounds_of(self.scenes):
            states = np.flatnonzero((self.frames[:, begin:end] >= 0).any(axis=1))
            entered, its = self._entered(begin, states, best)
            came_from, its = self._through(begin, end, states, its)
            best = np.full(len(best), np.inf)
            best[[*states, -1]] = its
            trails.append(_Trail(begin, np.array([*states, -1]), entered, came_from))
        return _traced(trails, int(best.argmin()), len(self.low)), float(best.min())

    def _entered(self, begin: int, states: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For these states and none the state that the scene before ended with, and the cost so far. before: of all
        states and none."""
        leaving, every = before.copy(), np.arange(len(before) - 1)
        if begin:
            shown = self.frames[every, begin - 1]
            leaving[:-1] -= _AT_EDGE * ((shown >= 0) & self.high_edges[shown + 1])
        cheapest = int(leaving.argmin())
        from_none = cheapest == len(before) - 1
        shown = self.frames[states, begin]
        at_edge = np.append((shown >= 0) & self.high_edges[shown] & (not from_none), False)
        jump = leaving[cheapest] + (_SWITCH_COST if begin else 0.0) - _AT_EDGE * at_edge
        those = np.append(states, len(before) - 1)
        return np.where(before[those] <= jump, those, cheapest), np.minimum(before[those], jump)

    def _through(self, begin: int, end: int, states: np.ndarray, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Through a scene: for each of its frames but the first the place among these states and none that the one
        before had, int32 [n, k + 1], and the cost at its end."""
        shown, its = self.frames[np.ix_(states, np.arange(begin, end))], self.low[begin:end]
        looks = min(1.0, _LOOKS / (end - begin))
        if not len(states):
            return np.zeros((end - begin, 1), np.int32), best + (end - begin) * looks * self.absent
        distinct, places = _distinct(shown)
        cost = np.full((end - begin, len(states) + 1), looks * self.absent)
        costs = np.array([cost_of(self.fit.apart(self.high[frames], its)) for frames in distinct])
        cost[:, :-1] = np.where(shown >= 0, looks * np.take_along_axis(costs, places, 0), np.inf).T
        came_from = np.zeros((end - begin, len(states) + 1), np.int32)
        best = best + cost[0]
        switch = _SWITCH_COST * (1 - np.eye(len(states) + 1))
        at_once = max(1, _AT_ONCE // len(distinct))
        for first in range(1, end - begin, at_once):
            part = slice(first - 1, first + at_once)
            for at, unexplained in enumerate(self._unexplained(its[part], distinct[:, part], places[:, part]), first):
                total = best[:, None] + switch + unexplained
                came_from[at] = total.argmin(axis=0)
                best = total.min(axis=0) + cost[at]
        return came_from, best

    def _unexplained(self, low: np.ndarray, shown: np.ndarray, places: np.ndarray) -> np.ndarray:
        """float32 [n - 1, k + 1, k + 1]: what it costs that the low release changed from each of its frames, [n, 18,
        32], to the next as the high one does not, against the offset that goes on best; last that of none. shown,
        places: see `_distinct`."""
        before, after = low[:-1], low[1:]
        keeps, variance = self.fit.carried(before, after)
        weight = 1 / np.sqrt(variance * variance[0].size)
        off = low[:, None] - self.high[shown.T]
        was, now = (
            (part * by[:, None]).reshape(len(after), len(shown), -1)
            for part, by in ((off[:-1], keeps * weight), (off[1:], weight))
        )
        apart = np.einsum("nki,nki->nk", was, was)[:, :, None] + np.einsum("nki,nki->nk", now, now)[:, None]
        apart -= 2 * was @ now.transpose(0, 2, 1)
        by_state = apart[np.arange(len(after))[:, None, None], places.T[:-1, :, None], places.T[1:, None]]
        goes_on = by_state.diagonal(axis1=1, axis2=2)
        none = np.quantile(goes_on, _NONE_OF, axis=1)
        more = np.tile(none[:, None, None], (1, len(places) + 1, len(places) + 1))
        more[:, :-1, :-1] = by_state
        more -= np.minimum(goes_on.min(axis=1), none)[:, None, None]
        dead = np.minimum(_DEAD, _DEAD_BY_MOTION * moved(before, after))[:, None, None]
        return _CHANGE_SCALE * np.sign(more) * np.clip(np.abs(more) - dead, 0, _MOST_CHANGED)


def _distinct(shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The high frames that offsets lead to, int [k, n], each once, [d, n], some repeated where others are more, and the
    place of each among them, int [k, n]: pulldown has many offsets that lead to few."""
    order = np.argsort(shown, axis=0)
    ordered, places = np.take_along_axis(shown, order, 0), np.empty_like(shown)
    rank = np.cumsum(np.diff(ordered, axis=0, prepend=ordered[:1]) != 0, axis=0)
    np.put_along_axis(places, order, rank, 0)
    distinct = np.repeat(ordered[:1], rank.max() + 1, axis=0)
    np.put_along_axis(distinct, rank, ordered, 0)
    return distinct, places


@dataclass(frozen=True, eq=False)
class _Trail:
    """Of a scene from its first frame on: states, -1 for none, the last; the state before each; how it went on."""

    begin: int
    states: np.ndarray
    entered: np.ndarray
    came_from: np.ndarray


def _traced(trails: list[_Trail], last: int, frames: int) -> np.ndarray:
    found = np.empty(frames, np.int64)
    for trail in reversed(trails):
        place = np.flatnonzero(trail.states == last)[0] if last in trail.states else len(trail.states) - 1
        for at in range(len(trail.came_from) - 1, -1, -1):
            found[trail.begin + at] = trail.states[place]
            place = trail.came_from[at, place] if at else place
        last = int(trail.entered[place])
    return found
