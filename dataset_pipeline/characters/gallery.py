"""The character gallery: exemplars of each character of a show, and recognising people by them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.boxes import place_of
from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.characters.appearances import Appearances, Crop, Tracked, appearances_of
from dataset_pipeline.characters.clustering import CLEAR_SHARE, cluster
from dataset_pipeline.characters.exemplars import DifferencesTo, exemplars_of, nearest_of, still_serve
from dataset_pipeline.characters.identities import EXEMPLARS_LOGGED, Comparison, Group, ids_from_log, match_groups
from dataset_pipeline.characters.outfits import Outfit, outfits_of, outfits_of_row, worn
from dataset_pipeline.settings import CharacterGallerySettings
from dataset_pipeline.store.identity_log import IdentityLog

ROUND_EXEMPLARS = 12  # exemplars of a character while many appearances are clustered in rounds
MAX_COMPARED = 6000  # appearances compared all with all; more would not fit into memory
OUTFIT_SHARE = 0.5  # of the limit of characters: that of outfits, unless the settings say another


def build_gallery(
    show: str,
    appearances: Appearances,
    differences_to: DifferencesTo,
    threshold: float,
    settings: CharacterGallerySettings,
    log: IdentityLog | None = None,
    model_sha256: str = "",
    before: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = (),
) -> list[dict]:
    """Rows of `character_gallery` of one show, by character.

    appearances: of the show, made by the weights `model_sha256`. threshold: the model's own, used where
    settings.max_difference is 0. Characters that the log knows keep their id, others are minted into it; without a log
    all are new. before: rows of last time, by the same weights and settings: a character keeps its exemplars and
    outfits as long as they serve. names: those that references give to appearances, empty where they give none: whoever
    bears one name is one character, and only the others are clustered. Of these the id is the name.
    """
    limit = settings.max_difference or threshold
    comparison = Comparison(model_sha256, limit, differences_to)
    by = _Clustering(appearances, comparison, settings)
    found = []
    for name, members, matrix in _named_and_found(by, names or [""] * len(appearances)):
        exemplars = [members[i] for i in exemplars_of(matrix, limit, max(settings.exemplars, EXEMPLARS_LOGGED))]
        crops = tuple(sorted(crop for i in members for crop in appearances.crops[i]))
        ids = tuple(appearances.crops[i][0] for i in exemplars)
        found.append((Group(show, crops, ids, appearances.vectors[exemplars], name), members))
    found.sort(key=lambda it: it[0].crops)
    groups = [group for group, _ in found]
    characters = ids_from_log(groups, log, show, comparison) if log else match_groups(groups, (), comparison).characters
    known = {row["character"]: row for row in before}
    everyone = {crop for crops in appearances.crops for crop in crops}
    rows = [
        _gallery_row(character, group, members, by, _of_members(known.get(character), group, everyone))
        for character, (group, members) in zip(characters, found, strict=True)
    ]
    return sorted(rows, key=lambda row: row["character"])


def _of_members(row: Mapping[str, Any] | None, group: Group, everyone: Set[str]) -> Mapping[str, Any] | None:
    """The character's row of last time, unless one of its exemplars is somebody else's or nobody's by now. Exemplars
    of crops that are gone, as where an episode was replaced, still tell who it is."""
    if row is None:
        return None
    exemplars = {*row["exemplar_ids"], *(crop for outfit in row["outfits"] for crop in outfit["exemplar_ids"])}
    return row if exemplars & everyone <= set(group.crops) else None


def _gallery_row(
    character: str, group: Group, members: Sequence[int], by: _Clustering, before: Mapping[str, Any] | None
) -> dict:
    count = by.settings.exemplars
    ids, exemplars = list(group.exemplar_ids[:count]), group.exemplars[:count]
    if before is not None:
        old = np.asarray(before["exemplars"], np.float32)
        if still_serve(by.appearances.vectors[members], [old], [exemplars], by.limit, by.comparison.differences_to):
            ids, exemplars = before["exemplar_ids"], old
    return {
        "character": character,
        "show": group.show,
        "name": group.name or character,
        "exemplar_ids": ids,
        "exemplars": exemplars.tolist(),
        "outfits": [outfit.row for outfit in _outfits(members, by, before)],
        "crops": len(group.crops),
        "episodes": sorted({episode_of(crop) for crop in group.crops}),
    }


def _outfits(members: Sequence[int], by: _Clustering, before: Mapping[str, Any] | None) -> list[Outfit]:
    dressed = [i for i in members if by.appearances.bodies[i].any()]
    return outfits_of(
        [by.appearances.crops[i][0] for i in dressed],
        by.appearances.bodies[dressed],
        by.settings.outfit_difference or OUTFIT_SHARE * by.limit,
        by.settings.min_crops,
        [] if before is None else outfits_of_row(before),
        by.comparison.differences_to,
    )


def galleries_by_show(gallery: pa.Table) -> dict[str, list[dict]]:
    """The characters of each show: their columns character, name, exemplars, these float32 [k, d], and outfits."""
    exemplars = gallery["exemplars"].combine_chunks()
    rows: dict[str, list[dict]] = defaultdict(list)
    for i, row in enumerate(gallery.select(["character", "show", "name", "outfits"]).to_pylist()):
        vectors = exemplars[i].values
        row["exemplars"] = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
        rows[row["show"]].append(row)
    return dict(rows)


@dataclass(frozen=True)
class _Clustering:
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


def _named_and_found(by: _Clustering, names: Sequence[str]) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """Name, members, and the differences among (the first MAX_COMPARED of) them, of everybody who bears a name and of
    each character among the others."""
    bearers: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        bearers[name].append(i)
    for name in sorted(bearers.keys() - {""}):
        yield name, bearers[name], by.among(bearers[name][:MAX_COMPARED])
    for members, matrix in _characters(by, bearers[""]):
        yield "", members, matrix


def _characters(by: _Clustering, everyone: list[int]) -> Iterator[tuple[list[int], np.ndarray]]:
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


def character_differences(
    vectors: np.ndarray, gallery: Sequence[Mapping[str, Any]], differences_to: DifferencesTo
) -> tuple[list[str], np.ndarray]:
    """The characters' ids, sorted, and the difference of each vector [n, d] to each: [n, characters]."""
    rows = sorted(gallery, key=lambda row: row["character"])
    exemplars = [np.asarray(row["exemplars"], np.float32) for row in rows]
    return [row["character"] for row in rows], nearest_of(vectors, exemplars, differences_to)


