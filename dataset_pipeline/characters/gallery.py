"""The gallery: the characters of a show with the crops they are recognised by, and recognition against it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.characters.identities import (
    EXEMPLARS_LOGGED,
    Comparison,
    DifferencesTo,
    Group,
    nearest_mean,
    recognised,
    settle,
)
from dataset_pipeline.settings import CharacterGallerySettings
from dataset_pipeline.store.identity_log import IdentityLog

JOINED_BY = 12  # exemplars of a character while many crops are clustered in rounds
AT_ONCE = 6000  # crops compared all with all; more would not fit into memory
CLEAR = 0.5  # a difference below this share of the limit is beyond doubt
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
    episode = dict(zip(ids, episodes, strict=True))
    gallery = []
    for show in sorted(set(shows)):
        crops = sorted((i for i in range(len(ids)) if shows[i] == show), key=lambda i: ids[i])
        groups = []
        for members, matrix in _characters(crops, ids, embeddings, differences, limit, settings.min_crops):
            exemplars = [members[i] for i in exemplars_of(matrix, limit, max(settings.exemplars, EXEMPLARS_LOGGED))]
            vectors = np.asarray(embeddings[exemplars], dtype=np.float32)
            groups.append(
                Group(show, tuple(sorted(ids[i] for i in members)), tuple(ids[i] for i in exemplars), vectors)
            )
        groups.sort(key=lambda group: group.crops)
        characters = settle(groups, log, show, comparison) if log else recognised(groups, (), comparison).characters
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


def _characters(
    crops: list[int],
    ids: Sequence[str],
    embeddings: np.ndarray,
    differences: Differences,
    limit: float,
    min_crops: int,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Members of each character with the differences among (the first AT_ONCE of) them.
    crops: row numbers sorted by id."""
    if len(crops) > AT_ONCE:
        for members in _characters_of_many(crops, ids, embeddings, differences, limit, min_crops):
            yield members, differences(embeddings[members[:AT_ONCE]])
        return
    matrix = differences(embeddings[crops])
    labels = cluster(matrix, limit, min_crops)
    for label in range(labels.max(initial=-1) + 1):
        where = np.flatnonzero(labels == label)
        yield [crops[i] for i in where], matrix[np.ix_(where, where)]


def _characters_of_many(
    crops: list[int],
    ids: Sequence[str],
    embeddings: np.ndarray,
    differences: Differences,
    limit: float,
    min_crops: int,
) -> list[list[int]]:
    """Members of each character of more crops than can be compared all with all.

    In rounds: a sample drawn by the hash of the ids shows the frequent characters, every crop near one joins it, what
    is left goes to the next round, and the sample's noise queues behind it. The rounds end when all that is left was
    looked at and showed nobody.
    """
    characters: list[list[int]] = []
    left = sorted(crops, key=lambda i: hashlib.sha256(ids[i].encode()).digest())
    seen_in_vain = 0
    while len(left) >= min_crops and seen_in_vain < len(left):
        sample, rest = sorted(left[:AT_ONCE], key=lambda i: ids[i]), left[AT_ONCE:]
        labels = cluster(differences(embeddings[sample]), limit, min_crops)
        found = [[sample[i] for i in np.flatnonzero(labels == label)] for label in range(labels.max() + 1)]
        noise = [sample[i] for i in np.flatnonzero(labels == -1)]
        seen_in_vain = 0 if found else seen_in_vain + len(sample)
        if rest and found:
            rest = _join(found, rest, embeddings, differences, limit)
        characters += found
        left = rest + noise if rest else []
    return characters


def _join(
    found: list[list[int]], rest: list[int], embeddings: np.ndarray, differences: Differences, limit: float
) -> list[int]:
    """Add each crop of `rest` to the found character it is within the limit of; gives back those near none."""
    exemplars = [
        [members[i] for i in exemplars_of(differences(embeddings[members]), limit, JOINED_BY)] for members in found
    ]
    known = [i for group in exemplars for i in group]
    owner = np.repeat(np.arange(len(found)), [len(group) for group in exemplars])
    step = max(1, AT_ONCE - len(known))
    strangers = []
    for start in range(0, len(rest), step):
        chunk = rest[start : start + step]
        matrix = differences(embeddings[known + chunk])[len(known) :, : len(known)]
        means = np.stack([nearest_mean(matrix[:, owner == label]) for label in range(len(found))], axis=1)
        for i, crop in enumerate(chunk):
            label = int(means[i].argmin())
            (found[label] if means[i, label] <= limit else strangers).append(crop)
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


def assign(
    embeddings: np.ndarray,
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
) -> list[tuple[str | None, float]]:
    """For each crop the nearest character's id and the difference to it; None where it is above `max_difference`.
    The difference is the mean over the few nearest exemplars; infinite where the gallery is empty."""
    characters, table = character_differences(embeddings, gallery, differences_to)
    if not characters:
        return [(None, float("inf"))] * len(embeddings)
    nearest = table.argmin(axis=1)
    return [
        (characters[column] if table[i, column] <= max_difference else None, float(table[i, column]))
        for i, column in enumerate(nearest)
    ]


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
    show. A crop without an embedding is who the smallest recognised crop around its centre is; a still shows whoever
    its crops show. Two crops of one kind in a still are not one character, see `_one_each`.
    """
    kept = sorted((crop for crop in crops if crop["kept"]), key=lambda crop: crop["image_id"])
    measured = [crop for crop in kept if crop["image_id"] in embeddings]
    vectors = np.stack([embeddings[crop["image_id"]] for crop in measured]) if measured else np.zeros((0, 1))
    characters, table = character_differences(vectors, gallery, differences_to)
    by_still: dict[str, list[int]] = defaultdict(list)
    for i, crop in enumerate(measured):
        by_still[crop["still_id"]].append(i)
    who: dict[str, str | None] = {}
    nearest: dict[str, float | None] = {}
    for members in by_still.values():
        for i, column in _one_each(members, measured, table, max_difference).items():
            who[measured[i]["image_id"]] = None if column is None else characters[column]
            nearest[measured[i]["image_id"]] = float(table[i].min()) if characters else None
    for crop in kept:
        if crop["image_id"] not in embeddings:
            holder = _smallest_around(crop, [measured[i] for i in by_still.get(crop["still_id"], ())])
            who[crop["image_id"]] = who[holder["image_id"]] if holder else None
            nearest[crop["image_id"]] = nearest[holder["image_id"]] if holder else None
    seen: dict[str, set[str]] = {still: set() for still in stills}
    rows = []
    for crop in kept:
        character = who[crop["image_id"]]
        if character is not None:
            seen.setdefault(crop["still_id"], set()).add(character)
        found = [character] if character else []
        rows.append(_row(crop["image_id"], crop["still_id"], crop["kind"], found, crop, nearest))
    rows += [_row(still, still, "still", sorted(everyone), None, nearest) for still, everyone in seen.items()]
    return sorted(rows, key=lambda row: row["image_id"])


def _row(
    image_id: str,
    still_id: str,
    kind: str,
    characters: list[str],
    crop: Mapping[str, Any] | None,
    nearest: Mapping[str, float | None],
) -> dict:
    return {
        "image_id": image_id,
        "still_id": still_id,
        "kind": kind,
        "characters": characters,
        "difference": nearest[image_id] if crop is not None else None,
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
        beyond_doubt = difference <= CLEAR * max_difference and table[i].argmin() == column
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
