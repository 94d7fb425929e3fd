"""Frames of several shots on one way through a video, on which each is decoded once as far as memory allows."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from math import inf
from operator import itemgetter

import numpy as np

from dataset_pipeline.stitching.alignment import FramesAt

MOST_KEPT_BYTES = 400_000_000  # 64 frames of 1080p: all that is compared of a still camera, most of a short pan


class Once:
    """Reads the frames `wanted` in their order, as far as they are asked for; `of` gives those of a shot.

    Shots are asked for in order of time. What was read and not kept is read once more where it is asked for again, and
    so is what lies before a frame that was read for another shot. What could not be read is not tried again.
    """

    def __init__(self, frames_at: FramesAt, wanted: Collection[int], most_kept_bytes: int = MOST_KEPT_BYTES) -> None:
        self._frames_at, self._most_bytes = frames_at, most_kept_bytes
        self._wanted = sorted(set(wanted))
        self._ahead: Iterator[tuple[int, np.ndarray]] | None = None
        self._in_hand: tuple[int, np.ndarray] | None = None  # read, and of a later shot than the one that asked
        self._passed: float = -inf  # the timestamp up to which all was read or is lost
        self._lost: set[int] = set()
        self._kept: dict[int, np.ndarray] = {}
        self._keeps: frozenset[int] = frozenset()

    def of(self, keeps: Collection[int]) -> FramesAt:
        """The frames of a shot that will ask once more for those at the timestamps `keeps`; what was kept for the shot
        before is forgotten."""
        self._keeps = frozenset(keeps)
        self._kept = {pts: frame for pts, frame in self._kept.items() if pts in self._keeps}
        return self._given

    def _given(self, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        asked = set(pts) - self._lost
        kept = [(at, self._kept[at]) for at in sorted(asked & self._kept.keys())]
        ahead = {at for at in asked.intersection(self._wanted) if at > self._passed}
        again = sorted(asked - ahead - self._kept.keys())
        parts = (kept, self._frames_at(again) if again else (), self._read(ahead))
        return heapq.merge(*parts, key=itemgetter(0))

    def _read(self, asked: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Reads on to the last of these, and gives them."""
        last = max(asked, default=-inf)
        while self._passed < last:
            try:
                found = self._in_hand or next(self._stream(), None)
            except Exception:
                self._pass(last)
                self._ahead = None  # the next shot begins behind this one
                raise
            self._in_hand = None
            if found is None or found[0] > last:
                self._in_hand = found
                self._pass(last)
                return
            at, frame = found
            self._pass(at, is_there=True)
            if at in self._keeps and frame.nbytes + sum(it.nbytes for it in self._kept.values()) <= self._most_bytes:
                self._kept[at] = frame
            if at in asked:
                yield at, frame

    def _stream(self) -> Iterator[tuple[int, np.ndarray]]:
        if self._ahead is None:
            self._ahead = iter(self._frames_at([at for at in self._wanted if at > self._passed]))
        return self._ahead

    def _pass(self, to: float, is_there: bool = False) -> None:
        """All wanted frames up to this one are read, or lost if they were not."""
        up_to = bisect_left if is_there else bisect_right
        self._lost.update(self._wanted[bisect_right(self._wanted, self._passed) : up_to(self._wanted, to)])
        self._passed = to
