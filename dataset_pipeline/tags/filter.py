"""From tag probabilities to the tags of an image."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.settings import TagsSettings

PEOPLE_COUNT = re.compile(r"(?:\d+\+?|multiple[ _])(?:girl|boy|other)s?")
COUNTED = re.compile(r"(\d+\+?)([a-z]+)")
TAGS_REMEMBERED = 50_000  # of the few thousand that images bear, each is asked about once an image
RATING, GENERAL, CHARACTER = "rating", "general", "character"


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def words(tag: str) -> tuple[str, ...]:
    """A tag's words, for comparing: lower case, spaces and underscores alike, `1girl` as 1 and girl."""
    counted = COUNTED.fullmatch(tag.lower())
    return counted.groups() if counted else tuple(tag.lower().replace("_", " ").split())


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def is_people_count(tag: str) -> bool:
    """Whether the tag counts people: 1girl, 2boys, 6+girls, multiple girls; not solo."""
    return PEOPLE_COUNT.fullmatch(tag) is not None


def sort_tags(scores: Mapping[str, float]) -> list[str]:
    """solo, then counts of people, then the rest, each by falling probability, then by name."""

    def place(tag: str) -> tuple[int, float, str]:
        return 0 if tag == "solo" else 1 if is_people_count(tag) else 2, -scores[tag], tag

    return sorted(scores, key=place)


def implied_tags(tags: Iterable[str]) -> dict[str, str]:
    """Tags that another says more exactly, with that other: `hair` for `long hair`, `dress` for `red dress`.

    English puts what a thing is last, so the shorter tag must end the longer one: `cat ears` are ears and no cat.
    `no hat` implies nothing.
    """
    split = {tag: words(tag) for tag in sorted(tags)}
    by_words = {parts: tag for tag, parts in split.items()}
    implied: dict[str, str] = {}
    for tag, parts in sorted(split.items(), key=lambda item: (-len(item[1]), item[0])):
        if parts and parts[0] in ("no", "without"):
            continue
        for start in range(1, len(parts)):
            shorter = by_words.get(parts[start:])
            if shorter is not None and shorter not in implied:
                implied[shorter] = tag
    return implied


def decide_tags(
    tag_scores: Iterable[Mapping[str, Any]], clusters: Iterable[Mapping[str, Any]], settings: TagsSettings
) -> list[dict]:
    """Rows of `tags`, one for each row of `tag_scores` (its columns image_id and tags).

    A general or character tag stays from its category's probability on, unless it is on the blacklist, is implied by
    another, names somebody that `clusters` already knows on the image, or comes after `max_tags` others. The rating is
    the most probable of its category. `dropped` tells for every other tag why.
    """
    known = {row["image_id"]: row["characters"] for row in clusters}
    blacklist = {words(tag) for tag in settings.blacklist}
    return [
        {"image_id": row["image_id"], **_decide(row["tags"] or (), known.get(row["image_id"], ()), blacklist, settings)}
        for row in sorted(tag_scores, key=lambda row: row["image_id"])
    ]


def _decide(
    scored: Sequence[Mapping[str, Any]],
    characters: Sequence[str],
    blacklist: set[tuple[str, ...]],
    settings: TagsSettings,
) -> dict:
    limits = {GENERAL: settings.general_min_score, CHARACTER: settings.character_min_score}
    known = {words(name) for name in characters}
    ratings: dict[str, float] = {}
    used: dict[str, dict[str, float]] = {GENERAL: {}, CHARACTER: {}}
    dropped: dict[str, str] = {}
    for entry in scored:
        tag, category = entry["tag"], entry["category"]
        score = round(float(entry["score"]), 4)  # 0.35 is stored as a float32 just below it
        if category == RATING:
            ratings[tag] = score
        elif category not in limits:
            dropped[tag] = category
        elif score < limits[category]:
            dropped[tag] = "low_score"
        elif words(tag) in blacklist:
            dropped[tag] = "blacklist"
        elif category == CHARACTER and words(tag) in known:
            dropped[tag] = "known_character"
        else:
            used[category][tag] = score
    for tag, other in implied_tags(used[GENERAL]).items():
        del used[GENERAL][tag]
        dropped[tag] = f"implied by {other}"
    ordered = sort_tags(used[GENERAL] | used[CHARACTER])
    dropped |= dict.fromkeys(ordered[settings.max_tags :], "max_tags")
    return {
        "tags": ordered[: settings.max_tags],
        "rating": min(ratings, key=lambda tag: (-ratings[tag], tag), default=""),
        "dropped": [{"tag": tag, "reason": dropped[tag]} for tag in sorted(dropped)],
    }
