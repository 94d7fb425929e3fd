"""What runs print reaches the file of the web UI and the terminal, by no process more."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import dataset_pipeline.orchestration.dagster_internals  # noqa: F401 (which gives Dagster ours)
from dataset_pipeline.orchestration.printed import printed_into
from dataset_pipeline.settings import PACKAGE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="consoles of Windows cannot be sent elsewhere")

PROGRAM = """
import os, subprocess, sys, time
from dataset_pipeline.orchestration.printed import printed_into

print("before")
with printed_into(sys.stdout, sys.argv[1]):
    print("by Python")
    os.write(1, b"by C\\n")
    subprocess.run(["echo", "by a child"])
    print("x" * 200_000)
    {end}
print("after")
"""


def carried(tmp_path: Path, end: str = "pass") -> tuple[subprocess.CompletedProcess, str]:
    file = tmp_path / "logs" / "a.out"
    done = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM.format(end=end), str(file)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    return done, file.read_text()


SAID = "by Python\nby C\nby a child\n" + "x" * 200_000 + "\n"


def test_what_is_printed_by_anyone_is_in_the_file_and_on_the_terminal_in_order(tmp_path):
    done, kept = carried(tmp_path)
    assert kept == SAID
    assert done.stdout == f"before\n{SAID}after\n"
    assert done.returncode == 0, done.stderr


def test_an_error_inside_leaves_the_stream_as_it_was(tmp_path):
    done, kept = carried(tmp_path, "raise SystemExit(7)")
    assert (done.returncode, kept, done.stdout) == (7, SAID, f"before\n{SAID}")


def test_a_process_that_is_killed_has_left_what_it_printed_in_the_file(tmp_path):
    done, kept = carried(tmp_path, "os.kill(os.getpid(), 9)")
    assert (done.returncode, kept) == (-9, SAID)


def test_a_terminal_that_is_gone_stops_no_run(tmp_path):
    file = tmp_path / "a.out"
    program = PROGRAM.replace('print("after")', "").format(end="time.sleep(0.3)")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, str(file)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "before\n"
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert file.read_text() == SAID


def test_a_stream_that_is_no_file_of_the_system_is_left_alone(tmp_path):
    stream = io.StringIO()
    for number, instead in enumerate((stream, None)):
        with printed_into(instead, str(tmp_path / f"{number}.out")):
            print("here", file=stream)
        assert (tmp_path / f"{number}.out").read_text() == ""
    assert stream.getvalue() == "here\nhere\n"


def test_dagsters_local_logs_start_no_process(tmp_path):
    from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

    logs = LocalComputeLogManager(str(tmp_path))
    with logs.capture_logs(["run", "compute_logs", "step"]):
        assert psutil.Process().children() == []
        os.write(sys.stdout.fileno(), b"said\n")
    assert logs.is_capture_complete(["run", "compute_logs", "step"])
    assert [path.read_text() for path in tmp_path.rglob("*.out")] == ["said\n"]
