"""Where tables and pictures live.

`<asset>/<episode or _all>/<content hash>.parquet` never changes once written; the pointer that names the one that
counts (`pointers.py`) is replaced last, and only as long as it is the one that the writer saw. Pictures lie in the same
folder under a name that holds id and content hash. Beside a training set `<content hash>.json` is its lineage, so that
sets which are not current can be compared.

Side tables, `<asset>__measured`, only ever gain rows. Their pointer also says which older tables the current one
`holds`; whatever else lies beside it was written by another run at the same moment, and counts too. So a lost race
loses no row, on drives without locks as well.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_pipeline.base.parallel import map_all, map_files
from dataset_pipeline.base.paths import fault_of_path
from dataset_pipeline.store.cleaning import Cleaned, cleaned
from dataset_pipeline.store.encoding import aligned, as_parquet, check_columns, first_of_each
from dataset_pipeline.store.files import StoreError, open_files
from dataset_pipeline.store.identity_log import IdentityLog
from dataset_pipeline.store.lineage import Lineage
from dataset_pipeline.store.names import (
    LINEAGE,
    MEASURED_SUFFIX,
    TABLE,
    agreed_path,
    check_path,
    folder_of,
    label_of,
    picture_path,
)
from dataset_pipeline.store.pointers import REQUESTS, Pointer, Pointers, TableOutdated
from dataset_pipeline.store.provenance import NOTHING_RECORDED, Provenance
from dataset_pipeline.store.schemas import MEASURED_KEY, SCHEMAS, TableSchema
from dataset_pipeline.store.transit import Listings, transit_of
from dataset_pipeline.store.versions import canonical, content_hash, pc, version_of_canonical, versions_of_parts

TURNS = 200  # how often a writer tries whose pointer is replaced meanwhile: each lost turn is another's progress
LONGEST_TURN_S = 0.25

_SAFE: set[str] = set()  # roots of which this process knows that several may write there

log = logging.getLogger(__name__)


class PictureGone(StoreError):
    """A stored picture that is not there any more."""


class TableMissing(StoreError):
    """A table that was never written, or whose file is gone."""


@dataclass(frozen=True)
class Written:
    """`path`: relative to the root. `changed`: another table is current now than before. `pointer`: what this write
    made current; another run may have made its own current since."""

    path: str
    rows: int
    data_version: str
    changed: bool
    pointer: Pointer


@dataclass(frozen=True)
class Version:
    """A table of a joined asset that still lies in the store. name: the content hash. age_s: since it was written, or
    found to be wanted again. current: it is the one that counts."""

    name: str
    age_s: float
    current: bool


def schema_of(asset: str) -> TableSchema:
    """The schema of an asset's table, or of the side table `<asset>__measured`. Raises ValueError if there is none."""
    base = asset.removesuffix(MEASURED_SUFFIX)
    if base == asset and asset in SCHEMAS:
        return SCHEMAS[asset]
    if base != asset and (found := SCHEMAS.get(f"{base}_measured") or SCHEMAS.get(base)):
        return replace(found, name=asset, key=MEASURED_KEY)
    raise ValueError(f"no table is called {asset!r}; there are {', '.join(sorted(SCHEMAS))}")


