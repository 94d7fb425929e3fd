"""Folders of characters, for a person who would rather move pictures than answer questions: who lies where.

Each picture shows one person on a still, by the largest of their crops: what is said of it holds for the smaller ones,
which are pieces of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from dataset_pipeline.base.file_names import safe_folder
from dataset_pipeline.corrections.folder_manifest import Folder

NOBODY = "_unknown"  # the folder of who is no known character


@dataclass(frozen=True)
class Person:
    """One person on a still. images: ids of their crops, of which the first is written. character: empty if nobody."""

    images: tuple[str, ...]
    show: str
    character: str = ""


@dataclass
class Current:
    """Who is who by now, with all that was said. who: character by image id, of every crop there is; empty if nobody.
    names: as typed, of every character there is, empty for who has none. shows: of the characters. heads: by the id of
    a character the one that it is part of. banned: whom an image does not show. rejected, kept: images, by a person.
    in_force: ids of events that count."""

    who: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    shows: dict[str, str] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)
    banned: Mapping[str, Set[str]] = field(default_factory=dict)
    rejected: Set[str] = frozenset()
    kept: Set[str] = frozenset()
    in_force: Set[str] = frozenset()

    def head(self, character: str) -> str:
        return self.heads.get(character, character)

    def called(self, character: str) -> str:
        return self.names.get(character) or character or "nobody known"


def folders_for(people: Sequence[Person], current: Current) -> dict[tuple[str, str], Folder]:
    """A folder for each character that is shown, by show and id; of several shows each has a folder around them."""
    shows = {person.show for person in people}
    found: dict[tuple[str, str], Folder] = {}
    taken: set[str] = set()
    for show, character in sorted({(it.show, it.character) for it in people}):
        name = current.names.get(character, "")
        wanted = safe_folder(name or character) if character else NOBODY
        around = f"{safe_folder(show)}/" if len(shows) > 1 else ""
        if character and (wanted.casefold() == NOBODY or f"{around}{wanted}".casefold() in taken):
            wanted = safe_folder(f"{name} ({character})")  # two of one name, or of names that differ in case alone
        taken.add(f"{around}{wanted}".casefold())
        found[show, character] = Folder(f"{around}{wanted}", show, character, name)
    return found
