"""What a person may decide next about names: which crops are doubtful, which would be good references, and what
characters without a name may be called. Nothing here decides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.characters.references import Named, ReferenceSet

PROPOSED = 3  # references of each name
CERTAIN_SHARE = 0.8  # of the limit: who differs by no more from a name is certain enough to show it
UNLIKE_SHARE = 0.25  # of the limit: a reference that differs by less from all there are would say nothing new
CERTAIN_MARGINS = 3  # times the least margin, for the same
MAX_COMPARED = 1000  # appearances among which new references are sought, the most unlike ones
NAME_SHARE = 0.5  # of a character's crops that bear a tag: it may be its name


@dataclass(frozen=True)
class Coverage:
    """What the references of a name found, by numbers of appearances: who bears it; of these those of the smallest
    margin to another name or to nobody; and as new references the certain ones most unlike those that are there."""

    name: str
    appearances: tuple[int, ...]
    doubtful: tuple[int, ...]
    proposed: tuple[int, ...]


def coverage_of(
    named: Named,
    differences_to_references: np.ndarray,
    among: Callable[[np.ndarray], np.ndarray],
    references: ReferenceSet,
    limit: float,
    min_margin: float,
    doubtful: int,
) -> list[Coverage]:
    """For each name its coverage. differences_to_references: [n, m], by the identity model alone. among: of the
    numbers of k appearances the differences [k, k]. doubtful: how many are told."""
    found = []
    for number, name in enumerate(references.names):
        members = np.flatnonzero(named.numbers == number)
        order = members[np.argsort(named.margins[members], kind="stable")]
        own = differences_to_references[np.ix_(members, np.flatnonzero(references.owners == number))]
        certain = (named.differences[members] <= CERTAIN_SHARE * limit) & (
            named.margins[members] >= CERTAIN_MARGINS * min_margin
        )
        unlike = np.where(certain, own.min(axis=1, initial=np.inf), 0.0)
        farthest = np.argsort(-unlike, kind="stable")[:MAX_COMPARED]
        farthest = farthest[unlike[farthest] > UNLIKE_SHARE * limit]
        new = members[farthest]
        chosen = _unlike(unlike[farthest], among(new), UNLIKE_SHARE * limit)
        found.append(
            Coverage(
                name, tuple(members.tolist()), tuple(order[:doubtful].tolist()), tuple(int(new[i]) for i in chosen)
            )
        )
    return found


def _unlike(distance: np.ndarray, among: np.ndarray, least: float) -> list[int]:
    """The farthest from what is present, then the farthest from that and those chosen, while farther than `least`."""
    chosen: list[int] = []
    while len(chosen) < PROPOSED and len(distance) and distance.max() > least:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, among[chosen[-1]])
    return chosen


def proposed_names(
    shown: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], least_score: float
) -> dict[str, tuple[str, float]]:
    """For characters what a tagger calls them, and on what share of their crops.

    shown: the character of a crop and the crop's scored tags. Proposed is the tag of the category `character` that most
    of the crops bear, if at least NAME_SHARE of all do.
    """
    crops: Counter[str] = Counter()
    borne: dict[str, Counter[str]] = defaultdict(Counter)
    for character, tags in shown:
        crops[character] += 1
        borne[character].update(
            {it["tag"] for it in tags if it["category"] == "character" and it["score"] >= least_score}
        )
    found = {}
    for character, tags in borne.items():
        if tags:
            tag, count = min(tags.items(), key=lambda it: (-it[1], it[0]))
            if count >= NAME_SHARE * crops[character]:
                found[character] = (tag.replace("_", " "), count / crops[character])
    return found
