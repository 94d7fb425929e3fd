"""What one more episode costs a project of a thousand: clock and CPU seconds, from its file to the set that holds it.

    uv run --extra cluster --group servers python dataset_pipeline_tests/benchmarks/arrival.py
        [--postgresql] [--episodes 1000] [--images 40] [--root FOLDER] [--cost-s 120]

One show of a dozen episodes is drawn and goes through the whole graph, the others are copies of its tables
(`joins.py`); their joins and projections are made once. A Dagster instance learns of all that stands there, the daemon
runs as users have it, and a small drawn clip comes to lie among the sources, which the demo models measure. CPU seconds
are by process: the daemon with its ticks, the code server with the sensor of arrivals, each run, and the database.
`--root` keeps the store. Ends with exit code 1 if it takes longer than `--cost-s`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import joins
import psutil
import pyarrow.compute
import thousand_episodes as drawing
import yaml
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from rich.console import Console
from rich.table import Table
from ticks import event_of, store_events

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.project import location_prefix, store_of
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_all
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.arrival_plan import State
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.roots import roots_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline_tests.servers.server import free_port

pc: Any = pyarrow.compute
CHECKOUT = Path(__file__).resolve().parents[2]
SHOW, SIZE = "show-000", (1280, 720)
KINDS = {"daemon": "dagster._daemon", "web UI": "dagster_webserver", "code server": "-m dagster "}  # by command line
MANY = 12  # assets of a run, which are told by its job
SETTINGS = """
[models]
pack = "demo"
device = "cpu"
[episodes]
roots = ["{root}/episodes"]
[arrivals]
settle_s = 2.0
[store]
root = "{root}/store"
[exported_set]
root = "{root}/exports"
"""
A_SHOW = joins.EPISODES_A_SHOW
LOOK_S = 0.2  # between two looks at the processes
QUIET_TICKS = 2  # of automation without a request, after which nothing comes
PATIENCE_S = 1800.0

out = Console(markup=False, emoji=False, width=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=40, help="an episode: half of them stills, half crops")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--cost-s", type=float, default=120.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = (given.root or folder / "root").absolute()
        database = None
        if given.postgresql:
            from dataset_pipeline_tests.servers.postgresql import postgresql

            database = stack.enter_context(postgresql())
        os.chdir(prepared(folder, root, database.url if database else ""))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        settings = load_settings()
        draw(root, [f"show-{it // A_SHOW:03d}.e{it % A_SHOW:02d}" for it in range(given.episodes)], given.images)
        with timed("events of what stands in the store"):
            tell_what_stands(instance, settings)
        with timed("joins and projections"):
            make_what_follows(instance, settings)
        postmaster = psutil.Process(database._process.pid) if database and database._process else None
        with Daemon(folder, instance, postmaster) as daemon:
            took_s = one_more(daemon, settings, root / "episodes" / SHOW)
    sys.exit(1 if took_s > given.cost_s else 0)


def prepared(folder: Path, root: Path, database_url: str) -> Path:
    """A project folder with the sources and the store below `root`."""
    (folder / "settings.local.toml").write_text(SETTINGS.format(root=root))
    module = "{module_name: dataset_pipeline.definitions, attribute: defs, location_name: dataset_pipeline}"
    (folder / "workspace.yaml").write_text(f"load_from:\n  - python_module: {module}\n")
    config = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
    if database_url:
        config |= yaml.safe_load(drawing.POSTGRESQL.format(url=database_url))
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return folder


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    yield
    out.print(f"{what}: {time.perf_counter() - start_s:.0f} s, {time.process_time() - start_cpu_s:.0f} CPU s")


def draw(root: Path, keys: Sequence[str], images: int) -> None:
    """The store of so many episodes, with sources that the sensor finds, and pictures that are one file."""
    made = [name for name, it in DECLARATIONS.items() if not (it.joined or it.on_demand or it.exports)]
    store = store_of(drawing.settings_of(root))
    for arrived in (root / "episodes" / SHOW).glob("*"):  # of a run before, whose frames would be repeated ones
        if (key := f"{SHOW}.{arrived.stem}") not in keys:
            arrived.unlink()
            store.forget(key)
    last_show, _, last = keys[-1].partition(".")
    if (root / "episodes" / last_show / f"{last}.mkv").exists():
        return
    drawn = root / "drawn" / "episodes" / SHOW
    joins.draw(root, keys, images, {"video", *made})
    one = drawing.put(store, "keyframes", keys[0], [f"{keys[0]}/any"]).popitem()[1]
    shared = store.local_path(one)
    assert shared is not None
    for name in [it for it in made if "path" in SCHEMAS[it].columns]:
        for key in keys:
            for path in store.read(name, key, columns=["path"])["path"].to_pylist() if store.pointer(name, key) else ():
                at = store.local_path(path) if path else None
                if at is not None and not at.exists():
                    try:
                        at.hardlink_to(shared)
                    except OSError:  # a file has so many names at most
                        shared = Path(shutil.copy(shared, at))
    for key in keys:
        show, _, episode = key.partition(".")
        to = root / "episodes" / show / f"{episode}.mkv"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(drawn / to.name, to)


def make_what_follows(instance: dg.DagsterInstance, settings: Settings) -> None:
    outcome = materialize_all(build_definitions(settings), instance, settings, [], leave_out=["exported_set"])
    if outcome.failures:
        sys.exit(f"{outcome.failures[0].asset}: {outcome.failures[0].error}")


def tell_what_stands(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Report every source and every current table to an instance that knows of none."""
    store, graph = store_of(settings), build_definitions(settings).resolve_asset_graph()
    sources = find_sources(roots_of(settings), folders_of_shows=True).sources
    register(instance, store, settings, sources)
    episodes = [source.key for source in sources]
    events = []
    for name in ASSETS:
        asset = graph.get(dg.AssetKey([*location_prefix(settings), name]))
        if asset.automation_condition is None:
            continue
        if asset.partitions_def is None:
            pointers = [(None, pointer)] if (pointer := store.pointer(name)) else []
        else:
            pointers = list(store.pointers(name, episodes).items())
        for episode, pointer in pointers:
            versions = {"data_version": pointer.data_version, "code_version": pointer.provenance.code_version}
            tags = {f"dagster/{kind}": version for kind, version in versions.items()}
            events.append(event_of(dg.AssetMaterialization(asset_key=asset.key, partition=episode, tags=tags)))
    store_events(instance, events)


