"""What is changed of Dagster is still there to be changed."""

import inspect
import subprocess
import sys

from dagster._daemon import backfill

from dataset_pipeline.orchestration.dagster_internals import BACKFILL_LOOK_S

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
