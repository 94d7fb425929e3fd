"""What is changed of Dagster is still there to be changed."""

import inspect
import subprocess
import sys

import dagster as dg
from dagster._daemon import backfill

from dataset_pipeline.orchestration.dagster_internals import BACKFILL_LOOK_S, keep_subsets

DAEMON = """
import dagster._daemon.controller as controller
import dataset_pipeline.orchestration.event_log
print(controller.DEFAULT_DAEMON_INTERVAL_SECONDS)
"""


def test_a_daemon_that_opens_our_log_looks_at_backfills_often():
    said = subprocess.run([sys.executable, "-c", DAEMON], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(BACKFILL_LOOK_S)]
    loop = inspect.getsource(backfill.execute_backfill_iteration_loop)
    assert "from dagster._daemon.controller import DEFAULT_DAEMON_INTERVAL_SECONDS" in loop


def test_runs_of_the_same_assets_share_what_a_job_makes_of_itself_and_others_do_not():
    ran: list[str] = []

    @dg.asset
    def first() -> None:
        ran.append("first")

    @dg.asset(deps=[first])
    def second() -> None:
        ran.append("second")

    defs = dg.Definitions(assets=[first, second])
    job = defs.resolve_implicit_global_asset_job_def()
    keep_subsets(job)
    keep_subsets(defs.resolve_implicit_global_asset_job_def())  # the same, as who asks for it before each run expects
    snapshots = []
    with dg.DagsterInstance.ephemeral() as instance:
        for assets in (["first"], ["second"], ["first"], ["second", "first"], ["first", "second"]):
            result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(it) for it in assets])
            assert result.success
            snapshots.append(result.dagster_run.job_snapshot_id)
    assert ran == ["first", "second", "first", "first", "second", "first", "second"]
    assert snapshots[0] == snapshots[2]
    assert snapshots[3] == snapshots[4]
    assert len(set(snapshots)) == 3
    made = [job.as_ephemeral_job({}, {}, None, [dg.AssetKey("first")]) for _ in range(2)]
    assert made[0] is made[1]
    assert defs.resolve_implicit_global_asset_job_def() is job
