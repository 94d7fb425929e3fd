"""What a worker answers, with a real broker and no run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import psutil
import pytest

from dataset_pipeline_tests.servers.redis import redis
from dataset_pipeline_tests.servers.server import INSTALL, Server

pytest.importorskip("dagster_celery", reason=INSTALL)

from celery import Celery
from celery.exceptions import Ignore

from dataset_pipeline.cluster import worker as workers
from dataset_pipeline.cluster.broker import answers, waiting, withdraw
from dataset_pipeline.cluster.fitness import faults, open_store
from dataset_pipeline.cluster.home import QUEUE_TAG
from dataset_pipeline.cluster.launcher import ClusterRunLauncher, hand_over
from dataset_pipeline.cluster.tags import REFUSED_TAG, WORKER_TAG, expectations, versions
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.settings import DEFAULTS, SettingsError, load_settings
from dataset_pipeline.store.schemas import SCHEMAS

pytestmark = pytest.mark.thorough
PROGRAM = """
import sys, time
from dataset_pipeline.cluster import worker
from dataset_pipeline.cluster.launcher import ClusterRunLauncher
worker.STANDS_BACK_S = 8.0
def carry(task, run_id):
    time.sleep(float(sys.argv[2]))
if len(sys.argv) > 2:
    worker.carry_run = carry
sys.exit(worker.serve(ClusterRunLauncher(sys.argv[1]).celery, "head", 2))
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def worker(broker: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", PROGRAM, broker.url, *getattr(request, "param", [])]
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    app = ClusterRunLauncher(broker.url).celery
    until(lambda: answers(app), 90)
    yield process
    process.kill()
    process.wait()


def until(what: Callable[[], object], patience_s: float) -> None:
    give_up_s = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < give_up_s
        time.sleep(0.2)


def test_a_worker_says_what_it_is_and_stands_back_for_a_while(broker: Server, worker: subprocess.Popen):
    app = ClusterRunLauncher(broker.url).celery
    [(name, told)] = answers(app).items()
    assert {**told, "process": 0} == {
        "queue": "head",
        "slots": 2,
        "refuses": "",
        "runs": [],
        "versions": versions(),
        "process": 0,
    }
    app.control.broadcast("stand_back", {"reason": "the drive is away"}, destination=[name], reply=True, timeout=5)
    assert answers(app)[name]["refuses"] == "the drive is away"
    hand_over(app, "a-run", "head")
    time.sleep(1)
    assert waiting(app)["head"] == ["a-run"]
    until(lambda: answers(app)[name]["refuses"] == "", 60)
    until(lambda: not waiting(app)["head"], 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


def test_an_idle_worker_that_is_interrupted_says_that_it_ends(worker: subprocess.Popen, tmp_path: Path):
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == 0
    assert "it ends; once more, and it ends at once" in (tmp_path / "log.txt").read_text("utf-8")


@pytest.mark.parametrize("worker", [["8"]], indirect=True)
def test_a_worker_that_is_interrupted_answers_until_its_run_has_ended(broker: Server, worker: subprocess.Popen):
    app = ClusterRunLauncher(broker.url).celery
    [name] = answers(app)
    hand_over(app, "a-run", "head")
    until(lambda: answers(app)[name]["runs"] == ["a-run"], 60)
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGINT)  # as `uv run` hands on what its group was sent too
    until(lambda: answers(app)[name]["refuses"], 20)
    told = answers(app)[name]
    assert (told["runs"], told["refuses"]) == (["a-run"], "it ends after its run")
    hand_over(app, "another", "head")
    assert worker.wait(60) == 0
    assert waiting(app)["head"] == ["another"]
    withdraw(app, "another")


@pytest.mark.parametrize("worker", [["300"]], indirect=True)
def test_a_worker_that_is_interrupted_twice_does_not_wait(broker: Server, worker: subprocess.Popen):
    app = ClusterRunLauncher(broker.url).celery
    [name] = answers(app)
    hand_over(app, "a-run", "head")
    until(lambda: answers(app)[name]["runs"] == ["a-run"], 60)
    worker.send_signal(signal.SIGINT)
    until(lambda: answers(app)[name]["refuses"], 20)
    time.sleep(workers.SAME_S)
    worker.send_signal(signal.SIGINT)
    worker.wait(60)


CODE = """
import sys
from types import SimpleNamespace
from dataset_pipeline.cluster import worker

def worker_of(**_):
    print("dataset_pipeline.definitions" in sys.modules, worker.versions.cache_info().currsize)
    return SimpleNamespace(start=lambda: None, exitcode=0)

worker.serve(SimpleNamespace(task=lambda *_, **__: None, Worker=worker_of), "head", 1)
"""


def test_the_processes_of_a_worker_have_the_code_that_it_began_with():
    told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert told.stdout.split() == ["True", "1"], told.stderr


@pytest.fixture
def joined(broker: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Joined]:
    """A worker that was fit when it joined, and a run that it is handed."""
    (tmp_path / "home").mkdir()
    (tmp_path / "sources" / "show").mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(workers, "TOLD_S", 0.1)
    places = {"episodes__roots": [str(tmp_path / "sources")], "store__root": str(tmp_path / "drive" / "store")}
    settings = load_settings(DEFAULTS, models__pack="demo", models__device="cpu", **places)
    monkeypatch.setattr(workers, "settings_of", lambda run: settings)
    assert open_store(settings) == []
    assert faults(settings, asks_models=False) == []
    store_of(settings).write("video", SCHEMAS["video"].table([]), "show.e1")

    @dg.job
    def job() -> None: ...

    with dg.DagsterInstance.get() as instance:
        tags = {QUEUE_TAG: "head", **expectations(settings)}
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=tags)
        made = Joined(tmp_path, instance, run.run_id, ClusterRunLauncher(broker.url).celery)
        yield made
        withdraw(made.app, run.run_id)


