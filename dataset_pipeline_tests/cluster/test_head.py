"""The head's processes are there again when they end."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from dataset_pipeline_tests.servers.server import INSTALL

pytest.importorskip("dagster_celery", reason=INSTALL)

from dataset_pipeline.cluster.head import Kept

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
    assert 2 <= len(begun(tmp_path)) <= 3  # after 2 s, and 4 s later


def test_a_process_that_runs_is_left_alone_and_ends_when_it_is_told(tmp_path: Path):
    process = kept(tmp_path, 60.0)
    cared_for(process, 1.0)
    assert len(begun(tmp_path)) == 1
    process.tell(signal.SIGTERM)
    process.wait()
