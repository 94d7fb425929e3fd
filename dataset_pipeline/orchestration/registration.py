"""Making an episode known: its row in the store, its partition, and the fingerprint reported for `video`.

Where the source lies and when it was written stand in the pointer, so that tables are the same on every machine; of
that, what lies in a root of `[episodes] roots` stands there so that every machine finds it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import IntegrityError

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.graph.aliases import former_keys, keys_of_today, rekey
from dataset_pipeline.graph.project import location_prefix, partitions_name
from dataset_pipeline.orchestration.corrected import VERSION_TAG, bring_corrections, usable_pointer
from dataset_pipeline.orchestration.unfinished import UnderWay, unfinished_backfills, unfinished_runs
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.arrival_plan import Recorded
from dataset_pipeline.sources.keys import OwnerOf, may_go_by
from dataset_pipeline.sources.locations import path_key, root_of, whereabouts
from dataset_pipeline.sources.roots import path_of, told
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

FINGERPRINT_TAG = VERSION_TAG
EVENTS_A_QUERY = 500


@dataclass
class CarriedOver:
    """Sources under the keys they go by from now on. `notes`: in words, what was renamed, and what has to wait.
    `waiting`: the keys that sources keep until runs of theirs have ended."""

    sources: list[Source] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)


def carry_over(
    instance: dg.DagsterInstance,
    store: Store,
    settings: Settings,
    sources: Iterable[Source],
    trees: Sequence[Path] = (),
) -> CarriedOver:
    """Before registering: what is on record of a source under another key goes along to its new one.

    That is so where names are read in another way than before, and where a file was renamed or moved. It is the same
    episode if it lies where the other did, whatever its fingerprint is now, or if it has the fingerprint of one that is
    gone. A key that the source could claim in another tree, as when one video of a show is given by itself, is no wrong
    one: the source keeps it. `trees`: folders in which folders may have been renamed too, as shows are; elsewhere a
    source is gone only if the folder that it lay in is still there.

    A call that broke off can be repeated. Partitions of former keys that another Dagster instance had renamed go too.
    """
    sources = list(sources)
    given, copies = {source.key for source in sources}, Counter(source.fingerprint for source in sources)
    held = _Held.of(store, settings)
    partitions = partitions_name(settings)
    registered = instance.get_dynamic_partitions(partitions)
    under_way = UnderWay(registered, unfinished_runs(instance, settings), unfinished_backfills(instance, settings))
    carried = CarriedOver()
    for source in sources:
        old = held.former_key(source, given, copies[source.fingerprint] > 1, trees)
        begun = usable_pointer(store, "video", source.key) is not None
        if old is None or (begun and old not in former_keys(store, source.key)):
            carried.sources.append(source)
        elif not begun and may_go_by(source.path, source.kind, old):
            carried.sources.append(_under(source, old))
        elif work := under_way.on(old):
            carried.sources.append(_under(source, old))
            carried.waiting.add(old)
            carried.notes.append(f"{old} becomes {source.key} once {work} has ended")
        else:
            rekey(store, old, source.key)
            write_source(store, settings, source)
            _add_partitions(instance, partitions, [source.key])
            instance.delete_dynamic_partition(partitions, old)
            store.forget(old)
            carried.sources.append(source)
            carried.notes.append(f"{old} is now {source.key} ({_measured_again(source, held.fingerprints[old])})")
    for former in keys_of_today(store).keys() & set(registered) - carried.waiting:
        if usable_pointer(store, "video", former) is None and not under_way.on(former):
            instance.delete_dynamic_partition(partitions, former)
    return carried


def _measured_again(source: Source, fingerprint_before: str) -> str:
    if source.fingerprint == fingerprint_before:
        return "nothing measured again"
    return "its files have changed too: what that asks for is measured again"


@dataclass
class _Held:
    """The store's episodes: paths and fingerprints of their sources by key, and keys by each of the two."""

    paths: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    at: dict[str, list[str]] = field(default_factory=dict)
    alike: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, settings: Settings) -> _Held:
        held, episodes = cls(), store.episodes("video")
        pointers = map_all(lambda episode: usable_pointer(store, "video", episode), episodes)
        for episode, pointer in zip(episodes, pointers, strict=True):
            if pointer is not None and pointer.provenance.fingerprint:
                held._add(episode, path_of(settings, pointer), pointer.provenance.fingerprint)
        return held

    def _add(self, episode: str, path: str, fingerprint: str) -> None:
        self.paths[episode], self.fingerprints[episode] = path, fingerprint
        self.at.setdefault(path_key(path), []).append(episode)
        self.alike.setdefault(fingerprint, []).append(episode)

    def former_key(self, source: Source, given: Set[str], has_copies: bool, trees: Sequence[Path]) -> str | None:
        """The key that a source went by, none of the `given` ones, which sources have today. `has_copies`: another
        source has its fingerprint too."""
        here = [key for key in self.at.get(path_key(source.path), ()) if key not in given]
        if here:
            return min(here, key=lambda key: self.fingerprints[key] != source.fingerprint)
        others = [key for key in self.alike.get(source.fingerprint, ()) if key not in given]
        gone = [key for key in others if _is_gone(Path(self.paths[key]), source.path, trees)]
        return gone[0] if len(gone) == 1 and not has_copies else None


