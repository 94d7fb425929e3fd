"""The rows of the gallery: each character of a show with its exemplars, its outfits, and what a person said of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.by_hand import called, owners_by_hand
from dataset_pipeline.characters.exemplars import DifferencesTo, exemplars_of, still_serve
from dataset_pipeline.characters.finding import MAX_COMPARED, Clustering, named_and_found
from dataset_pipeline.characters.identities import EXEMPLARS_LOGGED, Comparison, Group, ids_from_log, match_groups
from dataset_pipeline.characters.outfits import Outfit, outfits_of, outfits_of_row
from dataset_pipeline.corrections.answers import Whos
from dataset_pipeline.settings import CharacterGallerySettings
from dataset_pipeline.store.identity_log import IdentityLog

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
    said: Whos | None = None,
) -> list[dict]:
    """Rows of `character_gallery` of one show, by character.

    appearances: of the show, made by the weights `model_sha256`. threshold: the model's own, used where
    settings.max_difference is 0. Characters that the log knows keep their id, others are minted into it; without a log
    all are new. before: rows of last time, by the same weights and settings: a character keeps its exemplars and
    outfits as long as they serve. names: those that references give to appearances, empty where they give none: whoever
    bears one name is one character, and only the others are clustered. said: what a person said of them, which goes
    before all else. Of who has no name the id is the name.
    """
    limit = settings.max_difference or threshold
    comparison = Comparison(model_sha256, limit, differences_to)
    by = Clustering(appearances, comparison, settings)
    found = []
    for name, members, matrix in named_and_found(by, names or [""] * len(appearances)):
        exemplars = [members[i] for i in exemplars_of(matrix, limit, max(settings.exemplars, EXEMPLARS_LOGGED))]
        crops = tuple(sorted(crop for i in members for crop in appearances.crops[i]))
        ids = tuple(appearances.crops[i][0] for i in exemplars)
        found.append((Group(show, crops, ids, appearances.vectors[exemplars], name), members))
    found.sort(key=lambda it: it[0].crops)
    groups = [group for group, _ in found]
    characters = ids_from_log(groups, log, show, comparison) if log else match_groups(groups, (), comparison).characters
    people = {it: _Person(*one) for it, one in zip(characters, found, strict=True)}
    if said:
        people = _as_said(people, by, said)
    known = {row["character"]: row for row in before}
    everyone = {crop for crops in appearances.crops for crop in crops}
    rows = [
        _gallery_row(character, person, by, _of_members(known.get(character), person, everyone))
        for character, person in people.items()
    ]
    return sorted(rows, key=lambda row: row["character"])


@dataclass(frozen=True)
class _Person:
    """A character of this run. members: numbers of its appearances. said: the columns of its row that tell what a
    person said of it."""

    group: Group
    members: Sequence[int]
    said: Mapping[str, Any] = field(default_factory=dict)


def _as_said(people: Mapping[str, _Person], by: Clustering, said: Whos) -> dict[str, _Person]:
    """The characters, whose members and names a person has had a say in. Of whom that changes nothing it stays."""
    owners: list[str | None] = [None] * len(by.appearances)
    for character, person in people.items():
        for i in person.members:
            owners[i] = character
    hand = owners_by_hand(owners, by.appearances, said, by.limit, by.comparison.differences_to)
    members: dict[str, list[int]] = defaultdict(list)
    for i, owner in enumerate(hand.owners):
        if owner is not None:
            members[owner].append(i)
    found = {}
    for character, numbers in members.items():
        parts = [character, *sorted(it for it, head in hand.heads.items() if head == character)]
        answers = [i for i, it in hand.answered.items() if it == character]
        before = people.get(character)
        name, aliases = called(parts, {it: people[it].group.name for it in parts if it in people}, said)
        if before is not None and len(parts) == 1 and not answers and list(before.members) == numbers:
            group, corrected = replace(before.group, name=name), False
        else:
            group, corrected = _group_of(by, numbers, answers, name), True
        same = [by.appearances.crops[i][0] for i, it in hand.same.items() if it == character]
        told = {"aliases": aliases, "merged": parts[1:], "same_ids": sorted(same), "answers": len(answers)}
        told["corrected"] = corrected
        names = sorted({name for it in parts if it in people and (name := people[it].group.name)})
        found[character] = _Person(group, numbers, {**told, "reference_names": names})
    return found


def _group_of(by: Clustering, members: Sequence[int], answers: Sequence[int], name: str) -> Group:
    """These appearances as one group. answers: those of which a person said so; they are examples before any other."""
    appearances, count = by.appearances, max(by.settings.exemplars, EXEMPLARS_LOGGED)
    compared = members[:MAX_COMPARED]
    chosen = [compared[i] for i in exemplars_of(by.among(compared), by.limit, count)]
    chosen = list(dict.fromkeys([*answers[-count:], *chosen]))[:count]
    crops = tuple(sorted(crop for i in members for crop in appearances.crops[i]))
    show = show_of(crops[0])
    return Group(show, crops, tuple(appearances.crops[i][0] for i in chosen), appearances.vectors[chosen], name)


def _of_members(row: Mapping[str, Any] | None, person: _Person, everyone: Set[str]) -> Mapping[str, Any] | None:
    """The character's row of last time, unless one of its exemplars is somebody else's or nobody's by now, or a person
    had a say in its members. Exemplars of crops that are gone, as where an episode was replaced, still tell who it
    is."""
    if row is None or row.get("corrected") or person.said.get("corrected"):
        return None
    exemplars = {*row["exemplar_ids"], *(crop for outfit in row["outfits"] for crop in outfit["exemplar_ids"])}
    return row if exemplars & everyone <= set(person.group.crops) else None


def _gallery_row(character: str, person: _Person, by: Clustering, before: Mapping[str, Any] | None) -> dict:
    group, members = person.group, person.members
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
        **dict.fromkeys(("aliases", "merged", "same_ids"), ()),
        "answers": 0,
        "corrected": False,
        "reference_names": [group.name] if group.name else [],
        **person.said,
        "exemplar_ids": ids,
        "exemplars": exemplars.tolist(),
        "outfits": [outfit.row for outfit in _outfits(members, by, before)],
        "crops": len(group.crops),
        "episodes": sorted({episode_of(crop) for crop in group.crops}),
    }


def _outfits(members: Sequence[int], by: Clustering, before: Mapping[str, Any] | None) -> list[Outfit]:
    dressed = [i for i in members if by.appearances.bodies[i].any()]
    return outfits_of(
        [by.appearances.crops[i][0] for i in dressed],
        by.appearances.bodies[dressed],
        by.settings.outfit_difference or OUTFIT_SHARE * by.limit,
        by.settings.min_crops,
        [] if before is None else outfits_of_row(before),
        by.comparison.differences_to,
    )