@dataclass
class Joined:
    folder: Path
    instance: dg.DagsterInstance
    run_id: str
    app: Celery

    def refuses(self) -> str:
        """Why the worker refuses the run, which then waits for another."""
        task = SimpleNamespace(app=self.app, request=SimpleNamespace(hostname="head-1@here"))
        with pytest.raises(Ignore):
            workers.carry_run(task, self.run_id)
        run = self.instance.get_run_by_id(self.run_id)
        assert run is not None
        assert (run.status, run.tags.get(WORKER_TAG)) == (dg.DagsterRunStatus.STARTING, None)
        assert waiting(self.app)["head"] == [self.run_id]
        return run.tags[REFUSED_TAG]


def test_a_worker_whose_sources_go_away_after_it_joined_leaves_runs_to_others(joined: Joined):
    (joined.folder / "sources" / "show").rmdir()
    assert f"head-1@here refuses this run: {joined.folder / 'sources'} is empty on " in joined.refuses()


def test_a_worker_whose_store_goes_away_after_it_joined_leaves_runs_to_others(joined: Joined):
    (joined.folder / "drive").rename(joined.folder / "unplugged")
    (joined.folder / "drive").mkdir()
    assert "drive/store, its store, is none that machines share: its drive is not mounted" in joined.refuses()
    assert [*(joined.folder / "drive").iterdir()] == []


def test_a_worker_that_cannot_read_its_settings_leaves_runs_to_others(joined: Joined, monkeypatch: pytest.MonkeyPatch):
    def unreadable(run: dg.DagsterRun) -> None:
        raise SettingsError("settings.local.toml: [store] root is missing")

    monkeypatch.setattr(workers, "settings_of", unreadable)
    assert "[store] root is missing" in joined.refuses()


def test_the_processes_of_a_worker_that_is_killed_end_with_it(broker: Server, worker: subprocess.Popen):
    children = psutil.Process(worker.pid).children()
    assert len(children) >= 2
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert [it.cmdline() for it in alive] == []
