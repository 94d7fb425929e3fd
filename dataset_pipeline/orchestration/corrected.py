"""Bringing what a person said to the episodes that it is about: the external asset `corrections`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.corrections.addressing import Addressed, Episodes, addressed
from dataset_pipeline.corrections.events import in_force
from dataset_pipeline.corrections.log import Corrections
from dataset_pipeline.graph.aliases import keys_of_today
from dataset_pipeline.graph.project import correction_log, location_prefix, partitions_name
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store, TableOutdated
from dataset_pipeline.store.versions import data_version

CORRECTIONS = "corrections"
VERSION_TAG = "dagster/data_version"


@dataclass
class Said:
    """What was said in a project, and to which episodes it is addressed."""

    log: Corrections
    in_force: list[Any] = field(default_factory=list)
    addressed: Addressed = field(default_factory=lambda: Addressed({}))


def what_was_said(settings: Settings, store: Store) -> Said:
    """All events of a project and the rows of `corrections` that follow from them. Raises StoreError."""
    log = correction_log(settings).read()
    events = list(in_force(log.events))
    return Said(log, events, addressed(events, log.when, _episodes(store)))


def bring_corrections(instance: dg.DagsterInstance, store: Store, settings: Settings) -> list[dg.AssetMaterialization]:
    """Write the table `corrections` of each episode where that has changed. Returns the events that tell Dagster of it,
    one for each episode that changed or that it does not know of yet."""
    rows = what_was_said(settings, store).addressed.rows
    known = instance.get_materialized_partitions(corrections_key(settings))
    versions = map_all(lambda episode: _written(store, episode, rows[episode]), list(rows))
    return [
        dg.AssetMaterialization(corrections_key(settings), partition=episode, tags={VERSION_TAG: version})
        for episode, (version, changed) in zip(rows, versions, strict=True)
        if changed or episode not in known
    ]


class Brought:
    """For a look that comes again and again: brings nothing while all is as it was when it last did."""

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] | None = None

    def bring(
        self, instance: dg.DagsterInstance, store: Store, settings: Settings, arriving: bool
    ) -> list[dg.AssetMaterialization]:
        """As `bring_corrections`. arriving: whether episodes come that were not there before."""
        files = correction_log(settings).files()
        known = instance.get_materialized_partitions(corrections_key(settings))
        seen = files, frozenset(instance.get_dynamic_partitions(partitions_name(settings))), frozenset(known)
        if seen == self._seen and not arriving:
            return []
        brought = bring_corrections(instance, store, settings)
        self._seen = seen
        return brought


def corrections_key(settings: Settings) -> dg.AssetKey:
    return dg.AssetKey([*location_prefix(settings), CORRECTIONS])


def _written(store: Store, episode: str, rows: list[dict]) -> tuple[str, bool]:
    """The version of an episode's table, and whether that is another than before."""
    table = SCHEMAS[CORRECTIONS].table(rows)
    version, before = data_version(table, SCHEMAS[CORRECTIONS]), usable_pointer(store, CORRECTIONS, episode)
    changed = before is None or before.data_version != version
    if changed:
        store.write(CORRECTIONS, table, episode, Provenance())
    return version, changed


def _episodes(store: Store) -> Episodes:
    keys = store.episodes("video")
    pointers = map_all(lambda key: usable_pointer(store, "video", key), keys)
    found = zip(keys, pointers, strict=True)
    fingerprints = {key: pointer.provenance.fingerprint for key, pointer in found if pointer}
    return Episodes(fingerprints, keys_of_today(store))


def usable_pointer(store: Store, asset: str, episode: str) -> Pointer | None:
    """What is current of an asset; None if it was never written, or its pointer is damaged."""
    try:
        return store.pointer(asset, episode)
    except TableOutdated:
        return None  # a damaged pointer, which writing again repairs
