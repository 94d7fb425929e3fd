"""The condition of a table in the store: whether it can be read, and whether the pictures that it names are there."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pipeline.store.store import Pointer, Store, TableMissing, TableOutdated, schema_of

DAMAGED_POINTER = "its pointer is damaged: materialize it again"
DAMAGED_TABLE = "its table is gone or cut off: materialize it again"
OTHER_COLUMNS = "its table has the columns of another version: materialize it again"
FOOTER = struct.Struct("<I4s")  # the last bytes of a table: the length of what describes it, and the mark of its end
MARK = b"PAR1"
COLUMNS_KEY = b"ARROW:schema"  # under which a table describes its columns


@dataclass(frozen=True)
class Condition:
    """`fault`: why the table cannot be used; empty if it can, or if it was never written (without a pointer).
    `gone`: the paths in its `path` column that no file is at."""

    pointer: Pointer | None = None
    fault: str = ""
    gone: Collection[str] = ()


def condition_of(store: Store, asset: str, episode: str | None = None) -> Condition:
    """Look closely: every byte of the table is read, but in a bucket, which keeps what was put, only of one that names
    pictures."""
    try:
        pointer = store.pointer(asset, episode)
    except TableOutdated:
        return Condition(fault=DAMAGED_POINTER)
    if pointer is None:
        return Condition()
    try:
        if store.far and "path" not in schema_of(asset).columns:
            described = pq.read_schema(pa.BufferReader(store.tail(pointer)))
            return Condition(pointer, OTHER_COLUMNS if schema_of(asset).faults(described) else "")
        return Condition(pointer, gone=store.missing_pictures(asset, episode))
    except (FileNotFoundError, pa.ArrowException):
        return Condition(pointer, DAMAGED_TABLE)
    except TableMissing:
        return Condition(pointer, DAMAGED_TABLE)
    except TableOutdated as error:
        return Condition(pointer, str(error))


@dataclass
class Glances:
    """Quick looks at many tables, from any number of threads.

    Of a local store tables are looked at by their ends, which tell a whole table and its columns, and folders of
    pictures are listed once. In a bucket only pointers are read: each look at a file would be a request.
    """

    store: Store
    _pointers: dict[tuple[str, str], Pointer | None] = field(default_factory=dict)
    _folders: dict[str, frozenset[str]] = field(default_factory=dict)
    _fitting: dict[tuple[str, bytes], bool] = field(default_factory=dict)

    def prepare(self, assets: Sequence[str], episodes: Sequence[str]) -> None:
        """Ask for the pointers of many episodes at once, where that is less work than one after another."""
        for asset in assets if self.store.far else ():
            with suppress(TableOutdated):  # then each is looked at alone
                found = self.store.pointers(asset, episodes)
                self._pointers |= {(asset, episode): found.get(episode) for episode in episodes}

    def __call__(self, asset: str, episode: str | None = None) -> Condition:
        place = (asset, episode or "")
        try:
            pointer = self._pointers[place] if place in self._pointers else self.store.pointer(asset, episode)
        except TableOutdated:
            return Condition(fault=DAMAGED_POINTER)
        file = self.store.local_path(pointer.file) if pointer else None
        if pointer is None or file is None:
            return Condition(pointer)
        try:
            if not self._fits(asset, file):
                return Condition(pointer, OTHER_COLUMNS)
            return Condition(pointer, gone=self._gone(asset, file) if pointer.rows else ())
        except (OSError, pa.ArrowException, ValueError, struct.error):  # gone, or not what a whole table is
            return Condition(pointer, DAMAGED_TABLE)

    def _fits(self, asset: str, file: Path) -> bool:
        """Whether the present schema reads the table. Equal descriptions of columns are judged once."""
        described = _description(file)
        columns = described[described.rfind(COLUMNS_KEY) :]
        key = (asset, columns)
        if not columns.startswith(COLUMNS_KEY) or key not in self._fitting:
            self._fitting[key] = not schema_of(asset).faults(pq.read_schema(file))
        return self._fitting[key]

    def _gone(self, asset: str, file: Path) -> set[str]:
        if "path" not in schema_of(asset).columns:
            return set()
        named = pq.ParquetFile(file).read(["path"], use_threads=False)["path"].to_pylist()
        return {path for path in named if path and path.rpartition("/")[2] not in self._names(path.rpartition("/")[0])}

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._folders:
            at = self.store.local_path(folder)
            self._folders[folder] = frozenset(_listed(at) if at else ())
        return self._folders[folder]


def _description(file: Path) -> bytes:
    """What stands at the end of a table about its columns and rows. Raises ValueError if it is not a whole one."""
    with open(file, "rb") as table:
        table.seek(-FOOTER.size, os.SEEK_END)
        length, mark = FOOTER.unpack(table.read(FOOTER.size))
        if mark != MARK:
            raise ValueError(f"{file} is cut off")
        table.seek(-FOOTER.size - length, os.SEEK_END)
        return table.read(length)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
