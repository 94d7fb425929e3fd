"""Stable character ids: which group of crops is which identity of the log, and which group is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from dataset_pipeline.characters.exemplars import DifferencesTo, nearest_of
from dataset_pipeline.store.identity_log import Event, IdentityLog, Kind

EXEMPLARS_LOGGED = 8  # vectors that recognise an identity once its crops are gone
CROPS_LOGGED = 256
MIN_SHARE = 0.25  # of an identity's crops in a group: the group may be this identity
WHOLE_SHARE = 0.5  # of an identity's crops in a group: the group holds all of the identity
MAX_ROUNDS = 4  # of reading the log again, while other writers add to it


@dataclass(frozen=True)
class Group:
    """Crops of one character of `show`, as clustered in this run. crops: sorted ids. exemplars: float32 [k, d], the
    vectors of some of them, the most typical one first. name: that references give; empty if they give none."""

    show: str
    crops: tuple[str, ...]
    exemplar_ids: tuple[str, ...]
    exemplars: np.ndarray
    name: str = ""


@dataclass(frozen=True)
class Comparison:
    """How crops are compared: `differences_to` of [n, d] and [m, d] gives [n, m]; up to `limit` they are the same.
    Vectors of other weights than `model_sha256` are not comparable."""

    model_sha256: str
    limit: float
    differences_to: DifferencesTo


class Matches(NamedTuple):
    """The id of each group, and the events that must be added to the log."""

    characters: list[str]
    new: list[Event]


def ids_from_log(groups: Sequence[Group], log: IdentityLog, show: str, comparison: Comparison) -> list[str]:
    """The character id of each group of a show; new characters are added to the log first.

    The log is read again afterwards, so that writers that add the same character at the same time agree on one id.
    """
    matches = match_groups(groups, log.events(show), comparison, log.everyone)
    for _ in range(MAX_ROUNDS):
        if not matches.new:
            break
        log.append(matches.new)
        matches = match_groups(groups, log.events(show), comparison, log.everyone)
    return matches.characters


def match_groups(
    groups: Sequence[Group],
    events: Sequence[Event],
    comparison: Comparison,
    taken: Callable[[], Collection[str]] = set,
) -> Matches:
    """Which identity each group of one show is, by the show's events.

    First by crops: a group gets the identity that most of its crops belonged to. Then by difference: an identity whose
    crops are gone gets the group that its exemplars are nearest to, within the limit. If one group holds several
    identities the oldest gets it; the others stay in the log, in case they are separated again. An identity gets one
    group only; groups that are left get new ids. taken: returns the ids of all shows.
    """
    if not groups:
        return Matches([], [])
    known = _identities(events)
    group_of = {crop: number for number, group in enumerate(groups) for crop in group.crops}
    held = np.zeros((len(known), len(groups)), dtype=np.int64)
    share = np.zeros(held.shape)
    for i, identity in enumerate(known):
        held[i] = _crops_by_group(identity.crops, group_of, len(groups))
        for event in identity.events:
            share[i] = np.maximum(
                share[i], _crops_by_group(event.crops, group_of, len(groups)) / max(len(event.crops), 1)
            )
    sizes = np.array([len(group.crops) for group in groups])
    part = (share >= MIN_SHARE) | (held >= WHOLE_SHARE * sizes)
    found = _one_to_one(np.where(part, held, 0), share >= WHOLE_SHARE, known)
    found |= _match_by_difference(groups, known, held, group_of, found, comparison)
    characters, new = _with_new_ids(
        groups, {number: known[i].character for i, number in found.items()}, taken, comparison
    )
    new += [
        _event("seen", known[i].character, groups[number], comparison)
        for i, number in sorted(found.items())
        if held[:, number].sum() == held[i, number] and not _is_up_to_date(known[i], number, group_of, comparison)
    ]
    return Matches(characters, new)


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


def _crops_by_group(crops: Iterable[str], group_of: Mapping[str, int], groups: int) -> np.ndarray:
    return np.bincount([group_of[crop] for crop in crops if crop in group_of], minlength=groups)


def _one_to_one(votes: np.ndarray, is_whole: np.ndarray, known: Sequence[_Identity]) -> dict[int, int]:
    """Number of the group by number of the identity: the pairs with the most votes in all, each used at most once.

    But if a group holds all of an older identity (is_whole) that would get no group, the older one gets it: two
    identities have become one.
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
            if i in pairs or number not in holder or not (votes[i, number] and is_whole[i, number]):
                continue
            if known[i].since < known[holder[number]].since and holder[number] not in given:
                given[i] = number
                break
        else:
            return pairs


