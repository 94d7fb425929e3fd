"""From tag probabilities to the tags of an image."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_pipeline.base.tag_words import MANY, is_people_count, people_number, words
from dataset_pipeline.corrections.answers import Edits
from dataset_pipeline.settings import PeopleSettings, TagConcept, TagsSettings, TagThresholdsSettings
from dataset_pipeline.settings.query import Question, Subject, parse
from dataset_pipeline.settings.tag_rules import Rules
from dataset_pipeline.tags.composition import decide_composition
from dataset_pipeline.tags.counts import KINDS, Decided, decide_counts, reason_of, sex_of
from dataset_pipeline.tags.overlaps import overlapping_tags
from dataset_pipeline.tags.people import Seen

RATING, GENERAL, CHARACTER, COPYRIGHT, ARTIST = "rating", "general", "character", "copyright", "artist"
NOT_TAGS = (COPYRIGHT, ARTIST)  # they have columns of their own
BY_HAND = "by_hand"  # why a tag came or went that a person added or removed
ONE = frozenset(f"1{kind}" for kind in KINDS)


@dataclass(frozen=True)
class Known:
    """What else is known of an episode's images, each by image id. core: core tags by character.
    hand_edited: the tags a person wrote, which are taken as they are. seen: who is there by the boxes; an image without
    is one that nobody looked at. composition: what the boxes say for certain, see `composition_of`. edits: tags that a
    person added and removed. names: of characters, by id, which questions may say as well."""

    characters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    core: Mapping[str, Collection[str]] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    hand_edited: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    composition: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, Edits] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


def decide_tags(
    tag_scores: Iterable[Mapping[str, Any]],
    known: Known,
    settings: TagsSettings,
    people: PeopleSettings,
    thresholds: TagThresholdsSettings,
    rules: Rules,
) -> list[dict]:
    """Rows of `tags`, one for each row of `tag_scores` (its columns image_id and tags).

    A tag stays from its category's threshold on, unless it is on the blacklist, another says it as well, it counts
    other people than are seen or than a more probable one (see `decide_counts`), it speaks of a person where nobody is
    seen, it frames otherwise than the boxes or than a more probable one (see `decide_composition`), it describes a
    character who is named (see `prune`), it names somebody whom `clusters` knows on the image, or comes after
    `max_tags` others. The rating is the most probable of its category. `dropped` tells for every other tag why, `added`
    why a tag came that the tagger does not say. Tags that a person wrote replace all others of their image, in their
    order.
    """
    rows = sorted(tag_scores, key=lambda row: row["image_id"])
    decider = _Decider(settings, rules, _Counter(rows, known, people, thresholds))
    return [{"image_id": row["image_id"], **decider.decide(row["image_id"], row["tags"] or ())} for row in rows]


def people_numbers(
    tag_scores: Iterable[Mapping[str, Any]], known: Known, people: PeopleSettings, thresholds: TagThresholdsSettings
) -> dict[str, int]:
    """The column n_people of `decide_tags`, by image id: as many as the counts come to that agree with each other and
    with the boxes, or a person's; where there are none as many as are seen. 6 = six and more."""
    rows = list(tag_scores)
    counter = _Counter(rows, known, people, thresholds)
    return {row["image_id"]: counter.number(row["image_id"], row["tags"] or ()) for row in rows}


class _Counter:
    """Counts the people of one episode's images."""

    def __init__(
        self,
        tag_scores: Iterable[Mapping[str, Any]],
        known: Known,
        people: PeopleSettings,
        thresholds: TagThresholdsSettings,
    ) -> None:
        self.known, self.mode, self.thresholds = known, people.counts, thresholds.model_dump()
        self._sexes = sexes_by_image(tag_scores)

    def decide(self, image_id: str, general: Mapping[str, float], space: str = "_") -> Decided:
        """general: the tags that reached their threshold."""
        seen = self.known.seen.get(image_id)
        crops = (
            [self._sexes[crop] for crop in person.crops if crop in self._sexes]
            for person in (seen.people if seen else ())
        )
        sexes = [sex_of(tags, self.thresholds[GENERAL]) for tags in crops]
        return decide_counts(general, seen, sexes, self.mode, space)

    def number(self, image_id: str, scored: Sequence[Mapping[str, Any]]) -> int:
        written = self.known.hand_edited.get(image_id)
        if written is not None:
            return people_number(written)
        general = reached(scored, self.thresholds)[0][GENERAL]
        decided, seen = self.decide(image_id, general), self.known.seen.get(image_id)
        counted = people_number({*general, *decided.added} - decided.dropped.keys())
        return counted or (min(MANY, seen.at_least) if seen and self.mode != "tagger" else 0)


