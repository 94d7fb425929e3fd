"""Seconds of each asset, split by kind of work, on the drawn demo show or on given sources.

    uv run python dataset_pipeline_tests/benchmarks/assets.py [PATH ...] [--models PACK]

Imports: model libraries and weights. Decode and encode: videos and pictures, with reading and writing picture files.
Store: tables. Rules: pure Python. Dagster: the rest of a run's wall time. A second table tells what a rerun costs.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path

from costs import timed
from projects import Project, project_at
from rich.console import Console
from rich.table import Table

from dataset_pipeline.base import timing
from dataset_pipeline.demo.episodes import write_show
from dataset_pipeline.orchestration.runs import phases

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
        with project_at(root, paths, models__pack=arguments.models) as project:
            for title in ("first run", "rerun"):
                show(f"{title}, {len(project.episodes)} episodes", measure(project))


def measure(project: Project) -> dict[str, dict[str, float]]:
    """Seconds by asset and kind, each asset in runs of its own."""
    table: dict[str, dict[str, float]] = {}
    for phase in phases():
        for asset in phase.assets:
            total: dict[str, float] = defaultdict(float)
            for episode in [None] if phase.joined else project.episodes:
                timing.take()
                _, cost = timed(partial(project.make, [asset], episode))
                spans = timing.take()
                for kind, spent_s in spans.items():
                    total[kind] += spent_s
                total["Dagster"] += cost.wall_s - sum(spans.values())
                total["wall"] += cost.wall_s
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