def _match_by_difference(
    groups: Sequence[Group],
    known: Sequence[_Identity],
    held: np.ndarray,
    group_of: Mapping[str, int],
    found: Mapping[int, int],
    comparison: Comparison,
) -> dict[int, int]:
    """Number of the group by number of the identity, for those that `found` lacks. A crop votes for the group it is in;
    an exemplar in no group votes for the nearest group within the limit, unless that group has an identity already."""
    free = sorted(set(range(len(groups))) - set(found.values()))
    lost = [i for i in range(len(known)) if i not in found]
    if not free or not lost:
        return {}
    votes, total = held.astype(np.float64), held.sum(axis=1).astype(np.float64)
    ungrouped = {
        i: vectors for i in lost if len(vectors := _exemplars_in_no_group(known[i], group_of, comparison.model_sha256))
    }
    if ungrouped:
        nearest = _nearest_groups(np.concatenate(list(ungrouped.values())), groups, comparison)
        start = 0
        for i, vectors in ungrouped.items():
            numbers = nearest[start : start + len(vectors)]
            votes[i] += np.bincount(numbers[numbers >= 0], minlength=len(groups))
            total[i] += len(vectors)
            start += len(vectors)
    share = votes / np.maximum(total, 1)[:, None]
    open_to = np.zeros(votes.shape, dtype=bool)
    open_to[np.ix_(lost, free)] = True
    return _one_to_one(np.where(open_to & (share >= MIN_SHARE), votes, 0), share >= WHOLE_SHARE, known)


def _exemplars_in_no_group(identity: _Identity, group_of: Mapping[str, int], model_sha256: str) -> np.ndarray:
    """float32 [n, d]: vectors by these weights of the identity's crops that are in no group, each crop once."""
    vectors = {
        crop: vector
        for event in identity.events
        if event.model_sha256 == model_sha256
        for crop, vector in zip(event.exemplar_ids, event.exemplars, strict=True)
        if crop not in group_of
    }
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 1), np.float32)


def _nearest_groups(vectors: np.ndarray, groups: Sequence[Group], comparison: Comparison) -> np.ndarray:
    """Number of the group nearest to each vector; -1 beyond the limit."""
    means = nearest_of(vectors, [group.exemplars for group in groups], comparison.differences_to)
    nearest = means.argmin(axis=1)
    return np.where(means[np.arange(len(vectors)), nearest] <= comparison.limit, nearest, -1)


def _is_up_to_date(identity: _Identity, number: int, group_of: Mapping[str, int], comparison: Comparison) -> bool:
    """Whether the log holds an event by these weights of which at least half of the crops are in the group."""
    return any(
        sum(group_of.get(crop) == number for crop in event.crops) >= WHOLE_SHARE * len(event.crops)
        for event in identity.events
        if event.model_sha256 == comparison.model_sha256
    )


def _with_new_ids(
    groups: Sequence[Group], found: Mapping[int, str], taken: Callable[[], Collection[str]], comparison: Comparison
) -> tuple[list[str], list[Event]]:
    """The id of each group, where `found` lacks one a new id, and the events for the new ids."""
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
    """The id made of the first crop, then of the next ones: an earlier id may belong to somebody else already."""
    yield from map(character_id, crops)
    yield from (character_id(f"{crops[0]} {number}") for number in count(2))


def _event(kind: Kind, character: str, group: Group, comparison: Comparison) -> Event:
    some = sorted(group.crops, key=lambda crop: hashlib.sha256(crop.encode()).digest())[:CROPS_LOGGED]
    ids, vectors = group.exemplar_ids[:EXEMPLARS_LOGGED], group.exemplars[:EXEMPLARS_LOGGED]
    return Event(kind, character, group.show, comparison.model_sha256, tuple(sorted(some)), ids, vectors)
