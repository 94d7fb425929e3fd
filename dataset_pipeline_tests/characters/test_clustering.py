from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.characters import clustering
from dataset_pipeline.characters.clustering import SAME_SHARE, cluster

THRESHOLD = 0.178
NOBODY = np.zeros((0, 2), np.int64)


def differences(embeddings: np.ndarray) -> np.ndarray:
    """Steep about a margin, as learned metrics are: 0.5 at a cosine of 0.4."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return 1 / (1 + np.exp((unit @ unit.T - 0.4) * 12))


def cast(seed: int, people: int = 8, noise: float = 0.08, bridges: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Crops of people in two outfits, of two people at once, and of nobody: embeddings and who it is (-1 nobody)."""
    rng = np.random.default_rng(seed)

    def direction() -> np.ndarray:
        vector = rng.normal(size=64)
        return vector / np.linalg.norm(vector)

    crops, who = [], []
    faces = [direction() for _ in range(people)]
    for person, face in enumerate(faces):
        outfits = [direction(), direction()]
        for _ in range(int(rng.integers(8, 60))):
            crops.append(face + 0.45 * outfits[rng.integers(2)] + 0.55 * rng.uniform(0.6, 1.5) * direction())
            who.append(person)
    for _ in range(int(bridges * len(crops))):
        one, other = rng.choice(people, 2, replace=False)
        crops.append(faces[one] + faces[other] + 0.3 * direction())
        who.append(-1)
    for _ in range(int(noise * len(crops))):
        crops.append(direction())
        who.append(-1)
    return np.array(crops, dtype=np.float32), np.array(who)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in range(labels.max(initial=-1) + 1)}


def pairs_right(labels: np.ndarray, who: np.ndarray) -> tuple[float, float]:
    """(precision, recall) over pairs of crops of people: are those put together one person, is one person together."""
    labels, who = labels[who >= 0], who[who >= 0]
    pairs = np.triu(np.ones((len(who), len(who)), dtype=bool), 1)
    together = (labels[:, None] == labels[None]) & (labels[:, None] >= 0) & pairs
    same = (who[:, None] == who[None]) & pairs
    return (together & same).sum() / together.sum(), (together & same).sum() / same.sum()


@pytest.mark.parametrize("seed", range(4))
def test_people_in_two_outfits_are_found_and_not_chained_by_crops_of_two_at_once(seed: int):
    from scipy.sparse.csgraph import connected_components

    crops, who = cast(seed)
    matrix = differences(crops)
    precision, recall = pairs_right(cluster(matrix, THRESHOLD, 5), who)
    assert precision > 0.98
    assert recall > 0.95
    # What DBSCAN with two crops a core finds: everything that hangs together somehow.
    _, chained = connected_components(matrix <= THRESHOLD)
    assert pairs_right(chained, who)[0] < 0.6


def test_the_order_of_the_crops_changes_no_cluster():
    crops, _ = cast(11)
    matrix = differences(crops)
    expected = partition(cluster(matrix, THRESHOLD, 5))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(crops))
        labels = np.empty(len(crops), dtype=np.int64)
        labels[order] = cluster(matrix[np.ix_(order, order)], THRESHOLD, 5)
        assert partition(labels) == expected


def test_clusters_of_one_person_with_a_few_odd_pairs_are_merged():
    """Two looks of 10 crops: 87 % of the pairs between them are alike, yet the rest pull the mean above the limit."""
    matrix = np.full((20, 20), 0.05)
    between = np.full((10, 10), 0.1)
    between.flat[:13] = 0.95
    matrix[:10, 10:], matrix[10:, :10] = between, between.T
    np.fill_diagonal(matrix, 0)
    assert matrix[:10, 10:].mean() > THRESHOLD
    assert cluster(matrix, THRESHOLD, 5).tolist() == [0] * 20
    between.flat[:16] = 0.95  # 84 %
    matrix[:10, 10:], matrix[10:, :10] = between, between.T
    assert cluster(matrix, THRESHOLD, 5).tolist() == [0] * 10 + [1] * 10


def test_clusters_that_are_too_small_are_noise_and_the_others_are_numbered_by_first_member():
    matrix = np.ones((9, 9))
    for group in ([0], [1, 4, 5], [2, 3, 6, 7], [8]):
        matrix[np.ix_(group, group)] = 0.01
    assert cluster(matrix, THRESHOLD, 3).tolist() == [-1, 0, 1, 1, 0, 0, 1, 1, -1]
    assert cluster(matrix, THRESHOLD, 4).tolist() == [-1, -1, 0, 0, -1, -1, 0, 0, -1]


def test_no_crops_and_one_crop_are_no_trouble():
    assert cluster(np.zeros((0, 0)), THRESHOLD, 5).tolist() == []
    assert cluster(np.zeros((1, 1)), THRESHOLD, 2).tolist() == [-1]


def test_the_differences_that_are_handed_in_are_left_alone():
    matrix = differences(cast(2)[0])
    before = matrix.copy()
    cluster(matrix, THRESHOLD, 5)
    assert (matrix == before).all()


def looks(seed: int, clusters: int, crops: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of crops in many small clusters that are looks of few people, and which pairs of crops are the same."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.arange(clusters), rng.integers(0, clusters, crops - clusters)]))
    people = rng.integers(0, max(2, clusters // 4), clusters)
    alike = np.where(people[:, None] == people, rng.uniform(0.6, 1.0, (clusters, clusters)), 0.3)
    same = rng.uniform(size=(crops, crops)) < alike[labels][:, labels]
    np.fill_diagonal(same, True)
    return labels, same | same.T


def merged_by_the_rule(labels: np.ndarray, same: np.ndarray) -> np.ndarray:
    """All shares of pairs again before each merge: the two most alike clusters, of equal ones the first."""
    labels = labels.copy()
    while True:
        numbers = np.unique(labels)
        share = np.array([[same[labels == one][:, labels == other].mean() for other in numbers] for one in numbers])
        np.fill_diagonal(share, -1)
        one, other = np.unravel_index(share.argmax(), share.shape)
        if share[one, other] < SAME_SHARE:
            return labels
        labels[labels == numbers[other]] = numbers[one]


@pytest.mark.parametrize("seed", range(12))
def test_clusters_merge_as_if_all_pairs_were_compared_before_each_merge(seed: int):
    labels, same = looks(seed, clusters=4 + 2 * seed, crops=60)
    expected = merged_by_the_rule(labels, same)
    assert clustering._joined(labels, ~same, 1 - SAME_SHARE, NOBODY, 1.0).tolist() == expected.tolist()
    assert len(np.unique(expected)) < 4 + 2 * seed


def lookalikes(between: float) -> np.ndarray:
    """Two groups of 20, .02 apart inside, `between` of one another."""
    matrix = np.full((40, 40), 0.02)
    matrix[:20, 20:] = matrix[20:, :20] = between
    np.fill_diagonal(matrix, 0)
    return matrix


@pytest.mark.parametrize(
    ("between", "stills", "found"),
    [(0.12, 0, 1), (0.12, 3, 1), (0.12, 15, 2), (0.08, 15, 1), (0.25, 0, 2)],
    ids=["never together", "in one mirror", "often together", "beyond doubt", "unlike"],
)
def test_those_who_often_stand_beside_one_another_are_two_people(between: float, stills: int, found: int):
    """A vote is stills / (20 + 10) thresholds: 15 stills make .12 of .178 to .209, three make it .138."""
    rivals = np.array([[i, 20 + i] for i in range(stills)], np.int64).reshape(-1, 2)
    assert cluster(lookalikes(between), THRESHOLD, 5, rivals).max() + 1 == found
