"""The character gallery: exemplars of each character of a show, and recognising people by them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.characters.appearances import Appearances, Crop, appearances_of, box_of
from dataset_pipeline.characters.clustering import CLEAR_SHARE, cluster
from dataset_pipeline.characters.identities import (
    EXEMPLARS_LOGGED,
    Comparison,
    DifferencesTo,
    Group,
    ids_from_log,
    match_groups,
    nearest_mean,
)
from dataset_pipeline.settings import CharacterGallerySettings
from dataset_pipeline.store.identity_log import IdentityLog

ROUND_EXEMPLARS = 12  # exemplars of a character while many appearances are clustered in rounds
MAX_COMPARED = 6000  # appearances compared all with all; more would not fit into memory

Differences = Callable[[np.ndarray], np.ndarray]


def build_gallery(
    show: str,
    appearances: Appearances,
    differences: Differences,
    threshold: float,
    settings: CharacterGallerySettings,
    log: IdentityLog | None = None,
    model_sha256: str = "",
) -> list[dict]:
    """Rows of `character_gallery` of one show, by character.

    appearances: of the show, made by the weights `model_sha256`. differences: of [m, d] gives [m, m]. threshold: the
    model's own, used where settings.max_difference is 0. Characters that the log knows keep their id, others are minted
    into it; without a log all are new. The id is the name until somebody names a character.
    """
    limit = settings.max_difference or threshold
    comparison = Comparison(model_sha256, limit, lambda these, those: _between(these, those, differences))
    clustering = _Clustering(appearances, differences, limit, settings)
    groups = []
    for members, matrix in _characters(clustering):
        exemplars = [members[i] for i in exemplars_of(matrix, limit, max(settings.exemplars, EXEMPLARS_LOGGED))]
        groups.append(
            Group(
                show,
                tuple(sorted(crop for i in members for crop in appearances.crops[i])),
                tuple(appearances.crops[i][0] for i in exemplars),
                appearances.vectors[exemplars],
            )
        )
    groups.sort(key=lambda group: group.crops)
    characters = ids_from_log(groups, log, show, comparison) if log else match_groups(groups, (), comparison).characters
    rows = [
        _gallery_row(character, group, settings.exemplars) for character, group in zip(characters, groups, strict=True)
    ]
    return sorted(rows, key=lambda row: row["character"])


def _gallery_row(character: str, group: Group, exemplars: int) -> dict:
    return {
        "character": character,
        "show": group.show,
        "name": character,
        "exemplar_ids": list(group.exemplar_ids[:exemplars]),
        "exemplars": group.exemplars[:exemplars].tolist(),
        "crops": len(group.crops),
        "episodes": sorted({episode_of(crop) for crop in group.crops}),
    }


def _between(these: np.ndarray, those: np.ndarray, differences: Differences) -> np.ndarray:
    """The differences of [n, d] to [m, d]: [n, m]."""
    return differences(np.concatenate([these, those]))[: len(these), len(these) :]


def galleries_by_show(gallery: pa.Table) -> dict[str, list[dict]]:
    """The characters of each show: their columns character, name and exemplars, these float32 [k, d]."""
    exemplars = gallery["exemplars"].combine_chunks()
    rows: dict[str, list[dict]] = defaultdict(list)
    for i, row in enumerate(gallery.select(["character", "show", "name"]).to_pylist()):
        vectors = exemplars[i].values
        matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
        rows[row["show"]].append({"character": row["character"], "name": row["name"], "exemplars": matrix})
    return dict(rows)


@dataclass(frozen=True)
class _Clustering:
    """How appearances are clustered; they are named by their numbers."""

    appearances: Appearances
    differences: Differences
    limit: float
    settings: CharacterGallerySettings

    def among(self, numbers: Sequence[int]) -> np.ndarray:
        """The differences [n, n] among these."""
        return self.differences(self.appearances.vectors[numbers])

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
        )


def _characters(by: _Clustering) -> Iterator[tuple[list[int], np.ndarray]]:
    """Members of each character with the differences among (the first MAX_COMPARED of) them."""
    everyone = list(range(len(by.appearances)))
    if len(everyone) > MAX_COMPARED:
        for members in _characters_of_many(everyone, by):
            yield members, by.among(members[:MAX_COMPARED])
        return
    matrix = by.among(everyone)
    labels = by.labels(everyone, matrix)
    for label in range(labels.max(initial=-1) + 1):
        where = np.flatnonzero(labels == label)
        yield where.tolist(), matrix[np.ix_(where, where)]


def _characters_of_many(everyone: list[int], by: _Clustering) -> list[list[int]]:
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


def _join_nearest(found: list[list[int]], rest: list[int], by: _Clustering) -> list[int]:
    """Add each of `rest` to the nearest of the found characters within the limit; returns those near none."""
    exemplars = [[members[i] for i in exemplars_of(by.among(members), by.limit, ROUND_EXEMPLARS)] for members in found]
    known = [i for group in exemplars for i in group]
    owner = np.repeat(np.arange(len(found)), [len(group) for group in exemplars])
    step = max(1, MAX_COMPARED - len(known))
    strangers = []
    for start in range(0, len(rest), step):
        chunk = rest[start : start + step]
        matrix = by.among(known + chunk)[len(known) :, : len(known)]
        means = np.stack([nearest_mean(matrix[:, owner == label]) for label in range(len(found))], axis=1)
        for i, crop in enumerate(chunk):
            label = int(means[i].argmin())
            (found[label] if means[i, label] <= by.limit else strangers).append(crop)
    return strangers


def exemplars_of(differences: np.ndarray, limit: float, count: int) -> list[int]:
    """Row numbers: the medoid, then always the member farthest from those chosen, so that every look of a character is
    there. Members within the limit of less than half of the others are passed over: they may be somebody else.
    differences: [n, n] among one character's crops."""
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


