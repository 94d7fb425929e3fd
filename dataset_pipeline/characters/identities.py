"""Characters found again: which group of crops is which identity of the log, and who is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from dataset_pipeline.store.identity_log import Event, IdentityLog, Kind

EXEMPLARS_LOGGED = 8  # vectors that an identity is found by once its crops are gone
CROPS_LOGGED = 256
PART = 0.25  # of an identity's crops in a group: enough to be found again
HALF = 0.5  # of them: the group holds the identity as a whole
NEAREST = 3  # a crop is compared with so many of a character's nearest exemplars
ROUNDS = 4  # of looking again, while other writers add to the log

DifferencesTo = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Group:
    """Crops of one character of `show` as they were clustered now. crops: sorted ids. exemplars: float32 [k, d] of some
    of them, the most typical one first."""

    show: str
    crops: tuple[str, ...]
    exemplar_ids: tuple[str, ...]
    exemplars: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """How crops are compared: `differences_to` of [n, d] and [m, d] gives [n, m]; up to `limit` they are the same.
    Vectors of other weights than `model_sha256` are not comparable."""

    model_sha256: str
    limit: float
    differences_to: DifferencesTo


class Settled(NamedTuple):
    """The id of each group, and the events that the log lacks."""

    characters: list[str]
    new: list[Event]


def settle(groups: Sequence[Group], log: IdentityLog, show: str, comparison: Comparison) -> list[str]:
    """The id of each group of a show; who is new is minted into the log first.

    What other writers minted at the same time is read again, so that all agree on who was first.
    """
    settled = recognised(groups, log.events(show), comparison, log.everyone)
    for _ in range(ROUNDS):
        if not settled.new:
            break
        log.append(settled.new)
        settled = recognised(groups, log.events(show), comparison, log.everyone)
    return settled.characters


def recognised(
    groups: Sequence[Group],
    events: Sequence[Event],
    comparison: Comparison,
    taken: Callable[[], Collection[str]] = set,
) -> Settled:
    """Who the groups of one show are, by the show's events.

    First by crops: the groups go on as the identities that most of their crops belonged to. Then by likeness: an
    identity whose crops are gone goes on as the group that its exemplars are nearest to, within the limit. Of several
    identities in one group the oldest stays; the others wait in the log until they part again. An identity goes on as
    one group only; whoever is left is minted. taken: gives the ids of all shows.
    """
    if not groups:
        return Settled([], [])
    known = _identities(events)
    where = {crop: number for number, group in enumerate(groups) for crop in group.crops}
    held = np.zeros((len(known), len(groups)), dtype=np.int64)
    share = np.zeros(held.shape)
    for i, identity in enumerate(known):
        held[i] = _counted(identity.crops, where, len(groups))
        for event in identity.events:
            share[i] = np.maximum(share[i], _counted(event.crops, where, len(groups)) / max(len(event.crops), 1))
    sizes = np.array([len(group.crops) for group in groups])
    part = (share >= PART) | (held >= HALF * sizes)
    found = _one_to_one(np.where(part, held, 0), share >= HALF, known)
    found |= _by_likeness(groups, known, held, where, found, comparison)
    characters, new = _minted(groups, {number: known[i].character for i, number in found.items()}, taken, comparison)
    new += [
        _event("seen", known[i].character, groups[number], comparison)
        for i, number in sorted(found.items())
        if held[:, number].sum() == held[i, number] and not _fresh(known[i], number, where, comparison)
    ]
    return Settled(characters, new)


class _Identity(NamedTuple):
    character: str
    events: list[Event]

    @property
    def since(self) -> str:
        return self.events[0].when

    @property
    def crops(self) -> set[str]:
        return {crop for event in self.events for crop in event.crops}


def _identities(events: Iterable[Event]) -> list[_Identity]:
    """The identities, oldest first."""
    by_character: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: event.when):
        by_character.setdefault(event.character, []).append(event)
    identities = [_Identity(character, found) for character, found in by_character.items()]
    return sorted(identities, key=lambda identity: (identity.since, identity.character))


def _counted(crops: Iterable[str], where: Mapping[str, int], groups: int) -> np.ndarray:
    return np.bincount([where[crop] for crop in crops if crop in where], minlength=groups)


def _one_to_one(votes: np.ndarray, wholly: np.ndarray, known: Sequence[_Identity]) -> dict[int, int]:
    """Number of the group by number of the identity: those pairs that keep the most votes, each at most once.

    But a group that holds an older identity `wholly`, which would get none, is that one's: there two have become one.
    """
    from scipy.optimize import linear_sum_assignment

    given: dict[int, int] = {}
    while True:
        free = votes.copy()
        free[list(given)] = 0
        free[:, list(given.values())] = 0
        pairs = {int(i): int(number) for i, number in zip(*linear_sum_assignment(free, maximize=True), strict=True)}
        pairs = given | {i: number for i, number in pairs.items() if free[i, number]}
        holder = {number: i for i, number in pairs.items()}
        for i in range(len(known)):
            number = int(votes[i].argmax())
            if i in pairs or number not in holder or not (votes[i, number] and wholly[i, number]):
                continue
            if known[i].since < known[holder[number]].since and holder[number] not in given:
                given[i] = number
                break
        else:
            return pairs


def _by_likeness(
    groups: Sequence[Group],
    known: Sequence[_Identity],
    held: np.ndarray,
    where: Mapping[str, int],
    found: Mapping[int, int],
    comparison: Comparison,
) -> dict[int, int]:
    """The same for groups that are nobody's yet. A crop votes for the group it is in, and an exemplar that is in none
    for the group it is most alike to, within the limit; there it has no vote if that group is somebody's already."""
    free = sorted(set(range(len(groups))) - set(found.values()))
    lost = [i for i in range(len(known)) if i not in found]
    if not free or not lost:
        return {}
    votes, total = held.astype(np.float64), held.sum(axis=1).astype(np.float64)
    absent = {i: vectors for i in lost if len(vectors := _absent_exemplars(known[i], where, comparison.model_sha256))}
    if absent:
        nearest = _nearest_groups(np.concatenate(list(absent.values())), groups, comparison)
        start = 0
        for i, vectors in absent.items():
            numbers = nearest[start : start + len(vectors)]
            votes[i] += np.bincount(numbers[numbers >= 0], minlength=len(groups))
            total[i] += len(vectors)
            start += len(vectors)
    share = votes / np.maximum(total, 1)[:, None]
    open_to = np.zeros(votes.shape, dtype=bool)
    open_to[np.ix_(lost, free)] = True
    return _one_to_one(np.where(open_to & (share >= PART), votes, 0), share >= HALF, known)