def _is_gone(path: Path, there: Path, trees: Sequence[Path]) -> bool:
    """Whether a source that lay at `path`, and may be the one that is `there` now, is not just away with its disk.

    The folder it lay in tells, if it is still there; in a tree also the one above that, or whichever holds the one
    folder that has another name now. A folder with disks in it tells nothing: theirs go with them.
    """
    if (where := whereabouts(path, path.parent)) != "unseen":
        return where == "gone"
    above = [path.parent.parent, *_above_a_renamed_folder(path, there)]
    tree = root_of(path, trees)
    tellers = [folder for folder in above if tree is not None and root_of(folder, [tree]) is not None]
    if not tellers:
        return False
    outermost = min(tellers, key=lambda folder: len(folder.parts))
    return whereabouts(path, outermost) == "gone" and not _holds_disks(next(filter(os.path.isdir, path.parents)))


def _above_a_renamed_folder(path: Path, there: Path) -> list[Path]:
    """The folder in which one part of the path has another name `there`, if all else of both is the same."""
    if len(path.parts) != len(there.parts):
        return []
    other = [at for at, (part, now) in enumerate(zip(path.parts, there.parts, strict=True)) if part != now]
    return [Path(*path.parts[: other[0]])] if len(other) == 1 and other[0] else []


def _holds_disks(folder: Path) -> bool:
    return any(os.path.ismount(entry) for entry in folder.iterdir())


def _under(source: Source, key: str) -> Source:
    return replace(source, key=key, show=show_of(key), episode=key.partition(".")[2])


def register(instance: dg.DagsterInstance, store: Store, settings: Settings, sources: Iterable[Source]) -> list[str]:
    """Register sources where they lie; nothing is copied. What a person said comes along, to all episodes. Returns the
    partition keys that are new or have changed."""
    sources = list(sources)
    _add_partitions(instance, partitions_name(settings), [source.key for source in sources])
    known = recorded(instance, store, settings, [source.key for source in sources])
    changed = []
    for source in sources:
        pointer = usable_pointer(store, "video", source.key)
        write_source(store, settings, source)
        there = pointer is not None and pointer.provenance.fingerprint == source.fingerprint
        if not there or source.key not in known or known[source.key].fingerprint != source.fingerprint:
            changed.append(source.key)
            instance.report_runless_asset_event(found_event(settings, source))
    for event in bring_corrections(instance, store, settings):
        instance.report_runless_asset_event(event)
    return changed


def _add_partitions(instance: dg.DagsterInstance, name: str, keys: list[str]) -> None:
    try:
        instance.add_dynamic_partitions(name, keys)
    except IntegrityError:  # another process added one between Dagster's look and its insert
        instance.add_dynamic_partitions(name, keys)


def write_source(store: Store, settings: Settings, source: Source) -> None:
    """Write the source's row of `video`; its pointer says where it lies."""
    row = asdict(source) | {"episode": source.key}
    table = SCHEMAS["video"].table([{name: row[name] for name in SCHEMAS["video"].columns}])
    root, path = told(settings, source.path)
    origin = Provenance(root=root, path=path, mtime_ns=source.mtime_ns, fingerprint=source.fingerprint)
    store.write("video", table, source.key, origin)


def found_event(settings: Settings, source: Source, run_key: str = "") -> dg.AssetMaterialization:
    """The event that records a source in Dagster; `run_key`: the run that is going to measure it."""
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
    """What is on record of the episodes that were ever reported to Dagster, even if they were taken out since."""
    found: dict[str, Recorded] = {}
    for event in _events(instance, video_key(settings), list(dict.fromkeys(keys))):
        assert event.partition is not None
        if event.partition in found:
            continue  # newest first
        pointer = usable_pointer(store, "video", event.partition)
        metadata = {name: str(event.metadata[name].value) for name in ("path", "run_key") if name in event.metadata}
        found[event.partition] = Recorded(
            fingerprint=(event.tags or {}).get(FINGERPRINT_TAG, ""),
            path=path_of(settings, pointer) or metadata.get("path", ""),
            run_key=metadata.get("run_key", ""),
        )
    return found


def owner_in(store: Store, settings: Settings) -> OwnerOf:
    """Tells where the source of an episode lies, if the store knows it and it is still there."""

    def owner_of(key: str) -> Path | None:
        pointer = usable_pointer(store, "video", key)
        path = path_of(settings, pointer)
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
