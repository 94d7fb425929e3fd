"""An asset at work: what it may read, and what it hands back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.base.progress import track
from dataset_pipeline.base.timing import span, timed_iteration
from dataset_pipeline.graph.declaration import Declaration, ancestors, is_joined
from dataset_pipeline.models.registry import ModelFingerprint
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.identity_log import IdentityLog
from dataset_pipeline.store.left_out import (
    UNMEASURED,
    Undeclared,
    answered,
    first_reasons,
    is_of_one,
    reason_of,
)
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.reuse import Reuse, measure_missing
from dataset_pipeline.store.schemas import MEASURED_KEY, SCHEMAS, TableSchema
from dataset_pipeline.store.store import MEASURED_SUFFIX, Pointer, Store, TableOutdated

Given = TypeVar("Given")
Made = TypeVar("Made")

# So many pictures are handed to a model at a time; what is measured is saved in between.
CHUNK_PICTURES = 128

NO_ROWS = "no rows"  # the version of an empty part of a table
EVERY_PICTURE_WAS_MEASURED = "every_picture_was_measured"  # the check of each asset that runs a model over pictures


@dataclass
class Result:
    """An asset's answer: its table and the numbers a person would plot.

    `faults`: by the name of a declared check, what speaks against its statement; empty or absent where it holds.
    `notes`: Markdown by title, for the web UI. `left_out`: by image id, why there is no row or no picture of it.
    """

    table: pa.Table
    numbers: dict[str, Number] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A step as the framework handles it: with the whole store and every resource, which an asset's body has no way to.

    `shared`: what the steps of one run, which may handle many episodes, keep for one another.
    """

    declaration: Declaration
    resources: Any
    episode: str | None
    episodes: Sequence[str]
    shared: dict[str, Any]

    @property
    def store(self) -> Store:
        return self.resources.store

    @property
    def settings(self) -> Settings:
        return self.resources.settings


