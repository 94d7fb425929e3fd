"""What was written into a folder of characters, found among what lies there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from dataset_pipeline.corrections.folder_manifest import Manifest, Written, composed


@dataclass(frozen=True)
class Lying:
    """A file that lies in the folder. sha256: of its content. image: what it shows, known by its pixels; empty if that
    was not looked for or is not known."""

    file: str
    sha256: str
    image: str = ""


@dataclass
class Places:
    """placed: where pictures lie that were written. unclear: those of which that cannot be told. added: pictures of the
    project that were not written. foreign: files that the project does not know. notices: what says nothing, and why.
    conflicts: by files, what is wrong with them."""

    placed: dict[Written, Lying] = field(default_factory=dict)
    unclear: set[Written] = field(default_factory=set)
    added: list[Lying] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)


def unmatched(manifest: Manifest, lying: Iterable[Lying]) -> list[str]:
    """The files whose content is none that was written: only of these it matters what they show."""
    known = {it.sha256 for it in manifest.files}
    return [it.file for it in lying if it.sha256 not in known]


def find_places(manifest: Manifest, lying: Iterable[Lying], place_of: Callable[[str], str]) -> Places:
    """Find what was written: where it was, by content, by pixels, by name. place_of: the folder of a character that a
    file lies in."""
    found = Places()
    there = (replace(it, file=composed(it.file)) for it in lying)
    left = {it.file: it for it in sorted(there, key=lambda it: it.file)}
    for entry in manifest.files:
        if (same := left.get(entry.file)) and same.sha256 == entry.sha256:
            found.placed[entry] = left.pop(entry.file)
    images = {entry.images[0]: entry for entry in manifest.files}
    keys: tuple[Callable[[Any], Any], ...] = (
        lambda it: it.sha256,
        lambda it: images.get(it.image) if isinstance(it, Lying) else it,
        lambda it: PurePosixPath(it.file).name,
    )
    for number, key in enumerate(keys):
        waiting = grouped((it for it in manifest.files if it not in found.placed), key)
        for value, files in grouped(left.values(), key).items():
            taken = _match(found, waiting.get(value, []), files, place_of, is_name=number == len(keys) - 1)
            for it in taken:
                del left[it.file]
    _sort_others(found, left.values(), {it.sha256 for it in manifest.files}, images.keys())
    return found


def _sort_others(found: Places, others: Iterable[Lying], contents: Set[str], images: Set[str]) -> None:
    for it in others:
        if it.sha256 in contents or it.image in images:
            found.notices.append(f"{it.file}: is a second copy of a picture that lies elsewhere, and says nothing")
        elif it.image:
            found.added.append(it)
        else:
            found.foreign.append(it.file)


def _match(
    found: Places, entries: list[Written], files: list[Lying], place_of: Callable[[str], str], is_name: bool
) -> list[Lying]:
    """Say of files that may be these entries which is which. Returns those that are."""
    if not entries or (is_name and len(files) != len(entries)):
        return []
    if len(files) > len(entries) and len({place_of(it.file) for it in files}) > 1:
        names = ", ".join(it.file for it in files)
        found.conflicts[names] = "the same picture in several folders: leave it in one of them"
        found.unclear.update(entries)
    for entry, it in zip(entries, files, strict=False):
        if is_name and entry.sha256 != it.sha256:
            found.notices.append(f"{it.file}: was edited; what it shows of the change is not taken over")
        if entry not in found.unclear:
            found.placed[entry] = it
    return files[: len(files) if entries[0] in found.unclear else len(entries)]


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """By what `key` gives, without those for which that is None or empty."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for it in items:
        if (value := key(it)) is not None and value != "":
            found[value].append(it)
    return found