def decide_clusters(
    stills: Iterable[str],
    crops: Iterable[Crop],
    embeddings: Mapping[str, np.ndarray],
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
    names_of: Callable[[Appearances], Naming] | None = None,
    by_tracks: Tracked | None = None,
) -> list[dict]:
    """Rows of `clusters` for the stills and kept crops of episodes of one show.

    stills: their image ids. crops: rows of `crops`. embeddings: of the crops that have one. gallery: the rows of that
    show. All crops of an appearance show its character. A crop of no appearance shows that of the smallest measured
    crop around its centre, and a still those of its crops. Two appearances on one still are not one character, see
    `_one_each`. names_of: what references call appearances, which goes before what they resemble; whoever bears a name
    is then no character of the others.
    """
    kept = sorted((crop for crop in crops if crop["kept"]), key=lambda crop: crop["image_id"])
    appearances = appearances_of(kept, embeddings, by_tracks)
    naming = names_of(appearances) if names_of else None
    found = _recognise(appearances, gallery, differences_to, max_difference, naming)
    measured: dict[str, list[Crop]] = defaultdict(list)
    for crop in kept:
        if crop["image_id"] in found:
            measured[crop["still_id"]].append(crop)
    shown: dict[str, set[str]] = {still: set() for still in stills}
    rows = []
    for crop in kept:
        around = crop if crop["image_id"] in found else _smallest_around(crop, measured.get(crop["still_id"], ()))
        who = found[around["image_id"]] if around else _Recognised()
        characters = [who.character] if who.character else []
        shown.setdefault(crop["still_id"], set()).update(characters)
        rows.append(_row(crop["image_id"], crop["still_id"], crop["kind"], characters, who))
    rows += [_row(still, still, "still", sorted(characters), _Recognised()) for still, characters in shown.items()]
    return sorted(rows, key=lambda row: row["image_id"])


class _Recognised(NamedTuple):
    """character: id, None if none is within the limit. difference: to the nearest character, None if there is none.
    outfit: of the character, None where no body shows it or it is none that is known."""

    character: str | None = None
    difference: float | None = None
    outfit: int | None = None


class Naming(NamedTuple):
    """What references call each of n appearances, empty if they do not, and its difference to that name."""

    names: Sequence[str]
    differences: Sequence[float]


def _recognise(
    appearances: Appearances,
    gallery: Sequence[Mapping[str, Any]],
    differences_to: DifferencesTo,
    max_difference: float,
    naming: Naming | None,
) -> dict[str, _Recognised]:
    """Who each crop of the appearances shows, by image id. Where people are named, who bears no name is sought among
    the characters without one."""
    names, differences = naming or ([""] * len(appearances), [None] * len(appearances))
    bearers = {row["name"]: row["character"] for row in gallery if naming and row["name"] != row["character"]}
    owners, differences = [bearers.get(name) for name in names], list(differences)
    others = [i for i, owner in enumerate(owners) if owner is None]
    people, known = appearances.some(others), [row for row in gallery if row["name"] not in bearers]
    characters, table = character_differences(people.vectors, known, differences_to)
    for i, column, row in zip(others, _one_each(table, people, max_difference), table, strict=True):
        owners[i] = None if column is None else characters[column]
        differences[i] = float(row.min()) if characters else None
    outfits = [(row["character"], outfit) for row in gallery for outfit in outfits_of_row(row)]
    wears = worn(appearances.bodies, owners, outfits, max_difference, differences_to)
    found = {}
    for crops, owner, difference, outfit in zip(appearances.crops, owners, differences, wears, strict=True):
        found |= dict.fromkeys(crops, _Recognised(owner, difference, outfit))
    return found


def _row(image_id: str, still_id: str, kind: str, characters: list[str], who: _Recognised) -> dict:
    return {
        "image_id": image_id,
        "still_id": still_id,
        "kind": kind,
        "characters": characters,
        "difference": who.difference,
        "outfit": who.outfit,
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
        x0, y0, x1, y1 = place_of(other)
        return x0 <= x < x1 and y0 <= y < y1

    around = filter(is_around, candidates)
    return min(around, key=lambda other: (other["width_px"] * other["height_px"], other["image_id"]), default=None)
