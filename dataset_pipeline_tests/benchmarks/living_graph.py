"""`dagster dev` at work on drawn episodes: what runs for episodes that arrive, change and fail, against the expected.

    uv run python dataset_pipeline_tests/benchmarks/living_graph.py [--quiet-minutes 10] [--folder FOLDER]

Starts the web server and the daemon in a project of its own with the demo models, and does what a user would: drops
episodes in, changes a threshold and reloads, takes a file away, stops and starts the daemon. Ends with exit code 1 if a
count differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from rich.console import Console
from rich.table import Table

from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.settings import Settings, load_settings

CHECKOUT = Path(__file__).resolve().parents[2]
MEASURING = phases()[0].assets
AFTERWARDS = [asset for phase in phases(leave_out=["exported_set"])[1:] for asset in phase.assets]
JOBS = frozenset({"measure_episode"})
PORT = 3917
SCRIPTS = (*TEST_SHOW.scripts, *TEST_SHOW.scripts[:2])
AT_REST_S = 75.0  # nothing for so long means that nothing will come: several ticks of every sensor
SETTINGS = """
[models]
device = "cpu"
[arrivals]
settle_s = 2.0
[crops]
person_min_side_px = 80
head_min_side_px = 64
[selection]
min_short_side_px = 64
"""

out = Console(markup=False, emoji=False, width=150)


@dataclass
class Counts:
    """What happened in a scenario: runs by job, or by each asset they were for; pictures through models by asset."""

    runs: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)


class Deployment:
    """A project folder with the web server and the daemon running in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.episodes = folder / "data" / "demo" / "episodes"
        self.episodes.mkdir(parents=True)
        shutil.copy(CHECKOUT / "dagster.yaml", folder)
        module = "{module_name: dataset_pipeline.definitions, attribute: demo_defs, location_name: demo}"
        (folder / "workspace.yaml").write_text(f"load_from:\n  - python_module: {module}\n")
        self.set_settings("")
        os.chdir(folder)
        self.process: subprocess.Popen | None = None

    def set_settings(self, more: str) -> None:
        (self.folder / "settings.local.toml").write_text(SETTINGS + more)

    @property
    def settings(self) -> Settings:
        return load_settings(models__pack="demo")

    def start(self) -> None:
        log = (self.folder / "dagster.log").open("a")
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(PORT)]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        self.until(self.answers, 180, "the web server answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def ask(self, query: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{PORT}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        try:
            return "data" in self.ask("{ version }")
        except (urllib.error.URLError, ConnectionError):
            return False

    def reload(self) -> None:
        """The button `Reload definitions`."""
        answer = self.ask('mutation { reloadRepositoryLocation(repositoryLocationName: "demo") { __typename } }')
        assert answer["data"]["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry", answer

    def until(self, happened: Any, most_s: float, what: str) -> None:
        start_s = time.monotonic()
        while not happened():
            if time.monotonic() - start_s > most_s:
                raise TimeoutError(f"not within {most_s:.0f} s: {what}")
            time.sleep(0.5)

    def busy(self) -> bool:
        """Whether runs or backfills are unfinished."""
        with dg.DagsterInstance.from_config(".") as instance:
            unfinished = instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
            backfills = instance.get_backfills(status=BulkActionStatus.REQUESTED)
        return bool(unfinished or backfills)

    def settle(self, most_s: float = 1500) -> None:
        """Wait until nothing has been running for a while."""
        deadline_s, quiet_since_s = time.monotonic() + most_s, time.monotonic()
        while time.monotonic() - quiet_since_s < AT_REST_S:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not at rest within {most_s:.0f} s")
            time.sleep(2)
            if self.busy():
                quiet_since_s = time.monotonic()

    def runs(self) -> dict[str, dg.DagsterRun]:
        with dg.DagsterInstance.from_config(".") as instance:
            return {run.run_id: run for run in instance.get_runs()}

    def counts(self, before: dict[str, dg.DagsterRun]) -> Counts:
        """What the runs since `before` were for, and what they measured."""
        counts = Counts()
        with dg.DagsterInstance.from_config(".") as instance:
            for run in instance.get_runs():
                if run.run_id in before:
                    continue
                names = [key.path[-1] for key in run.asset_selection or ()]
                for label in [run.job_name] if run.job_name in JOBS or not names else names:
                    counts.runs[label] += 1
                    counts.failed[label] += run.status == dg.DagsterRunStatus.FAILURE
                for record in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                    event = record.get_dagster_event().step_materialization_data.materialization
                    measured = event.metadata.get("measured")
                    if measured is not None:
                        counts.pictures[event.asset_key.path[-1]] += int(measured.value)
        return counts

    def set_by_episode(self) -> Counter[str]:
        """Images of the set by episode."""
        found = store_of(self.settings).find("training_set")
        return Counter(found["episode"].to_pylist()) if found is not None else Counter()

    def versions(self, asset: str) -> dict[str, str]:
        store = store_of(self.settings)
        found = {episode: store.pointer(asset, episode) for episode in store.episodes(asset)}
        return {episode: pointer.data_version for episode, pointer in found.items() if pointer}


class Account:
    """Compares and remembers."""

    def __init__(self) -> None:
        self.wrong = 0

    def tell(self, title: str, rows: list[tuple[str, Any, Any]]) -> None:
        table = Table("what", "expected", "seen", "", title=title, title_justify="left")
        for what, expected, seen in rows:
            right = expected(seen) if callable(expected) else expected == seen
            self.wrong += not right
            shown = expected.__doc__ if callable(expected) else str(expected)
            table.add_row(what, shown, str(seen), "ok" if right else "DIFFERS")
        out.print(table)


def up_to(most: int) -> Any:
    def holds(seen: int) -> bool:
        return seen <= most

    holds.__doc__ = f"at most {most}"
    return holds


def at_least(least: int) -> Any:
    def holds(seen: int) -> bool:
        return seen >= least

    holds.__doc__ = f"at least {least}"
    return holds


def wave(counts: Counts, measuring: int) -> list[tuple[str, Any, Any]]:
    """What follows one or more arrivals: a measuring run each, every join once, every projection in one run."""
    rows: list[tuple[str, Any, Any]] = [("measuring runs", measuring, counts.runs["measure_episode"])]
    rows += [(f"runs of {asset}", 1, counts.runs[asset]) for asset in AFTERWARDS]
    others = sum(counts.runs.values()) - counts.runs["measure_episode"] - sum(counts.runs[a] for a in AFTERWARDS)
    return [*rows, ("any other runs", 0, others)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet-minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept afterwards")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "project"
        folder.mkdir(parents=True, exist_ok=True)
        drawn = write_show(folder / "drawn" / "show", replace(TEST_SHOW, scripts=SCRIPTS))
        account = Account()
        deployment = Deployment(folder.resolve())
        try:
            scenarios(deployment, drawn, account, arguments)
        finally:
            deployment.stop()
    sys.exit(1 if account.wrong else 0)


def scenarios(world: Deployment, drawn: list[Path], account: Account, arguments: argparse.Namespace) -> None:
    show = world.episodes / "Live Show"
    show.mkdir()
    place = [show / f"Live Show - S01E{number:02d}{drawn[0].suffix}" for number in range(1, 6)]
    keys = [f"live-show.s01e{number:02d}" for number in range(1, 6)]

    for source, target in zip(drawn[:2], place, strict=False):
        shutil.copy(source, target)
    world.start()
    before = world.runs()
    world.until(lambda: len(world.runs()) >= 2, 240, "two episodes are being measured")
    world.settle()
    account.tell("Two episodes found at the start", wave(world.counts(before), 2))

    before, old = world.runs(), {asset: world.versions(asset) for asset in MEASURING}
    set_before = world.set_by_episode()
    shutil.copy(drawn[2], place[2])
    world.until(lambda: len(world.runs()) > len(before), 240, "the third episode is being measured")
    world.settle()
    counts, after = world.counts(before), world.set_by_episode()
    unchanged = all(world.versions(a)[k] == version for a, of in old.items() for k, version in of.items())
    account.tell(
        "A new episode dropped in",
        [
            *wave(counts, 1),
            ("old episodes measured again", False, not unchanged),
            ("episodes in the set", 3, len(after)),
            ("images of the new one", at_least(1), after[keys[2]]),
            ("images of the old ones", up_to(sum(set_before.values())), sum(after[key] for key in keys[:2])),
        ],
    )

    before = world.runs()
    frames = {asset: world.versions(asset) for asset in ("keyframes", "frame_embeddings", "distinct_frames")}
    crops = world.versions("crops")
    survivors = {row["image_id"] for row in kept(world)}
    world.set_settings("[distinct_frames]\nsimilarity = 0.96\n")
    world.reload()
    world.until(lambda: len(world.runs()) > len(before), 240, "distinct_frames runs")
    world.settle()
    counts = world.counts(before)
    fresh = {row["image_id"] for row in kept(world)} - survivors
    changed = [k for k, version in world.versions("distinct_frames").items() if version != frames["distinct_frames"][k]]
    account.tell(
        "similarity of distinct_frames changed, definitions reloaded",
        [
            ("runs of distinct_frames", 3, counts.runs["distinct_frames"]),
            ("runs of keyframes", 0, counts.runs["keyframes"]),
            ("runs of frame_embeddings", 0, counts.runs["frame_embeddings"]),
            ("pictures embedded", 0, counts.pictures["frame_embeddings"]),
            ("runs of detections (episodes with other survivors)", len(changed), counts.runs["detections"]),
            ("pictures detected (new survivors)", len(fresh), counts.pictures["detections"]),
            ("episodes whose crops changed", up_to(len(changed)), changed_since(world.versions("crops"), crops)),
            (
                "pictures scored (new survivors and their crops)",
                at_least(len(fresh)),
                counts.pictures["quality_scores"],
            ),
            ("joins and projections, each", up_to(2), max((counts.runs[a] for a in AFTERWARDS), default=0)),
        ],
    )

    before = world.runs()
    world.set_settings("[distinct_frames]\nsimilarity = 0.96001\n")
    world.reload()
    world.until(lambda: len(world.runs()) > len(before), 240, "distinct_frames runs")
    world.settle()
    counts = world.counts(before)
    account.tell(
        "the same by a hair: content stays equal",
        [
            ("runs of distinct_frames", 3, counts.runs["distinct_frames"]),
            ("any other runs", 0, sum(counts.runs.values()) - counts.runs["distinct_frames"]),
            ("pictures through models", 0, sum(counts.pictures.values())),
        ],
    )

    # A link whose target goes away between registration and measuring is a drive that was pulled.
    before = world.runs()
    elsewhere = world.folder / "elsewhere.mkv"
    shutil.copy(drawn[3], elsewhere)
    place[3].symlink_to(elsewhere)
    world.until(lambda: len(world.runs()) > len(before), 240, "the fourth episode is taken up")
    elsewhere.unlink()
    shutil.copy(drawn[4], place[4])
    world.settle()
    counts = world.counts(before)
    attempts = steps(world, before, "video_probe", keys[3])
    account.tell(
        "an episode that fails, and one that does not",
        [
            ("measuring runs", 2, counts.runs["measure_episode"]),
            ("of these failed", 1, counts.failed["measure_episode"]),
            ("attempts at the failing step", 2, attempts),
            ("episodes in the set", 4, len(world.set_by_episode())),
            ("runs of the set", 1, counts.runs["training_set"]),
        ],
    )
    before = world.runs()
    time.sleep(120)
    account.tell("then silence, for two minutes", [("runs", 0, len(world.runs()) - len(before))])
    place[3].unlink()
    shutil.copy(drawn[3], place[3])
    world.until(lambda: len(world.runs()) > len(before), 300, "the replaced file is taken up")
    world.settle()
    counts = world.counts(before)
    account.tell(
        "its file replaced",
        [*wave(counts, 1), ("episodes in the set", 5, len(world.set_by_episode()))],
    )

    before = world.runs()
    time.sleep(arguments.quiet_minutes * 30)
    world.stop()
    world.start()
    time.sleep(arguments.quiet_minutes * 30)
    account.tell(
        f"{arguments.quiet_minutes:g} quiet minutes with a restart of the daemon between",
        [("runs", 0, len(world.runs()) - len(before))],
    )


def kept(world: Deployment) -> list[dict]:
    store = store_of(world.settings)
    rows = store.read_many("distinct_frames", store.episodes("distinct_frames")).to_pylist()
    return [row for row in rows if row["kept"]]


def changed_since(now: dict[str, str], before: dict[str, str]) -> int:
    return sum(version != before.get(episode) for episode, version in now.items())


def steps(world: Deployment, before: dict[str, dg.DagsterRun], asset: str, episode: str) -> int:
    """How often a step of an episode was started."""
    started = 0
    kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}
    with dg.DagsterInstance.from_config(".") as instance:
        for run in instance.get_runs():
            if run.run_id in before or run.tags.get("dagster/partition") != episode:
                continue
            for record in instance.all_logs(run.run_id, of_type=kinds):
                event = record.get_dagster_event()
                started += (event.step_key or "").endswith(asset)
    return started


if __name__ == "__main__":
    main()
