"""The small files that say which table counts, all of an asset in one folder: `_pointers/<asset>/<episode>.json`.

So one listing tells which episodes have a table. Stores of earlier versions have them apart, as `current.json` beside
each table: there they are read and removed too, and each is put together with the others when it is next written, or by
`clean`. A file beside the folders says that none lies apart, so that what is absent is looked for once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.base.paths import OutsideError, fault_of_path
from dataset_pipeline.store.files import Files, Mark, StoreError
from dataset_pipeline.store.names import ASSET, check_asset, episode_name, episode_named, folder_of
from dataset_pipeline.store.provenance import NOTHING_RECORDED, Provenance

FOLDER, SUFFIX = "_pointers", ".json"
APART = "current.json"  # what a pointer that lies beside its table is called
NONE_APART = f"{FOLDER}/together.json"  # is there if all pointers are


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


class Pointers:
    """The pointers of a store. Safe for many processes at once."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self, asset: str, episode: str | None) -> Pointer | None:
        """What is current; None if nothing was ever written. Raises TableOutdated for a damaged pointer."""
        seen = self.see(asset, episode)
        try:
            return seen.pointer
        except (ValueError, TypeError, RecursionError) as error:
            path = pointer_path(asset, episode) if seen.mark is not None else _path_apart(asset, episode)
            raise TableOutdated(
                f"{self._files.uri(path)} is damaged ({error}): materialize {asset} again, which replaces it"
            ) from None

    def see(self, asset: str, episode: str | None) -> Seen:
        """What is there, to be replaced by `swap`."""
        with suppress(FileNotFoundError):
            return Seen(*self._files.read_marked(pointer_path(asset, episode)))
        if self.may_lie_apart:
            with suppress(FileNotFoundError):
                return Seen(self._files.read(_path_apart(asset, episode)))
        return Seen()

    def swap(self, asset: str, episode: str | None, pointer: Pointer, seen: Seen) -> bool:
        """Put a pointer in the place of what was seen; False if something else is there by now."""
        if self._files.swap(pointer_path(asset, episode), pointer.encoded(), seen.mark) is None:
            return False
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

    def assets(self) -> list[str]:
        """The assets that may have tables, side tables among them, sorted."""
        found = set(self._files.folders(FOLDER)) | set(self._files.folders("") if self.may_lie_apart else ())
        return sorted(name for name in found if ASSET.fullmatch(name))

    def episodes(self, asset: str) -> list[str]:
        """The episodes that have a table of this asset, sorted."""
        return sorted(episode for episode in self.keys(asset) if episode is not None)

    def keys(self, asset: str) -> set[str | None]:
        """The same, with None if there is a table of all episodes."""
        check_asset(asset)
        found = {name.removesuffix(SUFFIX) for name in self._files.names(f"{FOLDER}/{asset}") if name.endswith(SUFFIX)}
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
        if not self._is_said:
            self.say_none_apart()

    def say_none_apart(self) -> None:
        self._files.create(NONE_APART, b"{}\n")
        self.__dict__ |= {"_is_said": True, "may_lie_apart": False}

    @cached_property
    def _is_said(self) -> bool:
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
