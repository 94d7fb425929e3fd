"""Which sequences are held out for validation: of shots of which nothing is trained on, nor what looks like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dataset_pipeline.super_resolution.sequences import FrameRun, spread
from dataset_pipeline.super_resolution.signature_fit import SIGNATURE
from dataset_pipeline.super_resolution.signatures import as_vectors
from dataset_pipeline.super_resolution.validation import validation_picks

LOOKS, LOOKS_OF_SHOT = 3, 5  # frames by which a sequence, and a shot with all of its sequences, is compared
BLOCK_ROWS = 1024  # looks that are compared with all others at once


@dataclass(frozen=True)
class Parts:
    """The sequences of a set by their part, each in the order given. beside: those in neither, as they are of a shot
    that is held out, or of one that looks like it."""

    trained: list[FrameRun]
    held_out: list[FrameRun]
    beside: list[FrameRun]


def parted(
    runs: Sequence[FrameRun], looks: Mapping[FrameRun, np.ndarray], count: int, most_alike: float = 1.0
) -> Parts:
    """Up to `count` sequences held out, one of each shot, where few others have to be left out for them; among those as
    unlike one another as may be. Something is left to train on, so there may be fewer.

    looks: small copies in grey of a sequence's frames, as `looks_of` takes them. Shots alike are those of which a copy
    has a cosine above `most_alike` with one of the other, and those that are so through others: a conversation that is
    shown from two sides, an opening of every episode.
    """
    groups = sorted(_groups(runs, looks, most_alike), key=len) if count else []
    count = min(count, len(groups) - 1)
    if count < 1:
        return Parts(list(runs), [], [])
    smallest = [its for its in groups if len(its) <= len(groups[count - 1])]
    middles = [its[len(its) // 2] for its in smallest]
    vectors = as_vectors([looks[it][len(looks[it]) // 2].tobytes() for it in middles])
    picks = validation_picks(vectors, vectors[:0], count, most_alike)
    held = {middles[at] for at in picks}
    apart = {it for at in picks for it in smallest[at]}
    return Parts(
        [it for it in runs if it not in apart],
        [it for it in runs if it in held],
        [it for it in runs if it in apart and it not in held],
    )


def looks_of(run: FrameRun, copies: np.ndarray, bars: Sequence[float] = (0, 0, 0, 0)) -> np.ndarray:
    """uint8 [LOOKS, values]: copies of a few frames of a sequence, without the bars, by which all would be alike.

    copies: uint8 [frames, values] of all frames of its episode, as `signatures_of` gives them. bars: left, top, right
    and bottom, as shares of the width and the height.
    """
    rows, columns = SIGNATURE
    left, top, right, bottom = (
        min(ceil(share * cells), cells // 2 - 1) for share, cells in zip(bars, (columns, rows) * 2, strict=True)
    )
    inner = copies[list(spread(run.frames, LOOKS))].reshape(-1, rows, columns)
    inner = inner[:, top : rows - bottom, left : columns - right]
    return np.stack([cv2.resize(it, (columns, rows), interpolation=cv2.INTER_LINEAR).ravel() for it in inner])


def _groups(runs: Sequence[FrameRun], looks: Mapping[FrameRun, np.ndarray], most_alike: float) -> list[list[FrameRun]]:
    """The sequences of shots that are alike, together; groups and sequences in the order given."""
    by_shot: dict[tuple[str, int], list[FrameRun]] = {}
    for run in runs:
        by_shot.setdefault((run.episode, run.shot), []).append(run)
    of_shots = [np.concatenate([looks[it] for it in its]) for its in by_shot.values()]
    copies = [its[list(spread(range(len(its)), LOOKS_OF_SHOT))] for its in of_shots]
    owners = np.repeat(np.arange(len(copies)), [len(its) for its in copies])
    labels = _labels(as_vectors([copy.tobytes() for its in copies for copy in its]), owners, most_alike)
    groups: dict[int, list[FrameRun]] = {}
    for label, its in zip(labels.tolist(), by_shot.values(), strict=True):
        groups.setdefault(label, []).extend(its)
    return list(groups.values())


def _labels(vectors: np.ndarray, owners: np.ndarray, most_alike: float) -> np.ndarray:
    """int [owners]: equal for owners that are alike, or alike through others. vectors: float32 of length 1."""
    pairs = [np.zeros((2, 0), np.int64)]
    for first in range(0, len(vectors), BLOCK_ROWS):
        rows, columns = np.nonzero(vectors[first : first + BLOCK_ROWS] @ vectors[first:].T > most_alike)
        pairs.append(np.unique(owners[np.stack([rows, columns]) + first], axis=1))
    one, other = np.concatenate(pairs, axis=1)
    count = int(owners[-1]) + 1 if len(owners) else 0
    return connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(count, count)), directed=False)[1]
