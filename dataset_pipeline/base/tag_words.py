"""What the words of a tag say by themselves."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

TAGS_REMEMBERED = 50_000  # of the few thousand that images bear, each is asked about once an image
MANY = 6  # so many people and more are `many`

NOBODY = ("no", "humans")
PEOPLE_COUNT = re.compile(r"(?:\d+\+?|multiple[ _])(?:girl|boy|other)s?")
COUNTED = re.compile(r"(\d+\+?)([a-z]+)")
LETTERS_IN_A_ROW = re.compile(r"[^\W\d_]{2}")


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def words(tag: str) -> tuple[str, ...]:
    """A tag's words, for comparing: lower case, spaces and underscores alike, `1girl` as 1 and girl."""
    counted = COUNTED.fullmatch(tag.lower())
    return counted.groups() if counted else tuple(tag.lower().replace("_", " ").split())


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def is_people_count(tag: str) -> bool:
    """Whether the tag counts people: 1girl, 2boys, 6+girls, multiple girls; not solo."""
    return PEOPLE_COUNT.fullmatch(tag) is not None


@functools.lru_cache(maxsize=TAGS_REMEMBERED)
def counted_people(tag: str) -> tuple[str, int]:
    """(girl, boy or other; how many) of a tag that counts people, ("", 0) of any other; `multiple` are at least 2."""
    if not is_people_count(tag):
        return "", 0
    number = re.match(r"\d+", tag)
    kind = next(kind for kind in ("girl", "boy", "other") if kind in tag)
    return kind, min(MANY, int(number[0])) if number else 2


def other_counts(scores: Mapping[str, float]) -> list[str]:
    """Tags that contradict or only repeat a count of people beside them, given each tag's probability: of girls, of
    boys and of others all but the most probable number, `multiple girls` where a number stays, and `no humans`."""
    by_kind: dict[str, list[str]] = {}
    for tag in sorted(scores, key=lambda tag: (not tag[:1].isdigit(), -scores[tag], tag)):
        if kind := counted_people(tag)[0]:
            by_kind.setdefault(kind, []).append(tag)
    nobody = [tag for tag in scores if by_kind and words(tag) == NOBODY]
    return [tag for counts in by_kind.values() for tag in counts[1:]] + nobody


def people_number(tags: Iterable[str]) -> int:
    """How many people the tags speak of, at most MANY: the largest count of girls, of boys and of others, summed."""
    largest: dict[str, int] = {}
    for tag in tags:
        kind, number = counted_people(tag)
        if kind:
            largest[kind] = max(number, largest.get(kind, 0))
    return min(MANY, sum(largest.values()))


def is_emoticon(tag: str) -> bool:
    """Whether an underscore in the tag is part of a face, as in `^_^`, `o_o` or `>_<`: no two letters meet in it."""
    return LETTERS_IN_A_ROW.search(tag) is None


def singular(word: str) -> str:
    """A word without the s of a plural, for comparing."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
