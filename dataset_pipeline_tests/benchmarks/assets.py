"""Seconds of each asset, split by kind of work, on the drawn demo show or on given sources.

    uv run python dataset_pipeline_tests/benchmarks/assets.py [PATH ...] [--models PACK]

Imports: model libraries and weights. Decode and encode: videos and pictures, with reading and writing picture files.
Store: tables. Rules: pure Python. Dagster: the rest of a run's wall time. A second table tells what a rerun costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.table import Table

from dataset_pipeline.base import timing
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.episodes import write_show
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_assets, phases
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.finding import find_sources

KINDS = ("imports", "model", "decode and encode", "store", "rules")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--models", default="demo")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        paths = arguments.paths or [root / "episodes"]
        if not arguments.paths:
            write_show(root / "episodes")
        (root / "dagster").mkdir()
        (root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}")
        settings = load_settings(
            models__pack=arguments.models, store__root=str(root / "store"), exported_set__root=str(root / "exports")
        )
        sources = find_sources(paths).sources
        with dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
            register(instance, store_of(settings), settings, sources)
            for title in ("first run", "rerun"):
                seconds = measure(settings, instance, [source.key for source in sources])
                show(f"{title}, {len(sources)} episodes", seconds)


def measure(settings, instance: dg.DagsterInstance, episodes: list[str]) -> dict[str, dict[str, float]]:
    """Seconds by asset and kind, each asset in runs of its own."""
    defs = build_definitions(settings)
    table: dict[str, dict[str, float]] = {}
    for phase in phases():
        for asset in phase.assets:
            total: dict[str, float] = defaultdict(float)
            for episode in [None] if phase.joined else episodes:
                timing.take()
                start_s = time.perf_counter()
                failures = materialize_assets(defs, instance, settings, [asset], partition_key=episode)
                wall_s = time.perf_counter() - start_s
                if failures:
                    raise SystemExit(f"{asset} of {episode}: {failures[0].error}")
                spans = timing.take()
                for kind, spent_s in spans.items():
                    total[kind] += spent_s
                total["Dagster"] += wall_s - sum(spans.values())
                total["wall"] += wall_s
            table[asset] = total
    return table


def show(title: str, seconds: dict[str, dict[str, float]]) -> None:
    columns = (*KINDS, "Dagster", "wall")
    table = Table("asset", *columns, title=title)
    for asset, spent in [*seconds.items(), ("all", sums(seconds))]:
        table.add_row(asset, *(f"{spent.get(kind, 0.0):.2f}" for kind in columns))
    Console(width=120).print(table)


def sums(seconds: dict[str, dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for spent in seconds.values():
        for kind, value in spent.items():
            total[kind] += value
    return total


if __name__ == "__main__":
    main()
