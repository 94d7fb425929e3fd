"""Where people are on the frames of a shot that no detector looked at, by the boxes of those that it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.characters.linking import Found, Linked, Linker
from dataset_pipeline.stitching.alignment import Alignment

# By the timestamps of the frames that were looked at, the people found there, in pixels; nobody is an empty list.
BoxesByPts = Mapping[int, Sequence[Box]]

MOST_LOOKS_LOST = 4  # over which somebody is still taken to be where they were


class Followed:
    """People of one shot, followed from look to look."""

    def __init__(self, boxes: BoxesByPts, alignment: Alignment) -> None:
        self._looks = np.array(sorted(boxes), np.int64)
        linker = Linker()
        for look, pts in enumerate(self._looks.tolist()):
            at_s = float(np.interp(pts, alignment.pts, alignment.pts_s))
            linker.feed(look, at_s, [Found(box, 1.0) for box in boxes[pts]])
        self.tracks = linker.tracks

    def at(self, pts: int) -> list[Box]:
        """Where all are on a frame."""
        found = (self.of(track, pts) for track in self.tracks)
        return [box for box in found if box is not None]

    def of(self, track: Linked, pts: int) -> Box | None:
        """Where one of them is on a frame: between two looks in between, and up to the next look where they were."""
        at = self._looks[track.frames]
        after = int(np.searchsorted(at, pts))
        if after < len(at) and at[after] == pts:
            return track.found[after].box
        if 0 < after < len(at) and track.frames[after] - track.frames[after - 1] <= MOST_LOOKS_LOST + 1:
            share = (pts - at[after - 1]) / (at[after] - at[after - 1])
            one, other = np.array(track.found[after - 1].box), np.array(track.found[after].box)
            x0, y0, x1, y1 = one + share * (other - one)
            return float(x0), float(y0), float(x1), float(y1)
        if after > 0 and self._before(pts, track.frames[after - 1] + 1):
            return track.found[after - 1].box
        if after < len(at) and self._after(pts, track.frames[after] - 1):
            return track.found[after].box
        return None

    def _before(self, pts: int, look: int) -> bool:
        return look >= len(self._looks) or pts < self._looks[look]

    def _after(self, pts: int, look: int) -> bool:
        return look < 0 or pts > self._looks[look]