def _absent_exemplars(identity: _Identity, where: Mapping[str, int], model_sha256: str) -> np.ndarray:
    """float32 [n, d]: comparable vectors of crops that are in no group, each crop once."""
    vectors = {
        crop: vector
        for event in identity.events
        if event.model_sha256 == model_sha256
        for crop, vector in zip(event.exemplar_ids, event.exemplars, strict=True)
        if crop not in where
    }
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 1), np.float32)


def _nearest_groups(vectors: np.ndarray, groups: Sequence[Group], comparison: Comparison) -> np.ndarray:
    """Number of the group that each vector is most alike to; -1 beyond the limit."""
    matrix = comparison.differences_to(vectors, np.concatenate([group.exemplars for group in groups]))
    ends = np.cumsum([len(group.exemplars) for group in groups])
    parts = np.split(np.asarray(matrix, np.float64), ends[:-1], axis=1)
    means = np.stack([nearest_mean(part) for part in parts], axis=1)
    nearest = means.argmin(axis=1)
    return np.where(means[np.arange(len(vectors)), nearest] <= comparison.limit, nearest, -1)


def nearest_mean(matrix: np.ndarray) -> np.ndarray:
    """Mean of the NEAREST smallest values of each row: one odd exemplar decides nothing."""
    several = min(NEAREST, matrix.shape[1])
    return np.partition(matrix, several - 1, axis=1)[:, :several].mean(axis=1)


def _fresh(identity: _Identity, number: int, where: Mapping[str, int], comparison: Comparison) -> bool:
    """Whether an event of these weights knows the identity by crops of which half are in its group."""
    return any(
        sum(where.get(crop) == number for crop in event.crops) >= HALF * len(event.crops)
        for event in identity.events
        if event.model_sha256 == comparison.model_sha256
    )


def _minted(
    groups: Sequence[Group], found: Mapping[int, str], taken: Callable[[], Collection[str]], comparison: Comparison
) -> tuple[list[str], list[Event]]:
    """The id of each group, of which `found` has those that are known, and the events for the others."""
    characters, new = dict(found), []
    used: set[str] = set(taken()) if len(found) < len(groups) else set()
    for number, group in enumerate(groups):
        if number not in characters:
            characters[number] = next(identity for identity in _possible_ids(group.crops) if identity not in used)
            used.add(characters[number])
            new.append(_event("minted", characters[number], group, comparison))
    return [characters[number] for number in range(len(groups))], new


def character_id(first_crop_id: str) -> str:
    """`c-` and 8 hex digits made of the id of a character's first crop."""
    return f"c-{hashlib.sha256(first_crop_id.encode()).hexdigest()[:8]}"


def _possible_ids(crops: Sequence[str]) -> Iterator[str]:
    """Of the first crop, and where that is somebody's, who was parted from these crops, of the next."""
    yield from map(character_id, crops)
    yield from (character_id(f"{crops[0]} {number}") for number in count(2))


def _event(kind: Kind, character: str, group: Group, comparison: Comparison) -> Event:
    some = sorted(group.crops, key=lambda crop: hashlib.sha256(crop.encode()).digest())[:CROPS_LOGGED]
    ids, vectors = group.exemplar_ids[:EXEMPLARS_LOGGED], group.exemplars[:EXEMPLARS_LOGGED]
    return Event(kind, character, group.show, comparison.model_sha256, tuple(sorted(some)), ids, vectors)