def character_differences(
    embeddings: np.ndarray, gallery: Sequence[Mapping[str, Any]], differences_to: DifferencesTo
) -> tuple[list[str], np.ndarray]:
    """The characters' ids, sorted, and the difference of each crop to each: [n, characters].
    differences_to: of [n, d] and [m, d] gives [n, m]."""
    rows = sorted(gallery, key=lambda row: row["character"])
    characters = [row["character"] for row in rows]
    table = np.full((len(embeddings), len(rows)), np.inf)
    if not rows or len(embeddings) == 0:
        return characters, table
    exemplars = np.concatenate([np.asarray(row["exemplars"], dtype=np.float32) for row in rows])
    matrix = np.asarray(differences_to(np.asarray(embeddings, dtype=np.float32), exemplars), dtype=np.float64)
    start = 0
    for column, row in enumerate(rows):
        end = start + len(row["exemplars"])
        table[:, column] = nearest_mean(matrix[:, start:end])
        start = end
    return characters, table


def decide_clusters(
    stills: Iterable[str],
    crops: Iterable[Crop],
    embeddings: Mapping[str, np.ndarray],
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
) -> list[dict]:
    """Rows of `clusters` for the stills and kept crops of episodes of one show.

    stills: their image ids. crops: rows of `crops`. embeddings: of the crops that have one. gallery: the rows of that
    show. All crops of an appearance show its character. A crop of no appearance shows that of the smallest measured
    crop around its centre, and a still those of its crops. Two appearances on one still are not one character, see
    `_one_each`.
    """
    kept = sorted((crop for crop in crops if crop["kept"]), key=lambda crop: crop["image_id"])
    found = _recognise(appearances_of(kept, embeddings), gallery, differences_to, max_difference)
    measured: dict[str, list[Crop]] = defaultdict(list)
    for crop in kept:
        if crop["image_id"] in found:
            measured[crop["still_id"]].append(crop)
    shown: dict[str, set[str]] = {still: set() for still in stills}
    rows = []
    for crop in kept:
        around = crop if crop["image_id"] in found else _smallest_around(crop, measured.get(crop["still_id"], ()))
        character, difference = found[around["image_id"]] if around else _Recognised(None, None)
        characters = [character] if character else []
        shown.setdefault(crop["still_id"], set()).update(characters)
        rows.append(_row(crop["image_id"], crop["still_id"], crop["kind"], characters, difference))
    rows += [_row(still, still, "still", sorted(characters), None) for still, characters in shown.items()]
    return sorted(rows, key=lambda row: row["image_id"])


class _Recognised(NamedTuple):
    """character: id, None if none is within the limit. difference: to the nearest character, None if there is none."""

    character: str | None
    difference: float | None


def _recognise(
    appearances: Appearances,
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
) -> dict[str, _Recognised]:
    """Who each crop of the appearances shows, by image id."""
    characters, table = character_differences(appearances.vectors, gallery, differences_to)
    found = {}
    for i, column in enumerate(_one_each(table, appearances, max_difference)):
        who = _Recognised(None if column is None else characters[column], float(table[i].min()) if characters else None)
        found |= dict.fromkeys(appearances.crops[i], who)
    return found


def _row(image_id: str, still_id: str, kind: str, characters: list[str], difference: float | None) -> dict:
    return {
        "image_id": image_id,
        "still_id": still_id,
        "kind": kind,
        "characters": characters,
        "difference": difference,
    }


def _one_each(table: np.ndarray, appearances: Appearances, max_difference: float) -> list[int | None]:
    """Column of the character of each appearance, or None. table: [appearances, characters].

    A person is not in two places: the nearest appearance takes a character first, and its rivals take their next best
    one within the limit. Exempt is who is so near that there is no doubt (mirrors, split screens).
    """
    rivals: dict[int, list[int]] = defaultdict(list)
    for one, other in appearances.rivals.tolist():
        rivals[one].append(other)
        rivals[other].append(one)
    given: list[int | None] = [None] * len(appearances)
    nearest = table.argmin(axis=1) if table.size else ()
    rows, columns = np.nonzero(table <= max_difference)
    for at in np.lexsort((columns, rows, table[rows, columns])):
        i, column = int(rows[at]), int(columns[at])
        if given[i] is not None:
            continue
        beyond_doubt = table[i, column] <= CLEAR_SHARE * max_difference and nearest[i] == column
        if beyond_doubt or all(given[rival] != column for rival in rivals[i]):
            given[i] = column
    return given


def _smallest_around(crop: Crop, candidates: Sequence[Crop]) -> Crop | None:
    x, y = crop["x_px"] + crop["width_px"] / 2, crop["y_px"] + crop["height_px"] / 2

    def is_around(other: Crop) -> bool:
        x0, y0, x1, y1 = box_of(other)
        return x0 <= x < x1 and y0 <= y < y1

    around = filter(is_around, candidates)
    return min(around, key=lambda other: (other["width_px"] * other["height_px"], other["image_id"]), default=None)
