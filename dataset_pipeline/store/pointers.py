"""The small files that say which table counts, all of an asset in one folder: `_pointers/<asset>/<episode>.json`.

So one listing tells which episodes have a table. Stores of earlier versions have them apart, as `current.json` beside
each table: there they are read and removed too, and each is put together with the others when it is next written, or by
`clean`. A file beside the folders says that none lies apart, so that what is absent is looked for once.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any
from weakref import WeakSet

from dataset_pipeline.base.parallel import map_all, map_files
from dataset_pipeline.base.paths import OutsideError, fault_of_path
from dataset_pipeline.store.names import ASSET, check_asset, episode_name, episode_named, folder_of
from dataset_pipeline.store.protocol import Files, Mark, StoreError
from dataset_pipeline.store.provenance import NOTHING_RECORDED, Provenance

FOLDER, SUFFIX = "_pointers", ".json"
APART = "current.json"  # what a pointer that lies beside its table is called
NONE_APART = f"{FOLDER}/together.json"  # is there if all pointers are
LOOK_S, LOOKS = 10.0, 20_000  # for so long a look at a pointer in a bucket counts; at most so many
LISTED = 1000  # pointers, which one request lists
READ_BYTES = 64 << 20  # of pointers in buckets are kept in a process
REQUESTS = 32  # at a time


class TableOutdated(StoreError):
    """A table written under a schema that the present one cannot stand in for, or whose file cannot be read."""


@dataclass(frozen=True)
class Pointer:
    """What is current. `file`: relative to the root. `provenance`: how the table came about.
    `parts`: data versions by value of the schema's `part`, if it has one."""

    file: str
    rows: int
    data_version: str
    provenance: Provenance = NOTHING_RECORDED
    parts: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        told = vars(self) | {"provenance": self.provenance.to_json()}
        return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Seen:
    """What was found where a pointer lies. content: None if nothing is there. mark: of the file itself, which a pointer
    that lies apart has not."""

    content: bytes | None = None
    mark: Mark | None = None

    @property
    def pointer(self) -> Pointer | None:
        """Raises ValueError, TypeError or RecursionError for a damaged one."""
        return None if self.content is None else _decoded(self.content)

    @property
    def usable(self) -> Pointer | None:
        """As `pointer`; None for a damaged one, which the next write replaces."""
        try:
            return self.pointer
        except (ValueError, TypeError, RecursionError):
            return None


