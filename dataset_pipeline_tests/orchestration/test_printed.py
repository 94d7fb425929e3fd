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
import contextlib, os, subprocess, sys, time
from dataset_pipeline.orchestration import printed

printed.PATIENCE_S = 0.3
print("before")
with contextlib.suppress(LookupError), printed.printed_into(sys.stdout, sys.argv[1]):
    print("by Python")
    os.write(1, b"by C\\n")
    subprocess.run(["echo", "by a child"])
    print("x" * 200_000)
    {end}
print("after")
"""


def carried(tmp_path: Path, end: str = "pass") -> tuple[subprocess.CompletedProcess, str]:
    file = tmp_path / "logs" / "a.out"
    file.parent.mkdir()
    file.write_text(OLD)
    done = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM.format(end=end), str(file)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    kept = file.read_text()
    assert kept.startswith(OLD)
    return done, kept.removeprefix(OLD)


OLD = "of the try before\n"
SAID = "by Python\nby C\nby a child\n" + "x" * 200_000 + "\n"


def test_what_is_printed_by_anyone_is_in_the_file_and_on_the_terminal_in_order(tmp_path):
    done, kept = carried(tmp_path)
    assert kept == SAID
    assert done.stdout == f"before\n{SAID}after\n"
    assert done.returncode == 0, done.stderr


def test_an_error_inside_leaves_the_stream_as_it_was(tmp_path):
    done, kept = carried(tmp_path, "raise LookupError")
    assert (done.returncode, kept, done.stdout) == (0, SAID, f"before\n{SAID}after\n")


def test_a_process_that_is_killed_has_left_what_it_printed_in_the_file(tmp_path):
    done, kept = carried(tmp_path, "os.kill(os.getpid(), 9)")
    assert (done.returncode, kept) == (-9, SAID)


def test_a_terminal_that_is_gone_stops_no_run(tmp_path):
    process = started(tmp_path / "a.out", "time.sleep(0.3)")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "before\n"
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert (tmp_path / "a.out").read_text() == SAID


def test_a_terminal_that_takes_nothing_more_is_not_waited_for_without_end(tmp_path):
    process = started(tmp_path / "a.out", "pass")
    assert process.stderr
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert (tmp_path / "a.out").read_text() == SAID


def started(file: Path, end: str) -> subprocess.Popen:
    """The program, which says nothing after the capture."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM.replace('print("after")', "").format(end=end), str(file)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_file_whose_disk_is_full_takes_no_more_than_the_runs_output(tmp_path, ends_well):
    where, outer = tmp_path / "terminal", tmp_path / "a.out"
    with open(where, "wb", buffering=0) as terminal:

        class Full(io.StringIO):
            flushed = 0

            def fileno(self) -> int:
                return terminal.fileno()

            def flush(self) -> None:
                self.flushed += 1
                if self.flushed == 2:
                    raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"), printed_into(Full(), str(outer)):  # noqa: PT012
            os.write(terminal.fileno(), b"of the run\n")
            if not ends_well:
                raise LookupError
        os.write(terminal.fileno(), b"disk full\n")
    assert outer.read_text() == "of the run\n"
    assert where.read_text() == "of the run\ndisk full\n"


def test_captures_that_lie_in_each_other_say_it_once(tmp_path):
    with open(tmp_path / "terminal", "w") as terminal:
        with printed_into(terminal, str(tmp_path / "outer")):
            print("one", file=terminal)
            with printed_into(terminal, str(tmp_path / "inner")):
                print("two", file=terminal)
            print("three", file=terminal)
        print("four", file=terminal)
    texts = [(tmp_path / name).read_text().split() for name in ("inner", "outer", "terminal")]
    assert texts == [["two"], ["one", "two", "three"], ["one", "two", "three", "four"]]


def test_two_streams_to_one_place_cut_no_line_of_each_other(tmp_path):
    """As the page reads what a run prints."""
    program = """
import sys
from dataset_pipeline.orchestration.printed import printed_into
with printed_into(sys.stdout, sys.argv[1]), printed_into(sys.stderr, sys.argv[2]):
    for number in range(20_000):
        print("out", number, file=sys.stdout)
        print("err", number, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out"), str(tmp_path / "err")],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = done.stdout.splitlines()
    for kind in ("out", "err"):
        assert [line for line in lines if line.startswith(kind)] == [f"{kind} {number}" for number in range(20_000)]
    assert len(lines) == 40_000


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
    before = psutil.Process().children()
    with logs.capture_logs(["run", "compute_logs", "step"]):
        assert psutil.Process().children() == before
        os.write(sys.stdout.fileno(), b"said\n")
    assert logs.is_capture_complete(["run", "compute_logs", "step"])
    assert [path.read_text() for path in tmp_path.rglob("*.out")] == ["said\n"]
