"""What every asset has in common, so that an asset's body is only: read, call one function, hand back a table.

An asset declares the tables, settings sections and model roles it reads. The declaration makes its Dagster
dependencies, its code version and its required resources, and a body that reads anything else fails: lineage and
versions cannot drift from the code.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import pyarrow as pa

from dataset_pipeline.progress import track
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.reuse import measure_missing
from dataset_pipeline.store.store import Pointer, Store, TableOutdated
from dataset_pipeline.timing import span, timed_iteration

EPISODES = dg.DynamicPartitionsDefinition(name="episodes")

# Projections handle many episodes in one run by a backfill policy, which Dagster calls beta.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")

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
    """An asset's answer: its table and the numbers a person would plot."""

    table: pa.Table
    numbers: dict[str, Number] = field(default_factory=dict)


class Step:
    """One asset at work on one episode, or on all of them if the asset is joined."""

    def __init__(
        self, declaration: Declaration, resources: Any, episode: str | None, log: Any, episodes: Sequence[str]
    ):
        self.declaration = declaration
        self.episode = episode
        self.episodes = episodes
        self.log = log
        self.store: Store = resources.store
        self._resources = resources
        self.inputs: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        """The declared sections of the settings; any other raises LookupError."""
        return cast(Settings, _DeclaredSections(self._resources.settings, self.declaration))

    def model(self, role: str) -> Any:
        """The resource of a declared model role."""
        if role not in self.declaration.models:
            raise LookupError(f"{self.declaration.name} does not declare that it uses the model role {role}")
        return getattr(self._resources, role)

    def read(self, asset: str) -> pa.Table:
        """The current table of a declared asset: of this episode, of all episodes in a joined step."""
        if asset not in self.declaration.reads:
            raise LookupError(f"{self.declaration.name} does not declare that it reads {asset}")
        with span("store"):
            if is_joined(asset):
                return self.store.read(asset)
            if self.episode is None:
                return self.store.read_many(asset, self.episodes)
            return self.store.read(asset, self.episode)

    def rows(self, asset: str) -> list[dict]:
        return self.read(asset).to_pylist()

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
        pointer = _usable_pointer(self.store, self.declaration, episode)
        code_version = self.declaration.code_version(self._resources.settings, {})
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
        return self._resources.export_root

    def origin(self, asset: str) -> dict[str, Any]:
        """What a set's manifest says of where it comes from: versions and whether demo models had a part in it."""
        pointer = self.store.pointer(asset, self.episode)
        assert pointer is not None
        return {"made_with_demo_models": pointer.provenance["demo"], asset: pointer.data_version}

    def _rendered_before(self, same: tuple[str, ...], given: str) -> dict[tuple, dict]:
        pointer = _usable_pointer(self.store, self.declaration, self.episode)
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
            algorithm += f"-{self._resources.settings.section_hash(keyed_by)}"
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
    from collections import deque

    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def is_joined(asset: str) -> bool:
    """True for assets over all episodes. `video` and other externals are per episode."""
    return asset in DECLARATIONS and DECLARATIONS[asset].joined


def pipeline_asset(
    *,
    reads: Iterable[str],
    group: str,
    settings: Iterable[str] = (),
    models: Iterable[str] = (),
    algorithm: int = 1,
    joined: bool = False,
    projection: bool = False,
    exports: bool = False,
    kinds: Iterable[str] = (),
) -> Callable[[Callable[[Step], Result]], dg.AssetsDefinition]:
    """Make a Dagster asset of a function from Step to Result.

    The function's docstring is what the web UI shows. Raise `algorithm` whenever the function's answer changes for
    equal inputs. A projection handles many episodes in one run. An asset whose inputs and code version are those of its
    current table keeps that table; one that `exports` gets the folder for it and runs each time.
    """

    def wrap(function: Callable[[Step], Result]) -> dg.AssetsDefinition:
        name = function.__name__
        declaration = Declaration(
            name, tuple(reads), tuple(settings), tuple(models), algorithm, joined, projection, exports
        )
        DECLARATIONS[name] = declaration

        @dg.asset(
            name=name,
            deps=[dg.AssetKey(asset) for asset in declaration.reads],
            partitions_def=None if joined else EPISODES,
            group_name=group,
            description=function.__doc__,
            kinds={*kinds} or None,
            required_resource_keys={"store", "settings", *declaration.models, *(["export_root"] if exports else [])},
            pool="gpu" if declaration.models else None,
            backfill_policy=dg.BackfillPolicy.single_run() if projection else None,
        )
        def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            episodes = [] if joined else list(context.partition_keys)
            if joined:
                registered = context.instance.get_dynamic_partitions(partitions_name(context.resources.settings))
                done = materialize(declaration, function, context, None, registered)
                return dg.MaterializeResult(metadata=done.metadata, data_version=dg.DataVersion(done.data_version))
            parts = [materialize(declaration, function, context, episode, episodes) for episode in episodes]
            if len(parts) == 1:
                return dg.MaterializeResult(
                    metadata=parts[0].metadata, data_version=dg.DataVersion(parts[0].data_version)
                )
            for episode, part in zip(episodes, parts, strict=True):
                context.add_asset_metadata(part.metadata, asset_key=context.asset_key, partition_key=episode)
            together = hashlib.sha256("".join(part.data_version for part in parts).encode()).hexdigest()
            return dg.MaterializeResult(data_version=dg.DataVersion(together))

        return asset

    return wrap


