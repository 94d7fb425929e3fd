"""Outfits: what a character wears, as a second level inside it, told by the bodies alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.characters.exemplars import DifferencesTo, exemplars_of, nearest_of, still_serve

EXEMPLARS = 6  # of each outfit
MAX_BODIES = 4000  # of one character that are compared all with all


class Outfit(NamedTuple):
    """number: from 1, and the same as long as its exemplars are found together. exemplars: float32 [k, d]."""

    number: int
    exemplar_ids: tuple[str, ...]
    exemplars: np.ndarray

    @property
    def row(self) -> dict[str, Any]:
        return {
            "outfit": self.number,
            "exemplar_ids": list(self.exemplar_ids),
            "exemplars": self.exemplars.tolist(),
        }


def outfits_of_row(row: Mapping[str, Any]) -> list[Outfit]:
    """The outfits in a row of `character_gallery`."""
    return [
        Outfit(it["outfit"], tuple(it["exemplar_ids"]), np.asarray(it["exemplars"], np.float32))
        for it in row["outfits"]
    ]


def outfits_of(
    ids: list[str],
    bodies: np.ndarray,
    limit: float,
    min_size: int,
    before: Sequence[Outfit],
    differences_to: DifferencesTo,
) -> list[Outfit]:
    """The outfits of one character, by number: groups of `min_size` bodies or more by average linkage at `limit`.

    ids, bodies: of its appearances that show a body, float32 [n, d]. before: the outfits of last time. They stay as
    long as they serve; else an outfit that holds exemplars of one of them has its number, others get new ones.
    """
    ids, bodies = ids[:MAX_BODIES], bodies[:MAX_BODIES]
    if not len(ids):
        return list(before)
    matrix = differences_to(bodies, bodies)
    labels = cluster(matrix, limit, min_size, merge=False)
    groups = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    chosen = [group[exemplars_of(matrix[np.ix_(group, group)], limit, EXEMPLARS)] for group in groups]
    old = [outfit.exemplars for outfit in before]
    if before and still_serve(bodies, old, [bodies[rows] for rows in chosen], limit, differences_to):
        return list(before)
    numbers = _numbers([{ids[int(i)] for i in group} for group in groups], before)
    found = [
        Outfit(number, tuple(ids[int(i)] for i in rows), bodies[rows])
        for number, rows in zip(numbers, chosen, strict=True)
    ]
    return sorted(found, key=lambda outfit: outfit.number)


def _numbers(members: Sequence[set[str]], before: Sequence[Outfit]) -> list[int]:
    """A number for each group of ids: the former outfit's of which it holds most exemplars, the most first."""
    votes = sorted(
        (-len(group.intersection(outfit.exemplar_ids)), outfit.number, i)
        for i, group in enumerate(members)
        for outfit in before
    )
    given: dict[int, int] = {}
    for count, number, i in votes:
        if count and i not in given and number not in given.values():
            given[i] = number
    free = 1 + max((outfit.number for outfit in before), default=0)
    for i in range(len(members)):
        if i not in given:
            given[i], free = free, free + 1
    return [given[i] for i in range(len(members))]


def worn(
    bodies: np.ndarray,
    owners: Sequence[str | None],
    outfits: Sequence[tuple[str, Outfit]],
    max_difference: float,
    differences_to: DifferencesTo,
) -> list[int | None]:
    """The number of the outfit of each body [n, d]: of its owner's, if it has one, the nearest within the limit.

    outfits: of all characters, each with its character. One comparison for all; a body without a vector wears none.
    """
    table = nearest_of(bodies, [outfit.exemplars for _, outfit in outfits], differences_to)
    wears: list[int | None] = [None] * len(bodies)
    for character in {owner for owner, _ in outfits}:
        columns = [column for column, (owner, _) in enumerate(outfits) if owner == character]
        for i in [i for i, owner in enumerate(owners) if owner == character and bodies[i].any()]:
            column = min(columns, key=lambda column: table[i, column])
            wears[i] = outfits[column][1].number if table[i, column] <= max_difference else None
    return wears
