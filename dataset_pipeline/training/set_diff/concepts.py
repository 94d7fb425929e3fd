"""How the concepts of two sets differ: images that moved, and multiplies that changed."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dataset_pipeline.settings import ConceptBalanceSettings
from dataset_pipeline.training.arrangement import OTHERS
from dataset_pipeline.training.balance import balance
from dataset_pipeline.training.set_diff.changes import Changes, Key, Reason, changed_weights, most_frequent
from dataset_pipeline.training.set_diff.sets import Image, TrainingSet
from dataset_pipeline.training.split import TRAIN

ARRANGEMENT = ("arrangement", "many_characters", "min_images_per_combination")
SAME_MULTIPLY = 1e-5  # relative: manifests hold six digits
OF_MULTIPLIES = ("weights", "min_multiply", "max_multiply")  # the keys that balance images; others choose them
WEIGHT = "weight"
ByConcept = Mapping[str, Sequence[Reason]]
OTHER_IMAGES = "as images came and left"


@dataclass(frozen=True)
class Concept:
    """A concept on one side. epoch_share: of the images that an epoch shows."""

    images: int = 0
    multiply: float = 0.0
    epoch_share: float = 0.0


@dataclass(frozen=True)
class ConceptChange:
    """A concept that is trained on and has other images or another multiply than before."""

    concept: str
    before: Concept
    after: Concept
    reason: Reason


def why_moved(old: Image, new: Image, changes: Changes, by_concept: ByConcept, is_renamed: bool = False) -> Reason:
    """Of an image whose concept is another. by_concept: why images came or left. is_renamed: the same characters are on
    it, called otherwise."""
    keys: list[Key] = [("concept_balance", name) for name in ARRANGEMENT]
    changed = changes.keys("concept_balance", "")
    who = [image.fields.get("characters") or [] for image in (old, new)]
    by_arrangement = tuple(changed[key] for key in keys if key in changed)
    if who[0] != who[1] and ("concept_balance", "arrangement") not in changed:
        names = " -> ".join(", ".join(map(str, it)) or "nobody" for it in who)
        if is_renamed:
            return Reason("characters renamed", (), f"({names})")
        return Reason("other characters on it", changes.causes("clusters", old.episode), f"({names})")
    if by_arrangement:
        return Reason("another arrangement", by_arrangement)
    if OTHERS in old.concept.split("/") or OTHERS in new.concept.split("/"):
        few, its = ("fewer", old.concept) if OTHERS in new.concept.split("/") else ("more", new.concept)
        causes = most_frequent(by_concept.get(its, ())) or changes.upstream("selection", "")
        return Reason(f"{few} images of its combination, {OTHER_IMAGES}", causes)
    return Reason("other contents", changes.upstream("selection", ""))


def concept_changes(old: TrainingSet, new: TrainingSet, changes: Changes, by_concept: ByConcept) -> list[ConceptChange]:
    """The concepts that changed, those whose share of an epoch moved most first. by_concept: why images to train on
    came, left or moved."""
    before, after = _concepts(old), _concepts(new)
    judge = _Judge(old, new, before, after, changes, by_concept)
    found = []
    for concept in sorted(before.keys() | after.keys()):
        one, other = before.get(concept, Concept()), after.get(concept, Concept())
        if one.images != other.images or not _same(one.multiply, other.multiply):
            found.append(ConceptChange(concept, one, other, judge.why(concept, one, other)))
    return sorted(found, key=lambda it: (-abs(it.after.epoch_share - it.before.epoch_share), it.concept))


class _Judge:
    """Balances the images of one set by the settings of the other, and by each changed setting alone: what gives the
    new multiply alone is the reason."""

    def __init__(
        self,
        old: TrainingSet,
        new: TrainingSet,
        before: Mapping[str, Concept],
        after: Mapping[str, Concept],
        changes: Changes,
        by_concept: ByConcept,
    ) -> None:
        self.old, self.new = old.balance, new.balance
        self.by_concept = by_concept
        self.all_moves = most_frequent(itertools.chain(*by_concept.values()))
        self.changed = {
            key: text for (_, key), text in changes.keys("concept_balance", "").items() if key in OF_MULTIPLIES
        }
        self.weights = (
            {}
            if self.old is None or self.new is None
            else changed_weights(*([weight.model_dump() for weight in it.weights] for it in (self.old, self.new)))
        )
        # Where no image came, left or moved, those to train on are others only by what is held out.
        places = [{it: image.concept for it, image in side.images.items()} for side in (old, new)]
        self.held_out = tuple(changes.keys("training_set", "").values()) if places[0] == places[1] else ()
        self.counts = [{name: it.images for name, it in side.items()} for side in (before, after)]
        self.by_images = _multiplies(self.counts[1], self.old)
        self.by_settings = _multiplies(self.counts[0], self.new)
        self.by_some = functools.cache(self._by_some)

    def why(self, concept: str, before: Concept, after: Concept) -> Reason:
        more = after.images - before.images
        images = f"{abs(more)} image{'s' if abs(more) != 1 else ''} {'more' if more > 0 else 'fewer'}" if more else ""
        if not before.images or not after.images:
            return Reason("a new concept" if after.images else "no image of it is left")
        if _same(before.multiply, after.multiply):
            causes = self.held_out or most_frequent(self.by_concept.get(concept, ()))
            return Reason("other images to train on", causes, f"({images})")
        detail = f"({images})" if images else ""
        if _same(self.by_images.get(concept), after.multiply) or not self.changed:
            return Reason("balanced over other images to train on", self.held_out or self.all_moves, detail)
        if _same(self.by_settings.get(concept), after.multiply):
            return Reason("balanced otherwise", self._told(concept, after.multiply, 0), detail)
        what = "balanced otherwise and over other images to train on"
        return Reason(what, self._told(concept, after.multiply, 1), detail)

    def _told(self, concept: str, multiply: float, side: int) -> tuple[str, ...]:
        """The settings that give the new multiply alone; else those without which it would be another; else all.
        side: the set whose images are balanced."""
        limits = {name: text for name, text in self.changed.items() if name != "weights"}
        names = frozenset({*limits, *((WEIGHT, pattern) for pattern in self._seen_weights(side))})
        alone = [it for it in names if _same(self.by_some(frozenset({it}), side).get(concept), multiply)]
        matter = [it for it in names if not _same(self.by_some(names - {it}, side).get(concept), multiply)]
        told = alone or matter
        if not told or self.old is None or self.new is None:
            return tuple(self.changed.values())
        weights = [text for pattern, text in self.weights.items() if (WEIGHT, pattern) in told]
        first = (f"[concept_balance] weights {', '.join(weights)}",) if weights else ()
        return (*first, *(text for name, text in limits.items() if name in told))

    def _seen_weights(self, side: int) -> set[str]:
        """The patterns of changed weights that are of any folder."""
        parts = [concept.split("/") for concept in self.counts[side]]
        paths = {"/".join(it[: depth + 1]) for it in parts for depth in range(len(it))}
        folders = {name for it in parts for name in it}
        return {it for it in self.weights if it in folders or any(fnmatchcase(path, it) for path in paths)}

    def _by_some(self, taken: frozenset[Any], side: int) -> dict[str, float]:
        """The multiplies by the old settings but for those that are `taken` from the new."""
        if self.old is None or self.new is None:
            return {}
        old, new = ({it.pattern: it for it in reversed(of.weights)} for of in (self.old, self.new))
        weights = [
            weight
            for pattern in dict.fromkeys(it.pattern for it in (*self.new.weights, *self.old.weights))
            if (weight := (new if (WEIGHT, pattern) in taken else old).get(pattern))
        ]
        limits = {name: getattr(self.new, name) for name in taken if isinstance(name, str)}
        return _multiplies(self.counts[side], self.old.model_copy(update={**limits, "weights": weights}))


def contradictions(of: TrainingSet) -> list[str]:
    """The concepts that have several multiplies, in words: no export writes such a set."""
    found: dict[str, set[float]] = {}
    for image in of.images.values():
        if image.part == TRAIN:
            found.setdefault(image.concept, set()).add(image.multiply)
    return [
        f"concept {concept} has the multiplies {', '.join(f'{it:g}' for it in sorted(multiplies))}"
        for concept, multiplies in sorted(found.items())
        if len(multiplies) > 1
    ]


def _concepts(of: TrainingSet) -> dict[str, Concept]:
    trained = [image for image in of.images.values() if image.part == TRAIN]
    counts = Counter(image.concept for image in trained)
    multiplies = {image.concept: image.multiply for image in trained}
    epoch = math.fsum(count * multiplies[concept] for concept, count in counts.items()) or 1.0
    return {
        concept: Concept(count, multiplies[concept], count * multiplies[concept] / epoch)
        for concept, count in counts.items()
    }


def _multiplies(counts: Mapping[str, int], settings: ConceptBalanceSettings | None) -> dict[str, float]:
    if settings is None:
        return {}
    shares = balance(counts, settings.weights, settings.min_multiply, settings.max_multiply)
    return {share.concept: share.multiply for share in shares}


def _same(one: float | None, other: float) -> bool:
    return one is not None and math.isclose(one, other, rel_tol=SAME_MULTIPLY)
