"""Grouping appearances of people by the differences a model sees between them."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.settings import ClusteringMethod

SAME_SHARE = 0.85  # two clusters are one character if so many of their pairs are within the threshold
CLEAR_SHARE = 0.5  # a difference below this share of the threshold is beyond doubt
VOTE = 1.0  # thresholds by which clusters lie farther apart if all of one stand beside the other
FEW = 10  # members without a rival added to the smaller cluster: few rivals, as in one mirror, say little


def cluster(
    differences: np.ndarray,
    threshold: float,
    min_size: int,
    rivals: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    method: ClusteringMethod = "average",
    merge: bool = True,
) -> np.ndarray:
    """Labels int64 [n]: 0.. in order of first member, -1 for noise. differences: [n, n], 0 = the same.

    average: average linkage cut at `threshold`: a cluster's members differ by at most so much in the mean. Unlike
    density clustering it does not chain one character to the next over a few members in between. Then clusters of which
    SAME_SHARE of all pairs are within the threshold are merged, most alike first, until none are left, since one
    character in two outfits is otherwise two. merge: False leaves that out.

    rivals: int64 [k, 2], members that stand beside one another, so most likely two people. They keep clusters apart as
    votes, not as walls: by the share of the smaller cluster, and FEW, that stands beside the other one.
    Rivals that are alike beyond doubt, as in a mirror, have no vote.

    optics, hdbscan: those of scikit-learn on the same differences, without votes. weights: int [n], what each member
    counts for, by default 1. Clusters that count for less than `min_size` are noise.
    """
    n = len(differences)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    if method == "average":
        rivals = np.zeros((0, 2), np.int64) if rivals is None else rivals
        labels = _by_average_linkage(differences, threshold, rivals, merge)
    else:
        labels = _by_density(differences, max(2, min_size), method)
    return _numbered(labels, np.ones(n) if weights is None else weights, min_size)


def _by_average_linkage(differences: np.ndarray, threshold: float, rivals: np.ndarray, merge: bool) -> np.ndarray:
    doubtful = rivals[differences[rivals[:, 0], rivals[:, 1]] > CLEAR_SHARE * threshold]
    if len(doubtful):
        labels = _linked(differences, CLEAR_SHARE * threshold)
        labels = _joined(labels, differences, threshold, doubtful, VOTE * threshold)
    else:
        labels = _linked(differences, threshold)
    return labels if not merge else _joined(labels, differences > threshold, 1 - SAME_SHARE, doubtful, VOTE)


def _linked(differences: np.ndarray, threshold: float) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(differences) == 1:
        return np.zeros(1, dtype=np.int64)
    symmetric = (differences + differences.T) / 2
    np.fill_diagonal(symmetric, 0.0)
    tree = linkage(squareform(symmetric, checks=False), method="average")
    return fcluster(tree, t=threshold, criterion="distance").astype(np.int64) - 1


def _joined(labels: np.ndarray, of_pairs: np.ndarray, limit: float, rivals: np.ndarray, vote: float) -> np.ndarray:
    """Labels after joining the two nearest clusters again and again, as long as they are within `limit`.

    of_pairs: [n, n]. How far two clusters are apart is the mean over their pairs, and `vote` times the share of the
    smaller one, and FEW, that stands beside the other. Each cluster remembers its nearest, so a join looks anew at few.
    """
    _, labels = np.unique(labels, return_inverse=True)
    sums, sizes = _sums(labels, of_pairs)
    beside = np.zeros(sums.shape)
    ends = labels[rivals]
    for one, other in (ends.T, ends.T[::-1]):
        np.add.at(beside, (one, other), 1.0)
    apart = sums / np.outer(sizes, sizes) + vote * np.minimum(1, beside / (FEW + np.minimum.outer(sizes, sizes)))
    np.fill_diagonal(apart, np.inf)
    parent, nearest, least = np.arange(len(sizes)), apart.argmin(axis=1), apart.min(axis=1)
    while True:
        one = int(least.argmin())
        if not least[one] <= limit + 1e-9:
            return parent[labels]
        other = int(nearest[one])
        for table in (sums, beside):
            table[one] += table[other]
            table[:, one] += table[:, other]
        sizes[one] += sizes[other]
        parent[parent == other] = one
        gone = np.isinf(apart[one])
        row = sums[one] / (sizes[one] * sizes) + vote * np.minimum(
            1, beside[one] / (FEW + np.minimum(sizes[one], sizes))
        )
        row[gone], row[other] = np.inf, np.inf
        apart[one], apart[:, one] = row, row
        apart[other], apart[:, other] = np.inf, np.inf
        nearer = (row < least) | ((row == least) & (one < nearest))
        nearest[nearer], least[nearer] = one, row[nearer]
        again = np.flatnonzero(((nearest == one) | (nearest == other)) & ~nearer)
        again = np.union1d(again, [one])
        nearest[again], least[again] = apart[again].argmin(axis=1), apart[again].min(axis=1)
        least[other] = np.inf


def _sums(labels: np.ndarray, of_pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums over the pairs of two clusters, float64 [clusters, clusters], and the sizes of the clusters."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    rows = np.add.reduceat(of_pairs[order], starts, axis=0, dtype=np.float64)
    return np.add.reduceat(rows[:, order], starts, axis=1), sizes.astype(np.float64)


def _by_density(differences: np.ndarray, min_size: int, method: ClusteringMethod) -> np.ndarray:
    from sklearn.cluster import HDBSCAN, OPTICS

    symmetric = np.maximum((differences + differences.T) / 2, 0).astype(np.float64)
    np.fill_diagonal(symmetric, 0.0)
    if len(symmetric) < min_size:
        return np.full(len(symmetric), -1, np.int64)
    by = (
        OPTICS(min_samples=min_size, metric="precomputed")
        if method == "optics"
        else HDBSCAN(min_cluster_size=min_size, metric="precomputed", allow_single_cluster=True, copy=True)  # pyright: ignore[reportArgumentType]
    )
    return by.fit_predict(symmetric).astype(np.int64)


def _numbered(labels: np.ndarray, weights: np.ndarray, min_size: int) -> np.ndarray:
    numbered = np.full(len(labels), -1, dtype=np.int64)
    known: dict[int, int] = {}
    _, inverse = np.unique(labels, return_inverse=True)
    counts = np.bincount(inverse, weights=weights)
    for i, label in enumerate(inverse):
        if labels[i] >= 0 and counts[label] >= min_size:
            numbered[i] = known.setdefault(int(label), len(known))
    return numbered
