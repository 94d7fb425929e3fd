"""Tracks cut where their vectors say that they went over to another person, and as rows of `tracks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import SIDES, Box, iou
from dataset_pipeline.base.ids import track_id
from dataset_pipeline.characters.following import Followed
from dataset_pipeline.characters.linking import Found
from dataset_pipeline.characters.tracks import KINDS
from dataset_pipeline.images.detections import BOX_DECIMALS, SCORE_DECIMALS

Differences = Callable[[np.ndarray, np.ndarray], np.ndarray]


def stretches_of(track: Followed, differences: Differences, threshold: float) -> list[range]:
    """The samples of each person of a track.

    A doubtful place is a cut where what lies before it and what lies after it differ by more than `threshold` in the
    mean of head and person. So is any place where two samples with vectors, one after the other, do in each of the
    kinds that both have. It is cut where the boxes overlap least. differences: float32 [n, m] of float32 [n, d] and
    [m, d].
    """
    length = len(track.looks)
    doubts = [doubt for doubt in track.linked.doubts if any(_sampled(track, range(*_closed(doubt))))]
    cuts = set()
    for number, (before, after) in enumerate(doubts):
        begin = doubts[number - 1][1] if number else 0
        end = doubts[number + 1][0] + 1 if number + 1 < len(doubts) else length
        found = _apart(track, range(begin, before + 1), range(after, end), differences)
        if found and float(np.mean(found)) > threshold:
            cuts.add(_parting(track, before, after))
    sampled = sorted({sample for sample, _ in track.vectors})
    for before, after in pairwise(sampled):
        if cuts & set(range(before + 1, after + 1)):
            continue
        found = _apart(track, range(before, before + 1), range(after, after + 1), differences)
        if len(found) == len(KINDS) and min(found) > threshold:
            cuts.add(_parting(track, before, after))
    edges = [0, *sorted(cuts), length]
    return [range(first, end) for first, end in pairwise(edges)]


def _closed(doubt: tuple[int, int]) -> tuple[int, int]:
    return doubt[0], doubt[1] + 1


def _sampled(track: Followed, samples: range) -> Iterator[int]:
    return (sample for sample, _ in track.vectors if sample in samples)


def _apart(track: Followed, one: range, other: range, differences: Differences) -> list[float]:
    """By kind, how much the mean vectors of two stretches differ, where both have any."""
    found = []
    for kind in KINDS:
        sides = [mean_vector([v for (at, of), v in track.vectors.items() if of == kind and at in side])
                 for side in (one, other)]  # fmt: skip
        if sides[0] is not None and sides[1] is not None:
            found.append(float(differences(sides[0][None], sides[1][None])[0, 0]))
    return found


def mean_vector(vectors: list[np.ndarray]) -> np.ndarray | None:
    """The mean of vectors brought to unit length; None of none."""
    whole = [vector / np.linalg.norm(vector) for vector in vectors if np.isfinite(vector).all() and vector.any()]
    return np.mean(whole, axis=0).astype(np.float32) if whole else None


def _parting(track: Followed, before: int, after: int) -> int:
    """The first sample after the step from `before` to `after` over which the boxes overlap least."""
    boxes = [it.box for it in track.linked.found]
    return min(range(before + 1, after + 1), key=lambda sample: iou(boxes[sample - 1], boxes[sample]))


def rows_of(episode: str, track: Followed, stretches: list[range]) -> Iterator[dict[str, Any]]:
    """Rows of `tracks`, without the weights, for the persons of a track. Each lasts halfway to the looks before and
    after its samples, or to the ends of its shot."""
    for stretch in stretches:
        first, last = track.looks[stretch[0]], track.looks[stretch[-1]]
        found = [track.linked.found[sample] for sample in stretch]
        scores = [round(it.score, SCORE_DECIMALS) for it in found]
        yield {
            "track_id": track_id(episode, first.pts_s, found[0].box, track.size_px),
            "episode": episode,
            "shot": track.shot,
            "start_s": first.since_s,
            "end_s": last.until_s,
            "width_px": track.size_px[0],
            "height_px": track.size_px[1],
            "score": float(np.mean(scores)),
            "max_score": max(scores),
            "samples": [_sample(track, sample) for sample in stretch],
            "vectors": [
                {"sample": sample - stretch[0], "kind": kind, "embedding": vector}
                for (sample, kind), vector in sorted(track.vectors.items(), key=lambda item: item[0])
                if sample in stretch
            ],
        }


def _sample(track: Followed, sample: int) -> dict[str, Any]:
    look, found = track.looks[sample], track.linked.found[sample]
    return {
        "pts": look.pts,
        "pts_s": look.pts_s,
        "held_until_s": look.held_until_s,
        **_corners(found.box),
        "score": round(found.score, SCORE_DECIMALS),
        "head": _head(found),
        "sharpness": round(track.sharpness[sample], 2),
        "thumb": track.copies[sample].tobytes(),
    }


def _head(found: Found) -> dict[str, float] | None:
    if found.head is None:
        return None
    return {**_corners(found.head), "score": round(found.head_score, SCORE_DECIMALS)}


def _corners(box: Box) -> dict[str, float]:
    return {name: round(side, BOX_DECIMALS) for name, side in zip(SIDES, box, strict=True)}
