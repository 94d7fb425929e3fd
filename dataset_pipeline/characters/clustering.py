"""Grouping crops of people by the differences a model sees between them."""

from __future__ import annotations

import numpy as np

SAME_SHARE = 0.85  # two clusters are one character if so many of their pairs are within the threshold


def cluster(differences: np.ndarray, threshold: float, min_size: int) -> np.ndarray:
    """Labels int64 [n]: 0.. in order of first member, -1 for noise. differences: [n, n], 0 = the same.

    Average linkage cut at `threshold`: a cluster's crops differ by at most so much in the mean. Unlike density
    clustering it does not chain one character to the next over a few crops in between. Then clusters of which
    SAME_SHARE of all pairs are within the threshold are merged, most alike first, until none are left, since one
    character in two outfits is otherwise two. Clusters under `min_size` are noise.
    """
    n = len(differences)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    return _numbered(_merged(_linked(differences, threshold), differences <= threshold), min_size)


def _linked(differences: np.ndarray, threshold: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(differences) == 1:
        return np.zeros(1, dtype=np.int64)
    symmetric = (differences + differences.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    tree = linkage(squareform(symmetric, checks=False), method="average")
    return fcluster(tree, t=threshold, criterion="distance").astype(np.int64) - 1


def _merged(labels: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Labels after merging; same: bool [n, n], whether a pair is within the threshold.

    A merged cluster is never more alike to a third than the more alike of its two parts was. So what a cluster knows
    of its most alike partner stays an upper bound, and it looks again only when that bound is the highest of all.
    """
    pairs, sizes = _same_pairs(labels, same)
    parent = np.arange(len(sizes))
    found = [_most_alike(pairs, sizes, row) for row in range(len(sizes))]
    partner = np.array([other for other, _ in found])
    bound = np.array([share for _, share in found])
    outdated = np.zeros(len(sizes), dtype=bool)
    while True:
        one = int(bound.argmax())
        if bound[one] < SAME_SHARE:
            return parent[labels]
        if not outdated[one]:
            other = int(partner[one])
            pairs[one] += pairs[other]
            pairs[:, one] += pairs[:, other]
            sizes[one] += sizes[other]
            pairs[other], pairs[:, other], bound[other] = 0.0, 0.0, -1.0
            parent[parent == other] = one
            outdated |= (partner == one) | (partner == other)
        partner[one], bound[one] = _most_alike(pairs, sizes, one)
        outdated[one] = False


def _same_pairs(labels: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs between two clusters are the same, float64 [clusters, clusters], and the sizes of the clusters."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    rows = np.add.reduceat(same[order], starts, axis=0, dtype=np.int32)
    return np.add.reduceat(rows[:, order], starts, axis=1).astype(np.float64), sizes.astype(np.float64)


def _most_alike(pairs: np.ndarray, sizes: np.ndarray, row: int) -> tuple[int, float]:
    """The first of the clusters that share most of their pairs with the cluster `row`, and that share of the pairs."""
    share = pairs[row] / (sizes[row] * sizes)
    share[row] = -1.0
    other = int(share.argmax())
    return other, float(share[other])


def _numbered(labels: np.ndarray, min_size: int) -> np.ndarray:
    numbered = np.full(len(labels), -1, dtype=np.int64)
    known: dict[int, int] = {}
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for i, label in enumerate(inverse):
        if counts[label] >= min_size:
            numbered[i] = known.setdefault(int(label), len(known))
    return numbered
