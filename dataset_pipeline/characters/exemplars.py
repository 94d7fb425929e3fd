"""Which of its members a group is recognised by, and how long they stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

NEAREST = 3  # a member is compared with this many of a group's nearest exemplars
SERVE_TOLERANCE = 0.02  # of the members: so many fewer than by new exemplars may be recognised by the old ones

DifferencesTo = Callable[[np.ndarray, np.ndarray], np.ndarray]


def exemplars_of(differences: np.ndarray, limit: float, count: int) -> list[int]:
    """Row numbers: the medoid, then always the member farthest from those chosen, so that every look of a group is
    there. Members within the limit of less than half of the others are passed over: they may be somebody else.
    differences: [n, n] among one group's members."""
    medoid = int(differences.mean(axis=1).argmin())
    doubtful = (differences <= limit).mean(axis=1) < 0.5
    chosen = [medoid]
    distance = differences[:, medoid].astype(np.float64)
    while len(chosen) < count:
        distance[doubtful] = -1.0
        distance[chosen] = -1.0
        farthest = int(distance.argmax())
        if distance[farthest] < 0:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, differences[:, farthest])
    return chosen


def nearest_mean(matrix: np.ndarray) -> np.ndarray:
    """Mean of the NEAREST smallest values of each row, so that one odd exemplar decides nothing."""
    several = min(NEAREST, matrix.shape[1])
    return np.partition(matrix, several - 1, axis=1)[:, :several].mean(axis=1)


def nearest_of(vectors: np.ndarray, groups: Sequence[np.ndarray], differences_to: DifferencesTo) -> np.ndarray:
    """How far each vector [n, d] is from the exemplars [k, d] of each group: [n, groups], in one comparison."""
    if not groups or not len(vectors):
        return np.full((len(vectors), len(groups)), np.inf)
    matrix = np.asarray(differences_to(vectors, np.concatenate(groups)), np.float64)
    ends = np.cumsum([len(group) for group in groups])
    return np.stack([nearest_mean(part) for part in np.split(matrix, ends[:-1], axis=1)], axis=1)


def still_serve(
    vectors: np.ndarray,
    old: Sequence[np.ndarray],
    new: Sequence[np.ndarray],
    limit: float,
    differences_to: DifferencesTo,
) -> bool:
    """Whether the members [n, d] are recognised within `limit` by the exemplars of the old groups as by the new ones,
    but for SERVE_TOLERANCE of them. Exemplars that still serve stay, so that more of the same changes no table."""
    found = nearest_of(vectors, [*old, *new], differences_to) <= limit
    by_old, by_new = found[:, : len(old)].any(axis=1), found[:, len(old) :].any(axis=1)
    return bool(by_old.mean() >= by_new.mean() - SERVE_TOLERANCE)
