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
    """Labels after merging; same: bool [n, n], whether a pair is within the threshold."""
    clusters = int(labels.max()) + 1
    member = np.zeros((len(labels), clusters), dtype=np.float32)
    member[np.arange(len(labels)), labels] = 1.0
    pairs = (member.T @ same.astype(np.float32) @ member).astype(np.float64)  # number of same pairs
    sizes = member.sum(axis=0, dtype=np.float64)
    parent = np.arange(clusters)
    while True:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = pairs / np.outer(sizes, sizes)
        share[~np.isfinite(share)] = -1.0
        np.fill_diagonal(share, -1.0)
        one, other = np.unravel_index(int(np.argmax(share)), share.shape)
        if share[one, other] < SAME_SHARE:
            return parent[labels]
        pairs[one] += pairs[other]
        pairs[:, one] += pairs[:, other]
        sizes[one] += sizes[other]
        pairs[other], pairs[:, other], sizes[other] = 0.0, 0.0, 0.0
        parent[parent == other] = one


def _numbered(labels: np.ndarray, min_size: int) -> np.ndarray:
    numbered = np.full(len(labels), -1, dtype=np.int64)
    known: dict[int, int] = {}
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for i, label in enumerate(inverse):
        if counts[label] >= min_size:
            numbered[i] = known.setdefault(int(label), len(known))
    return numbered
