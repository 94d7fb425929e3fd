"""What is done for ten times as much is done about ten times as often, counted and not timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.assets.characters import character_gallery
from dataset_pipeline.base.file_names import short_hash
from dataset_pipeline.base.ids import show_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.orchestration import prune as prune_module
from dataset_pipeline.repeated.copies import segment_of
from dataset_pipeline.repeated.segments import Segment
from dataset_pipeline.repeated.tables import FINGERPRINT_BYTES, tracks_of
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.files import Mark
from dataset_pipeline.store.identity_log import Event
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

GROWTH = 12.0  # of the work, for ten times the size


class Key(str):
    """Counts how often keys are compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return str.__eq__(self, other)


class Times(np.ndarray):
    """Counts the numbers that arithmetic and comparisons go over."""

    counted = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        Times.counted += max(np.size(value) for value in inputs)
        plain = [value.view(np.ndarray) if isinstance(value, Times) else value for value in inputs]
        return getattr(ufunc, method)(*plain, **options)


class Rows:
    """A table that counts the rows which are looked through."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.counted = table, 0

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.table[name]

    def filter(self, mask: pa.Array) -> pa.Table:
        self.counted += len(mask)
        return self.table.filter(mask)

    def take(self, places: pa.Array) -> pa.Table:
        self.counted += len(places)
        return self.table.take(places)


def frames_in_segments(episodes: int) -> int:
    names = [f"a.e{number:04}" for number in range(episodes) for _ in range(4)]
    times_s = np.tile(np.arange(4.0), episodes)
    found = [Segment(f"a.e{number:04}", 1.0, 3.0, "opening", (), "") for number in range(episodes)]
    Times.counted = 0
    assert segment_of(found, names, times_s.view(Times)) == ["", "opening", "opening", ""] * episodes
    return Times.counted


def tracks(episodes: int) -> int:
    keys = [f"a.e{number:04}" for number in range(episodes)]
    probes = pa.table({"episode": keys, "duration_s": [9.0] * episodes, "chapters": pa.nulls(episodes)})
    each = {"fingerprint_pts_s": [0.0, 0.25], "fingerprints": [7] * (2 * FINGERPRINT_BYTES)}
    rows = [{"episode": key, **each} for _ in range(2) for key in reversed(keys)]
    kinds = {"fingerprint_pts_s": pa.list_(pa.float64()), "fingerprints": pa.list_(pa.uint8()), "episode": pa.string()}
    shots: Any = Rows(pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))))
    assert [track.episode for track in tracks_of(probes, shots)] == keys
    return shots.counted


def prunings(episodes: int, monkeypatch: pytest.MonkeyPatch) -> int:
    keys = [f"a.e{number:04}" for number in range(episodes)]
    ranges = {"dagster/asset_partition_range_start": keys[-1], "dagster/asset_partition_range_end": keys[-1]}
    runs = [SimpleNamespace(run_id="1", tags=ranges)]
    monkeypatch.setattr(prune_module, "unfinished_runs", lambda *_: runs)
    monkeypatch.setattr(prune_module, "unfinished_backfills", lambda *_: [])
    removed: list[str] = []
    instance: Any = SimpleNamespace(
        get_dynamic_partitions=lambda name: [Key(key) for key in keys],
        delete_dynamic_partition=lambda name, key: removed.append(key),
    )
    store: Any = SimpleNamespace(forget=lambda key: None)
    Key.compared = 0
    pruned = prune_module.prune(instance, store, load_settings(DEFAULTS), [Key(key) for key in keys])
    assert (pruned.removed, list(pruned.refused)) == (keys[:-1], keys[-1:])
    return Key.compared


def looks(moves: dict[str, str], root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many files are read to look once at each show of today, where episodes went by another show's name before."""
    store = Store(str(root))
    for former, today in moves.items():
        crop = f"{former}/1#head-1-2-3-4"
        event = Event("minted", f"c-{short_hash(former)}", show_of(former), "w", (crop,), (crop,), np.ones((1, 2)))
        store.identity_log.append([event])
        aliases = SCHEMAS["episode_aliases"].table([{"former": former, "episode": today}])
        store.write("episode_aliases", aliases, today)
    counted: list[str] = []
    read, read_marked = store._files.read, store._files.read_marked

    def counting(path: str) -> bytes:
        counted.append(path)
        return read(path)

    def counting_marked(path: str) -> tuple[bytes, Mark]:
        counted.append(path)
        return read_marked(path)

    resources = SimpleNamespace(store=store, settings=load_settings(DEFAULTS))
    step = Step(character_gallery.declaration, resources, None, None, sorted(moves.values()))
    with monkeypatch.context() as patch:
        patch.setattr(store._files, "read", counting)
        patch.setattr(store._files, "read_marked", counting_marked)
        for former, today in moves.items():
            [event] = step.identity_log.events(show_of(today))
            assert event.character == f"c-{short_hash(former)}"
    return len(counted)


def each_show_renamed(shows: int) -> dict[str, str]:
    return {f"old-{number:03}.e01": f"new-{number:03}.e01" for number in range(shows)}


def one_show_that_was_many(shows: int) -> dict[str, str]:
    return {f"mixed.e{number:03}": f"new-{number:03}.e01" for number in range(shows)}


@pytest.mark.parametrize("moved", [each_show_renamed, one_show_that_was_many])
def test_a_look_at_each_of_ten_times_the_renamed_shows_reads_about_ten_times_the_files(
    moved: Callable[[int], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few, many = (looks(moved(shows), tmp_path / str(shows), monkeypatch) for shows in (4, 40))
    assert many <= GROWTH * few


@pytest.mark.parametrize("work", [frames_in_segments, tracks])
def test_ten_times_the_episodes_are_about_ten_times_the_work(work: Callable[[int], int]):
    assert work(200) <= GROWTH * max(1, work(20))


def test_to_prune_ten_times_the_episodes_takes_about_ten_times_the_look_ups(monkeypatch: pytest.MonkeyPatch):
    assert prunings(200, monkeypatch) <= GROWTH * prunings(20, monkeypatch)
