"""Character names: stored as `name|appearance|outfit`, and as captions write them.

An appearance or outfit `none` is left out. An appearance that begins with `_` becomes one word with the name, so that
a trainer learns it as a word of its own. `+` stands between several of a kind: `Terakomari|none|red dress+cape`.

A name that a person typed may hold any of these marks. The gallery keeps it as it was typed, for whoever shows it to
people; sets are told it without `|`, so that it is never torn apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

NOTHING = ("", "none")


class CharacterName(NamedTuple):
    name: str
    appearances: tuple[str, ...] = ()
    outfits: tuple[str, ...] = ()

    @property
    def stored(self) -> str:
        """`name`, `name|appearance` or `name|appearance|outfit`."""
        parts = [self.name, "+".join(self.appearances), "+".join(self.outfits)]
        if self.outfits and not self.appearances:
            parts[1] = "none"
        return "|".join(parts).rstrip("|")

    @property
    def trigger(self) -> str:
        """The name, with the appearances that are one word with it."""
        glued = [appearance for appearance in self.appearances if appearance.startswith("_")]
        return self.name + "".join(appearance.replace(" ", "_") for appearance in glued)

    @property
    def spoken_appearances(self) -> list[str]:
        return [appearance for appearance in self.appearances if not appearance.startswith("_")]


def parse_character(stored: str) -> CharacterName:
    """The parts of a stored name; more than three are outfits."""
    name, *parts = (part.strip() for part in stored.split("|"))
    appearances = _several(parts[0]) if parts else ()
    return CharacterName(name, appearances, tuple(outfit for part in parts[1:] for outfit in _several(part)))


def names_by_id(gallery: pa.Table) -> dict[str, str]:
    """The name of each of `character_gallery` as it was typed, by id: tables hold ids, while people are told names.
    Somebody in two shows bears in both the name that one gives."""
    names: dict[str, str] = {}
    for character, name in zip(gallery["character"].to_pylist(), gallery["name"].to_pylist(), strict=True):
        if name != character or character not in names:
            names[character] = name
    return names


def stored_names(gallery: pa.Table) -> dict[str, str]:
    """As `names_by_id`, as sets are told names: each is a stored one, with a name alone."""
    return {character: without_bars(name) or character for character, name in names_by_id(gallery).items()}


def without_bars(name: str) -> str:
    """A typed name as one that `parse_character` does not tear apart."""
    return " ".join(name.replace("|", " ").split())


def as_said(name: str) -> str:
    """A name as captions say it: commas separate their parts, and are none of it."""
    return " ".join(name.replace(",", " ").split())


def named(characters: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """What to call the characters of these ids, sorted; several of one name are one, and who has none keeps the id."""
    return sorted({names.get(character, character) for character in characters})


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("+") if part.strip() not in NOTHING)