class Store:
    """Tables and pictures below `root`: a local path or an fsspec URL. Safe for many processes at once.

    A folder that is not there is made by the first write. Raises StoreError, now or then, for a root that can be none.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._files = open_files(root)
        self._pointers = Pointers(self._files)
        self._transit = transit_of(self._files)
        self._listings = Listings(self._files)

    @property
    def identity_log(self) -> IdentityLog:
        """Who was found so far. It lies beside the tables, and neither `forget` nor `clean` touches it."""
        return IdentityLog(self._files, self._renamed_episodes)

    def _renamed_episodes(self) -> dict[str, str]:
        """Today's key by former key, but for those that another episode goes by now."""
        table = self.read_many("episode_aliases", self.episodes("episode_aliases"))
        pairs = zip(table["former"].to_pylist(), table["episode"].to_pylist(), strict=True)
        return {former: today for former, today in pairs if self.pointer("video", former) is None}

    def read(
        self,
        asset: str,
        episode: str | None = None,
        columns: Sequence[str] | None = None,
        pointer: Pointer | None = None,
    ) -> pa.Table:
        """The current table, as `find` gives it; or the one of a `pointer` that was current a moment ago. Raises
        TableMissing or TableOutdated, both saying what to materialize."""
        table = self.find(asset, episode, columns, pointer)
        if table is None:
            raise _never_written(asset, episode)
        return table

    def find(
        self,
        asset: str,
        episode: str | None = None,
        columns: Sequence[str] | None = None,
        pointer: Pointer | None = None,
    ) -> pa.Table | None:
        """Like `read`, but None if the table was never written. Beside `columns` and the key nulls are given."""
        schema = schema_of(asset)
        if (pointer := pointer or self.pointer(asset, episode)) is None:
            return None
        if asset.endswith(MEASURED_SUFFIX) and (tables := self._side_tables(asset, episode, pointer)[0]):
            return first_of_each(tables, schema)
        stored = self._load(pointer, asset, episode, None if columns is None else {*columns, *schema.key})
        return aligned(stored, schema, label_of(asset, episode))

    def previous(self, asset: str, episode: str | None = None) -> pa.Table | None:
        """What there is to take rows over from: like `find`, but also None, with a warning, if it cannot be used."""
        try:
            return self.find(asset, episode)
        except (TableMissing, TableOutdated) as error:
            log.warning("Earlier rows are not reused. %s", error)
            return None

    def missing_pictures(self, asset: str, episode: str | None = None) -> set[str]:
        """Paths in the current table's `path` column that no file is at. Every byte of the table is read. Raises what
        `read` raises."""
        if (pointer := self.pointer(asset, episode)) is None:
            raise _never_written(asset, episode)
        with self._opened(pointer, asset, episode) as file:
            check_columns(file.schema_arrow, schema_of(asset), label_of(asset, episode))
            groups = (file.read_row_group(number, use_threads=False) for number in range(file.num_row_groups))
            paths = [group["path"] for group in groups if "path" in group.column_names]
        if not paths:
            return set()
        named = pa.chunked_array([chunk for path in paths for chunk in path.chunks], pa.string()).unique()
        named = named.filter(pc.not_equal(named, ""))
        folders = pc.replace_substring_regex(named, "/?[^/]*$", "").unique().to_pylist()
        folders = [folder for folder in folders if not fault_of_path(folder)]  # no other is looked into
        list_all = map_all if self._files.far else map_files
        listings = zip(folders, list_all(self._listings, folders), strict=True)
        there = [f"{folder}/{name}" for folder, names in listings for name in names if not fault_of_path(name)]
        return set(named.filter(pc.invert(pc.is_in(named, value_set=pa.array(there, pa.string())))).to_pylist())

    def read_many(
        self,
        asset: str,
        episodes: Sequence[str],
        columns: Sequence[str] | None = None,
        pointers: Mapping[str, Pointer] | None = None,
    ) -> pa.Table:
        """The tables of several episodes one after another, only those columns or all, with nulls for what the schema
        wants read `alone`; episodes without one are skipped. pointers: what was current a moment ago, if that is to be
        read."""
        schema = schema_of(asset)
        if columns is not None:
            wanted = {*columns, *schema.key}
            schema = replace(schema, columns={name: kind for name, kind in schema.columns.items() if name in wanted})
        stored = schema.columns.keys() - schema.alone if columns is None else schema.columns.keys()

        current = self.pointers(asset, episodes) if pointers is None else pointers
        wanted = [episode for episode in episodes if episode in current and current[episode].rows]

        def load(episode: str) -> pa.Table:
            return self._load(current[episode], asset, episode, stored)

        loaded = map_all(load, wanted, REQUESTS) if self._files.far else map_files(load, wanted)
        there = list(zip(wanted, loaded, strict=True))
        tables = [schema.empty()]
        for _, alike in itertools.groupby(there, key=lambda it: it[1].schema):
            episodes_alike, tables_alike = zip(*alike, strict=True)
            tables.append(aligned(pa.concat_tables(tables_alike), schema, label_of(asset, episodes_alike[0])))
        return pa.concat_tables(tables).select(list(columns or schema.columns))

    def pointer(self, asset: str, episode: str | None = None) -> Pointer | None:
        """What is current, or None if nothing was ever written. Raises TableOutdated if it cannot be read."""
        return self._pointers.read(asset, episode)

    def pointers(self, asset: str, episodes: Sequence[str]) -> dict[str, Pointer]:
        """The same of many episodes at once, in their order and without those that have none."""
        return self._pointers.read_all(asset, episodes)

    def write(
        self,
        asset: str,
        table: pa.Table,
        episode: str | None = None,
        provenance: Provenance = NOTHING_RECORDED,
        lineage: Lineage | None = None,
    ) -> Written:
        """Make `table` the current one. Rows are sorted by key first. lineage: to be noted beside the table.

        Equal content leaves the files as they are, but for a pointer whose provenance differs. Raises ValueError if
        the table does not fit the asset's schema, TypeError if the provenance is not plain JSON.
        """
        table = canonical(table, schema_of(asset))
        seen = self._pointers.see(asset, episode)
        pointer = self._put(asset, table, episode, provenance, lineage)
        if pointer == seen.usable:
            seen = self._pointers.see(asset, episode, afresh=True)  # others may have put theirs since that look
        for _ in _turns(label_of(asset, episode)):
            before = seen.usable
            if pointer == before or self._pointers.swap(asset, episode, pointer, seen):
                break
            seen = self._pointers.see(asset, episode, afresh=True)
        changed = before is None or before.file != pointer.file
        return Written(pointer.file, pointer.rows, pointer.data_version, changed, pointer)

    def _put(
        self,
        asset: str,
        table: pa.Table,
        episode: str | None,
        provenance: Provenance,
        lineage: Lineage | None = None,
    ) -> Pointer:
        """Have a canonical table lie in its place, and give the pointer that would make it current."""
        schema = schema_of(asset)
        path = f"{folder_of(asset, episode)}/{content_hash(table)}.parquet"
        pointer = Pointer(
            path,
            table.num_rows,
            version_of_canonical(table, schema),
            Provenance.from_json(json.loads(json.dumps(provenance.to_json(), allow_nan=False))),
            versions_of_parts(table, schema),
        )
        self._transit.keep(path, as_parquet(table), closely=True)
        if lineage is not None:
            note = json.dumps(lineage.to_json(with_tables=True), sort_keys=True).encode()
            self._files.write(f"{path.removesuffix('.parquet')}.json", note)
        self._transit.settle(folder_of(asset, episode))  # its pictures too: a pointer reaches nothing that is not there
        return pointer

    @property
    def far(self) -> bool:
        """Whether each look at a file is a request over a network."""
        return self._files.far

    def tail(self, pointer: Pointer) -> bytes:
        """The last part of a table, with what describes it. Raises FileNotFoundError."""
        return self._transit.held(pointer.file) or self._files.read_tail(pointer.file)

    def versions(self, asset: str) -> list[Version]:
        """The tables of a joined asset that still lie here, the current one first, then the youngest."""
        folder, pointer = folder_of(asset, None), self.pointer(asset)
        found = []
        for name in self._files.names(folder):
            if TABLE.fullmatch(name):
                with suppress(FileNotFoundError):
                    age_s, _ = self._files.age_and_size(f"{folder}/{name}")
                    is_current = pointer is not None and pointer.file == f"{folder}/{name}"
                    found.append(Version(name.removesuffix(".parquet"), age_s, is_current))
        return sorted(found, key=lambda version: (not version.current, version.age_s))

    def lineage(self, asset: str, name: str) -> Lineage | None:
        """What the table of this name, of a joined asset, was made from; None if that was not noted."""
        if not LINEAGE.fullmatch(f"{name}.json"):
            return None
        try:
            told = json.loads(self._files.read(f"{folder_of(asset, None)}/{name}.json"))
            return replace(Lineage.from_json(told), of=name)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("What %s %s was made from cannot be read (%r), and is not told.", asset, name, error)
            return None

    def version(self, asset: str, name: str, episode: str | None = None) -> pa.Table | None:
        """The table of this name, current or not; None if it is gone. Raises TableOutdated if it cannot be read."""
        if not TABLE.fullmatch(f"{name}.parquet"):
            return None
        pointer = Pointer(f"{folder_of(asset, episode)}/{name}.parquet", 0, "")
        try:
            stored = self._load(pointer, asset, episode)
        except TableMissing:
            return None
        return aligned(stored, schema_of(asset), label_of(asset, episode))

    def add_rows(self, asset: str, rows: pa.Table, episode: str | None) -> pa.Table:
        """Add to a side table the rows whose key it does not have yet, and return the whole of it.

        Nothing that another run adds at the same time is lost, and the first row of a key is everybody's answer. Where
        files can neither be locked nor replaced on a condition, each run may go on with its own, and one of them is
        kept. Raises TimeoutError if another process keeps the pointer locked.
        """
        schema = schema_of(asset)
        for turn in _turns(label_of(asset, episode)):
            seen = self._pointers.see(asset, episode, afresh=turn > 0)
            pointer = seen.usable  # of a damaged one the tables are still there, and read again once there is a pointer
            tables, names = ([], []) if pointer is None else self._side_tables(asset, episode, pointer)
            table = first_of_each([*tables, rows], schema)
            if len(tables) == 1 and table.num_rows == tables[0].num_rows:
                break
            own = f"{content_hash(table)}.parquet"
            mine = self._put(asset, table, episode, Provenance(holds=sorted({*names} - {own})))
            if self._pointers.swap(asset, episode, mine, seen):
                break
        return table

    def _side_tables(self, asset: str, episode: str | None, pointer: Pointer) -> tuple[list[pa.Table], list[str]]:
        """What makes up a side table: the current table, and those beside it that it does not hold. Also the names of
        all tables whose rows are in these. What cannot be read is passed over with a warning."""
        folder, current = pointer.file.rpartition("/")[::2]
        names = [name for name in self._files.names(folder) if TABLE.fullmatch(name)]
        held, tables = set(pointer.provenance.holds or ()), []
        for name in [current, *(name for name in names if name != current)]:
            if name in held:
                continue
            try:
                stored = self._load(replace(pointer, file=f"{folder}/{name}"), asset, episode)
                tables.append(aligned(stored, schema_of(asset), label_of(asset, episode)))
            except (TableMissing, TableOutdated) as error:
                log.warning("Earlier rows are not reused. %s", error)
                if name == current:
                    held = set()  # what it held is there for a while yet
        return tables, names

    def episodes(self, asset: str) -> list[str]:
        """The episodes that have a table of this asset, sorted."""
        return self._pointers.episodes(asset)

    def assets_of(self, episode: str) -> list[str]:
        """The assets that have a table of the episode, side tables among them, sorted."""
        assets = self._pointers.assets()
        found = map_all(lambda asset: self._pointers.see(asset, episode).content is not None, assets)
        return [asset for asset, is_there in zip(assets, found, strict=True) if is_there]

    def forget(self, episode: str) -> None:
        """Remove the pointers of all the episode's tables, that of `video` last, so that a broken-off call can be
        repeated. Tables and pictures are then reached by nothing, and left to `clean` and its grace period."""
        for asset in sorted(self._pointers.assets(), key=lambda asset: (asset == "video", asset)):
            self._pointers.remove(asset, episode)

    def put_picture(
        self, asset: str, episode: str, image_id: str, encoded: bytes, suffix: str, made_from: str = ""
    ) -> str:
        """Keep an encoded picture and return its path relative to the root.

        A picture of the same id and content is kept as it is. `suffix`: `webp`, `png`, `jpg`, ... made_from: a hash of
        what it is made from, under which `picture_made_from` finds it again, also after a kill: it stands for the
        content, and the picture lies in the store when this returns.
        """
        digest = made_from or hashlib.sha256(encoded).hexdigest()
        path = picture_path(asset, episode, image_id, digest, suffix)
        self._transit.keep(path, encoded)
        if made_from:
            self._transit.settle(folder_of(asset, episode))
        self._listings.add(path)
        return path

    def picture_made_from(self, asset: str, episode: str, image_id: str, made_from: str, suffix: str) -> str:
        """The path of a picture that was put under that hash, now safe from a cleaner for a while; empty if there is
        none."""
        path = picture_path(asset, episode, image_id, made_from, suffix)
        return path if self._files.refresh(path) else ""

    def read_picture(self, path: str) -> bytes:
        """The encoded picture at a path of `put_picture`. Raises PictureGone; OSError if the store cannot be read."""
        try:
            return self._transit.read(check_path(path))
        except FileNotFoundError:
            if not self._files.folders(""):
                what = "the store is not there: connect its drive and run again"
                raise FileNotFoundError(errno.ENOENT, what, self.root) from None
            asset = path.partition("/")[0]
            raise PictureGone(f"picture {self.uri(path)} is gone: materialize {asset} of its episode again") from None

    def ahead(self, paths: Iterable[str]) -> Iterator[str]:
        """The same paths, of pictures that are read in this order: from a bucket the next are asked for meanwhile."""
        return self._transit.ahead(paths)

    def notes(self, about: str) -> dict[str, Any]:
        """What was noted about something beside the tables, by name; a note that cannot be read is as good as none."""
        found: dict[str, Any] = {}
        for file in self._files.names(f"_{about}"):
            name, _, ending = file.partition(".")
            if ending == "json":
                with suppress(FileNotFoundError, ValueError):
                    found[name] = json.loads(self._files.read(f"_{about}/{file}"))
        return found

    def write_note(self, about: str, name: str, note: Any) -> None:
        """Replace a note, plain JSON; None takes it away. `name`: a-z and 0-9."""
        path = f"_{about}/{name}.json"
        if note is None:
            self._files.remove(path)
        elif self.notes(about).get(name) != note:
            self._files.write(path, json.dumps(note, indent=1).encode())

    def agree(self, name: str, told: dict[str, Any]) -> dict[str, Any]:
        """What all who use this store agree on under a name, plain JSON: what was said first, and that is `told` if
        nothing was. It lies beside the tables, in `_<name>.json`. Raises StoreError for a damaged file."""
        found = self.agreed(name)
        if found is None and not self._files.create(agreed_path(name), _agreed_text(told)):
            found = self.agreed(name)
        return told if found is None else found

    def agreed(self, name: str) -> dict[str, Any] | None:
        """As `agree`; None if nothing was said."""
        path = agreed_path(name)
        try:
            found = json.loads(self._files.read(path))
            if not isinstance(found, dict):
                raise ValueError(f"{type(found).__name__} where a table of names was expected")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{self.uri(path)} is damaged ({error}): remove it, and it is agreed on anew") from None
        return found

    def replace_agreed(self, name: str, told: dict[str, Any]) -> None:
        """For a person who changes on purpose what all agree on."""
        self._files.write(agreed_path(name), _agreed_text(told), durable=True)

    def check_conditions(self) -> None:
        """Raises StoreError where several writers at a time would not be safe. It asks once in a process."""
        if self.root not in _SAFE:
            if fault := self._files.fault_of_conditions():
                raise StoreError(fault)
            _SAFE.add(self.root)

    def local_path(self, path: str) -> Path | None:
        """Where a picture lies on this machine's disk; None if the store is elsewhere."""
        return self._files.local_path(check_path(path))

    def uri(self, path: str) -> str:
        """The picture's address, e.g. file:///... or s3://..."""
        return self._files.uri(check_path(path))

    def clean(self, grace_s: float) -> Cleaned:
        """Remove what no pointer reaches and nobody wrote or kept in the last `grace_s` seconds.

        These are tables that are not current with their lineage, pictures that no current table's `path` names, and
        temporary files of killed runs. Other files are left alone. The grace period must exceed the length of a run, as
        a run writes its pictures before the table that names them. Where a table cannot be read, all of its episode
        stays; if it is of all episodes, so do all pictures.
        """
        return cleaned(self._files, self._pointers, self.paths_in, self.previous, grace_s)

    def paths_in(self, asset: str, episode: str | None, pointer: Pointer) -> list[str]:
        """The pictures that a table names, if it is there and has a column of them. Raises TableOutdated."""
        try:
            table = self._load(pointer, asset, episode, columns=["path"])
        except TableMissing:
            return []
        return table["path"].to_pylist() if table.num_columns else []

    def _load(
        self, pointer: Pointer, asset: str, episode: str | None, columns: Collection[str] | None = None
    ) -> pa.Table:
        """The table that a pointer names, as it was written; only those of `columns` that it has."""
        with self._opened(pointer, asset, episode) as file:
            return file.read(None if columns is None else list(columns), use_threads=False)

    @contextmanager
    def _opened(self, pointer: Pointer, asset: str, episode: str | None) -> Iterator[pq.ParquetFile]:
        """The file of the table that a pointer names, for what reads it. Raises TableMissing and TableOutdated."""
        try:
            encoded = self._transit.read(pointer.file)
        except FileNotFoundError:
            raise TableMissing(
                f"{self.uri(pointer.file)}, the table of {label_of(asset, episode)}, is gone: materialize {asset} again"
            ) from None
        try:
            yield pq.ParquetFile(pa.BufferReader(encoded), page_checksum_verification=True)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a broken page is an OSError
            raise TableOutdated(
                f"{self.uri(pointer.file)} cannot be read ({error}): materialize {asset} again, which replaces it"
            ) from None


def _never_written(asset: str, episode: str | None) -> TableMissing:
    return TableMissing(f"there is no table yet of {label_of(asset, episode)}: materialize {asset} first")


def _agreed_text(told: dict[str, Any]) -> bytes:
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def _turns(what: str) -> Iterator[int]:
    """Turns to put one's own in place. Raises TimeoutError where all of them are lost."""
    for turn in range(TURNS):
        yield turn
        time.sleep(random.uniform(0, min(0.002 * 2 ** min(turn, 8), LONGEST_TURN_S)))
    raise TimeoutError(f"{what} was changed by others {TURNS} times while it was to be written: run again")
