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
