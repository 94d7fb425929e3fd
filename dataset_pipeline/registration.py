"""Making an episode known: its row in the store, its partition, and the fingerprint reported for `video`.

Where the source lies and when it was written stand in the pointer, so that tables are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import IntegrityError

from dataset_pipeline.assets.framework import location_prefix, partitions_name
from dataset_pipeline.episodes import OwnerOf, Source
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store, TableOutdated

FINGERPRINT_TAG = "dagster/data_version"
EVENTS_A_QUERY = 500


@dataclass(frozen=True)
class Recorded:
    """What is on record of an episode: the fingerprint that Dagster has of it, the path where it lies, and the key of
    the run that was to measure it, empty if it was registered by hand."""

    fingerprint: str
    path: str
    run_key: str


def register(instance: dg.DagsterInstance, store: Store, settings: Settings, sources: Iterable[Source]) -> list[str]:
    """Register sources where they lie; nothing is copied. Returns the partition keys that are new or have changed."""
    sources = list(sources)
    _add_partitions(instance, partitions_name(settings), [source.key for source in sources])
    known = recorded(instance, store, settings, [source.key for source in sources])
    changed = []
    for source in sources:
        pointer = _pointer(store, source.key)
        write_source(store, source)
        there = pointer is not None and pointer.provenance.get("fingerprint") == source.fingerprint
        if not there or source.key not in known or known[source.key].fingerprint != source.fingerprint:
            changed.append(source.key)
            instance.report_runless_asset_event(found_event(settings, source))
    return changed


def _add_partitions(instance: dg.DagsterInstance, name: str, keys: list[str]) -> None:
    try:
        instance.add_dynamic_partitions(name, keys)
    except IntegrityError:  # another process added one between Dagster's look and its insert
        instance.add_dynamic_partitions(name, keys)


def write_source(store: Store, source: Source) -> None:
    """Write the source's row of `video`; its pointer says where it lies."""
    row = asdict(source) | {"episode": source.key}
    table = SCHEMAS["video"].table([{name: row[name] for name in SCHEMAS["video"].columns}])
    origin = {"path": str(source.path), "mtime_ns": source.mtime_ns, "fingerprint": source.fingerprint}
    store.write("video", table, source.key, origin)


def found_event(settings: Settings, source: Source, run_key: str = "") -> dg.AssetMaterialization:
    """What Dagster is told of a source; `run_key`: the run that is going to measure it."""
    return dg.AssetMaterialization(
        asset_key=video_key(settings),
        partition=source.key,
        metadata={
            "path": dg.MetadataValue.path(str(source.path)),
            "size_bytes": source.size_bytes,
            **({"run_key": run_key} if run_key else {}),
        },
        tags={FINGERPRINT_TAG: source.fingerprint},
    )


def recorded(
    instance: dg.DagsterInstance, store: Store, settings: Settings, keys: Sequence[str]
) -> dict[str, Recorded]:
    """What is on record of the episodes that Dagster has ever been told of, even if they were taken out since."""
    found: dict[str, Recorded] = {}
    for event in _events(instance, video_key(settings), list(dict.fromkeys(keys))):
        assert event.partition is not None
        if event.partition in found:
            continue  # newest first
        pointer = _pointer(store, event.partition)
        told = {name: str(event.metadata[name].value) for name in ("path", "run_key") if name in event.metadata}
        found[event.partition] = Recorded(
            fingerprint=(event.tags or {}).get(FINGERPRINT_TAG, ""),
            path=(pointer.provenance.get("path") if pointer else "") or told.get("path", ""),
            run_key=told.get("run_key", ""),
        )
    return found


def owner_in(store: Store) -> OwnerOf:
    """Tells where the source of an episode lies, if the store knows it and it is still there."""

    def owner_of(key: str) -> Path | None:
        pointer = _pointer(store, key)
        path = pointer.provenance.get("path") if pointer else None
        return Path(path) if path and Path(path).exists() else None

    return owner_of


def video_key(settings: Settings) -> dg.AssetKey:
    return dg.AssetKey([*location_prefix(settings), "video"])


def _events(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: list[str]) -> Iterator[dg.AssetMaterialization]:
    """Materializations of these partitions; those of each partition newest first."""
    for start in range(0, len(keys), EVENTS_A_QUERY):
        chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=keys[start : start + EVENTS_A_QUERY])
        cursor, has_more = None, True
        while has_more:
            page = instance.fetch_materializations(chosen, limit=EVENTS_A_QUERY, cursor=cursor)
            for record in page.records:
                assert record.asset_materialization is not None
                yield record.asset_materialization
            cursor, has_more = page.cursor, page.has_more


def _pointer(store: Store, episode: str) -> Pointer | None:
    try:
        return store.pointer("video", episode)
    except TableOutdated:
        return None  # a damaged pointer, which writing anew repairs
