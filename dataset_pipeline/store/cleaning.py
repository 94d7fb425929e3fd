"""Removing from a store what no pointer reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dataset_pipeline.store.names import (
    ALL_EPISODES,
    ASSET,
    TABLE,
    TEMPORARY_SUFFIX,
    episode_name,
    episode_named,
    kind_of,
)
from dataset_pipeline.store.pointers import APART, FOLDER, Pointer, Pointers, TableOutdated
from dataset_pipeline.store.protocol import Files

# The pictures that an asset's table of an episode names.
PathsIn = Callable[[str, str | None, Pointer], list[str]]


@dataclass(frozen=True)
class Cleaned:
    """What was removed. `unreadable`: a sentence for each damaged table, for whose sake files stay."""

    tables: int
    pictures: int
    temporary: int
    size_bytes: int
    unreadable: tuple[str, ...] = ()


def cleaned(
    files: Files,
    pointers: Pointers,
    paths_in: PathsIn,
    previous: Callable[[str, str | None], pa.Table | None],
    grace_s: float,
) -> Cleaned:
    """`Store.clean`, with these two of its methods; it also puts pointers together that lie apart."""
    # Files are listed before pointers are read: what becomes current meanwhile is too young to be removed.
    listed: dict[tuple[str, str], list[str]] = {}
    for path in files.below(""):
        if len(parts := path.split("/")) == 3 and ASSET.fullmatch(parts[0]):
            listed.setdefault((parts[0], parts[1]), []).append(path)
    if pointers.may_lie_apart:
        places = [place for place, paths in listed.items() if f"{'/'.join(place)}/{APART}" in paths]
        pointers.gather([(asset, episode_named(name)) for asset, name in places])
    reached, unreadable = _reached(pointers, paths_in, listed)
    spared = {name for _, name in unreadable}
    for name in spared - {ALL_EPISODES}:  # what was renamed has pictures under its former keys
        if (formers := previous("episode_aliases", episode_named(name))) is not None:
            spared = spared | {episode_name(key) for key in formers["former"].to_pylist()}
    doubtful = [path for (_, name), paths in listed.items() if name not in spared for path in paths]
    doubtful += [path for path in files.below(FOLDER) if path.endswith(TEMPORARY_SUFFIX)]
    counts = {"tables": 0, "pictures": 0, "temporary": 0, "lineages": 0, "size_bytes": 0}
    for path in doubtful:
        kind = kind_of(path)
        if kind is None or path in reached or (kind == "pictures" and ALL_EPISODES in spared):
            continue
        try:
            age_s, size = files.age_and_size(path)
        except FileNotFoundError:
            continue
        if age_s >= grace_s:
            files.remove(path)
            counts[kind] += 1
            counts["size_bytes"] += size
    del counts["lineages"]  # each lay beside a table that was counted
    return Cleaned(**counts, unreadable=tuple(unreadable.values()))


def _reached(
    pointers: Pointers, paths_in: PathsIn, listed: dict[tuple[str, str], list[str]]
) -> tuple[set[str], dict[tuple[str, str], str]]:
    """The files that pointers reach; and by asset and episode's name why a table cannot be read."""
    reached: set[str] = set()
    unreadable: dict[tuple[str, str], str] = {}
    for asset in pointers.assets():
        for name in map(episode_name, pointers.keys(asset)):
            try:
                if (pointer := pointers.read(asset, episode_named(name))) is not None:
                    beside = _beside(pointer, listed.get((asset, name), ()))
                    reached |= {pointer.file, *beside, *paths_in(asset, episode_named(name), pointer)}
            except TableOutdated as error:
                unreadable[asset, name] = str(error)
    return reached, unreadable


def _beside(pointer: Pointer, paths: Sequence[str]) -> set[str]:
    """What lies beside a table and counts: its lineage, and rows of a side table that the current one does not hold."""
    lineage = f"{pointer.file.removesuffix('.parquet')}.json"
    if (held := pointer.provenance.holds) is None:
        return {lineage}
    names = ((path, path.rpartition("/")[2]) for path in paths)
    return {lineage, *(path for path, name in names if TABLE.fullmatch(name) and name not in held)}
