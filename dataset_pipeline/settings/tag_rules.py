"""The rules of resources/tags: what is never said, what says another tag too, what describes a character."""

from __future__ import annotations

import csv
import functools
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.tag_words import is_people_count, singular, words
from dataset_pipeline.settings.training_set import TagRulesSettings

Words = tuple[str, ...]
BLACKLIST, IMPLICATIONS, TRAITS = "blacklist.txt", "implications.csv", "traits.toml"
CHARACTER_KINDS = frozenset({"hair", "eyes", "body"})
KINDS = ("hair", "eyes", "body", "outfit", "passing")  # a tag is of the first that fits
OF_PEOPLE = frozenset({"hair", "eyes", "body", "outfit"})
PERSON = "person"  # a table beside the kinds: what else speaks of somebody
MATCHES = ("ends", "begins", "is", "never")
DEFINING = frozenset({"hair", "eyes", "body", "outfit", ""})


class RulesError(PermanentError, ValueError):
    """A rule file that cannot be used; the message names the file, the line or key, and what it should be."""


@dataclass(frozen=True)
class Phrases:
    """Which tags are of a kind, by whole words in the singular."""

    ends: frozenset[Words]
    begins: frozenset[Words]
    whole: frozenset[Words]
    never: frozenset[Words]

    def fit(self, tag: Words) -> bool:
        parts = range(1, len(tag) + 1)
        if not (
            tag in self.whole
            or any(tag[-length:] in self.ends for length in parts)
            or any(tag[:length] in self.begins for length in parts)
        ):
            return False
        inner = (tag[start:end] for start in range(len(tag)) for end in range(start + 1, len(tag) + 1))
        return not any(phrase in self.never for phrase in inner)


@dataclass(frozen=True)
class Rules:
    """blacklist: tags by their words. implied: for a tag all that it makes superfluous, also by way of others."""

    blacklist: frozenset[Words]
    implied: Mapping[Words, tuple[Words, ...]]
    kinds: Mapping[str, Phrases]
    _known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def kind_of(self, tag: str) -> str:
        """hair, eyes, body, outfit, passing (said of the moment or the place), or empty if no rule speaks of it."""
        if tag not in self._known:
            plain = tuple(singular(word) for word in words(tag))
            fitting = (name for name in KINDS if self.kinds[name].fit(plain))
            self._known[tag] = "passing" if is_people_count(tag) else next(fitting, "")
        return self._known[tag]

    def is_trait(self, tag: str) -> bool:
        """Whether the tag says what a character looks like: hair, eyes, body; not what it wears or does."""
        return self.kind_of(tag) in CHARACTER_KINDS

    def speaks_of_person(self, tag: str) -> bool:
        """Whether the tag makes no sense where nobody is: hair, eyes, body, outfit, and what is listed for a person."""
        plain = tuple(singular(word) for word in words(tag))
        return self.kind_of(tag) in OF_PEOPLE or self.kinds[PERSON].fit(plain)

    def may_be_core(self, tag: str) -> bool:
        """Whether a tag that a character's images often bear may define it: all but what is passing or never said."""
        return self.kind_of(tag) in DEFINING and words(tag) not in self.blacklist


def load_rules(settings: TagRulesSettings) -> Rules:
    """The rules that `[tag_rules]` names, read once. Raises RulesError."""
    return _load(settings.content(), tuple(map(settings.file, (BLACKLIST, IMPLICATIONS, TRAITS))))


@functools.lru_cache(maxsize=8)
def _load(content: str, paths: tuple[Path, Path, Path]) -> Rules:
    blacklist, implications, traits = paths
    return Rules(read_blacklist(blacklist), read_implications(implications), read_traits(traits))


def read_blacklist(path: Path) -> frozenset[Words]:
    """A tag a line; `#` begins a comment line. Raises RulesError."""
    lines = (line.strip() for line in _text(path).splitlines())
    return frozenset(words(line) for line in lines if line and not line.startswith("#"))


def read_implications(path: Path) -> dict[Words, tuple[Words, ...]]:
    """Lines `tag,implies` below that heading; `#` begins a comment line. Raises RulesError."""
    numbered = [(n, line) for n, line in enumerate(_text(path).splitlines(), 1) if line and not line.startswith("#")]
    pairs: list[tuple[str, str]] = []
    for number, line in numbered:
        try:
            cells = next(csv.reader([line]))
        except csv.Error as error:
            raise RulesError(f"{path}, line {number}: {error}") from None
        if len(cells) != 2 or not all(map(words, cells)) or words(cells[0]) == words(cells[1]):
            raise RulesError(f"{path}, line {number}: {line[:200]!r} is no `tag,implies` of two tags")
        pairs.append((cells[0], cells[1]))
    if pairs[:1] != [("tag", "implies")]:
        raise RulesError(f"{path}: the first line must be `tag,implies`")
    try:
        return implications(pairs[1:])
    except RulesError as error:
        raise RulesError(f"{path}: {error}") from None


def implications(pairs: Iterable[tuple[str, str]]) -> dict[Words, tuple[Words, ...]]:
    """For each tag of the pairs (tag, more general tag) all tags that it implies, directly or by way of others.
    Raises RulesError where two imply one another."""
    direct: dict[Words, list[Words]] = {}
    for tag, general in pairs:
        direct.setdefault(words(tag), []).append(words(general))

    def reached(tag: Words) -> tuple[Words, ...]:
        found: dict[Words, None] = {}
        left = list(direct[tag])
        while left:
            general = left.pop(0)
            if general not in found and general != tag:
                found[general] = None
                left += direct.get(general, [])
        return tuple(found)

    found = {tag: reached(tag) for tag in direct}
    for tag, general in found.items():
        if circle := [other for other in general if tag in found.get(other, ())]:
            raise RulesError(f"{' '.join(tag)} and {' '.join(circle[0])} imply one another: both would be dropped")
    return found


def read_traits(path: Path) -> dict[str, Phrases]:
    """A table for each kind of tag, with lists `ends`, `begins`, `is` and `never`. Raises RulesError."""
    try:
        tables = tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesError(f"{path} is not valid TOML: {error}") from None
    known = (*KINDS, PERSON)
    if unknown := sorted(tables.keys() - set(known)):
        raise RulesError(f"{path}: unknown kind of tags {unknown[0]!r}; known: {', '.join(known)}")
    for kind, table in tables.items():
        if not isinstance(table, dict) or (table.keys() - set(MATCHES)):
            raise RulesError(f"{path}: [{kind}] takes lists of tags under {', '.join(MATCHES)}")
        for key, phrases in table.items():
            if not isinstance(phrases, list) or not all(isinstance(p, str) and words(p) for p in phrases):
                raise RulesError(f"{path}: {kind}.{key} must be a list of tags")
    return {kind: phrases_of(**{key: tables.get(kind, {}).get(key, ()) for key in MATCHES}) for kind in known}


def phrases_of(**lists: Collection[str]) -> Phrases:
    """The phrases of one kind from its lists `ends`, `begins`, `is` and `never`."""
    plain = {key: frozenset(tuple(map(singular, words(phrase))) for phrase in lists[key]) for key in MATCHES}
    return Phrases(plain["ends"], plain["begins"], plain["is"], plain["never"])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RulesError(f"{path} is not UTF-8: {error}") from None
    except OSError as error:
        raise RulesError(f"{path} cannot be read: {error.strerror or error}") from None
