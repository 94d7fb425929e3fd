"""The character gallery: exemplars of each character of a show, and recognising crops by them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.characters.clustering import cluster
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

ROUND_EXEMPLARS = 12  # exemplars of a character while many crops are clustered in rounds
MAX_COMPARED = 6000  # crops compared all with all; more would not fit into memory
CLEAR_SHARE = 0.5  # a difference below this share of the limit is beyond doubt
SAME_BOX_IOU = 0.5  # boxes that overlap so much are one person found twice

Differences = Callable[[np.ndarray], np.ndarray]


def build_gallery(
    ids: Sequence[str],
    embeddings: np.ndarray,
    episodes: Sequence[str],
    shows: Sequence[str],
    differences: Differences,
    threshold: float,
    settings: CharacterGallerySettings,
    log: IdentityLog | None = None,
    model_sha256: str = "",
) -> list[dict]:
    """Rows of `character_gallery`, show by show.

    embeddings: [n, d] of the crops `ids`, which come from `episodes` of `shows`, made by the weights `model_sha256`.
    differences: of [m, d] gives [m, m]. threshold: the model's own, used where settings.max_difference is 0. Characters
    that the log knows keep their id, others are minted into it; without a log all are new. The id is the name until
    somebody names a character. The order of the crops plays no part. Raises ValueError for a crop given twice.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("a crop is given twice")
    limit = settings.max_difference or threshold
    comparison = Comparison(model_sha256, limit, lambda these, those: _between(these, those, differences))
    clustering = _Clustering(ids, embeddings, differences, limit, settings.min_crops)
    episode = dict(zip(ids, episodes, strict=True))
    gallery = []
    for show in sorted(set(shows)):
        crops = sorted((i for i in range(len(ids)) if shows[i] == show), key=lambda i: ids[i])
        groups = []
        for members, matrix in _characters(crops, clustering):
            exemplars = [members[i] for i in exemplars_of(matrix, limit, max(settings.exemplars, EXEMPLARS_LOGGED))]
            vectors = np.asarray(embeddings[exemplars], dtype=np.float32)
            groups.append(
                Group(show, tuple(sorted(ids[i] for i in members)), tuple(ids[i] for i in exemplars), vectors)
            )
        groups.sort(key=lambda group: group.crops)
        characters = (
            ids_from_log(groups, log, show, comparison) if log else match_groups(groups, (), comparison).characters
        )
        gallery += [
            _gallery_row(character, group, settings.exemplars, episode)
            for character, group in zip(characters, groups, strict=True)
        ]
    return sorted(gallery, key=lambda row: row["character"])


