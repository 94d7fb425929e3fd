"""What a changed threshold costs over many episodes, against measuring them.

    uv run python dataset_pipeline_tests/benchmarks/threshold_change.py [--episodes 26] [--show test|demo] [--profile]

Draws episodes, makes the whole training set of them by the runs of the command line with the demo networks, and makes
it again after the smallest side of a crop of a person was raised, and after it was put back. Prints processor seconds,
with those of all threads, and seconds by the clock of each, by phase and in all, and the share of the first run that
each change took. An episode of the show `test` is 13 s of 360p, one of `demo` is a minute of 720p; the shorter the
episodes, the more a change weighs against measuring, since a run of an episode and the joins cost something however
little there is in them.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from dataset_pipeline.cli.common import dagster_instance
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.episodes import DEMO_SHOW, TEST_SHOW, with_episodes, write_show
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models.loading import CALLS, reset_calls
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_all
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources

SHOWS = {"test": TEST_SHOW, "demo": DEMO_SHOW}
SMALL = {  # for pictures of 360 lines
    "crops__person_min_side_px": 80,
    "crops__head_min_side_px": 64,
    "selection__min_short_side_px": 64,
}
RAISED = {"crops__person_min_side_px": 120}


@dataclass
class Cost:
    """Seconds of all threads, and by the clock; runs, and pictures shown to networks."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    runs: int = 0
    shown: int = 0
    by_phase_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


def made(instance: dg.DagsterInstance, settings: Settings, episodes: list[str]) -> Cost:
    cost, at, since_s = Cost(), "", time.process_time()
    reset_calls()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal at, since_s
        now_s = time.process_time()
        cost.by_phase_s[at] += now_s - since_s
        at, since_s = what.rpartition(": ")[2], now_s

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    outcome = materialize_all(build_definitions(settings), instance, settings, episodes, tell)
    tell("", 0, 0)
    if outcome.failures:
        raise SystemExit(f"{outcome.failures[0].asset}: {outcome.failures[0].error}")
    cost.cpu_s, cost.wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    cost.runs, cost.shown = outcome.runs, sum(count for name, count in CALLS.items() if name.endswith(".pictures"))
    return cost


def profiled(work: Callable[[], Cost]) -> Cost:
    with cProfile.Profile() as profile:
        cost = work()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(80)
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=26)
    parser.add_argument("--show", choices=[*SHOWS], default="test")
    parser.add_argument("--profile", action="store_true", help="print where the first change spends its time")
    given = parser.parse_args()
    if given.episodes < 1:
        parser.error("--episodes must be at least 1")
    warnings.simplefilter("ignore")
    plan = with_episodes(SHOWS[given.show], given.episodes)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_show(root / "episodes", plan)
        usual: dict[str, Any] = SMALL | {"store__root": str(root / "store"), "exported_set__root": str(root / "sets")}

        def settings_with(**changes: Any) -> Settings:
            return load_settings(models__pack="demo", models__device="cpu", **usual | changes)

        sources = find_sources([root / "episodes"]).sources
        episodes = [source.key for source in sources]
        with dagster_instance(root / "home") as instance:
            register(instance, store_of(settings_with()), settings_with(), sources)
            first = made(instance, settings_with(), episodes)
            tell(f"{len(episodes)} episodes of {given.show} measured", first, first)
            change = lambda: made(instance, settings_with(**RAISED), episodes)  # noqa: E731
            tell(f"changed: {RAISED}", profiled(change) if given.profile else change(), first)
            tell("put back", made(instance, settings_with(), episodes), first)


def tell(what: str, cost: Cost, first: Cost) -> None:
    print(
        f"{what}, at a load of {psutil.getloadavg()[0]:.1f}: {cost.runs} runs, {cost.shown} pictures through networks"
    )
    print(f"  {cost.cpu_s:8.1f} processor s, {cost.cpu_s / first.cpu_s:7.2%} of measuring")
    print(f"  {cost.wall_s:8.1f} s by the clock, {cost.wall_s / first.wall_s:7.2%}")
    for phase, spent_s in cost.by_phase_s.items():
        if phase:
            print(f"    {spent_s:8.1f} processor s {phase}", flush=True)


if __name__ == "__main__":
    main()