def location_prefix(settings: Settings) -> list[str]:
    """The key prefix of a project's assets: none for real models, the pack's name otherwise."""
    return [] if settings.models.pack == "real" else [settings.models.pack]


def partitions_name(settings: Settings) -> str:
    """The name of the project's dynamic partitions."""
    return "_".join(["episodes", *location_prefix(settings)])


@dataclass(frozen=True)
class Materialized:
    data_version: str
    metadata: dict[str, Any]


def materialize(
    declaration: Declaration,
    function: Callable[[Step], Result],
    context: dg.AssetExecutionContext,
    episode: str | None,
    episodes: Sequence[str],
) -> Materialized:
    """Run one asset for one episode (or all) unless its current table already answers, and write what it gives."""
    resources = context.resources
    store: Store = resources.store
    step = Step(declaration, resources, episode, context.log, episodes)
    fingerprints = {role: getattr(resources, role).fingerprint() for role in declaration.models}
    code_version = declaration.code_version(
        resources.settings, {role: fingerprint.sha256 for role, fingerprint in fingerprints.items()}
    )
    inputs = _inputs(store, declaration, episode, episodes)
    pointer = _usable_pointer(store, declaration, episode)
    if not declaration.exports and _answers(store, declaration, episode, pointer, code_version, inputs.versions):
        assert pointer is not None
        return Materialized(pointer.data_version, _metadata(store, pointer, kept=True))
    with span("rules"):
        result = function(step)
    if inputs.missing:
        context.log.warning(
            f"{declaration.name} does without {', '.join(inputs.missing)}: not everything is there of them"
        )
    provenance = {
        "code_version": code_version,
        "settings_hash": resources.settings.section_hash(*declaration.settings),
        "settings": {name: getattr(resources.settings, name).model_dump(mode="json") for name in declaration.settings},
        "models": [fingerprint.as_dict() for fingerprint in fingerprints.values()],
        "demo": inputs.demo or any(fingerprint.demo for fingerprint in fingerprints.values()),
        "inputs": inputs.versions,
        "numbers": result.numbers | ({"episodes_missing": len(inputs.missing)} if episode is None else {}),
    }
    with span("store"):
        store.write(declaration.name, result.table, episode, provenance)
        pointer = store.pointer(declaration.name, episode)
    assert pointer is not None
    return Materialized(pointer.data_version, _metadata(store, pointer, kept=False))


@dataclass(frozen=True)
class Inputs:
    """What an asset reads: versions by table, hashed over the episodes for a joined asset; whether demo models had a
    part in any of it; the episodes that lack a table, which a joined asset goes without."""

    versions: dict[str, str]
    demo: bool
    missing: list[str]


def _inputs(store: Store, declaration: Declaration, episode: str | None, episodes: Sequence[str]) -> Inputs:
    versions: dict[str, str] = {}
    demo, missing = False, set()
    for asset in declaration.reads:
        over_all = episode is None and not is_joined(asset)
        keys = sorted(episodes) if over_all else [None if is_joined(asset) else episode]
        found = [(key, pointer) for key in keys if (pointer := store.pointer(asset, key))]
        demo = demo or any(pointer.provenance.get("demo") for _, pointer in found)
        if over_all:
            listing = json.dumps([(key, _version(pointer)) for key, pointer in found])
            versions[asset] = hashlib.sha256(listing.encode()).hexdigest()[:16]
            missing |= set(keys) - {key for key, _ in found}
        else:
            versions[asset] = _version(found[0][1]) if found else ""
    return Inputs(versions, demo, sorted(missing))


def _version(pointer: Pointer) -> str:
    """What a table's readers rely on: its data version, or for a source the fingerprint of the file itself."""
    return pointer.provenance.get("fingerprint", pointer.data_version)


def _usable_pointer(store: Store, declaration: Declaration, episode: str | None) -> Pointer | None:
    """What the asset wrote last time; None if nothing, or if its pointer is damaged, which writing anew repairs."""
    try:
        return store.pointer(declaration.name, episode)
    except TableOutdated:
        return None


def _answers(
    store: Store,
    declaration: Declaration,
    episode: str | None,
    pointer: Pointer | None,
    code_version: str,
    inputs: dict[str, str],
) -> bool:
    """Whether the current table was made from just these inputs by just this code, and its pictures are there."""
    if pointer is None or not all(inputs.values()):
        return False
    provenance = pointer.provenance
    if provenance.get("code_version") != code_version or provenance.get("inputs") != inputs:
        return False
    if provenance.get("numbers", {}).get("unreadable"):
        return False  # a disk that was away may be back
    return store.intact(declaration.name, episode)


def _metadata(store: Store, pointer: Pointer, kept: bool) -> dict[str, Any]:
    provenance = pointer.provenance
    metadata: dict[str, Any] = {
        "dagster/row_count": pointer.rows,
        **provenance["numbers"],
        "settings_hash": provenance["settings_hash"],
        "unchanged": kept,
        "table": dg.MetadataValue.path(store.uri(pointer.file)),
    }
    if provenance["models"]:
        metadata["models"] = dg.MetadataValue.json(provenance["models"])
    if provenance["demo"]:
        metadata["made_with_demo_models"] = True
    return metadata
