"""Held-out images that a trainer has seen all the same: in the training part under another name, or nearly so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.base.ids import still_of

BLOCK_ROWS = 2048  # rows of a side in one matrix product


@dataclass(frozen=True)
class Leak:
    """A held-out image and what it shows again. why: `same file`, `same still`, `near-duplicate`. similarity: cosine
    of a near-duplicate found by embedding, else 1."""

    image_id: str
    train_id: str
    why: str
    similarity: float


@dataclass(frozen=True)
class Embedded:
    """Stills with their vectors, float32 [n, d], rows of length 1."""

    still_ids: Sequence[str]
    vectors: np.ndarray


def leaks(
    train: Mapping[str, str],
    held_out: Mapping[str, str],
    groups: Mapping[str, str] | None = None,
    embedded: Embedded | None = None,
    similarity: float = 0.95,
) -> list[Leak]:
    """One for each held-out image that is known from the training part, sorted by id.

    train, held_out: sha256 of the files by image id. groups: near-duplicate group by still; a still without one is its
    own. Of the stills that have vectors, those whose cosine is above `similarity` count as near-duplicates. A crop is
    judged by its still: what stands beside it is learnt as well.
    """
    groups = groups or {}
    files = {sha256: image_id for image_id, sha256 in sorted(train.items(), reverse=True)}
    by_still = {still_of(image_id): image_id for image_id in sorted(train, reverse=True)}
    by_group = {groups.get(still, still): image_id for still, image_id in sorted(by_still.items(), reverse=True)}
    alike = _near(by_still.keys(), {still_of(image_id) for image_id in held_out}, embedded, similarity)
    found = []
    for image_id, sha256 in sorted(held_out.items()):
        still = still_of(image_id)
        if sha256 in files:
            found.append(Leak(image_id, files[sha256], "same file", 1.0))
        elif still in by_still:
            found.append(Leak(image_id, by_still[still], "same still", 1.0))
        elif (group := groups.get(still, still)) in by_group:
            found.append(Leak(image_id, by_group[group], "near-duplicate", 1.0))
        elif still in alike:
            other, cosine = alike[still]
            found.append(Leak(image_id, by_still[other], "near-duplicate", cosine))
    return found


def _near(
    train: Collection[str], held_out: Collection[str], embedded: Embedded | None, similarity: float
) -> dict[str, tuple[str, float]]:
    """The nearest training still of each held-out one that has any above `similarity`, with the cosine."""
    if embedded is None:
        return {}
    ids = np.array(list(embedded.still_ids), dtype=object)
    ours = np.array([still in train for still in ids], dtype=bool)
    theirs = np.array([still in held_out for still in ids], dtype=bool) & ~ours
    cosine, place = nearest(embedded.vectors[theirs], embedded.vectors[ours])
    return {
        str(still): (str(ids[ours][other]), float(near))
        for still, other, near in zip(ids[theirs], place, cosine, strict=True)
        if near > similarity
    }


def nearest(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest cosine of each row [n, d] to the others [m, d], float32 [n], and where that one is, int64 [n]; -1
    and 0 where there are no others. Block by block, so that memory does not grow with n times m."""
    best, place = np.full(len(rows), -1.0, np.float32), np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK_ROWS):
        here = slice(start, start + BLOCK_ROWS)
        for first in range(0, len(others), BLOCK_ROWS):
            cosine = rows[here] @ others[first : first + BLOCK_ROWS].T
            at = cosine.argmax(axis=1)
            value = cosine[np.arange(len(at)), at]
            better = value > best[here]
            best[here] = np.where(better, value, best[here])
            place[here] = np.where(better, first + at, place[here])
    return best, place
