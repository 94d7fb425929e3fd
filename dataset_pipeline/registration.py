"""Making an episode known: its row in the store, its partition, and the fingerprint reported for `video`.

Where the source lies and when it was written stand in the pointer, so that tables are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import dagster as dg

from dataset_pipeline.assets.framework import location_prefix, partitions_name
from dataset_pipeline.episodes import Source
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, TableOutdated


def register(instance: dg.DagsterInstance, store: Store, settings: Settings, sources: Iterable[Source]) -> list[str]:
    """Register sources where they lie; nothing is copied. Returns the partition keys that are new or have changed."""
    sources = list(sources)
    key = dg.AssetKey([*location_prefix(settings), "video"])
    reported = instance.get_materialized_partitions(key)
    instance.add_dynamic_partitions(partitions_name(settings), [source.key for source in sources])
    changed = []
    for source in sources:
        row = asdict(source) | {"episode": source.key}
        table = SCHEMAS["video"].table([{name: row[name] for name in SCHEMAS["video"].columns}])
        known = _known_fingerprint(store, source.key)
        place = {"path": str(source.path), "mtime_ns": source.mtime_ns, "fingerprint": source.fingerprint}
        store.write("video", table, source.key, place)
        if known != source.fingerprint or source.key not in reported:
            changed.append(source.key)
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=key,
                    partition=source.key,
                    metadata={"path": dg.MetadataValue.path(str(source.path)), "size_bytes": source.size_bytes},
                    tags={"dagster/data_version": source.fingerprint},
                )
            )
    return changed


def _known_fingerprint(store: Store, episode: str) -> str | None:
    try:
        pointer = store.pointer("video", episode)
    except TableOutdated:
        return None  # a damaged pointer, which writing anew repairs
    return pointer.provenance.get("fingerprint") if pointer else None
