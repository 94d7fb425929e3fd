"""People linked over the looked-at frames of a shot, in the manner of ByteTrack.

Zhang et al., ByteTrack (ECCV 2022): boxes with a high score are matched first, those with a low one only to what is
left over and begin nothing. At a few frames a second boxes overlap little from one frame to the next, so those of the
first match are widened as in C-BIoU (Yang et al., WACV 2023). Where a person may have been taken for another, the place
is noted as doubtful; `cutting.py` judges it by identity vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from dataset_pipeline.base.boxes import Box, iou
from dataset_pipeline.base.pairing import matched, owners_of

HIGH_SCORE, LOW_SCORE = 0.25, 0.1  # boxes from the one on begin a track, from the other on they may go on with one
WIDENED = 0.3  # of a box's sides, on each side, in the first match
MIN_WIDENED_IOU, MIN_IOU = 0.15, 0.5
LOST_S = 1.2  # after so long, and a look, without a box a track ends
JUMP_SIDES = 3.0  # a box may jump by so many of its own mean side, if it keeps its size
SAME_SIZE = 0.7  # of the smaller to the larger height
CROWDED_IOU = 0.25  # two boxes that overlap so much may take each other's track

One = TypeVar("One")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Found:
    """A person on a frame, in pixels; the head is null where none was found."""

    box: Box
    score: float
    head: Box | None = None
    head_score: float = 0.0


@dataclass
class Linked:
    """One person's way over frames. `frames`: numbers of the frames, ascending, one for each of `found`.

    `doubts`: places (a, b) in `found`, between which the track may have gone over to another person: both samples are
    clear ones. `crowded`: of each sample, whether another person lies over it.
    """

    frames: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    crowded: list[bool] = field(default_factory=list)
    doubts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def last(self) -> Found:
        return self.found[-1]

    def expected(self, at_s: float) -> Box:
        """Where the person is at a time if it goes on as over its last two samples."""
        if len(self.found) < 2:
            return self.last.box
        before, last = np.array(self.found[-2].box), np.array(self.last.box)
        since_s = self.times_s[-1] - self.times_s[-2]
        share = min(2.0, (at_s - self.times_s[-1]) / since_s) if since_s > 0 else 0.0
        middle_moved = share * ((last - before)[:2] + (last - before)[2:]) / 2
        x0, y0, x1, y1 = last + np.tile(middle_moved, 2)
        return float(x0), float(y0), float(x1), float(y1)

    def add(self, frame: int, at_s: float, found: Found, is_crowded: bool, is_doubtful: bool) -> None:
        self.frames.append(frame)
        self.times_s.append(at_s)
        self.found.append(found)
        self.crowded.append(is_crowded)
        here = len(self.found) - 1
        if here == 0 or is_crowded:
            return  # judged once the crowd is over
        clear = next((place for place in range(here - 1, -1, -1) if not self.crowded[place]), None)
        if clear is not None and (is_doubtful or clear < here - 1):
            self.doubts.append((clear, here))


class Linker:
    """Links the people of one shot, frame after frame. `tracks`: all of them, in the order in which they began."""

    def __init__(self) -> None:
        self.tracks: list[Linked] = []
        self._alive: list[Linked] = []

    def feed(self, frame: int, at_s: float, people: Sequence[Found]) -> list[tuple[Linked, Found]]:
        """The people of the next looked-at frame. Returns the track of each that has one."""
        self._alive = [it for it in self._alive if it.frames[-1] == frame - 1 or at_s - it.times_s[-1] <= LOST_S]
        high = [it for it in people if it.score >= HIGH_SCORE]
        low = [it for it in people if LOW_SCORE <= it.score < HIGH_SCORE]
        expected = {id(track): track.expected(at_s) for track in self._alive}
        pairs = [(track, it, False) for track, it in self._near(self._alive, high, expected)]
        left, rest = _without(self._alive, high, pairs)
        pairs += [(track, it, True) for track, it in _matched(left, low, lambda t, f: iou(t.last.box, f.box), MIN_IOU)]
        left, rest = _without(self._alive, high, pairs)
        pairs += [(track, it, True) for track, it in _matched(left, rest, _jump, 0.0)]
        _, rest = _without(self._alive, high, pairs)
        for it in rest:
            track = Linked()
            self.tracks.append(track)
            self._alive.append(track)
            pairs.append((track, it, False))
        boxes = [it.box for _, it, _ in pairs]
        for number, (track, it, is_doubtful) in enumerate(pairs):
            others = boxes[:number] + boxes[number + 1 :]
            is_crowded = any(iou(it.box, other) >= CROWDED_IOU for other in others)
            missed = bool(track.frames) and track.frames[-1] < frame - 1
            track.add(frame, at_s, it, is_crowded, is_doubtful or missed)
        return [(track, it) for track, it, _ in pairs]

    def _near(
        self, tracks: Sequence[Linked], people: Sequence[Found], expected: dict[int, Box]
    ) -> list[tuple[Linked, Found]]:
        def likeness(track: Linked, it: Found) -> float:
            box = widened(it.box)
            return max(iou(widened(expected[id(track)]), box), iou(widened(track.last.box), box))

        return _matched(tracks, people, likeness, MIN_WIDENED_IOU)


def widened(box: Box) -> Box:
    """The box with `WIDENED` of its sides more on each side."""
    x, y = WIDENED * (box[2] - box[0]), WIDENED * (box[3] - box[1])
    return box[0] - x, box[1] - y, box[2] + x, box[3] + y


def people_of(persons: Sequence[tuple[Box, float]], heads: Sequence[tuple[Box, float]]) -> list[Found]:
    """Persons, each a box with its score, with their heads."""
    owners = owners_of([box for box, _ in heads], [box for box, _ in persons])
    head_of = {person: heads[head] for head, person in owners.items()}
    return [Found(box, score, *head_of.get(number, (None, 0.0))) for number, (box, score) in enumerate(persons)]


def _jump(track: Linked, it: Found) -> float:
    """How near a box is that does not overlap where the person was: below 0 where it is too far or of another size."""
    one, other = track.last.box, it.box
    heights = sorted((one[3] - one[1], other[3] - other[1]))
    if heights[0] < SAME_SIZE * heights[1]:
        return -1.0
    side = (heights[1] + max(one[2] - one[0], other[2] - other[0])) / 2
    apart = np.hypot(one[0] + one[2] - other[0] - other[2], one[1] + one[3] - other[1] - other[3]) / 2
    return 1.0 - float(apart) / (JUMP_SIDES * side)


def _matched(
    ones: Sequence[One], others: Sequence[Other], likeness: Callable[[One, Other], float], least: float
) -> list[tuple[One, Other]]:
    """Pairs (one, other) of the greatest likeness together, see `matched`."""
    table = np.array([[likeness(one, other) for other in others] for one in ones])
    return [(ones[one], others[other]) for one, other in matched(table, least)]


def _without(
    tracks: Sequence[Linked], people: Sequence[Found], pairs: Sequence[tuple[Linked, Found, bool]]
) -> tuple[list[Linked], list[Found]]:
    """The tracks and people that are in no pair."""
    matched = {id(track) for track, _, _ in pairs}, {id(it) for _, it, _ in pairs}
    return [it for it in tracks if id(it) not in matched[0]], [it for it in people if id(it) not in matched[1]]
