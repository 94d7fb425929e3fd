"""Who is who on the page: what the tables found, what a person has said since, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset_pipeline.characters.by_hand import ByHand, Compared, called, owners_by_hand, smallest
from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.characters.exemplars import DifferencesTo
from dataset_pipeline.corrections.answers import Whos, whos_of
from dataset_pipeline.review.facts import ShowFacts

READER = "character_gallery"  # whose rows of matched_corrections hold all that is said of who is who
FEWEST = 2  # appearances that make a group of unknown people; one alone is noise
MAX_GROUPED = 4000  # unknown appearances that are compared all with all
AT_ONCE = 4096
STANDING = 100  # members of a character by which the most typical one is found
NOISE = -1
REFUSED = ""  # no character's id: what is compared with those of whom a person said who they are not


@dataclass(frozen=True)
class Person:
    """A character as it is called by now. merged: those that are part of it. named: by a person or by references."""

    character: str
    show: str
    name: str
    aliases: Sequence[str]
    merged: Sequence[str]

    @property
    def named(self) -> bool:
        return self.name != self.character


@dataclass(frozen=True)
class Answer:
    """Who n appearances are by now, as numbers into `people`, -1 for nobody.

    owner: who it is. near, second: whom it is most like, of those that it may be. difference: to `near`. certainty: how
    much nearer its own character is than any other and than the limit; of nobody known, how far beyond the limit the
    nearest is. answered: a person said who it is. refused: a person said who it is not.
    from_own: the difference to the most typical of its own character, to the nearest answer for that, or to somebody
    refused. from_others: to the nearest answer for anybody else. Both inf without any.
    """

    people: Sequence[Person]
    owner: np.ndarray
    near: np.ndarray
    second: np.ndarray
    difference: np.ndarray
    certainty: np.ndarray
    answered: np.ndarray
    refused: np.ndarray
    from_own: np.ndarray
    from_others: np.ndarray


@dataclass
class ShowPeople:
    """The people of one show, asked again after each word of a person."""

    facts: ShowFacts
    limit: float
    differences_to: DifferencesTo
    number: dict[str, int] = field(init=False)
    groups: np.ndarray = field(init=False)
    _compared: Compared = field(init=False)
    _to_exemplars: dict[str, np.ndarray] = field(init=False)
    _columns: dict[str, tuple[tuple, np.ndarray]] = field(init=False, default_factory=dict)
    _typical: dict[str, tuple[bytes, np.ndarray]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        appearances = self.facts.appearances
        self.number = {crop: i for i, crops in enumerate(appearances.crops) for crop in crops}
        self._compared = Compared(appearances.vectors, self.differences_to)
        self._to_exemplars = {who: self._least(vectors) for who, vectors in self.facts.exemplars.items()}
        self.groups = self._unknown_groups()

    def _least(self, exemplars: np.ndarray) -> np.ndarray:
        """float64 [n, <= 3]: how far everybody is from the nearest of these."""
        vectors = self.facts.appearances.vectors
        parts = [
            smallest(np.asarray(self.differences_to(vectors[start : start + AT_ONCE], exemplars), np.float64))
            for start in range(0, len(vectors), AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 1))

    def _unknown_groups(self) -> np.ndarray:
        """int64 [n]: the group of each unknown appearance, the largest first; NOISE for all others."""
        unknown = np.array([i for i, owner in enumerate(self.facts.owners) if owner is None], np.int64)
        found = np.full(len(self.facts.appearances), NOISE)
        if len(unknown) < FEWEST:
            return found
        compared = unknown[:: -(-len(unknown) // MAX_GROUPED)]
        vectors = self.facts.appearances.vectors[compared]
        labels = cluster(np.asarray(self.differences_to(vectors, vectors)), self.limit, FEWEST)
        sizes = np.bincount(labels[labels >= 0]) if (labels >= 0).any() else np.zeros(0, np.int64)
        rank = np.empty(len(sizes), np.int64)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
        found[compared] = np.where(labels >= 0, rank[labels] if len(rank) else NOISE, NOISE)
        return found

    def answer(self, rows: Iterable[Mapping[str, Any]]) -> Answer:
        """rows: of `matched_corrections` for this show and READER, of all that is in force."""
        said = whos_of(rows)
        hand = self.by_hand(said)
        people = self._people(hand, said)
        place = {it.character: i for i, it in enumerate(people)}
        owner = np.array([-1 if it is None else place[it] for it in hand.owners], np.int64).reshape(-1)
        table = self._table(people, hand)
        refused = np.zeros(len(owner), bool)
        for crop, characters in said.banned.items():
            if (i := self.number.get(crop)) is None:
                continue
            columns = [place[head] for it in characters if (head := hand.heads.get(it, it)) in place]
            columns = [column for column in columns if column != owner[i]]
            table[i, columns] = np.inf
            refused[i] = bool(columns)
        answered = np.zeros(len(owner), bool)
        answered[list(hand.answered)] = True
        near, second, difference, certainty = self._likeness(table, owner)
        settled = self._settled(people, owner, _answers(hand), np.flatnonzero(refused).tolist())
        return Answer(people, owner, near, second, difference, certainty, answered, refused, *settled)

    def by_hand(self, said: Whos) -> ByHand:
        """The rule of the graph, on what the tables found."""
        facts = self.facts
        return owners_by_hand(
            facts.owners, facts.appearances, said, self.limit, self.differences_to, compared=self._compared
        )

    def _people(self, hand: ByHand, said: Whos) -> list[Person]:
        heads: dict[str, list[str]] = defaultdict(list)
        for part, head in sorted(hand.heads.items()):
            heads[head].append(part)
        there = {*self.facts.exemplars, *hand.answered.values(), *filter(None, hand.owners)} - hand.heads.keys()
        found = []
        for character in sorted(there):
            parts = [character, *heads[character]]
            name, aliases = called(parts, self.facts.by_references, said)
            found.append(Person(character, self.facts.show, name or character, tuple(aliases), tuple(parts[1:])))
        return found

    def _table(self, people: Sequence[Person], hand: ByHand) -> np.ndarray:
        """float64 [n, people]: how far each is from the examples of each character, answers among them."""
        answers = _answers(hand)
        columns = [self._column(it, answers.get(it.character, [])) for it in people]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.facts.appearances), 0))

    def _settled(
        self, people: Sequence[Person], owner: np.ndarray, answers: Mapping[str, list[int]], refused: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """from_own and from_others of `Answer`."""
        from_own, from_others = np.full(len(owner), np.inf), np.full(len(owner), np.inf)
        for number, person in enumerate(people):
            own = owner == number
            if own.any():
                from_own[own] = self._from_typical(person.character, np.flatnonzero(own))
            if person.character in answers:
                nearest = self._compared.least(person.character, answers[person.character])[:, 0]
                from_own[own] = np.minimum(from_own[own], nearest[own])
                from_others[~own] = np.minimum(from_others[~own], nearest[~own])
        if refused:
            from_own = np.minimum(from_own, self._compared.least(REFUSED, refused)[:, 0])
        return from_own, from_others

    def _from_typical(self, character: str, members: np.ndarray) -> np.ndarray:
        """float64 [members]: how far they are from the one among them who is least far from all."""
        key, known = members.tobytes(), self._typical.get(character)
        if known is None or known[0] != key:
            means = self._compared.between(members, members[:: -(-len(members) // STANDING)]).mean(axis=1)
            typical = members[[int(means.argmin())]]
            known = self._typical[character] = (key, self._compared.between(members, typical)[:, 0])
        return known[1]

    def _column(self, person: Person, answers: Sequence[int]) -> np.ndarray:
        key = (person.merged, frozenset(answers))
        known = self._columns.get(person.character)
        if known is None or known[0] != key:
            parts = [self._to_exemplars[it] for it in (person.character, *person.merged) if it in self._to_exemplars]
            if answers:
                parts.append(self._compared.least(person.character, answers))
            least = smallest(np.concatenate(parts, axis=1)) if parts else np.full((len(self.number), 1), np.inf)
            known = (key, np.nanmean(least, axis=1) if least.size else np.zeros(0))
            self._columns[person.character] = known
        return known[1]

    def _likeness(self, table: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """near, second, difference, certainty of `Answer`."""
        n, rows = len(owner), np.arange(len(owner))
        if not table.shape[1]:
            none = np.full(n, -1, np.int64)
            return none, none, np.full(n, np.inf), np.full(n, np.inf)
        order = np.argsort(table, axis=1, kind="stable")[:, :2]
        near, second = order[:, 0], order[:, 1] if order.shape[1] > 1 else np.full(n, -1, np.int64)
        difference = table[rows, near]
        known = owner >= 0
        own = np.where(known, table[rows, np.maximum(owner, 0)], difference)
        other = np.where(second >= 0, table[rows, np.maximum(second, 0)], np.inf)
        rival = np.where(known & (owner != near), difference, other)
        certainty = np.where(known, np.minimum(rival - own, self.limit - own), np.abs(difference - self.limit))
        near = np.where(np.isfinite(difference), near, -1)
        return near, np.where(np.isfinite(other), second, -1), difference, certainty

    def likeness_to(self, selected: Sequence[int]) -> np.ndarray:
        """float64 [n]: how far everybody is from the nearest of the selected."""
        least = self._least(self.facts.appearances.vectors[list(selected)])
        return np.nanmean(least, axis=1)


def _answers(hand: ByHand) -> dict[str, list[int]]:
    """Numbers of the appearances that a person gave each character."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, character in hand.answered.items():
        found[character].append(i)
    return found
