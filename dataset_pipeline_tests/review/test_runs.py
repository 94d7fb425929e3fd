"""Runs that the page starts and watches."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from dataset_pipeline.base.progress import PROGRESS_LINE, PROGRESS_LINES, track
from dataset_pipeline.cli.console import showing_progress
from dataset_pipeline.review.runs import Run, command_of

PROGRAM = f"""
import json, sys
print("a line", flush=True)
told = {{"graph": {{"what": "all", "done": 1, "total": 3}}}}
print({PROGRESS_LINE!r} + json.dumps(told), file=sys.stderr, flush=True)
sys.exit(int(sys.argv[1]))
"""


def ended(run: Run) -> dict:
    end = time.monotonic() + 60
    while run.is_under_way:
        assert time.monotonic() < end
        time.sleep(0.02)
    return run.told()


@pytest.mark.parametrize(("code", "state"), [("0", "done"), ("3", "partly"), ("1", "failed")])
def test_what_a_run_says_and_how_it_ends_is_told(code: str, state: str):
    run = Run([sys.executable, "-c", PROGRAM])
    assert run.told() == {"state": "none"}
    run.start([code])
    told = ended(run)
    assert (told["state"], told["lines"]) == (state, ["a line"])
    assert told["graph"] == {"what": "all", "done": 1, "total": 3}


def test_one_run_goes_at_a_time_and_ends_with_its_page():
    run = Run([sys.executable, "-c", "import time; time.sleep(60)"], patience_s=1.0)
    run.start(["source"])
    with pytest.raises(ValueError, match="under way"):
        run.start(["source"])
    run.stop()
    assert ended(run)["state"] == "failed"


@pytest.mark.skipif(os.name == "nt", reason="a process of Windows ignores no signal")
def test_a_run_that_hears_no_request_to_end_is_killed():
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    run = Run([sys.executable, "-c", deaf], patience_s=0.2)
    run.start(["source"])
    while run.told()["lines"] != ["deaf"]:
        time.sleep(0.02)
    run.stop()
    assert ended(run)["state"] == "failed"


def test_without_a_source_there_is_nothing_to_run():
    with pytest.raises(ValueError, match="no episode"):
        Run(["false"]).start([])


def test_a_run_is_started_with_the_options_of_the_page():
    assert command_of("demo", Path("a.toml"))[-4:] == ["--models", "demo", "--settings", "a.toml"]
    assert command_of("", None)[-1] == "run"


def test_a_program_that_watches_gets_progress_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(PROGRESS_LINES, "1")
    with showing_progress(quiet=False) as show:
        show.outer("all", 1, 2)
        assert list(track(range(3), "reading", 3)) == [0, 1, 2]
    lines = [json.loads(line.removeprefix(PROGRESS_LINE)) for line in capsys.readouterr().err.split("\n") if line]
    assert lines[0] == {"graph": {"what": "all", "done": 1, "total": 2, "left_s": None}}
    assert lines[1] == {"asset": {"what": "reading", "done": 0, "total": 3}}
    assert lines[-1] == {"asset": {"what": "reading", "done": 3, "total": 3}}