class Step:
    """One asset at work on one episode, or on all of them if the asset is joined.

    It hands out what the asset declares: anything else raises LookupError. `shared`: as in Work.
    """

    def __init__(
        self,
        declaration: Declaration,
        resources: Any,
        episode: str | None,
        log: Any,
        episodes: Sequence[str],
        shared: dict[str, Any] | None = None,
    ) -> None:
        self.declaration = declaration
        self.episode = episode
        self.episodes = episodes
        self.log = log
        self._work = Work(declaration, resources, episode, episodes, {} if shared is None else shared)
        self._pictures = _NamedPictures(declaration.name)
        self._pointers: dict[tuple[str, str | None], Pointer | None] = {}
        self._identity_log: IdentityLog | None = None

    @property
    def settings(self) -> Settings:
        """The declared sections of the settings; any other raises LookupError."""
        return cast(Settings, _DeclaredSections(self._work.settings, self.declaration))

    @property
    def code_version(self) -> str:
        """Of this asset, under the settings and the weights that it declares."""
        weights = {role: fingerprint.sha256 for role, fingerprint in self.fingerprints.items()}
        return self.declaration.code_version(self._work.settings, weights)

    @property
    def fingerprints(self) -> dict[str, ModelFingerprint]:
        """Of the models that it declares, by role."""
        return self.shared(
            f"fingerprints of {self.declaration.name}",
            lambda: {role: self.model(role).fingerprint() for role in self.declaration.models},
        )

    def model(self, role: str) -> Any:
        """The resource of a declared model role."""
        if role not in self.declaration.models:
            raise LookupError(f"{self.declaration.name} does not declare that it uses the model role {role}")
        return getattr(self._work.resources, role)

    def read(self, asset: str, episodes: Sequence[str] | None = None) -> pa.Table:
        """The current table of a declared asset: of this episode, of all episodes in a joined step, or there of those
        that are named, one after another."""
        self._declared(asset)
        store = self._work.store
        with span("store"):
            if is_joined(asset):
                table = self.shared(f"table {asset}", lambda: store.read(asset))
            elif self.episode is not None:
                table = store.read(asset, self.episode)
            else:
                for episode in episodes or ():
                    self._mine(episode)
                table = store.read_many(asset, self.episodes if episodes is None else episodes)
        return self._pictures.named_in(table)

    def pointer(self, asset: str, episode: str | None = None) -> Pointer | None:
        """What is current of a declared asset, and how it came about; None if it was never made.

        `episode`: which one, in a joined step. Raises TableOutdated for a damaged pointer.
        """
        self._declared(asset)
        return self._pointer(asset, episode)

    def left_out(self, asset: str) -> dict[str, str]:
        """The images of which a declared asset has no row or no picture, and why; of all episodes in a joined step."""
        episodes = [self.episode] if self.episode is not None or is_joined(asset) else self.episodes
        pointers = (self.pointer(asset, episode) for episode in episodes)
        return {it: why for pointer in pointers if pointer for it, why in pointer.provenance.left_out.items()}

    @property
    def ancestors(self) -> set[str]:
        """Everything that this asset is made from, externals too."""
        return self.shared(f"ancestors of {self.declaration.name}", lambda: ancestors(self.declaration))

    def behind(self, asset: str, episode: str | None = None) -> Pointer | None:
        """How an asset came about that something declared is made from, however far up; as `pointer`."""
        if asset not in self.ancestors:
            raise LookupError(f"{self.declaration.name} reads nothing that is made from {asset}")
        return self._pointer(asset, episode)

    def _pointer(self, asset: str, episode: str | None) -> Pointer | None:
        if is_joined(asset):
            episode = None
        elif self.episode is not None:
            episode = self.episode
        else:
            self._mine(episode)
        key = asset, episode
        if key not in self._pointers:
            self._pointers[key] = self._work.store.pointer(asset, episode)
        return self._pointers[key]

    def _declared(self, asset: str) -> None:
        if asset not in self.declaration.reads:
            raise LookupError(f"{self.declaration.name} does not declare that it reads {asset}")

    def _mine(self, episode: str | None) -> None:
        if episode not in self.shared("episodes", lambda: frozenset(self.episodes)):
            raise LookupError(f"{self.declaration.name} is made of no episode {episode}")

    def rows(self, asset: str) -> list[dict]:
        """The rows of `read`. Those of a joined table are shared by all episodes of a run: change none."""
        table = self.read(asset)
        return self.shared(f"rows {asset}", table.to_pylist) if is_joined(asset) else table.to_pylist()

    def shared(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once for all episodes of this run."""
        shared = self._work.shared
        if name not in shared:
            shared[name] = make()
        return shared[name]

    def row(self, asset: str) -> dict:
        """The only row of a table that has one row for each episode."""
        return self.rows(asset)[0]

    @property
    def source(self) -> dict:
        """Where the episode's source lies: its row of `video`. What it holds is versioned by video_probe alone, so that
        a file that was merely touched or moved costs one look at it; an asset declares one of the two."""
        if not {"video", "video_probe"} & set(self.declaration.reads):
            raise LookupError(f"{self.declaration.name} declares neither video nor video_probe, so it has no source")
        pointer = self._pointer("video", self.episode)
        row = self._work.store.read("video", self.episode).to_pylist()[0]
        return row | {"path": pointer.provenance.path if pointer else ""}

    def previous(self) -> list[dict]:
        """The rows this asset wrote last time, if the schema still reads them; empty if there are none."""
        table = self._work.store.previous(self.declaration.name, self.episode)
        return [] if table is None else self._pictures.named_in(table).to_pylist()

    @property
    def last(self) -> Pointer | None:
        """What this asset wrote last time; None if nothing, or if its pointer is damaged."""
        return usable_pointer(self._work.store, self.declaration, self.episode)

    @property
    def identity_log(self) -> IdentityLog:
        """Who was found so far, for an asset that declares that it `remembers`."""
        if not self.declaration.remembers:
            raise LookupError(f"{self.declaration.name} does not declare that it remembers identities")
        if self._identity_log is None:
            self._identity_log = self._work.store.identity_log
        return self._identity_log

    def by_show(self, join: Callable[[str, list[str]], list[dict]]) -> tuple[pa.Table, int]:
        """This joined asset's table, made show by show, and how many shows were joined.

        `join(show, episodes)` gives the rows of a show, but for `made_from`, out of those of its episodes that have
        every table this asset reads. It is not asked where these tables, this asset's settings, the weights of its
        models and who is remembered of the show are those of last time: then the rows of last time stay.
        """
        schema = SCHEMAS[self.declaration.name]
        shows: dict[str, list[str]] = {}
        for episode in sorted(self.episodes):
            if all(is_joined(asset) or self.pointer(asset, episode) for asset in self.declaration.reads):
                shows.setdefault(show_of(episode), []).append(episode)
        made_from = {show: self._made_from(show, episodes) for show, episodes in shows.items()}
        kept = _rows_made_from(self._work.store.previous(self.declaration.name), made_from, schema)
        again = sorted(shows.keys() - set(kept["show"].to_pylist()))
        joined = []
        for show in again:
            rows = join(show, shows[show])
            version = self._made_from(show, shows[show])  # with those whom the join has added to the identity log
            joined.append(schema.table([{**row, "made_from": version} for row in rows]))
        table = pa.concat_tables([kept, *joined])
        return table.sort_by([(name, "ascending") for name in schema.key]), len(again)

    def _made_from(self, show: str, episodes: Sequence[str]) -> str:
        """Hash of everything the rows of a show depend on."""
        versions = []
        for asset in self.declaration.reads:
            if is_joined(asset):
                pointer = self.pointer(asset)
                versions += [(asset, ep, version_for(ep, asset, pointer)) for ep in episodes if pointer]
            else:
                found = ((episode, self.pointer(asset, episode)) for episode in episodes)
                versions += [(asset, episode, version_of(pointer)) for episode, pointer in found if pointer]
        if self.declaration.remembers:
            versions.append(("identity log", show, self.identity_log.version(show)))
        return hashlib.sha256(json.dumps([self.code_version, versions]).encode()).hexdigest()[:16]

    def encoded_picture(self, path: str) -> bytes:
        """A stored picture that a table this step has read names, as its file's bytes. PictureGone if it is gone."""
        self._pictures.check(path)
        return self._work.store.read_picture(path)

    def local_picture(self, path: str) -> Path | None:
        """Where such a picture lies on this machine's disk; None if the store is elsewhere."""
        self._pictures.check(path)
        return self._work.store.local_path(path)

    def picture(self, path: str) -> np.ndarray:
        """Such a picture, uint8 [height, width, 3] RGB. Raises PictureGone, or ValueError if it cannot be read."""
        from dataset_pipeline.images.resize import decode

        encoded = self.encoded_picture(path)
        try:
            return decode(encoded)
        except ValueError as error:
            place = self._work.store.local_path(path) or self._work.store.uri(path)
            raise ValueError(f"{place} is damaged: delete it, and the next run makes it again ({error})") from error

    def pictures(self, paths: Iterable[str]) -> Iterator[np.ndarray]:
        """Stored pictures in order, read a few ahead."""
        yield from timed_iteration("decode and encode", _ahead_of(self.picture, paths))

    def readable(self, paths: Iterable[str]) -> Iterator[np.ndarray | Exception]:
        """As `pictures`, with the error in the place of a picture that is gone or damaged."""
        yield from timed_iteration("decode and encode", _ahead_of(lambda path: _or_error(self.picture, path), paths))

    def save_pictures(
        self,
        pictures: Iterable[tuple[dict, np.ndarray]],
        left_out: dict[str, str],
        format: str = "png",
        quality: int = 100,
    ) -> Iterator[dict]:
        """Write each picture under its row's `image_id`; yield the row with `path` and `pixel_sha256` filled in.

        A picture that cannot be encoded is not yielded, and `left_out` gets the reason by image id.
        """
        from dataset_pipeline.images.resize import encode, pixel_sha256

        assert self.episode is not None
        episode = self.episode

        def save(item: tuple[dict, np.ndarray]) -> dict | None:
            row, pixels = item
            encoded = _or_error(lambda picture: encode(picture, format, quality), pixels)
            if isinstance(encoded, Exception):
                left_out[row["image_id"]] = reason_of(encoded)
                return None
            path = self._work.store.put_picture(self.declaration.name, episode, row["image_id"], encoded, format)
            return {**row, "path": path, "pixel_sha256": pixel_sha256(pixels)}

        saved = timed_iteration("decode and encode", _ahead_of(save, pictures))
        yield from (row for row in saved if row is not None)

    def render(
        self,
        rows: list[dict],
        same: tuple[str, ...],
        given: str,
        draw: Callable[[list[dict]], Iterable[tuple[str, np.ndarray | Exception]]],
    ) -> tuple[list[dict], dict[str, str]]:
        """Pictures for the rows with `kept`, drawing only those that are not there yet.

        A picture of last time is taken over if its row agrees in the columns `same` and the input table `given` is
        the same version, or agrees in `same` alone where `given` is empty. `draw(rows)` yields (image_id, pixels), or
        the error instead; a kept row of which no picture comes becomes `unreadable`. Returns the rows, and by image id
        what is known of why there is no picture.
        """
        before = self._rendered_before(same, given)
        kept = [row for row in rows if row["kept"]]
        done = {
            row["image_id"]: {**row, "path": old["path"], "pixel_sha256": old["pixel_sha256"]}
            for row in kept
            if (old := before.get(tuple(row[name] for name in same)))
        }
        absent = {row["image_id"]: row for row in kept if row["image_id"] not in done}
        left_out: dict[str, str] = {}

        def pairs() -> Iterator[tuple[dict, np.ndarray]]:
            drawn = timed_iteration("decode and encode", draw(list(absent.values()))) if absent else ()
            for image_id, pixels in track(drawn, self.declaration.name, len(absent)):
                if isinstance(pixels, Exception):
                    left_out[image_id] = reason_of(pixels)
                else:
                    yield absent[image_id], pixels

        for row in self.save_pictures(pairs(), left_out):
            done[row["image_id"]] = row
        lost = {"kept": False, "reason": "unreadable", "path": "", "pixel_sha256": ""}
        rendered = [
            done.get(row["image_id"], {**row, **lost}) if row["kept"] else {**row, "path": "", "pixel_sha256": ""}
            for row in rows
        ]
        return rendered, left_out

    def redrawn(
        self, images: list[dict], change: Callable[[np.ndarray], np.ndarray], format: str, quality: int
    ) -> tuple[list[dict], dict[str, str]]:
        """Rows of `training_images`: the changed picture of each image, unless it is there from equal pixels.

        Also why there is none, by image id, where the picture is gone or broken.
        """
        from dataset_pipeline.images.resize import encode

        assert self.episode is not None
        episode = self.episode
        store = self._work.store
        pointer = usable_pointer(store, self.declaration, episode)
        before: dict[tuple, dict] = {}
        if pointer is not None and pointer.provenance.code_version == self.code_version:
            missing = store.missing_pictures(self.declaration.name, episode)
            before = {
                (row["image_id"], row["source_sha256"]): row for row in self.previous() if row["path"] not in missing
            }

        def changed(path: str) -> tuple[np.ndarray, bytes]:
            picture = change(self.picture(path))
            return picture, encode(picture, format, quality)

        def redraw(image: dict) -> dict | Exception:
            known = before.get((image["image_id"], image["pixel_sha256"]))
            if known:
                return known
            made = _or_error(changed, image["path"])
            if isinstance(made, Exception):
                return made
            picture, encoded = made
            path = store.put_picture(self.declaration.name, episode, image["image_id"], encoded, format)
            return {
                "image_id": image["image_id"],
                "source_sha256": image["pixel_sha256"],
                "path": path,
                "width_px": picture.shape[1],
                "height_px": picture.shape[0],
                "size_bytes": len(encoded),
                "file_sha256": hashlib.sha256(encoded).hexdigest(),
            }

        made = timed_iteration("decode and encode", _ahead_of(redraw, images))
        rows: list[dict] = []
        left_out: dict[str, str] = {}
        for image, found in zip(images, track(made, self.declaration.name, len(images)), strict=True):
            if isinstance(found, Exception):
                left_out[image["image_id"]] = reason_of(found)
            else:
                rows.append(found)
        return rows, left_out

    @property
    def export_root(self) -> Path:
        """The folder that exported sets are written into, for an asset that declares that it exports."""
        if not self.declaration.exports:
            raise LookupError(f"{self.declaration.name} does not declare that it exports")
        return self._work.resources.export_root

    def origin(self, asset: str) -> dict[str, Any]:
        """What a set's manifest says of where it comes from: versions and whether demo models had a part in it."""
        pointer = self.pointer(asset)
        assert pointer is not None
        return {"made_with_demo_models": pointer.provenance.demo, asset: pointer.data_version}

    def _rendered_before(self, same: tuple[str, ...], given: str) -> dict[tuple, dict]:
        store = self._work.store
        pointer = usable_pointer(store, self.declaration, self.episode)
        if pointer is None or not pointer.provenance.code_version.startswith(f"{self.declaration.algorithm}-"):
            return {}
        if given:
            now = self.pointer(given)
            if now is None or pointer.provenance.inputs.get(given) != version_of(now):
                return {}
        missing = store.missing_pictures(self.declaration.name, self.episode)
        return {
            tuple(row[name] for name in same): row
            for row in self.previous()
            if row["path"] and row["path"] not in missing
        }

    def measure(
        self,
        role: str,
        wanted: list[dict],
        compute: Callable[[Any, Iterator[np.ndarray]], Iterable[dict]],
        keyed_by: str = "",
    ) -> Result:
        """Run a model over the pictures of `wanted` (image_id, pixel_sha256, path) that it has not seen yet.

        `compute(model, pictures)` yields one payload for each picture, in order. `keyed_by` names the settings section
        that changes what is measured. Returns the rows of the wanted pictures and how many were measured and reused.
        A picture that is gone or damaged, or that the model fails on alone, has no row: the check
        EVERY_PICTURE_WAS_MEASURED names it. Raises the error of a model that fails on a plain picture too.
        """
        model = self.model(role)
        paths = {row["image_id"]: row["path"] for row in wanted}
        left_out: dict[str, str] = {}

        def missing(image_ids: list[str]) -> Iterable[dict | None]:
            def payloads() -> Iterator[dict | None]:
                for start in range(0, len(image_ids), CHUNK_PICTURES):
                    chunk = image_ids[start : start + CHUNK_PICTURES]
                    asked = [paths[image_id] for image_id in chunk]
                    answers = answered(asked, self.picture, self.pictures, lambda some: compute(model, some))
                    failed = zip(chunk, answers, strict=False)  # too few answers are told of by who takes them
                    left_out.update((image_id, reason_of(it)) for image_id, it in failed if isinstance(it, Exception))
                    yield from (None if isinstance(answer, Exception) else answer for answer in answers)

            yield from track(payloads(), self.declaration.name, len(image_ids))

        algorithm = str(self.declaration.algorithm)
        if keyed_by:
            if keyed_by not in self.declaration.settings:
                raise LookupError(f"{self.declaration.name} does not declare that it reads the settings [{keyed_by}]")
            algorithm += f"-{self._work.settings.section_hash(keyed_by)}"
        table, reuse = self.measure_once(wanted, model.fingerprint().sha256, algorithm, missing)
        numbers: dict[str, Number] = {"measured": reuse.measured, "reused": reuse.reused}
        if left_out:
            numbers[UNMEASURED] = len(left_out)
        return Result(table, numbers, {EVERY_PICTURE_WAS_MEASURED: first_reasons(left_out)}, left_out=left_out)

    def measure_once(
        self,
        wanted: Sequence[Mapping[str, Any]],
        sha256: str,
        algorithm: str,
        compute: Callable[[list[str]], Iterable[dict[str, Any] | None]],
    ) -> tuple[pa.Table, Reuse]:
        """This asset's rows for the wanted images (rows with image_id and pixel_sha256), as `measure_missing` of the
        store gives them: what was answered once is kept for good by picture, sha256 and algorithm."""
        assert self.episode is not None
        keys = pa.table({name: pa.array([row[name] for row in wanted], pa.string()) for name in MEASURED_KEY[:2]})
        return measure_missing(self._work.store, self.declaration.name, self.episode, keys, sha256, algorithm, compute)

    def measured_keys(self) -> set[tuple[str, ...]]:
        """(image_id, pixel_sha256, model_sha256, algorithm) of everything this asset was ever answered."""
        table = self._work.store.previous(f"{self.declaration.name}{MEASURED_SUFFIX}", self.episode)
        return set() if table is None else set(zip(*(table[name].to_pylist() for name in MEASURED_KEY), strict=True))


def _rows_made_from(before: pa.Table | None, made_from: Mapping[str, str], schema: TableSchema) -> pa.Table:
    """Those rows of last time that joining their shows again would give."""
    if before is None:
        return schema.empty()
    rows = zip(before["show"].to_pylist(), before["made_from"].to_pylist(), strict=True)
    return before.filter(pa.array([made_from.get(show) == made for show, made in rows], pa.bool_()))


def version_of(pointer: Pointer) -> str:
    """What a table's readers rely on: its data version, with the images that it left out, or for a source the
    fingerprint of the file itself."""
    version = pointer.provenance.fingerprint or pointer.data_version
    if not (left_out := pointer.provenance.left_out):
        return version
    return f"{version}-{hashlib.sha256(json.dumps(sorted(left_out)).encode()).hexdigest()[:8]}"


def version_for(episode: str | None, asset: str, pointer: Pointer) -> str:
    """What a reader of one episode relies on: the version of that episode's part, if a joined table has parts."""
    part = SCHEMAS[asset].part
    if episode is None or not part or (pointer.rows and not pointer.parts):
        return version_of(pointer)
    return pointer.parts.get(episode if part == "episode" else show_of(episode), NO_ROWS)


def joined_version(pointers: Iterable[tuple[str, Pointer]]) -> str:
    """The same for a table of many episodes, given as (episode, pointer) sorted by episode."""
    listing = json.dumps([(episode, version_of(pointer)) for episode, pointer in pointers])
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def work_of(step: Step) -> Work:
    """The step as the framework handles it. Bodies have no business with it."""
    return step._work


class _NamedPictures:
    """The pictures that a step may look at: those that a table it has read names. Safe in many threads."""

    def __init__(self, asset: str) -> None:
        self._asset = asset
        self._columns: list[pa.ChunkedArray] = []
        self._paths: set[str] = set()
        self._lock = Lock()

    def named_in(self, table: pa.Table) -> pa.Table:
        if "path" in table.column_names:
            with self._lock:
                self._columns.append(table["path"])
        return table

    def check(self, path: str) -> None:
        with self._lock:
            while self._columns:
                self._paths.update(self._columns.pop().to_pylist())
            if path not in self._paths:
                raise Undeclared(f"{self._asset} has read no table that names the picture {path}")


class _DeclaredSections:
    """Settings of which only the sections an asset declares can be read."""

    def __init__(self, settings: Settings, declaration: Declaration):
        self._settings, self._declaration = settings, declaration

    def __getattr__(self, name: str) -> Any:
        if name not in self._declaration.settings:
            raise LookupError(f"{self._declaration.name} does not declare that it reads the settings [{name}]")
        return getattr(self._settings, name)


def _or_error(function: Callable[[Given], Made], given: Given) -> Made | Exception:
    """What the function gives, or the error if it is one picture's alone; raises any other."""
    try:
        return function(given)
    except Exception as error:
        if is_of_one(error):
            return error
        raise


def _ahead_of(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """The map of pictures that are read or written: a few ahead of the one at work."""
    return map_ahead(function, items, threads=2, ahead=6)


def usable_pointer(store: Store, declaration: Declaration, episode: str | None) -> Pointer | None:
    """What the asset wrote last time; None if nothing, or if its pointer is damaged, which writing again repairs."""
    try:
        return store.pointer(declaration.name, episode)
    except TableOutdated:
        return None
