"""Runs that are not finished, and those that never will be."""

from __future__ import annotations

import platform
import subprocess
import sys

import dagster as dg
import psutil

from dataset_pipeline.orchestration.unfinished import PROCESS_TAG, fail_dead_runs


def test_a_run_whose_process_was_killed_is_marked_failed_and_a_living_one_is_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = f"{platform.node()}/{process.pid}/{psutil.Process(process.pid).create_time():.0f}"
    job = dg.Definitions(assets=[dg.asset(name="keyframes")(lambda: None)]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, tags={PROCESS_TAG: mark}, status=dg.DagsterRunStatus.STARTED)
        other = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert fail_dead_runs(instance) == []
        process.kill()
        process.wait()
        assert fail_dead_runs(instance) == [run.run_id]
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(other.run_id).status == dg.DagsterRunStatus.STARTED


def test_slots_of_a_run_whose_process_is_gone_are_given_back_though_the_run_has_ended(tmp_path):
    gone = {PROCESS_TAG: f"{platform.node()}/{2**22 + 1}/0"}
    job = dg.Definitions(assets=[dg.asset(name="keyframes")(lambda: None)]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        log = instance.event_log_storage
        log.set_concurrency_slots("gpu", 1)
        dead = instance.create_run_for_job(job, tags=gone, status=dg.DagsterRunStatus.FAILURE)
        queued = instance.create_run_for_job(job, tags=gone, status=dg.DagsterRunStatus.FAILURE)
        other = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert log.claim_concurrency_slot("gpu", dead.run_id, "detections").is_claimed
        for waiting in (queued, other):
            assert not log.claim_concurrency_slot("gpu", waiting.run_id, "detections").is_claimed
        assert fail_dead_runs(instance) == []
        assert log.claim_concurrency_slot("gpu", other.run_id, "detections").is_claimed
        fail_dead_runs(instance)
        assert log.get_concurrency_info("gpu").active_run_ids == {other.run_id}
