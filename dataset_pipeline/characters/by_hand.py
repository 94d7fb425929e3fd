"""Who is who once a person has had a say: what was said holds, and what looks like it follows.

Characters are found without anybody's help first, so that an answer moves those whom it is about and shuffles nobody
else, and taking it back brings back what was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.exemplars import NEAREST, DifferencesTo
from dataset_pipeline.corrections.answers import Whos

MARGIN = 0.01  # by which somebody has to be nearer to answers than to their own character to follow them
COMPARED = 400  # members of a character that stand for all of them
AT_ONCE = 4096  # appearances compared in one go


@dataclass(frozen=True)
class ByHand:
    """owners: the character of each of n appearances, None for nobody known. answered: those that a person gave a
    character, by number. same: of those whom a person called the same as others, by number. banned: whom a person said
    that they are not, by number. heads: by id the character that it is part of, or that was found in its place."""

    owners: list[str | None]
    answered: dict[int, str]
    same: dict[int, str]
    banned: dict[int, set[str]]
    heads: dict[str, str]


def owners_by_hand(
    owners: Sequence[str | None],
    appearances: Appearances,
    said: Whos,
    limit: float,
    differences_to: DifferencesTo,
    compared: Compared | None = None,
) -> ByHand:
    """What becomes of the `owners` found without help. limit: up to which two are the same. compared: what was compared
    of these appearances for earlier answers."""
    told = as_said(owners, said, {crop: i for i, crops in enumerate(appearances.crops) for crop in crops})
    fixed = told.answered.keys() | told.same.keys()
    compared = compared or Compared(appearances.vectors, differences_to)
    return replace(told, owners=_taught(told.owners, told.answered, fixed, told.banned, compared, limit))


def as_said(owners: Sequence[str | None], said: Whos, number: Mapping[str, int]) -> ByHand:
    """What becomes of the `owners` by what was said of them alone, without what looks like it. number: of the one whom
    each crop shows."""
    heads = _heads(owners, said, number)
    found = [None if owner is None else heads.get(owner, owner) for owner in owners]
    answered = {number[crop]: heads.get(it, it) for crop, it in said.given.items() if crop in number}
    banned: dict[int, set[str]] = defaultdict(set)
    for crop, characters in said.banned.items():
        if crop in number:
            banned[number[crop]] |= {heads.get(it, it) for it in characters} - {answered.get(number[crop], "")}
    same = _same(found, answered, said, number)
    for i, character in (same | answered).items():
        found[i] = character
    for i, characters in banned.items():
        if found[i] in characters and i not in answered:
            found[i] = None
    return ByHand(found, answered, same, dict(banned), heads)


def lost_characters(said: Whos, gallery: Iterable[Mapping[str, Any]]) -> list[str]:
    """What was said of characters that are not among these rows of `character_gallery`, in words."""
    there = {it for row in gallery for it in (row["character"], *(row["merged"] or ()))}
    named = [f"{it}, called {name}" for it, name in sorted(said.names.items()) if name and it not in there]
    return named + [f"{it}, merged into {other}" for it, other in sorted(said.merged.items()) if it not in there]


def _heads(owners: Sequence[str | None], said: Whos, number: Mapping[str, int]) -> dict[str, str]:
    """By id the character that counts in its place, of those for which that is another. An id that is lost is found
    again by the crops that showed it."""
    there = {owner for owner in owners if owner is not None} | set(said.given.values())
    again: dict[str, str] = {}
    for character in sorted({*said.names, *said.merged, *said.merged.values()} - there):
        votes = Counter(owners[number[crop]] for crop in said.shown_by.get(character, ()) if crop in number)
        best = max(votes, key=lambda it: (votes[it], it or ""), default=None)
        if best is not None and 2 * votes[best] >= votes.total():
            again[character] = best
    heads = {}
    for character in {*there, *again, *said.merged}:
        head = said.head_of(again.get(character, character))
        head = again.get(head, head)
        if head != character:
            heads[character] = head
    return heads


def _same(
    owners: Sequence[str | None], answered: Mapping[int, str], said: Whos, number: Mapping[str, int]
) -> dict[int, str]:
    """Who those are that were called one person: whom a person said of one of them, else whom most were found to be."""
    found: dict[int, str] = {}
    for members in _linked([{number[crop] for crop in crops if crop in number} for crops in said.same]):
        told = Counter(answered[i] for i in members if i in answered)
        votes = told or Counter(owner for i in members if (owner := owners[i]) is not None)
        if votes:
            who = min(votes, key=lambda it: (-votes[it], it))
            found |= dict.fromkeys(members - answered.keys(), who)
    return found


def _linked(sets: Sequence[set[int]]) -> list[set[int]]:
    """The sets, those that share a member made one."""
    linked: list[set[int]] = []
    for members in sets:
        apart = [other for other in linked if not other & members]
        linked = [*apart, set(members).union(*(other for other in linked if other & members))]
    return linked


def _taught(
    owners: Sequence[str | None],
    answered: Mapping[int, str],
    fixed: Set[int],
    banned: Mapping[int, Set[str]],
    compared: Compared,
    limit: float,
) -> list[str | None]:
    """Whoever lies nearer to the answers for another character than to their own follows them; whoever had none follows
    within the limit. A character without answers is as far as its members are on the average, so that it gives up
    those who are no typical ones of it."""
    answers: dict[str, list[int]] = defaultdict(list)
    for i, character in sorted(answered.items()):
        answers[character].append(i)
    if not answers:
        return list(owners)
    names = sorted(answers)
    to_answers = np.stack([compared.nearest(name, answers[name]) for name in names], axis=1)
    column = {name: number for number, name in enumerate(names)}
    for i, characters in banned.items():
        to_answers[i, [column[it] for it in characters if it in column]] = np.inf
    best = to_answers.argmin(axis=1)
    least = to_answers[np.arange(len(owners)), best]
    candidates = [i for i in np.flatnonzero(least <= limit).tolist() if i not in fixed and names[best[i]] != owners[i]]
    own = _own_differences(candidates, owners, to_answers, column, compared)
    found = list(owners)
    for i in candidates:
        if least[i] < own[i] - MARGIN:
            found[i] = names[best[i]]
    return found


def _own_differences(
    candidates: Sequence[int],
    owners: Sequence[str | None],
    to_answers: np.ndarray,
    column: Mapping[str, int],
    compared: Compared,
) -> dict[int, float]:
    """How far each of these appearances is from its own character; infinitely from none."""
    found: dict[int, float] = {}
    by_owner: dict[str, list[int]] = defaultdict(list)
    for i in candidates:
        owner = owners[i]
        if owner is None:
            found[i] = np.inf
        elif owner in column:
            found[i] = float(to_answers[i, column[owner]])
        else:
            by_owner[owner].append(i)
    if not by_owner:
        return found
    members: dict[str, list[int]] = defaultdict(list)
    for i, owner in enumerate(owners):
        if owner in by_owner:
            members[owner].append(i)
    for owner, some in by_owner.items():
        everyone = members[owner]
        standing = np.array(everyone[:: max(1, (len(everyone) - 1) // COMPARED)])
        for start in range(0, len(some), AT_ONCE):
            part = np.array(some[start : start + AT_ONCE])
            matrix = compared.between(part, standing)
            others = part[:, None] != standing[None, :]
            counts = others.sum(axis=1)
            sums = np.where(others, matrix, 0).sum(axis=1)
            means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
            found |= dict(zip(part.tolist(), means.tolist(), strict=True))
    return found


class Compared:
    """How far n appearances are from those that a person answered for. It remembers what it compared, so that one more
    answer costs one more column."""

    def __init__(self, vectors: np.ndarray, differences_to: DifferencesTo) -> None:
        self.vectors = vectors
        self._differences_to = differences_to
        self._known: dict[str, tuple[frozenset[int], np.ndarray]] = {}

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """[a, b] between appearances of these numbers."""
        return np.asarray(self._differences_to(self.vectors[some], self.vectors[others]), np.float64)

    def nearest(self, character: str, answers: Sequence[int]) -> np.ndarray:
        """float64 [n]: `nearest_mean` of everybody to the answers for a character."""
        return np.nanmean(self.least(character, answers), axis=1)

    def least(self, character: str, answers: Sequence[int]) -> np.ndarray:
        """float64 [n, NEAREST]: the smallest differences to the answers, ascending; nan where there are fewer."""
        wanted = frozenset(answers)
        known, least = self._known.get(character, (frozenset(), None))
        if least is None or not known <= wanted:
            known, least = frozenset(), np.full((len(self.vectors), NEAREST), np.nan)
        if new := np.array(sorted(wanted - known), np.int64).tolist():
            least = np.concatenate([self._smallest(start, new, least) for start in self._starts()])
        self._known[character] = (wanted, least)
        return least

    def _starts(self) -> range:
        return range(0, len(self.vectors), AT_ONCE)

    def _smallest(self, start: int, new: list[int], least: np.ndarray) -> np.ndarray:
        some = slice(start, start + AT_ONCE)
        to_new = np.asarray(self._differences_to(self.vectors[some], self.vectors[new]), np.float64)
        return smallest(np.concatenate([least[some], to_new], axis=1))


def smallest(differences: np.ndarray) -> np.ndarray:
    """The NEAREST smallest of each row, ascending, nan where there are fewer."""
    if differences.shape[1] > NEAREST:  # nan sorts behind all numbers
        differences = np.partition(differences, NEAREST - 1, axis=1)[:, :NEAREST]
    return np.sort(differences, axis=1)


def called(parts: Sequence[str], by_references: Mapping[str, str], said: Whos) -> tuple[str, list[str]]:
    """The name of a character that is made of several, and the names that it had or its parts have. Empty if it has
    none. by_references: those that references give, by id."""
    typed = [name for it in parts if (name := said.names.get(it))]
    given = [name for it in parts if (name := by_references.get(it))]
    names = list(dict.fromkeys([*typed, *given, *(alias for it in parts for alias in said.aliases.get(it, ()))]))
    return (names[0], names[1:]) if names else ("", [])