@dataclass
class Daemon:
    """Dagster's daemon in a project folder, with the web UI, the code server and the runs, as `dataset-pipeline dev`
    starts them, and what all of them use.

    database: the process that PostgreSQL was started as."""

    folder: Path
    instance: dg.DagsterInstance
    database: psutil.Process | None
    cpu_s: dict[tuple[str, int, float], float] = field(default_factory=dict)  # by kind, process and when that began
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Daemon:
        port = str(free_port())
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "--port", port]
        environment = os.environ | {"DAGSTER_HOME": str(self.folder)}
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environment)
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._looking.join()
        if self.process.poll() is not None:
            return
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        self.process.terminate()
        for process in psutil.wait_procs(family, timeout=30)[1]:
            process.kill()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            for process, kind in self._family():
                with contextlib.suppress(psutil.Error):
                    used = process.cpu_times()
                    self.cpu_s[kind, process.pid, process.create_time()] = used.user + used.system

    def _family(self) -> Iterator[tuple[psutil.Process, str]]:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.Error):
                if line := " ".join(process.cmdline()):  # one that is ending has none
                    yield process, next((kind for kind, mark in KINDS.items() if mark in line), "runs")
        with contextlib.suppress(psutil.Error):
            if self.database is not None:
                for process in (self.database, *self.database.children()):
                    yield process, "database"

    def used_s(self) -> dict[str, float]:
        """CPU seconds until now, by kind of process."""
        found: dict[str, float] = defaultdict(float)
        for (kind, _, _), used in list(self.cpu_s.items()):
            found[kind] += used
        return found

    def ticks(self, sensor: str, after_s: float) -> list[InstigatorTick]:
        """The finished ones, the first first."""
        ticks = [
            tick
            for state in self._states(sensor)
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=after_s)
        ]
        return sorted((it for it in ticks if it.end_timestamp), key=lambda it: it.timestamp)

    def _states(self, sensor: str) -> list[InstigatorState]:
        return [it for it in self.instance.all_instigator_state() if it.instigator_name == sensor]

    def has_taken_up_all(self) -> bool:
        """Whether the sensor of arrivals, which reads 200 sources at a look, knows all that lie there."""
        cursors = [it.instigator_data.cursor for it in self._states("arrivals") if it.instigator_data]
        known = [seen for cursor in cursors for seen in State.of(cursor).sources.values()]
        return bool(known) and all(seen.taken for seen in known)

    def at_rest(self, after_s: float) -> bool:
        """Whether automation has asked for nothing a few times in a row, and nothing runs."""
        if self.instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            return False
        if self.instance.get_backfills(status=BulkActionStatus.REQUESTED):
            return False
        last = max((it.end_time or 0 for it in self.runs(after_s)), default=after_s)
        quiet = self.ticks("keep_current", max(after_s, last))
        return len(quiet) >= QUIET_TICKS and not any(it.requested_asset_materialization_count for it in quiet)

    def runs(self, after_s: float) -> list[RunRecord]:
        after = dg.RunsFilter(created_after=datetime.fromtimestamp(after_s, UTC))
        return list(self.instance.get_run_records(after, ascending=True))

    def until(self, happened: Callable[[], Any], what: str) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > give_up_s or self.process.poll() is not None:
                log = (self.folder / "daemon.log").read_text(errors="replace")
                sys.exit(f"not within {PATIENCE_S:.0f} s: {what}\n{log[-5000:]}")
            time.sleep(1)


