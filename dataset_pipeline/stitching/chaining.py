"""The frames of a shot one after the other: each is matched with a reference before it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dataset_pipeline.stitching.pairing import Match, match, similar_match
from dataset_pipeline.stitching.preparing import Look, Scale
from dataset_pipeline.stitching.similar import Similarity

LEAST_SIDE_PX = 48  # of the working picture: a smaller one has too few blocks to be placed by
_BLACK_BELOW = 14.0  # the mean of a frame that shows next to nothing
_HELD_CELL_PX, _HELD_BELOW = 16, 1.6  # no such cell of the working picture differs by so many levels on average
_KEEP_REFERENCE_FROM = 0.5  # agreement
_REFERENCE_WITHIN = 0.06  # of the view
_TRIED_BACK = 3  # frames that a frame is compared with before it counts as lost


class Chain:
    """Takes frames in order, keeps those that show something new, and matches each with a reference before it.

    The reference stays until the camera is some way off, so that slow stretches add up no errors, and what moves
    slowly over the picture is not taken for it.
    """

    def __init__(self, turns: bool = False) -> None:
        """`turns`: frames may differ in scale and angle."""
        self.scale: Scale | None = None
        self.looks: list[Look] = []
        self.pts: list[int] = []
        self.matches: list[Match] = []
        self._turns = turns
        self._reference: Look | None = None
        self._last: Match | None = None  # from the reference to the frame before
        self._velocity = Similarity()

    @classmethod
    def of_turns(cls, looks: Sequence[Look]) -> Chain:
        """The chain of frames that another one kept, as similarities."""
        chain = cls(turns=True)
        for look in looks:
            chain.follow(look)
        return chain

    def add(self, pts: int, frame: np.ndarray) -> None:
        """The next frame, RGB uint8; left out if it is too small, black, or repeats the one before."""
        if self.scale is None:
            self.scale = Scale.of(frame)
        if min(self.scale.working_px) < LEAST_SIDE_PX:
            return
        grey = self.scale.working(frame)
        if grey.mean() < _BLACK_BELOW or (self.looks and is_held(self.looks[-1].grey, grey)):
            return
        self.pts.append(pts)
        self.follow(Look(len(self.looks), grey))

    def follow(self, look: Look) -> None:
        """Match a frame with the reference, or with one of those right before it."""
        self.looks.append(look)
        if self._reference is None:
            self._reference = look
            return
        found = self._by_reference(self._reference, look)
        if found is None or found.alike.agreement < _KEEP_REFERENCE_FROM:
            found = self._by_those_before(look) or found
        if found is None:
            return
        last = self._last
        before = last.by if last is not None and last.one == found.one else Similarity()
        self._velocity = found.by.after(before.inverse())
        self.matches.append(found)
        self._last = found
        if found.by.reach(look.grey.shape) > _REFERENCE_WITHIN:
            self._reference, self._last = look, None

    def _match(self, one: Look, other: Look, hint: Similarity, log_gain: float = 0.0) -> Match | None:
        if self._turns:
            return similar_match(one, other, hint, log_gain)
        return match(one, other, (hint.shift.real, hint.shift.imag), log_gain)

    def _by_reference(self, reference: Look, look: Look) -> Match | None:
        last = self._last
        if last is None:
            return self._match(reference, look, self._velocity)
        return self._match(reference, look, self._velocity.after(last.by), last.log_gain)

    def _by_those_before(self, look: Look) -> Match | None:
        """The match with one of the frames right before, which becomes the reference."""
        way = Similarity()
        for before in self.looks[-2 : -2 - _TRIED_BACK : -1]:
            way = self._velocity.after(way)
            found = self._match(before, look, way)
            if found is not None:
                self._reference, self._last = before, None
                return found
        return None


def is_held(before: np.ndarray, grey: np.ndarray) -> bool:
    """Whether a frame repeats the one before, but for what the encoder made of it."""
    cells = (grey.shape[1] // _HELD_CELL_PX, grey.shape[0] // _HELD_CELL_PX)
    return float(cv2.resize(cv2.absdiff(before, grey), cells, interpolation=cv2.INTER_AREA).max()) < _HELD_BELOW
