"""CPU seconds of an automation tick, over projects of more and more episodes of which everything is made.

    python dataset_pipeline_tests/benchmarks/ticks.py [--postgresql] [EPISODES ...]

Events alone are drawn, no tables: a tick looks at nothing else. On SQLite as one machine has it, or on a PostgreSQL
server of its own (`uv run --extra cluster --group servers`).
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from thousand_episodes import INSTANCE, POSTGRESQL, memory_peak, settings_of

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.orchestration.automation import tick_interval_s
from dataset_pipeline.settings import Settings

ROW = "{:>9} {:24} {:>8} {:>8} {:>22}  {}"
BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("episodes", nargs="*", type=int, default=[100, 1000])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(ROW.format("episodes", "", "CPU s", "wall s", "ms/asset, 10 episodes", ""))
    for episodes in given.episodes:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            text = INSTANCE.format(history=f"{folder}/history")
            if given.postgresql:
                from dataset_pipeline_tests.servers.postgresql import postgresql

                text = POSTGRESQL.format(url=stack.enter_context(postgresql()).url)
            (Path(folder) / "dagster.yaml").write_text(text)
            instance = stack.enter_context(dg.DagsterInstance.from_config(folder))
            look(
                instance, settings_of(Path(folder)), [f"show-{it % 100:03d}.e{it // 100:04d}" for it in range(episodes)]
            )


def look(instance: dg.DagsterInstance, settings: Settings, episodes: Sequence[str]) -> None:
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    evaluated = [key for key in graph.materializable_asset_keys if graph.get(key).automation_condition]

    def tell(what: str, start: tuple[float, float], more: str = "") -> None:
        cpu_s, wall_s = time.process_time() - start[0], time.perf_counter() - start[1]
        share_ms = cpu_s * 1e4 / len(evaluated) / len(episodes)
        print(ROW.format(len(episodes), what, f"{cpu_s:.1f}", f"{wall_s:.1f}", f"{share_ms:.2f}", more), flush=True)

    start = time.process_time(), time.perf_counter()
    instance.add_dynamic_partitions(partitions_name(settings), list(episodes))
    made = [*graph.external_asset_keys, *evaluated]
    events = [event for key in made for event in events_of(graph.get(key), episodes)]
    store_events(instance, events)
    tell("events drawn", start, f"{len(events)} events")
    cursor: Any = None
    for what in ("first tick", "quiet tick", "a tick after an arrival"):
        if what == "a tick after an arrival":
            instance.add_dynamic_partitions(partitions_name(settings), ["show-000.new"])
        start = time.process_time(), time.perf_counter()
        with remembering(instance, settings):
            result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
        cursor = result.cursor
        asked = [it.key.path[-1] for it in result.results if not it.true_subset.is_empty]
        tell(what, start, f"asks for {', '.join(asked) or 'nothing'}, {memory_peak()}")
    print(f"{len(episodes):>9} a sensor of so many looks each {tick_interval_s(len(episodes), len(evaluated))} s")


def remembering(instance: dg.DagsterInstance, settings: Settings) -> Any:
    """The registered episodes are read once, as the daemon's queryer remembers them for a tick."""
    registered = list(instance.get_dynamic_partitions(partitions_name(settings)))

    def remembered(*_: Any, **__: Any) -> list[str]:  # a Mock would cost as much as the tick
        return registered

    return mock.patch.object(instance, "get_dynamic_partitions", remembered)


def events_of(asset: Any, episodes: Sequence[str]) -> Iterator[EventLogEntry]:
    """That an asset was made, of all episodes or of each."""
    tags = {"dagster/data_version": "1", "dagster/code_version": asset.code_version or ""}
    for episode in episodes if isinstance(asset.partitions_def, dg.DynamicPartitionsDefinition) else [None]:
        yield event_of(dg.AssetMaterialization(asset_key=asset.key, partition=episode, tags=tags))


def store_events(instance: dg.DagsterInstance, events: Sequence[EventLogEntry]) -> None:
    for first in range(0, len(events), BATCH):
        instance.event_log_storage.store_event_batch(events[first : first + BATCH])


def event_of(made: dg.AssetMaterialization) -> EventLogEntry:
    event = DagsterEvent("ASSET_MATERIALIZATION", "drawn", event_specific_data=StepMaterializationData(made))
    return EventLogEntry(None, 20, "", "", time.time(), job_name="drawn", dagster_event=event)


if __name__ == "__main__":
    main()
