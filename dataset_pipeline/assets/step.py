"""An asset at work: what it may read, and what it hands back."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from dataset_pipeline.progress import track
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.reuse import measure_missing
from dataset_pipeline.store.store import Pointer, Store, TableOutdated
from dataset_pipeline.timing import span, timed_iteration

Made = TypeVar("Made")
Number = int | float | str | bool

# So many pictures are handed to a model at a time; what is measured is saved in between.
CHUNK_PICTURES = 128


@dataclass(frozen=True)
class Declaration:
    """What one asset reads. `joined` assets see all episodes at once; `projection`s bring a joined answer back."""

    name: str
    reads: tuple[str, ...]
    settings: tuple[str, ...]
    models: tuple[str, ...]
    algorithm: int
    joined: bool
    projection: bool
    exports: bool

    def code_version(self, settings: Settings, model_sha256: Mapping[str, str]) -> str:
        """`<algorithm>-<12 hex>` over exactly the settings and weights that change this asset's result."""
        payload = json.dumps([settings.section_hash(*self.settings), [model_sha256[role] for role in self.models]])
        return f"{self.algorithm}-{hashlib.sha256(payload.encode()).hexdigest()[:12]}"


DECLARATIONS: dict[str, Declaration] = {}


@dataclass
class Result:
    """An asset's answer: its table and the numbers a person would plot.

    `faults`: by the name of a declared check, what speaks against its statement; empty or absent where it holds.
    `notes`: Markdown by title, for the web UI.
    """

    table: pa.Table
    numbers: dict[str, Number] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class Step:
    """One asset at work on one episode, or on all of them if the asset is joined.

    `shared`: what the steps of one run, which may handle many episodes, keep for one another.
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
        self.store: Store = resources.store
        self.resources = resources
        self._shared = {} if shared is None else shared

    @property
    def settings(self) -> Settings:
        """The declared sections of the settings; any other raises LookupError."""
        return cast(Settings, _DeclaredSections(self.resources.settings, self.declaration))

    def model(self, role: str) -> Any:
        """The resource of a declared model role."""
        if role not in self.declaration.models:
            raise LookupError(f"{self.declaration.name} does not declare that it uses the model role {role}")
        return getattr(self.resources, role)

    def read(self, asset: str) -> pa.Table:
        """The current table of a declared asset: of this episode, of all episodes in a joined step."""
        if asset not in self.declaration.reads:
            raise LookupError(f"{self.declaration.name} does not declare that it reads {asset}")
        with span("store"):
            if is_joined(asset):
                return self.shared(f"table {asset}", lambda: self.store.read(asset))
            if self.episode is None:
                return self.store.read_many(asset, self.episodes)
            return self.store.read(asset, self.episode)

    def rows(self, asset: str) -> list[dict]:
        """The rows of `read`. Those of a joined table are shared by all episodes of a run: change none."""
        if is_joined(asset):
            return self.shared(f"rows {asset}", lambda: self.read(asset).to_pylist())
        return self.read(asset).to_pylist()

    def shared(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once for all episodes of this run."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def row(self, asset: str) -> dict:
        """The only row of a table that has one row for each episode."""
        return self.rows(asset)[0]

    @property
    def source(self) -> dict:
        """Where the episode's source lies: its row of `video`. What it holds is versioned by video_probe alone, so that
        a file that was merely touched or moved costs one look at it."""
        pointer = self.store.pointer("video", self.episode)
        row = self.store.read("video", self.episode).to_pylist()[0]
        return row | {"path": pointer.provenance["path"] if pointer else ""}

    def previous(self) -> list[dict]:
        """The rows this asset wrote last time, if the schema still reads them; empty if there are none."""
        table = self.store.previous(self.declaration.name, self.episode)
        return [] if table is None else table.to_pylist()

    def made_from(self, assets: Sequence[str], episodes: Sequence[str]) -> str:
        """Hash of what decides the rows of these episodes: their tables of `assets`, this asset's code and settings."""
        pointers = [(asset, episode, self.store.pointer(asset, episode)) for asset in assets for episode in episodes]
        versions = [(asset, episode, pointer.data_version if pointer else "") for asset, episode, pointer in pointers]
        code_version = self.declaration.code_version(self.resources.settings, {})
        return hashlib.sha256(json.dumps([code_version, versions]).encode()).hexdigest()[:16]

    def picture(self, path: str) -> np.ndarray:
        """A stored picture, uint8 [height, width, 3] RGB."""
        from dataset_pipeline.images.resize import decode

        return decode(self.store.read_picture(path))

    def pictures(self, paths: Iterable[str]) -> Iterator[np.ndarray]:
        """Stored pictures in order, read a few ahead."""
        yield from timed_iteration("decode and encode", _ahead(self.picture, paths))

    def save_pictures(
        self, pictures: Iterable[tuple[dict, np.ndarray]], format: str = "png", quality: int = 100
    ) -> Iterator[dict]:
        """Write each picture under its row's `image_id`; yield the row with `path` and `pixel_sha256` filled in."""
        from dataset_pipeline.images.resize import encode, pixel_sha256

        assert self.episode is not None
        episode = self.episode

        def save(item: tuple[dict, np.ndarray]) -> dict:
            row, pixels = item
            encoded = encode(pixels, format, quality)
            path = self.store.put_picture(self.declaration.name, episode, row["image_id"], encoded, format)
            return {**row, "path": path, "pixel_sha256": pixel_sha256(pixels)}

        yield from timed_iteration("decode and encode", _ahead(save, pictures))

    def render(
        self,
        rows: list[dict],
        same: tuple[str, ...],
        given: str,
        draw: Callable[[list[dict]], Iterable[tuple[str, np.ndarray]]],
    ) -> list[dict]:
        """Pictures for the rows with `kept`, drawing only those that are not there yet.

        A picture of last time is taken over if its row agrees in the columns `same` and the input table `given` is
        the same version, or agrees in `same` alone where `given` is empty. `draw(rows)` yields (image_id, pixels); a
        kept row that it does not yield becomes `unreadable`.
        """
        before = self._rendered_before(same, given)
        kept = [row for row in rows if row["kept"]]
        done = {
            row["image_id"]: {**row, "path": old["path"], "pixel_sha256": old["pixel_sha256"]}
            for row in kept
            if (old := before.get(tuple(row[name] for name in same)))
        }
        absent = {row["image_id"]: row for row in kept if row["image_id"] not in done}
        drawn = timed_iteration("decode and encode", draw(list(absent.values()))) if absent else ()
        pairs = ((absent[image_id], pixels) for image_id, pixels in drawn)
        for row in self.save_pictures(track(pairs, self.declaration.name, len(absent))):
            done[row["image_id"]] = row
        lost = {"kept": False, "reason": "unreadable", "path": "", "pixel_sha256": ""}
        return [
            done.get(row["image_id"], {**row, **lost}) if row["kept"] else {**row, "path": "", "pixel_sha256": ""}
            for row in rows
        ]

    def redrawn(
        self, images: list[dict], change: Callable[[np.ndarray], np.ndarray], format: str, quality: int
    ) -> list[dict]:
        """Rows of `training_images`: the changed picture of each image, unless it is there from equal pixels."""
        from dataset_pipeline.images.resize import encode

        assert self.episode is not None
        episode = self.episode
        pointer = usable_pointer(self.store, self.declaration, episode)
        code_version = self.declaration.code_version(self.resources.settings, {})
        before: dict[tuple, dict] = {}
        if pointer is not None and pointer.provenance.get("code_version") == code_version:
            missing = self.store.missing_pictures(self.declaration.name, episode)
            before = {
                (row["image_id"], row["source_sha256"]): row for row in self.previous() if row["path"] not in missing
            }

        def redraw(image: dict) -> dict:
            known = before.get((image["image_id"], image["pixel_sha256"]))
            if known:
                return known
            picture = change(self.picture(image["path"]))
            encoded = encode(picture, format, quality)
            path = self.store.put_picture(self.declaration.name, episode, image["image_id"], encoded, format)
            return {
                "image_id": image["image_id"],
                "source_sha256": image["pixel_sha256"],
                "path": path,
                "width_px": picture.shape[1],
                "height_px": picture.shape[0],
                "size_bytes": len(encoded),
                "file_sha256": hashlib.sha256(encoded).hexdigest(),
            }

        rows = timed_iteration("decode and encode", _ahead(redraw, images))
        return list(track(rows, self.declaration.name, len(images)))

    @property
    def export_root(self) -> Path:
        """The folder that exported sets are written into."""
        return self.resources.export_root

    def origin(self, asset: str) -> dict[str, Any]:
        """What a set's manifest says of where it comes from: versions and whether demo models had a part in it."""
        pointer = self.store.pointer(asset, self.episode)
        assert pointer is not None
        return {"made_with_demo_models": pointer.provenance["demo"], asset: pointer.data_version}

    def _rendered_before(self, same: tuple[str, ...], given: str) -> dict[tuple, dict]:
        pointer = usable_pointer(self.store, self.declaration, self.episode)
        if pointer is None or not pointer.provenance.get("code_version", "").startswith(
            f"{self.declaration.algorithm}-"
        ):
            return {}
        if given:
            now = self.store.pointer(given, self.episode)
            if now is None or pointer.provenance["inputs"].get(given) != now.data_version:
                return {}
        missing = self.store.missing_pictures(self.declaration.name, self.episode)
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
    ) -> tuple[pa.Table, dict[str, Number]]:
        """Run a model over the pictures of `wanted` (image_id, pixel_sha256, path) that it has not seen yet.

        `compute(model, pictures)` yields one payload for each picture, in order. `keyed_by` names the settings section
        that changes what is measured. Returns the rows of all wanted pictures and how many were measured and reused.
        """
        assert self.episode is not None
        model = self.model(role)
        paths = {row["image_id"]: row["path"] for row in wanted}
        keys = pa.table(
            {"image_id": [r["image_id"] for r in wanted], "pixel_sha256": [r["pixel_sha256"] for r in wanted]},
            schema=pa.schema([("image_id", pa.string()), ("pixel_sha256", pa.string())]),
        )

        def missing(image_ids: list[str]) -> Iterable[dict]:
            def payloads() -> Iterator[dict]:
                for start in range(0, len(image_ids), CHUNK_PICTURES):
                    chunk = image_ids[start : start + CHUNK_PICTURES]
                    pictures = self.pictures(paths[image_id] for image_id in chunk)
                    with span("model"):
                        answers = list(compute(model, pictures))
                    yield from answers

            yield from track(payloads(), self.declaration.name, len(image_ids))

        algorithm = str(self.declaration.algorithm)
        if keyed_by:
            algorithm += f"-{self.resources.settings.section_hash(keyed_by)}"
        table, reuse = measure_missing(
            self.store,
            self.declaration.name,
            self.episode,
            keys,
            model.fingerprint().sha256,
            algorithm,
            missing,
        )
        return table, {"measured": reuse.measured, "reused": reuse.reused}


class _DeclaredSections:
    """Settings of which only the sections an asset declares can be read."""

    def __init__(self, settings: Settings, declaration: Declaration):
        self._settings, self._declaration = settings, declaration

    def __getattr__(self, name: str) -> Any:
        if name not in self._declaration.settings:
            raise LookupError(f"{self._declaration.name} does not declare that it reads the settings [{name}]")
        return getattr(self._settings, name)


def _ahead(function: Callable, items: Iterable, depth: int = 6) -> Iterator:
    """Map with a few calls in flight: bounded memory, results in order."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def usable_pointer(store: Store, declaration: Declaration, episode: str | None) -> Pointer | None:
    """What the asset wrote last time; None if nothing, or if its pointer is damaged, which writing anew repairs."""
    try:
        return store.pointer(declaration.name, episode)
    except TableOutdated:
        return None


def is_joined(asset: str) -> bool:
    """True for assets over all episodes. `video` and other externals are per episode."""
    return asset in DECLARATIONS and DECLARATIONS[asset].joined
