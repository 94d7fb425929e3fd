"""What a worker answers, with a real broker and no run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dataset_pipeline_tests.servers.redis import redis
from dataset_pipeline_tests.servers.server import INSTALL, Server

pytest.importorskip("dagster_celery", reason=INSTALL)

from dataset_pipeline.cluster.broker import answers, waiting
from dataset_pipeline.cluster.launcher import ClusterRunLauncher, hand_over
from dataset_pipeline.cluster.tags import versions

pytestmark = pytest.mark.thorough
PROGRAM = """
import sys
from dataset_pipeline.cluster import worker
from dataset_pipeline.cluster.launcher import ClusterRunLauncher
worker.STANDS_BACK_S = 3.0
sys.exit(worker.serve(ClusterRunLauncher(sys.argv[1]).celery, "head", 2))
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def worker(broker: Server, tmp_path: Path) -> Iterator[subprocess.Popen]:
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, broker.url], stdout=log, stderr=log)
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
    until(lambda: answers(app)[name]["refuses"] == "", 20)
    until(lambda: not waiting(app)["head"], 20)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


def test_the_processes_of_a_worker_that_is_killed_end_with_it(broker: Server, worker: subprocess.Popen):
    children = psutil.Process(worker.pid).children()
    assert len(children) >= 2
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert [it.cmdline() for it in alive] == []
