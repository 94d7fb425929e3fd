"""The head's processes are there again when they end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dataset_pipeline_tests.servers.postgresql import postgresql
from dataset_pipeline_tests.servers.server import INSTALL

pytest.importorskip("dagster_celery", reason=INSTALL)

from dataset_pipeline.cluster.head import Kept, alone

pytestmark = pytest.mark.thorough
NOTE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()} '); time.sleep(float(sys.argv[2]))"


def kept(folder: Path, lives_s: float) -> Kept:
    return Kept("it", [sys.executable, "-c", NOTE, str(folder / "begun"), str(lives_s)])


def cared_for(process: Kept, seconds: float) -> None:
    give_up_s = time.monotonic() + seconds
    while time.monotonic() < give_up_s:
        process.care()
        time.sleep(0.05)


def begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().split()


def test_a_process_that_ends_is_started_again_after_a_pause_that_grows(tmp_path: Path):
    process = kept(tmp_path, 0.0)
    cared_for(process, 9.0)
    assert len(begun(tmp_path)) <= 3  # after 2 s, and 4 s later
    until(lambda: process.care() or len(begun(tmp_path)) >= 2)


def test_a_process_that_runs_is_left_alone_and_ends_when_it_is_told(tmp_path: Path):
    process = kept(tmp_path, 60.0)
    process.care()
    until(lambda: (tmp_path / "begun").exists() and begun(tmp_path))
    cared_for(process, 1.0)
    assert len(begun(tmp_path)) == 1
    assert process.runs
    process.tell(signal.SIGTERM)
    until(lambda: not process.runs)


def until(what: Callable[[], object]) -> None:
    give_up_s = time.monotonic() + 60
    while not what():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


HEAD = """
import sys
from dataset_pipeline.cluster.head import Kept, keep
keep([Kept("it", [sys.executable, "-c", sys.argv[1], sys.argv[2]])], lambda: None)
"""
DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1], "a").write("told "))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
open(sys.argv[1], "a").write(f"{os.getpid()} {child.pid} ")
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def head(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """One whose process does not end when it is told, and has a child."""
    process = subprocess.Popen([sys.executable, "-c", HEAD, DEAF, str(tmp_path / "begun")])
    until(lambda: (tmp_path / "begun").exists() and len(begun(tmp_path)) == 2)
    yield process
    process.kill()
    for number in [it for it in begun(tmp_path) if it.isdigit() and psutil.pid_exists(int(it))]:
        psutil.Process(int(number)).kill()


def test_a_second_signal_does_not_wait_for_processes_that_do_not_end(tmp_path: Path, head: subprocess.Popen):
    family = [psutil.Process(int(it)) for it in begun(tmp_path)]
    head.send_signal(signal.SIGINT)
    until(lambda: "told" in begun(tmp_path))
    assert head.poll() is None
    head.send_signal(signal.SIGINT)
    assert head.wait(30) == 0
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_the_processes_of_a_head_that_is_killed_are_told_to_end(tmp_path: Path, head: subprocess.Popen):
    head.kill()
    until(lambda: "told" in begun(tmp_path))


def test_a_database_has_one_head_at_a_time():
    with postgresql() as server:
        url = server.url.replace("+psycopg2", "")
        with alone(url) as one, alone(url) as other:
            assert (one, other) == (True, False)
        with alone(url) as again:
            assert again