def _gallery_row(character: str, group: Group, exemplars: int, episode: Mapping[str, str]) -> dict:
    return {
        "character": character,
        "show": group.show,
        "name": character,
        "exemplar_ids": list(group.exemplar_ids[:exemplars]),
        "exemplars": group.exemplars[:exemplars].tolist(),
        "crops": len(group.crops),
        "episodes": sorted({episode[crop] for crop in group.crops}),
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
    """How crops are clustered. ids, embeddings: of all crops; crops are named by their row numbers in these."""

    ids: Sequence[str]
    embeddings: np.ndarray
    differences: Differences
    limit: float
    min_crops: int

    def among(self, crops: Sequence[int]) -> np.ndarray:
        """The differences [n, n] among these crops."""
        return self.differences(self.embeddings[crops])


def _characters(crops: list[int], by: _Clustering) -> Iterator[tuple[list[int], np.ndarray]]:
    """Members of each character with the differences among (the first MAX_COMPARED of) them. crops: sorted by id."""
    if len(crops) > MAX_COMPARED:
        for members in _characters_of_many(crops, by):
            yield members, by.among(members[:MAX_COMPARED])
        return
    matrix = by.among(crops)
    labels = cluster(matrix, by.limit, by.min_crops)
    for label in range(labels.max(initial=-1) + 1):
        where = np.flatnonzero(labels == label)
        yield [crops[i] for i in where], matrix[np.ix_(where, where)]


def _characters_of_many(crops: list[int], by: _Clustering) -> list[list[int]]:
    """Members of each character, for more crops than can be compared all with all.

    In rounds: a sample drawn by the hash of the ids shows the frequent characters, and every crop near one joins it.
    The crops that are left go to the next round, the sample's noise behind them. The rounds end when all crops that are
    left were sampled and gave no character.
    """
    characters: list[list[int]] = []
    left = sorted(crops, key=lambda i: hashlib.sha256(by.ids[i].encode()).digest())
    sampled_in_vain = 0
    while len(left) >= by.min_crops and sampled_in_vain < len(left):
        sample, rest = sorted(left[:MAX_COMPARED], key=lambda i: by.ids[i]), left[MAX_COMPARED:]
        labels = cluster(by.among(sample), by.limit, by.min_crops)
        found = [[sample[i] for i in np.flatnonzero(labels == label)] for label in range(labels.max() + 1)]
        noise = [sample[i] for i in np.flatnonzero(labels == -1)]
        sampled_in_vain = 0 if found else sampled_in_vain + len(sample)
        if rest and found:
            rest = _join_nearest(found, rest, by)
        characters += found
        left = rest + noise if rest else []
    return characters


def _join_nearest(found: list[list[int]], rest: list[int], by: _Clustering) -> list[int]:
    """Add each crop of `rest` to the nearest of the found characters within the limit; returns those near none."""
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
    crops: Iterable[Mapping[str, Any]],
    embeddings: Mapping[str, np.ndarray],
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
) -> list[dict]:
    """Rows of `clusters` for the stills and kept crops of episodes of one show.

    stills: their image ids. crops: rows of `crops`. embeddings: of the crops that have one. gallery: the rows of that
    show. A crop without an embedding shows the character of the smallest measured crop around its centre. A still shows
    the characters of its crops. Two crops of one kind in a still are not one character, see `_one_each`.
    """
    kept = sorted((crop for crop in crops if crop["kept"]), key=lambda crop: crop["image_id"])
    measured: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for crop in kept:
        if crop["image_id"] in embeddings:
            measured[crop["still_id"]].append(crop)
    found = _recognise(measured, embeddings, gallery, differences_to, max_difference)
    for crop in kept:
        if crop["image_id"] not in found:
            around = _smallest_around(crop, measured.get(crop["still_id"], ()))
            found[crop["image_id"]] = found[around["image_id"]] if around else _Recognised(None, None)
    shown: dict[str, set[str]] = {still: set() for still in stills}
    rows = []
    for crop in kept:
        character, difference = found[crop["image_id"]]
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
    crops_by_still: Mapping[str, Sequence[Mapping[str, Any]]],
    embeddings: Mapping[str, np.ndarray],
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
) -> dict[str, _Recognised]:
    """Who each crop shows, by image id; all of them have an embedding."""
    crops = sorted((crop for found in crops_by_still.values() for crop in found), key=lambda crop: crop["image_id"])
    vectors = np.stack([embeddings[crop["image_id"]] for crop in crops]) if crops else np.zeros((0, 1))
    characters, table = character_differences(vectors, gallery, differences_to)
    number = {crop["image_id"]: i for i, crop in enumerate(crops)}
    found = {}
    for of_still in crops_by_still.values():
        members = [number[crop["image_id"]] for crop in of_still]
        for i, column in _one_each(members, crops, table, max_difference).items():
            character = None if column is None else characters[column]
            found[crops[i]["image_id"]] = _Recognised(character, float(table[i].min()) if characters else None)
    return found


def _row(image_id: str, still_id: str, kind: str, characters: list[str], difference: float | None) -> dict:
    return {
        "image_id": image_id,
        "still_id": still_id,
        "kind": kind,
        "characters": characters,
        "difference": difference,
    }


def _one_each(
    members: list[int], crops: Sequence[Mapping[str, Any]], table: np.ndarray, max_difference: float
) -> dict[int, int | None]:
    """Column of the character of each crop of one still, or None.

    A person is not in two places: the nearest crop takes a character first, and a later crop of the same kind whose box
    hardly overlaps takes its next best one within the limit. Exempt are boxes that overlap by SAME_BOX_IOU, being one
    person found twice, and crops so near that there is no doubt (mirrors, split screens).
    """
    given: dict[int, int | None] = dict.fromkeys(members)
    pairs = sorted(
        (float(table[i, column]), crops[i]["image_id"], i, int(column))
        for i in members
        for column in np.flatnonzero(table[i] <= max_difference)
    )
    for difference, _, i, column in pairs:
        if given[i] is not None:
            continue
        rivals = [j for j in members if given[j] == column and crops[j]["kind"] == crops[i]["kind"]]
        beyond_doubt = difference <= CLEAR_SHARE * max_difference and table[i].argmin() == column
        if beyond_doubt or all(_iou(crops[i], crops[j]) >= SAME_BOX_IOU for j in rivals):
            given[i] = column
    return given


def _iou(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    wide = min(one["x_px"] + one["width_px"], other["x_px"] + other["width_px"]) - max(one["x_px"], other["x_px"])
    high = min(one["y_px"] + one["height_px"], other["y_px"] + other["height_px"]) - max(one["y_px"], other["y_px"])
    shared = max(wide, 0) * max(high, 0)
    area = one["width_px"] * one["height_px"] + other["width_px"] * other["height_px"] - shared
    return shared / area if area else 0.0


def _smallest_around(crop: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    x, y = crop["x_px"] + crop["width_px"] / 2, crop["y_px"] + crop["height_px"] / 2
    around = [
        other
        for other in candidates
        if other["x_px"] <= x < other["x_px"] + other["width_px"]
        and other["y_px"] <= y < other["y_px"] + other["height_px"]
    ]
    return min(around, key=lambda other: (other["width_px"] * other["height_px"], other["image_id"]), default=None)
