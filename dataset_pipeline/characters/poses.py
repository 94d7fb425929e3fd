"""Which frames show the most of a person: of each track a few sharp samples that differ most from one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import Box, box_of, iou
from dataset_pipeline.characters.small_copies import apart, as_copy

MIN_APART = 0.1  # of two small copies; less shows the same pose again
MIN_APART_IN_PLACE = 0.03  # of somebody who stays where they are, before the same place
IN_PLACE_IOU = 0.5  # of the boxes of somebody who stays where they are
MIN_GAP_S = 0.2  # within so short a time nobody takes another pose
MIN_SHARP_SHARE = 0.4  # of the track's sharpest sample; what is below is blurred by motion
MIN_SCORE_SHARE = 0.4  # of the track's highest score; what is below is half hidden or no person
UNSEEN = np.inf


def chosen_frames(tracks: Iterable[Mapping[str, Any]], per_track: int, min_score: float) -> list[int]:
    """The `pts` of the frames that together show up to `per_track` poses of each track, ascending.

    Farthest-point choice over each shot: first, for each track that no chosen frame shows yet, its sharpest sample;
    then again and again the frame that shows most that is new, summed over its people, for as long as it shows of one
    of them a pose that is `unlike` those chosen: those of its own track, and those of tracks before or after it in the
    shot, which may be of the same person. tracks: rows of `tracks`, of which those with a highest score below
    `min_score` count for nothing.
    """
    shots: dict[int, list[_Track]] = {}
    for row in tracks:
        if row["max_score"] >= min_score:
            shots.setdefault(row["shot"], []).append(_Track(row))
    return sorted(pts for members in shots.values() for pts in _of_shot(members, per_track))


@dataclass(frozen=True)
class _Sample:
    pts_s: float
    box: Box
    sharp: float  # as a share of the track's sharpest
    copy: np.ndarray

    def unlike(self, other: _Sample) -> float:
        """How differently the person shows: from 1 on it is another pose. Where they stay in place, little is one."""
        if abs(self.pts_s - other.pts_s) < MIN_GAP_S:
            return 0.0
        heights_px = self.box[3] - self.box[1], other.box[3] - other.box[1]
        in_place = iou(self.box, other.box) >= IN_PLACE_IOU
        return apart(self.copy, other.copy, heights_px) / (MIN_APART_IN_PLACE if in_place else MIN_APART)


class _Track:
    """One track's samples that are good enough to be chosen, by pts, and how far each is from what is chosen."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        samples = row["samples"]
        sharpest = max(sample["sharpness"] for sample in samples)
        good = [
            sample
            for sample in samples
            if sample["sharpness"] >= MIN_SHARP_SHARE * sharpest
            and sample["score"] >= MIN_SCORE_SHARE * row["max_score"]
        ] or [max(samples, key=lambda sample: sample["sharpness"])]
        sharpest = max(1e-9, *(sample["sharpness"] for sample in good))
        self.samples = {sample["pts"]: _sample(sample, sharpest) for sample in good}
        self.chosen = 0
        self.new = dict.fromkeys(self.samples, UNSEEN)

    def see(self, pts: int, tracks: Sequence[_Track]) -> None:
        """A frame is chosen: what it shows of this track, and of those that are there at other times, is not new."""
        self.chosen += pts in self.samples
        shown = [
            track.samples[pts] for track in tracks if pts in track.samples and (track is self or not self.beside(track))
        ]
        for other in shown:
            for at, sample in self.samples.items():
                self.new[at] = min(self.new[at], sample.unlike(other))

    def beside(self, other: _Track) -> bool:
        """Whether both are there at one time, so that they are two people."""
        return min(self.samples) <= max(other.samples) and min(other.samples) <= max(self.samples)


def _sample(row: Mapping[str, Any], sharpest: float) -> _Sample:
    return _Sample(row["pts_s"], box_of(row), row["sharpness"] / sharpest, as_copy(row["thumb"]))


def _of_shot(tracks: Sequence[_Track], per_track: int) -> list[int]:
    chosen: list[int] = []

    def choose(pts: int) -> None:
        chosen.append(pts)
        for track in tracks:
            track.see(pts, tracks)

    def sharp(pts: int) -> float:
        return sum(track.samples[pts].sharp for track in tracks if pts in track.samples)

    for track in sorted(tracks, key=lambda track: min(track.samples)):
        if not track.chosen:
            choose(max(track.samples, key=lambda pts: (sharp(pts), -pts)))
    while True:
        gains: dict[int, float] = {}
        for track in tracks:
            for pts, new in track.new.items():
                if track.chosen < per_track and new >= 1.0 and pts not in chosen:
                    gains[pts] = gains.get(pts, 0.0) + new
        if not gains:
            return chosen
        choose(min(gains, key=lambda pts: (-gains[pts], pts)))
