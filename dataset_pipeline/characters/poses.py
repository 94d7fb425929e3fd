"""Which frames show the most of a person: of each track a few sharp samples that differ most from one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import Box, box_of, iou

LOOK_LEVELS = 24.0  # of 255, mean over a small copy: pictures of a person that differ by so much are as apart as can be
MIN_APART = 0.4  # less shows the same pose again
MIN_SHARP_SHARE = 0.4  # of the track's sharpest sample; what is below is blurred by motion
MIN_SCORE_SHARE = 0.6  # of the track's highest score; what is below is half hidden or no person


def chosen_frames(tracks: Iterable[Mapping[str, Any]], per_track: int, min_score: float) -> list[int]:
    """The `pts` of the frames that together show up to `per_track` poses of each track, ascending.

    Farthest-point choice over each shot: first, for each track that no chosen frame shows yet, its sharpest sample;
    then again and again the frame that shows most that is new, summed over its people, for as long as it shows of one
    of them a pose that differs from those chosen by at least `MIN_APART`. tracks: rows of `tracks`, of which those
    with a highest score below `min_score` count for nothing.
    """
    shots: dict[int, list[_Track]] = {}
    for row in tracks:
        if row["max_score"] >= min_score:
            shots.setdefault(row["shot"], []).append(_Track.of(row))
    return sorted(pts for members in shots.values() for pts in _of_shot(members, per_track))


@dataclass(eq=False)
class _Track:
    """One track's samples that are good enough to be chosen, by pts, and of which each one how far it is from each."""

    samples: dict[int, int]
    sharpness: np.ndarray
    apart: np.ndarray

    @staticmethod
    def of(row: Mapping[str, Any]) -> _Track:
        samples = row["samples"]
        sharpest = max(sample["sharpness"] for sample in samples)
        good = [
            number
            for number, sample in enumerate(samples)
            if sample["sharpness"] >= MIN_SHARP_SHARE * sharpest
            and sample["score"] >= MIN_SCORE_SHARE * row["max_score"]
        ] or [max(range(len(samples)), key=lambda number: samples[number]["sharpness"])]
        kept = [samples[number] for number in good]
        return _Track(
            {sample["pts"]: place for place, sample in enumerate(kept)},
            np.array([sample["sharpness"] for sample in kept]),
            differences_of(kept),
        )

    def new_in(self, pts: int, chosen: Sequence[int]) -> float:
        """How far its sample at a frame is from those at the chosen ones; 0 where it has none there."""
        here = self.samples.get(pts)
        there = [self.samples[other] for other in chosen if other in self.samples]
        return 0.0 if here is None or not there else float(self.apart[here, there].min())


def _of_shot(tracks: Sequence[_Track], per_track: int) -> list[int]:
    chosen: list[int] = []
    for track in sorted(tracks, key=lambda track: min(track.samples)):
        if not any(pts in track.samples for pts in chosen):
            chosen.append(max(track.samples, key=lambda pts: (_sharp_for(tracks, pts), -pts)))
    while True:
        waiting = [track for track in tracks if sum(pts in track.samples for pts in chosen) < per_track]
        gains = {
            pts: [gain for track in waiting if (gain := track.new_in(pts, chosen)) >= MIN_APART]
            for pts in sorted({pts for track in waiting for pts in track.samples} - set(chosen))
        }
        best = max(gains, key=lambda pts: sum(gains[pts]), default=None)
        if best is None or not gains[best]:
            return chosen
        chosen.append(best)


def _sharp_for(tracks: Sequence[_Track], pts: int) -> float:
    """How sharp a frame is for all who are on it, as shares of their sharpest."""
    return sum(
        float(it.sharpness[it.samples[pts]] / max(it.sharpness.max(), 1e-9)) for it in tracks if pts in it.samples
    )


def differences_of(samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """How differently one person shows on each two samples, float64 [n, n] from 0 on: how its box and its head's place
    in it differ in form, and what a small copy shows. Where in the picture it is and how large tell of no pose."""
    thumbs = np.stack([np.frombuffer(sample["thumb"], np.uint8).astype(np.float64) for sample in samples])
    looks = np.minimum(1.0, np.abs(thumbs[:, None] - thumbs[None]).mean(axis=2) / LOOK_LEVELS)
    boxes = [box_of(sample) for sample in samples]
    heads = [None if sample["head"] is None else _within(box_of(sample["head"]), box)
             for sample, box in zip(samples, boxes, strict=True)]  # fmt: skip
    apart = looks
    for one in range(len(samples)):
        for other in range(one):
            form = 1.0 - iou(_form(boxes[one]), _form(boxes[other]))
            apart[one, other] += form + _heads_apart(heads[one], heads[other])
            apart[other, one] = apart[one, other]
    return apart


def _heads_apart(one: Box | None, other: Box | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else 0.5
    return 1.0 - iou(one, other)


def _form(box: Box) -> Box:
    """The box in heights of its own, from the middle of its top."""
    return _within(box, box)


def _within(head: Box, box: Box) -> Box:
    """A box in heights of the person, from the middle of the top of theirs."""
    height, middle = max(1.0, box[3] - box[1]), (box[0] + box[2]) / 2
    return (
        (head[0] - middle) / height,
        (head[1] - box[1]) / height,
        (head[2] - middle) / height,
        (head[3] - box[1]) / height,
    )
