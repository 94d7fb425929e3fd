"""Which appearances of a show are one character: those of one name, and those that are found to be alike."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.characters.exemplars import exemplars_of, nearest_of
from dataset_pipeline.characters.identities import Comparison
from dataset_pipeline.settings import CharacterGallerySettings

ROUND_EXEMPLARS = 12  # exemplars of a character while many appearances are clustered in rounds
MAX_COMPARED = 6000  # appearances compared all with all; more would not fit into memory


@dataclass(frozen=True)
class Clustering:
    """How appearances are clustered; they are named by their numbers."""

    appearances: Appearances
    comparison: Comparison
    settings: CharacterGallerySettings

    @property
    def limit(self) -> float:
        return self.comparison.limit

    def among(self, numbers: Sequence[int]) -> np.ndarray:
        """The differences [n, n] among these."""
        vectors = self.appearances.vectors[numbers]
        return self.comparison.differences_to(vectors, vectors)

    def weights(self, numbers: Sequence[int]) -> np.ndarray:
        """On how many stills each is seen."""
        return np.array([len(self.appearances.stills[i]) for i in numbers], np.int64)

    def labels(self, numbers: Sequence[int], matrix: np.ndarray) -> np.ndarray:
        """As `cluster` gives them. numbers: ascending."""
        place = np.full(len(self.appearances), -1, np.int64)
        place[numbers] = np.arange(len(numbers))
        rivals = place[self.appearances.rivals]
        return cluster(
            matrix,
            self.limit,
            self.settings.min_crops,
            rivals[(rivals >= 0).all(axis=1)],
            self.weights(numbers),
            self.settings.method,
        )


def named_and_found(by: Clustering, names: Sequence[str]) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """Name, members, and the differences among (the first MAX_COMPARED of) them, of everybody who bears a name and of
    each character among the others."""
    bearers: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        bearers[name].append(i)
    for name in sorted(bearers.keys() - {""}):
        yield name, bearers[name], by.among(bearers[name][:MAX_COMPARED])
    for members, matrix in _characters(by, bearers[""]):
        yield "", members, matrix


def _characters(by: Clustering, everyone: list[int]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Members of each character among these, with the differences among (the first MAX_COMPARED of) them."""
    if len(everyone) > MAX_COMPARED:
        for members in _characters_of_many(everyone, by):
            yield members, by.among(members[:MAX_COMPARED])
        return
    matrix = by.among(everyone)
    labels = by.labels(everyone, matrix)
    for label in range(labels.max(initial=-1) + 1):
        where = np.flatnonzero(labels == label)
        yield [everyone[i] for i in where], matrix[np.ix_(where, where)]


def _characters_of_many(everyone: list[int], by: Clustering) -> list[list[int]]:
    """Members of each character, for more appearances than can be compared all with all.

    In rounds: a sample drawn by the hash of the ids shows the frequent characters, and all that is near one joins it.
    What is left goes to the next round, the sample's noise behind it. The rounds end when all that is left was sampled
    and gave no character.
    """
    characters: list[list[int]] = []
    ids = by.appearances.ids
    left = sorted(everyone, key=lambda i: hashlib.sha256(ids[i].encode()).digest())
    sampled_in_vain = 0
    while by.weights(left).sum() >= by.settings.min_crops and sampled_in_vain < len(left):
        sample, rest = sorted(left[:MAX_COMPARED]), left[MAX_COMPARED:]
        labels = by.labels(sample, by.among(sample))
        found = [[sample[i] for i in np.flatnonzero(labels == label)] for label in range(labels.max() + 1)]
        noise = [sample[i] for i in np.flatnonzero(labels == -1)]
        sampled_in_vain = 0 if found else sampled_in_vain + len(sample)
        if rest and found:
            rest = _join_nearest(found, rest, by)
        characters += found
        left = rest + noise if rest else []
    return characters


def _join_nearest(found: list[list[int]], rest: list[int], by: Clustering) -> list[int]:
    """Add each of `rest` to the nearest of the found characters within the limit; returns those near none."""
    vectors = by.appearances.vectors
    exemplars = [
        vectors[[members[i] for i in exemplars_of(by.among(members), by.limit, ROUND_EXEMPLARS)]] for members in found
    ]
    strangers = []
    for start in range(0, len(rest), MAX_COMPARED):
        chunk = rest[start : start + MAX_COMPARED]
        means = nearest_of(vectors[chunk], exemplars, by.comparison.differences_to)
        for i, crop in enumerate(chunk):
            label = int(means[i].argmin())
            (found[label] if means[i, label] <= by.limit else strangers).append(crop)
    return strangers
