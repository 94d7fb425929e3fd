"""The one thing with memory: who was found, and by which crops.

`_identities/show-<show>/<when>-<character>-<content hash>.json` beside the tables of a store holds one event and is
never changed, replaced or removed. So two writers, or two copies of a log, are merged by having the files of both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.store.files import Files, StoreError

FOLDER = "_identities"  # no asset is called so: neither `clean` nor `forget` looks into it

Kind = Literal["minted", "seen"]

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-(c-[0-9a-f]+)-([0-9a-f]{12})\.json")


@dataclass(frozen=True)
class Event:
    """A character of `show` was `minted`, or `seen` by other crops than those it is known by.

    crops: some of its crops at the time. exemplars: float32 [k, d], what the weights `model_sha256` made of the crops
    `exemplar_ids`. when: UTC, `20261129T160301.123456Z`; empty until it is written.
    """

    kind: Kind
    character: str
    show: str
    model_sha256: str
    crops: tuple[str, ...]
    exemplar_ids: tuple[str, ...]
    exemplars: np.ndarray
    when: str = ""


class IdentityLog:
    """The events of all shows. Safe for many writers at once.

    renamed: gives today's key by former key of the episodes that went by another one. It is asked once, and an event
    is read once: one object serves all shows of one piece of work, and the next takes another.
    """

    def __init__(self, files: Files, renamed: Callable[[], Mapping[str, str]] = dict) -> None:
        self._files = files
        self._ask_renamed = renamed
        self._read_before: dict[str, Event] = {}  # by path, of shows that episodes moved between

    @property
    def unwritten(self) -> IdentityLog:
        """The same, but what is appended to it goes nowhere: to ask who would be who."""
        return _Unwritten(self._files, self._ask_renamed)

    @cached_property
    def _renamed(self) -> Mapping[str, str]:
        return self._ask_renamed()

    @cached_property
    def _related(self) -> Mapping[str, Set[str]]:
        """Of each show that episodes moved to or from, the shows that these moves tie together, itself among them.

        All of them say whose a character is, so that no two shows ever hold it for their own.
        """
        related: dict[str, set[str]] = {}
        for move in {(show_of(former), show_of(today)) for former, today in self._renamed.items()}:
            groups = [related.get(show, {show}) for show in set(move)]
            if len(groups) == 2 and groups[0] is not groups[1]:
                small, large = sorted(groups, key=len)
                large |= small
                related |= dict.fromkeys(small, large) | dict.fromkeys(move, large)
        return related

    def shows(self) -> list[str]:
        """The shows that have events, sorted."""
        prefix = _folder("").rpartition("/")[2]
        return [name.removeprefix(prefix) for name in self._files.folders(FOLDER) if name.startswith(prefix)]

    def characters(self, show: str) -> set[str]:
        """The ids that a show's events speak of. Reads names of files only."""
        return {match[2] for match in map(_NAME.fullmatch, self._files.names(_folder(show))) if match}

    def everyone(self) -> set[str]:
        """The ids of all shows."""
        return {character for show in self.shows() for character in self.characters(show)}

    def version(self, show: str) -> str:
        """Hash of who is known of a show, whenever that was found out."""
        return hashlib.sha256(json.dumps(sorted(self.characters(show))).encode()).hexdigest()[:16]

    def events(self, show: str) -> list[Event]:
        """A show's events, oldest first. Raises StoreError for a damaged one, or one of a later version.

        Crops of an episode that was renamed have its ids of today. Where episodes moved to another show by that, a
        character is of the show that most of its crops are of.
        """
        related = self._related.get(show, {show})
        events = [_of_today(event, self._renamed) for name in sorted(related) for event in self._written(name)]
        crops: dict[str, Counter[str]] = {}
        for event in events:
            crops.setdefault(event.character, Counter()).update(map(show_of, event.crops))
        homes = {character: min(found, key=lambda name: (-found[name], name)) for character, found in crops.items()}
        return sorted((event for event in events if homes[event.character] == show), key=lambda event: event.when)

    def _written(self, show: str) -> list[Event]:
        folder = _folder(show)
        names = [name for name in self._files.names(folder) if _NAME.fullmatch(name)]
        return map_all(lambda name: self._event(f"{folder}/{name}", show in self._related), names)

    def append(self, events: Iterable[Event]) -> None:
        """Write events, all of one time, each a whole file that is on the disk before this returns."""
        when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        for event in events:
            data = _encoded(event, when)
            name = f"{when}-{event.character}-{_hash(data)}.json"
            self._files.write(f"{_folder(event.show)}/{name}", data, durable=True)

    def _event(self, path: str, is_asked_again: bool) -> Event:
        """The event in a file; one that other shows ask for too is kept, as files of events never change."""
        if not is_asked_again:
            return self._read(path)
        if path not in self._read_before:
            self._read_before[path] = self._read(path)
        return self._read_before[path]

    def _read(self, path: str) -> Event:
        data = self._files.read(path)
        match = _NAME.fullmatch(path.rpartition("/")[2])
        assert match is not None
        if _hash(data) != match[3]:
            raise StoreError(
                f"{self._files.uri(path)}, an event of the identity log, is damaged: bring it back from a backup of "
                f"this folder; if there is none, remove it, and {match[2]} is told from its other events or made again"
            )
        found = json.loads(data)
        if found["kind"] not in get_args(Kind):
            raise StoreError(
                f"{self._files.uri(path)}, an event of the identity log, is of the kind {found['kind']!r}, which a "
                "later version wrote: use that version with this store"
            )
        return _decoded(found)


class _Unwritten(IdentityLog):
    def append(self, events: Iterable[Event]) -> None:
        pass


def event_of_row(row: dict[str, Any], model_sha256: str) -> Event:
    """The `minted` event for a row of `character_gallery`, whose exemplars these weights made."""
    exemplars = np.asarray(row["exemplars"], np.float32)
    crops = tuple(row["exemplar_ids"])
    return Event("minted", row["character"], row["show"], model_sha256, crops, crops, exemplars)


def _of_today(event: Event, renamed: Mapping[str, str]) -> Event:
    """The event with today's ids for those of renamed episodes."""

    def today(crop: str) -> str:
        episode = episode_of(crop)
        return f"{renamed[episode]}{crop[len(episode) :]}" if episode in renamed else crop

    return replace(event, crops=tuple(map(today, event.crops)), exemplar_ids=tuple(map(today, event.exemplar_ids)))


def _folder(show: str) -> str:
    return f"{FOLDER}/show-{show}"  # a show called `con` alone would be a device on Windows


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _encoded(event: Event, when: str) -> bytes:
    vectors = [base64.b64encode(vector.tobytes()).decode() for vector in np.asarray(event.exemplars, "<f4")]
    return (json.dumps(asdict(event) | {"exemplars": vectors, "when": when}, indent=1) + "\n").encode()


def _decoded(found: dict[str, Any]) -> Event:
    vectors: Sequence[np.ndarray] = [np.frombuffer(base64.b64decode(text), "<f4") for text in found["exemplars"]]
    exemplars = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
    tuples = {name: tuple(found[name]) for name in ("crops", "exemplar_ids")}
    return Event(**{**found, **tuples, "exemplars": exemplars})