def one_more(daemon: Daemon, settings: Settings, show: Path) -> float:
    """Let an episode arrive, and print what comes of it. Returns the seconds until the set holds it."""
    begun_s, store = time.time(), store_of(settings)

    daemon.until(lambda: daemon.has_taken_up_all() and daemon.at_rest(begun_s), "rest before the arrival")
    out.print(f"{len(store.episodes('video'))} episodes, at rest {time.time() - begun_s:.0f} s after the daemon began")
    show_runs(daemon.runs(begun_s), begun_s)

    number = max(int(path.stem[1:]) for path in show.glob("e*.mkv")) + 1
    [drawn] = write_show(show.parents[1] / "drawn", replace(TEST_SHOW, scripts=TEST_SHOW.scripts[:1], size=SIZE))
    before, arrived_s = daemon.used_s(), time.time()
    drawn.rename(show / f"e{number:02d}.mkv")
    key = f"{SHOW}.e{number:02d}"

    def is_in_set() -> bool:
        found = store.find("training_set", columns=["episode"])
        return found is not None and pc.any(pc.equal(found["episode"], key)).as_py()

    daemon.until(is_in_set, f"{key} in the set")
    took_s = time.time() - arrived_s
    used_s = {kind: cpu_s - before.get(kind, 0.0) for kind, cpu_s in daemon.used_s().items()}
    daemon.until(lambda: daemon.at_rest(arrived_s), "rest after the arrival")

    show_runs(daemon.runs(arrived_s), arrived_s)
    for sensor in ("arrivals", "keep_current"):
        ticks = [it for it in daemon.ticks(sensor, arrived_s) if it.timestamp < arrived_s + took_s]
        spent_s = sum((it.end_timestamp or 0) - it.timestamp for it in ticks)
        out.print(f"{len(ticks):3} ticks of {sensor:14} {spent_s:6.1f} s")
    for kind, cpu_s in used_s.items():
        out.print(f"{kind:14} {cpu_s:6.1f} CPU s")
    out.print(
        f"in the set after {took_s:.0f} s and {sum(used_s.values()):.0f} CPU s; load {psutil.getloadavg()[0]:.1f}"
    )
    return took_s


def show_runs(runs: Sequence[RunRecord], since_s: float) -> None:
    """When each run was asked for, began and ended, in seconds since then, and what it made."""
    table = Table("asked for", "began", "took s", "", "what")
    for it in runs:
        names = sorted(key.path[-1] for key in it.dagster_run.asset_selection or ())
        what = ", ".join(names) if 0 < len(names) <= MANY else f"{it.dagster_run.job_name} {len(names) or ''}".strip()
        asked_s, start_s, end_s = it.create_timestamp.timestamp(), it.start_time or 0, it.end_time or 0
        times = (asked_s - since_s, start_s - since_s, end_s - start_s)
        table.add_row(*(f"{value:.1f}" for value in times), it.dagster_run.status.value, what)
    out.print(table)


if __name__ == "__main__":
    main()