class _Decider:
    """The rules of one episode, looked up once."""

    def __init__(self, settings: TagsSettings, rules: Rules, counter: _Counter) -> None:
        self.settings, self.rules, self.counter = settings, rules, counter
        self.known, self.thresholds = counter.known, counter.thresholds
        known = counter.known
        self.blacklist = rules.blacklist | {words(tag) for tag in settings.blacklist}
        self.core = {name: frozenset(map(words, tags)) for name, tags in known.core.items()}
        self.concepts: list[tuple[TagConcept, Question]] = [(it, parse(it.query)) for it in settings.concepts]

    def decide(self, image_id: str, scored: Sequence[Mapping[str, Any]]) -> dict:
        settings = self.settings
        characters = self.known.characters.get(image_id, ())
        used, rating, dropped = reached(scored, self.thresholds)
        added: dict[str, str] = {}
        all_scored = scored
        written = self.known.hand_edited.get(image_id)
        if written is not None:
            dropped |= dict.fromkeys(
                (tag for tags in used.values() for tag in tags if tag not in written), "hand_edited"
            )
            scored, used = as_written(written, self.thresholds)
        concepts = self._concepts(image_id, scored, used, characters, rating)
        if concepts:
            dropped |= dict.fromkeys(used[CHARACTER], f"concept {concepts[0].name}")
            used[CHARACTER] = {}
        seen = self.known.seen.get(image_id)
        if written is not None:
            ordered = list(used[GENERAL])
        else:
            if settings.prune != "none":
                added = self._as_seen(image_id, used, dropped, space_of(scored))
                self._prune(used, characters, dropped)
            kept = {tag: score for name, tags in used.items() if name not in NOT_TAGS for tag, score in tags.items()}
            if settings.sort == "original":
                kept = {entry["tag"]: kept[entry["tag"]] for entry in scored if entry["tag"] in kept} | kept
            ordered = self._ordered(image_id, kept, dropped)
        if edits := self.known.edits.get(image_id):
            ordered, more = edited(ordered, edits, dropped)
            added |= more
        return {
            "tags": ordered,
            "rating": rating,
            "series": _by_score(used.get(COPYRIGHT, {})),
            "artists": _by_score(used.get(ARTIST, {})),
            "concepts": [concept.name for concept in concepts],
            "activation_tags": [concept.activation_tag for concept in concepts],
            "hand_edited": written is not None,
            "dropped": [{"tag": tag, "reason": dropped[tag]} for tag in sorted(dropped)],
            "added": [{"tag": tag, "reason": added[tag]} for tag in sorted(added) if tag in ordered],
            "n_people": self.counter.number(image_id, all_scored),
            "people_at_least": seen.at_least if seen else None,
            "people_at_most": seen.at_most if seen else None,
        }

    def _concepts(
        self,
        image_id: str,
        scored: Sequence[Mapping[str, Any]],
        used: Mapping[str, Mapping[str, float]],
        characters: Sequence[str],
        rating: str,
    ) -> list[TagConcept]:
        if not self.concepts:
            return []
        characters = [*characters, *(self.known.names.get(it, it) for it in characters)]
        subject = subject_of(scored, used, characters, self.known.quality.get(image_id), rating)
        return [concept for concept, holds in self.concepts if holds(subject)]

    def _as_seen(self, image_id: str, used: dict[str, dict[str, float]], dropped: dict[str, str], space: str) -> dict:
        """Make what `used` says of people agree with itself and with the boxes. Returns why tags were added."""
        general, seen, settings = used[GENERAL], self.known.seen.get(image_id), self.settings
        added: dict[str, str] = {}

        def apply(decided: Decided) -> None:
            for tag, reason in decided.dropped.items():
                del general[tag]
                dropped[tag] = reason
            for tag, (score, reason) in decided.added.items():
                general[tag], added[tag] = score, reason
                dropped.pop(tag, None)

        apply(self.counter.decide(image_id, general, space))
        if seen is not None and seen.nobody and self.counter.mode != "tagger":
            apply(Decided({tag: reason_of(seen) for tag in general if self.rules.speaks_of_person(tag)}))
            dropped |= dict.fromkeys(used[CHARACTER], reason_of(seen))
            used[CHARACTER] = {}
            there = {words(tag) for tag in general}
            more = [tag for tag in settings.nobody_tags if words(tag) not in there]
            apply(Decided(added={tag: (1.0, reason_of(seen)) for tag in more}))
        framed = self.known.composition.get(image_id, "") if settings.composition == "boxes" else ""
        apply(decide_composition(general, framed, space))
        return added

    def _prune(self, used: dict[str, dict[str, float]], characters: Sequence[str], dropped: dict[str, str]) -> None:
        """Take tags out of `used`, with the reason in `dropped`."""

        def drop(category: str, reasons: Mapping[str, str]) -> None:
            for tag, reason in reasons.items():
                del used[category][tag]
                dropped[tag] = reason

        named = {words(name.split("|")[0]) for name in characters}
        for category, tags in used.items():
            drop(category, {tag: "blacklist" for tag in tags if words(tag) in self.blacklist})
        drop(CHARACTER, {tag: "known_character" for tag in used[CHARACTER] if words(tag) in named})
        overlaps = overlapping_tags(used[GENERAL], self.settings.overlaps, self.rules.implied)
        drop(GENERAL, {tag: f"implied by {other}" for tag, other in overlaps.items()})
        if self.settings.prune == "character" and characters:
            drop(GENERAL, {tag: "trait" for tag in used[GENERAL] if self.rules.is_trait(tag)})
        elif self.settings.prune == "character_core":
            for name in characters:
                core = self.core.get(name, frozenset())
                drop(GENERAL, {tag: f"core tag of {name}" for tag in used[GENERAL] if words(tag) in core})

    def _ordered(self, image_id: str, scores: Mapping[str, float], dropped: dict[str, str]) -> list[str]:
        """At most `max_tags` of the tags, the most probable, in the order that `sort` asks for."""
        best = sort_tags(scores)
        dropped |= dict.fromkeys(best[self.settings.max_tags :], "max_tags")
        if self.settings.sort == "score":
            return best[: self.settings.max_tags]
        kept = {tag: scores[tag] for tag in scores if tag not in dropped}
        return sort_tags(kept, self.settings.sort, f"{self.settings.shuffle_seed}\0{image_id}")