class _Read:
    """What this process read of pointers last, by address. Safe in many threads."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, uri: str) -> Seen | None:
        with self._lock:
            if uri in self._seen:
                self._seen.move_to_end(uri)
            return self._seen.get(uri)

    def put(self, uri: str, seen: Seen) -> None:
        with self._lock:
            self._bytes += len(seen.content or b"") - len(self._seen.pop(uri, Seen()).content or b"")
            self._seen[uri] = seen
            while self._bytes > READ_BYTES:
                self._bytes -= len(self._seen.popitem(last=False)[1].content or b"")


_READ = _Read()
_OPEN: WeakSet[Pointers] = WeakSet()  # of this process, which see one another's writes at once
_OPENING = Lock()


class Pointers:
    """The pointers of a store. Safe for many processes at once.

    A disk is asked each time. In a bucket a look counts for LOOK_S, as what this process has just written does; and
    what it ever read is not asked for again as long as a listing shows the same tag. Where one request lists all
    pointers of the store, that is a look at all of them.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._looks: dict[str, tuple[float, Seen]] = {}
        self._all: tuple[float, dict[str, Mark]] = (float("-inf"), {})
        self._is_small = files.far  # so that looking at all of them is a request
        self._listing = Lock()
        self._told = 0  # how often one of this process has changed a pointer
        if files.far:
            with _OPENING:
                _OPEN.add(self)

    def read(self, asset: str, episode: str | None) -> Pointer | None:
        """What is current; None if nothing was ever written. Raises TableOutdated for a damaged pointer."""
        return self._decoded(asset, episode, self.see(asset, episode))

    def read_all(self, asset: str, episodes: Sequence[str]) -> dict[str, Pointer]:
        """The same of many episodes, without those that have none."""
        found = ((episode, self._decoded(asset, episode, it)) for episode, it in self.see_all(asset, episodes).items())
        return {episode: pointer for episode, pointer in found if pointer is not None}

    def _decoded(self, asset: str, episode: str | None, seen: Seen) -> Pointer | None:
        try:
            return seen.pointer
        except (ValueError, TypeError, RecursionError) as error:
            path = pointer_path(asset, episode) if seen.mark is not None else _path_apart(asset, episode)
            raise TableOutdated(
                f"{self._files.uri(path)} is damaged ({error}): materialize {asset} again, which replaces it"
            ) from None

    def see(self, asset: str, episode: str | None, afresh: bool = False) -> Seen:
        """What is there, to be replaced by `swap`. afresh: by now, not a moment ago."""
        path = pointer_path(asset, episode)
        looked_s, seen = self._looks.get(path, (float("-inf"), Seen()))
        if not afresh and time.monotonic() - looked_s <= LOOK_S:
            return seen
        if not afresh and (listed := self._listed()) is not None:
            known = self._known(path, listed.get(path))
            if known is not None:
                return known
        before = self._told
        seen = self._see(path, asset, episode)
        return self._remembered(path, seen) if before == self._told else seen  # which may be older than what was told

    def see_all(self, asset: str, episodes: Sequence[str]) -> dict[str, Seen]:
        """Of many episodes, in the same order: of a bucket by one listing, and a request for each that has changed."""
        marks = None
        if len(episodes) > 1 and self._listed() is None:
            marks = self._files.marks(f"{FOLDER}/{asset}")
        if marks is None:

            def look(episode: str) -> Seen:
                return self.see(asset, episode)

            found = map_all(look, episodes, REQUESTS) if self._files.far else map_files(look, episodes)
            return dict(zip(episodes, found, strict=True))

        def one(episode: str) -> Seen:
            path = pointer_path(asset, episode)
            known = self._known(path, marks.get(path.rpartition("/")[2]))
            return self.see(asset, episode, afresh=True) if known is None else self._remembered(path, known)

        return dict(zip(episodes, map_all(one, episodes, REQUESTS), strict=True))

    def _known(self, path: str, mark: Mark | None) -> Seen | None:
        """What a listing tells of a pointer that it shows with this mark, or not at all; None if it has to be read."""
        if mark is None:
            return None if self.may_lie_apart else Seen()
        before = _READ.get(self._files.uri(path))
        return before if before is not None and before.mark is not None and before.mark.tag == mark.tag else None

    def _listed(self) -> dict[str, Mark] | None:
        """All pointers by path, as they were listed within LOOK_S; None if listing them takes more than a request, or
        reading them costs no more."""
        with self._listing:
            if self._is_small and time.monotonic() - self._all[0] > LOOK_S:
                began_s, marks = time.monotonic(), self._files.marks_below(FOLDER, LISTED)
                self._is_small, self._all = marks is not None, (began_s, marks or {})
            return self._all[1] if self._is_small else None

    def _tell(self, path: str, seen: Seen) -> None:
        """Have all of this process that look at the store know how this one left a pointer."""
        with _OPENING:
            others = [it for it in _OPEN if it is not self and it._files.uri(path) == self._files.uri(path)]
        for it in [self, *others]:
            it._told += 1
            with it._listing:
                it._all[1].pop(path, None)
                if seen.mark is not None and it._is_small:
                    it._all[1][path] = seen.mark
            it._looks.pop(path, None)
            if seen.mark is not None:
                it._remembered(path, seen)

    def swap(self, asset: str, episode: str | None, pointer: Pointer, seen: Seen) -> bool:
        """Put a pointer in the place of what was seen; False if something else is there by now."""
        path, content = pointer_path(asset, episode), pointer.encoded()
        if (mark := self._files.swap(path, content, seen.mark)) is None:
            self._looks.pop(path, None)
            return False
        self._tell(path, Seen(content, mark))
        if self.may_lie_apart:
            self._files.remove(_path_apart(asset, episode))
        elif not self._is_said:
            self.say_none_apart()
        return True

    def remove(self, asset: str, episode: str | None) -> None:
        """No error if there is none."""
        if self.may_lie_apart:
            self._files.remove(_path_apart(asset, episode))
        self._files.remove(pointer_path(asset, episode))
        self._tell(pointer_path(asset, episode), Seen())

    def _see(self, path: str, asset: str, episode: str | None) -> Seen:
        with suppress(FileNotFoundError):
            return Seen(*self._files.read_marked(path))
        if self.may_lie_apart:
            with suppress(FileNotFoundError):
                return Seen(self._files.read(_path_apart(asset, episode)))
        return Seen()

    def _remembered(self, path: str, seen: Seen) -> Seen:
        if self._files.far:
            if len(self._looks) >= LOOKS:
                self._looks.clear()
            self._looks[path] = time.monotonic(), seen
            if seen.mark is not None:
                _READ.put(self._files.uri(path), seen)
        return seen

    def assets(self) -> list[str]:
        """The assets that may have tables, side tables among them, sorted."""
        found = set(self._files.folders(FOLDER)) | set(self._files.folders("") if self.may_lie_apart else ())
        return sorted(name for name in found if ASSET.fullmatch(name))

    def episodes(self, asset: str) -> list[str]:
        """The episodes that have a table of this asset, sorted; as `see` sees them."""
        check_asset(asset)
        begins, listed = f"{FOLDER}/{asset}/", self._listed()
        names = None if listed is None else [it.removeprefix(begins) for it in list(listed) if it.startswith(begins)]
        return sorted(episode for episode in self._named(asset, names) if episode is not None)

    def keys(self, asset: str) -> set[str | None]:
        """The same by now, with None if there is a table of all episodes."""
        check_asset(asset)
        return self._named(asset, None)

    def _named(self, asset: str, names: Sequence[str] | None) -> set[str | None]:
        names = self._files.names(f"{FOLDER}/{asset}") if names is None else names
        found = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
        if self.may_lie_apart:
            folders = self._files.folders(asset)
            there = map_all(lambda name: APART in self._files.names(f"{asset}/{name}"), folders)
            found |= {name for name, is_there in zip(folders, there, strict=True) if is_there}
        return set(map(episode_named, found))

    def gather(self, apart: Sequence[tuple[str, str | None]]) -> None:
        """Put these, which lie apart, together with the others; what was written since stays. They are by now all that
        lay apart."""
        for asset, episode in apart:
            with suppress(FileNotFoundError):
                self._files.create(pointer_path(asset, episode), self._files.read(_path_apart(asset, episode)))
            self._files.remove(_path_apart(asset, episode))
        self._looks.clear()
        self._all = (float("-inf"), {})
        if not self._is_said:
            self.say_none_apart()

    def say_none_apart(self) -> None:
        self._files.create(NONE_APART, b"{}\n")
        self._is_said, self.may_lie_apart = True, False

    @cached_property
    def _is_said(self) -> bool:
        if (listed := self._listed()) is not None and NONE_APART in listed:
            return True
        try:
            self._files.read(NONE_APART)
        except FileNotFoundError:
            return False
        return True

    @cached_property
    def may_lie_apart(self) -> bool:
        """Whether a pointer may lie beside its table: unless the store says otherwise, or has no tables yet."""
        return not self._is_said and any(ASSET.fullmatch(name) for name in self._files.folders(""))


def pointer_path(asset: str, episode: str | None) -> str:
    """Where the pointer of an episode lies, or of all episodes if None."""
    check_asset(asset)
    return f"{FOLDER}/{asset}/{episode_name(episode)}{SUFFIX}"


def _path_apart(asset: str, episode: str | None) -> str:
    return f"{folder_of(asset, episode)}/{APART}"


def _decoded(content: bytes) -> Pointer:
    told: Any = json.loads(content)
    found = Pointer(**{"provenance": {}, **told})
    if fault := fault_of_path(found.file):
        raise OutsideError(f"file {found.file!r} {fault}")
    for name, kind in (("rows", int), ("data_version", str), ("provenance", dict), ("parts", dict)):
        if not isinstance(getattr(found, name), kind):
            raise TypeError(f"{name} is {getattr(found, name)!r}")
    return replace(found, provenance=Provenance.from_json(told.get("provenance", {})))
