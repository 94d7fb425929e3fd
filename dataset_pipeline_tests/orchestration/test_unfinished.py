"""Runs that are not finished, and those that never will be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from dataset_pipeline.orchestration import processes
from dataset_pipeline.orchestration.unfinished import (
    PROCESS_TAG,
    WITHIN_TAG,
    fail_dead_runs,
    free_slots_of_dead_runs,
    process_tags,
)

CARRIES = """
import sys
from pathlib import Path
from dataset_pipeline.orchestration.processes import mark_in
print(mark_in(Path(sys.argv[1])), flush=True)
input()
"""
STARTED, FAILED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
Carrier = tuple[subprocess.Popen, str]


@pytest.fixture
def carrier() -> Iterator[Callable[[Path], Carrier]]:
    """Starts a process that carries runs of the instance in a folder; itself and its mark."""
    started = []

    def start(folder: Path) -> Carrier:
        command = [sys.executable, "-c", CARRIES, str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def killed(carrier: Callable[[Path], Carrier], folder: Path) -> str:
    process, mark = carrier(folder)
    process.kill()
    process.wait()
    return mark


def job() -> dg.JobDefinition:
    return dg.Definitions(assets=[dg.asset(name="keyframes")(lambda: None)]).resolve_implicit_global_asset_job_def()


def a_run(instance: dg.DagsterInstance, mark: str = "", status: dg.DagsterRunStatus = STARTED) -> str:
    return instance.create_run_for_job(job(), tags={PROCESS_TAG: mark} if mark else {}, status=status).run_id


def statuses(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> list[dg.DagsterRunStatus]:
    runs = {run.run_id: run.status for run in instance.get_runs()}
    return [runs[run_id] for run_id in run_ids]


def test_a_run_whose_process_was_killed_is_marked_failed_and_a_living_one_is_not(instance, carrier):
    folder = Path(instance.root_directory)
    (process, mark), (_, living) = carrier(folder), carrier(folder)
    run, others = a_run(instance, mark), [a_run(instance, living), a_run(instance)]
    assert fail_dead_runs(instance) == []
    process.kill()
    process.wait()
    assert fail_dead_runs(instance) == [run]
    assert statuses(instance, [run, *others]) == [FAILED, STARTED, STARTED]
    assert [file.stem for file in (folder / "processes").iterdir()] == [living]


def test_a_run_of_another_folder_or_with_a_mark_of_an_older_release_is_left_alone(instance, tmp_path, carrier):
    elsewhere = killed(carrier, tmp_path / "other")
    runs = [a_run(instance, elsewhere), a_run(instance, f"gpu/{2**22 + 1}/0")]
    assert fail_dead_runs(instance) == []
    assert statuses(instance, runs) == [STARTED, STARTED]


def test_a_process_has_one_mark_which_it_never_finds_gone(instance):
    tags = process_tags(instance)
    assert tags == process_tags(instance)
    run = a_run(instance, tags[PROCESS_TAG])
    assert fail_dead_runs(instance) == []
    assert statuses(instance, [run]) == [STARTED]


def test_a_run_within_another_fails_once_that_has_ended_wherever_it_was(instance):
    outer = a_run(instance)
    inner = instance.create_run_for_job(
        job(), tags={WITHIN_TAG: outer, PROCESS_TAG: "elsewhere"}, status=STARTED
    ).run_id
    assert fail_dead_runs(instance) == []
    instance.report_run_failed(instance.get_run_by_id(outer), "its worker is silent")
    assert fail_dead_runs(instance) == [inner]


def test_runs_go_on_unwatched_where_no_process_can_leave_its_mark(instance, monkeypatch, caplog):
    def refuse(folder: Path) -> str:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("dataset_pipeline.orchestration.unfinished.mark_in", refuse)
    assert PROCESS_TAG not in process_tags(instance)
    assert "Permission denied" in caplog.text


def test_a_mark_that_was_taken_away_before_it_was_locked_is_replaced(tmp_path, monkeypatch):
    really = processes._lock

    def taken_away(file: Path, flags: int = 0) -> int:
        monkeypatch.setattr(processes, "_lock", really)
        held = really(file, flags)
        file.unlink()
        return held

    monkeypatch.setattr(processes, "_lock", taken_away)
    mark = processes.mark_in(tmp_path)
    assert [file.stem for file in (tmp_path / "processes").iterdir()] == [mark]


def test_to_look_at_marks_changes_nothing(tmp_path, carrier):
    gone, (_, living) = killed(carrier, tmp_path), carrier(tmp_path)
    assert processes.gone_in(tmp_path) == processes.gone_in(tmp_path) == {gone}
    processes.forget(tmp_path, [gone, living])
    assert [file.stem for file in (tmp_path / "processes").iterdir()] == [living]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_a_process_forked_does_not_keep_it_alive(tmp_path):
    # Written whole: two processes print, and an unbuffered print writes its line's end apart.
    forks = CARRIES.replace("input()", "import os, time\nos.write(1, b'%d\\n' % os.fork())\ntime.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", forks, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    mark, *forked = (process.stdout.readline().strip() for _ in range(3))
    try:
        assert processes.gone_in(tmp_path) == set()
        process.kill()
        process.wait()
        assert processes.gone_in(tmp_path) == {mark}
    finally:
        os.kill(max(map(int, forked)), signal.SIGKILL)


def test_slots_of_a_run_whose_process_is_gone_are_given_back_though_the_run_has_ended(tmp_path, carrier):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        log, gone = instance.event_log_storage, killed(carrier, tmp_path)
        log.set_concurrency_slots("gpu", 1)
        dead, queued = a_run(instance, gone, FAILED), a_run(instance, gone, FAILED)
        other = a_run(instance)
        assert log.claim_concurrency_slot("gpu", dead, "detections").is_claimed
        for waiting in (queued, other):
            assert not log.claim_concurrency_slot("gpu", waiting, "detections").is_claimed
        free_slots_of_dead_runs(instance, ["gpu"])
        assert log.claim_concurrency_slot("gpu", other, "detections").is_claimed
        assert fail_dead_runs(instance) == []
        assert log.get_concurrency_info("gpu").active_run_ids == {other}


AS_A_MACHINE = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
ON_A_MACHINE = """
import socket, sys
from pathlib import Path
import dagster as dg
socket.sethostname("gpu")
from dataset_pipeline.orchestration.unfinished import fail_dead_runs, process_tags
job = dg.Definitions(assets=[dg.asset(name="keyframes")(lambda: None)]).resolve_implicit_global_asset_job_def()
with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
    if sys.argv[2] == "look":
        print(*fail_dead_runs(instance))
    else:
        run = instance.create_run_for_job(job, tags=process_tags(instance), status=dg.DagsterRunStatus.STARTED)
        print(run.run_id, flush=True)
        input()
"""


@pytest.mark.thorough
def test_two_machines_of_one_name_and_one_folder_leave_each_others_runs_alone_until_their_process_is_killed(tmp_path):
    if not shutil.which("unshare") or subprocess.run([*AS_A_MACHINE, "true"], capture_output=True).returncode:
        pytest.skip("`unshare --uts --pid` is not there or not allowed here: needs Linux and root")

    def machine(what: str) -> list[str]:
        return [*AS_A_MACHINE, sys.executable, "-c", ON_A_MACHINE, str(tmp_path), what]

    def look() -> str:
        return subprocess.run(machine("look"), capture_output=True, text=True, check=True).stdout.strip()

    working = subprocess.Popen(machine("work"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert working.stdout is not None
    run = working.stdout.readline().strip()
    assert len(run) == 36
    assert look() == ""
    working.kill()
    working.communicate()
    assert look() == run
