"""Who is on each crop and still, recognised by the exemplars of the character gallery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.boxes import box_of, holds, middle, place_of, share_inside
from dataset_pipeline.base.ids import DETAIL
from dataset_pipeline.characters.appearances import HEADS, Appearances, Crop, Tracked, appearances_of
from dataset_pipeline.characters.clustering import CLEAR_SHARE
from dataset_pipeline.characters.exemplars import DifferencesTo, nearest_of
from dataset_pipeline.characters.outfits import outfits_of_row, worn
from dataset_pipeline.characters.surroundings import ShotOf, by_shots, shots_of
from dataset_pipeline.corrections.answers import Whos

SAID_COLUMNS = ("merged", "same_ids", "answers", "reference_names")  # of the gallery: who is whose, by whom
OBJECT = f"object{DETAIL}"  # shows nobody, whatever box its middle lies in
HEAD_INSIDE = 0.6  # of the crop of a head, with its margin, that lies in a detail which shows it


def galleries_by_show(gallery: pa.Table) -> dict[str, list[dict]]:
    """The characters of each show: their columns character, name, exemplars, these float32 [k, d], and outfits."""
    exemplars = gallery["exemplars"].combine_chunks()
    rows: dict[str, list[dict]] = defaultdict(list)
    for i, row in enumerate(gallery.select(["character", "show", "name", "outfits", *SAID_COLUMNS]).to_pylist()):
        vectors = exemplars[i].values
        row["exemplars"] = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
        rows[row["show"]].append(row)
    return dict(rows)


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
    said: Whos | None = None,
    details: Iterable[Crop] = (),
    shots: Iterable[Mapping[str, Any]] = (),
) -> list[dict]:
    """Rows of `clusters` for the stills and kept crops of episodes of one show, and for details of them.

    stills: their image ids. crops: rows of `crops`. embeddings: of the crops that have one. gallery: the rows of that
    show. All crops of an appearance show its character. A crop of no appearance shows that of the smallest measured
    crop around its centre, and a still those of its crops. Two appearances on one still are not one character, see
    `_one_each`. names_of: what references call appearances, which goes before what they resemble; whoever bears a name
    is then no character of the others. said: what a person said of crops and stills, which goes before all else.
    details: rows of that table; they show whose crop is around their part, and whose heads lie in them. shots: rows of
    that table; who is cut off by a side of the picture is most likely somebody of the shot.
    """
    told = _Told.of(said or Whos(), gallery)
    kept = sorted((crop for crop in crops if crop["kept"]), key=lambda crop: crop["image_id"])
    appearances = appearances_of(kept, embeddings, by_tracks)
    naming = names_of(appearances) if names_of else None
    shot_of = shots_of({crop["still_id"] for crop in kept}, shots)
    found = _recognise(appearances, gallery, differences_to, max_difference, naming, told, shot_of)
    measured: dict[str, list[Crop]] = defaultdict(list)
    for crop in kept:
        if crop["image_id"] in found:
            measured[crop["still_id"]].append(crop)
    shown: dict[str, set[str]] = {still: set() for still in stills}
    rows = []
    for crop in kept:
        near = measured.get(crop["still_id"], ())
        around = crop if crop["image_id"] in found else _smallest_around(middle(place_of(crop)), near)
        who = told.of_crop(crop["image_id"], found[around["image_id"]] if around else _Recognised())
        characters = [who.character] if who.character else []
        shown.setdefault(crop["still_id"], set()).update(characters)
        rows.append(_row(crop["image_id"], crop["still_id"], crop["kind"], characters, who))
    who_is_on = {it: told.of_crop(it, who) for it, who in found.items()}
    rows += [
        _row_of_detail(detail, measured.get(detail["still_id"], ()), who_is_on, told)
        for detail in details
        if detail["kept"]
    ]
    rows += [
        _row(still, still, "still", sorted(told.of_still(still, characters)), _Recognised())
        for still, characters in shown.items()
    ]
    return sorted(rows, key=lambda row: row["image_id"])


class _Recognised(NamedTuple):
    """character: id, None if none is within the limit. difference: to the nearest character, None if there is none.
    outfit: of the character, None where no body shows it or it is none that is known."""

    character: str | None = None
    difference: float | None = None
    outfit: int | None = None


@dataclass(frozen=True)
class _Told:
    """What a person said, in ids of characters that there are. given, banned: by image id."""

    given: Mapping[str, str]
    banned: Mapping[str, Set[str]]

    @staticmethod
    def of(said: Whos, gallery: Sequence[Mapping[str, Any]]) -> _Told:
        heads = {part: row["character"] for row in gallery for part in row.get("merged") or ()}
        same = {crop: row["character"] for row in gallery for crop in row.get("same_ids") or ()}
        given = same | {crop: heads.get(it, it) for crop, it in said.given.items()}
        banned = {crop: {heads.get(it, it) for it in them} - {given.get(crop)} for crop, them in said.banned.items()}
        return _Told(given, {crop: them for crop, them in banned.items() if them})

    def of_crop(self, crop: str, found: _Recognised) -> _Recognised:
        """Who is on a crop that was recognised so."""
        if (given := self.given.get(crop)) and given != found.character:
            return _Recognised(given)
        return _Recognised(None, found.difference) if found.character in self.banned.get(crop, ()) else found

    def of_still(self, still: str, characters: Set[str]) -> Set[str]:
        """Who is on a still whose crops show these."""
        given = {self.given[still]} if still in self.given else set()
        return (characters | given) - self.banned.get(still, frozenset())

    def of_appearance(self, crops: Sequence[str]) -> tuple[str | None, Set[str]]:
        """Who an appearance is, if that was said of one of its crops, and who it is not."""
        given = next((self.given[crop] for crop in crops if crop in self.given), None)
        return given, {it for crop in crops for it in self.banned.get(crop, ())} - {given}


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
    told: _Told,
    shot_of: ShotOf,
) -> dict[str, _Recognised]:
    """Who each crop of the appearances shows, by image id. Where people are named, who bears no name is sought among
    the characters without one."""
    said = [told.of_appearance(crops) for crops in appearances.crops]
    names, differences = naming or ([""] * len(appearances), [None] * len(appearances))
    bearers = {name: row["character"] for row in gallery if naming for name in row.get("reference_names") or ()}
    owners, differences = [bearers.get(name) for name in names], list(differences)
    for i, (given, banned) in enumerate(said):
        owners[i] = given or (None if owners[i] in banned else owners[i])
    others = [i for i, owner in enumerate(owners) if owner is None]
    people, known = appearances.some(others), [row for row in gallery if not (naming and _is_by_references_alone(row))]
    characters, table = character_differences(people.vectors, known, differences_to)
    for place, i in enumerate(others):
        table[place, [characters.index(it) for it in said[i][1] if it in characters]] = np.inf

    def decide(counted: np.ndarray) -> None:
        for i, column in zip(others, _one_each(counted, people, max_difference), strict=True):
            owners[i] = None if column is None else characters[column]

    decide(table)
    if shot_of:
        seen = zip(appearances.crops, appearances.stills, owners, strict=True)
        decide(by_shots(table, people, characters, seen, shot_of))
    for i, row in zip(others, table, strict=True):
        differences[i] = float(row.min()) if characters else None
    outfits = [(row["character"], outfit) for row in gallery for outfit in outfits_of_row(row)]
    wears = worn(appearances.bodies, owners, outfits, max_difference, differences_to)
    found = {}
    for crops, owner, difference, outfit in zip(appearances.crops, owners, differences, wears, strict=True):
        found |= dict.fromkeys(crops, _Recognised(owner, difference, outfit))
    return found


def _is_by_references_alone(row: Mapping[str, Any]) -> bool:
    """Whether nothing else than references says who a character is."""
    has_a_say = row.get("merged") or row.get("same_ids") or row.get("answers")
    return bool(row.get("reference_names")) and not has_a_say


def _row(image_id: str, still_id: str, kind: str, characters: list[str], who: _Recognised) -> dict:
    return {
        "image_id": image_id,
        "still_id": still_id,
        "kind": kind,
        "characters": characters,
        "difference": who.difference,
        "outfit": who.outfit,
    }


def _row_of_detail(
    detail: Crop, near: Sequence[Crop], who_is_on: Mapping[str, _Recognised], told: _Told
) -> dict[str, Any]:
    """near: the measured crops of its still. who_is_on: by id of such a crop."""
    around = _smallest_around(middle(box_of(detail)), near) if detail["kind"] != OBJECT else None
    owner = who_is_on[around["image_id"]] if around else _Recognised()
    inside = (it for it in near if it["kind"] in HEADS and share_inside(place_of(it), place_of(detail)) >= HEAD_INSIDE)
    seen = {who.character for who in (owner, *(who_is_on[it["image_id"]] for it in inside)) if who.character}
    characters = sorted(told.of_still(detail["image_id"], seen))
    known = owner if characters == [owner.character] else _Recognised()
    return _row(detail["image_id"], detail["still_id"], detail["kind"], characters, known)


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


def _smallest_around(point: tuple[float, float], candidates: Iterable[Crop]) -> Crop | None:
    around = (other for other in candidates if holds(place_of(other), point))
    return min(around, key=lambda other: (other["width_px"] * other["height_px"], other["image_id"]), default=None)