def edited(tags: Sequence[str], edits: Edits, dropped: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The tags as a person wants them, and why those came that were added; `dropped` tells of those that went. What is
    added comes after solo and counts of people, before the rest."""
    removed, there = {words(tag) for tag in edits.remove}, {words(tag) for tag in tags}
    gone = [tag for tag in tags if words(tag) in removed]
    dropped |= dict.fromkeys(gone, BY_HAND)
    new = [tag for tag in edits.add if words(tag) not in there]
    for tag in new:
        dropped.pop(tag, None)
    kept = sorted([*new, *(tag for tag in tags if tag not in gone)], key=_rank) if new else [*tags]
    return [tag for tag in kept if tag not in gone], dict.fromkeys(new, BY_HAND)


def sexes_by_image(tag_scores: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How probable one girl, one boy, one other are on each image, by its id."""
    return {
        row["image_id"]: {entry["tag"]: float(entry["score"]) for entry in row["tags"] or () if entry["tag"] in ONE}
        for row in tag_scores
    }


def space_of(scored: Iterable[Mapping[str, Any]]) -> str:
    """What stands between the words of a tagger's tags."""
    return " " if any(" " in entry["tag"] for entry in scored) else "_"


def reached(
    scored: Iterable[Mapping[str, Any]], thresholds: Mapping[str, float]
) -> tuple[dict[str, dict[str, float]], str, dict[str, str]]:
    """By category the tags with scores that reach its threshold; the rating; why each other tag does not count."""
    ratings: dict[str, float] = {}
    used: dict[str, dict[str, float]] = {category: {} for category in thresholds}
    dropped: dict[str, str] = {}
    for entry in scored:
        tag, category = entry["tag"], entry["category"]
        score = round(float(entry["score"]), 4)  # 0.35 is stored as a float32 just below it
        limit = thresholds.get(category, 2.0)
        if category == RATING:
            ratings[tag] = score
        elif limit > 1.0:
            dropped[tag] = category
        elif score < limit:
            dropped[tag] = "low_score"
        else:
            used[category][tag] = score
    return used, min(ratings, key=lambda tag: (-ratings[tag], tag), default=""), dropped


def as_written(
    tags: Iterable[str], thresholds: Mapping[str, float]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Tags that a person wrote, as if a tagger were sure of them: with scores, and by category."""
    sure = dict.fromkeys(tags, 1.0)
    return [{"tag": tag, "score": 1.0} for tag in sure], {category: {} for category in thresholds} | {GENERAL: sure}


def subject_of(
    scored: Iterable[Mapping[str, Any]],
    used: Mapping[str, Iterable[str]],
    characters: Iterable[str],
    quality: float | None,
    rating: str,
) -> Subject:
    """An image as questions see it. scored: tags with scores; used: tags by category that reached their thresholds."""
    return Subject(
        {words(entry["tag"]): round(float(entry["score"]), 4) for entry in scored},
        {words(tag) for tags in used.values() for tag in tags},
        {words(name.split("|")[0]) for name in characters},
        quality,
        rating,
    )


def sort_tags(scores: Mapping[str, float], sort: str = "score", seed: str = "") -> list[str]:
    """solo, then counts of people, then the rest; each by falling probability (`score`), by `name`, in the order given
    (`original`) or in a random one that `seed` decides (`shuffle`). Ties go by name."""

    def within(tag: str) -> tuple:
        match sort:
            case "score":
                return (-scores[tag],)
            case "original":
                return (places[tag],)
            case "shuffle":
                return (hashlib.sha256(f"{seed}\0{tag}".encode("utf-8", "replace")).digest(),)
        return ()

    places = {tag: place for place, tag in enumerate(scores)} if sort == "original" else {}
    return sorted(scores, key=lambda tag: (_rank(tag), *within(tag), tag))


@functools.lru_cache(maxsize=4096)
def _rank(tag: str) -> int:
    return 0 if tag == "solo" else 1 if is_people_count(tag) else 2


def _by_score(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda tag: (-scores[tag], tag))
