"""Dagster's run launcher for Celery, with what it lacks: a worker that is silent, or answers and does not work on a run
any more, has lost it; a run that is cancelled is told so before it is interrupted, and one that waits leaves its queue.

A run's task has the run's id. There are no results: what became of a run stands in Dagster's history alone.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import dagster as dg
from celery import Celery
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from dataset_pipeline.cluster.broker import CONFIG, UNREACHABLE, answers, on_the_way, waiting, withdraw
from dataset_pipeline.cluster.home import GPU, QUEUE_TAG
from dataset_pipeline.cluster.overview import asked, machines_of, overview_of
from dataset_pipeline.cluster.tags import REFUSED_TAG, WORKER_TAG
from dataset_pipeline.cluster.watch import Look, Watch
from dataset_pipeline.orchestration.dagster_internals import (
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
    instance_of,
)

TASK = "dataset_pipeline.carry_run"
BROKER_WAIT_S = 600.0  # a run that is due waits so long for a broker that is away
TRY_S = 2.0

log = logging.getLogger(__name__)


class ClusterRunLauncher(CeleryRunLauncher):
    """broker: the address of Redis. silent_s: how long a worker may be silent."""

    def __init__(self, broker: str, silent_s: float = 30.0, inst_data: Any = None) -> None:
        super().__init__(GPU, broker, "disabled://", [], CONFIG, inst_data)
        # Queues are named where a run is handed over.
        self.celery.conf.task_queues = self.celery.conf.task_routes = None
        self.celery.conf.update(CONFIG)
        self.watch = Watch(lambda: look(self.celery), silent_s)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"broker": dg.Field(dg.StringSource), "silent_s": dg.Field(float, is_required=False, default_value=30.0)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> ClusterRunLauncher:
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        run, instance = context.dagster_run, instance_of(self)
        # A run that is tried again has the tags of the one before.
        forgotten = {tag: "" for tag in (WORKER_TAG, REFUSED_TAG) if run.tags.get(tag)}
        instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: run.run_id} | forgotten)
        queue = run.tags.get(QUEUE_TAG, GPU)
        hand_over(self.celery, run.run_id, queue)
        instance.report_engine_event(f"It waits for a worker of the queue {queue}.", run, cls=type(self))

    @property
    def supports_resume_run(self) -> bool:
        return False

    def terminate(self, run_id: str) -> bool:
        instance = instance_of(self)
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        instance.report_run_canceling(run)
        if withdraw(self.celery, run_id):
            instance.report_run_canceled(run)
        else:
            self.celery.control.revoke(run_id, terminate=True, signal="SIGTERM")
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        worker = run.tags.get(WORKER_TAG)
        if not worker:  # a process of its own carries it, see orchestration/processes.py: a worker tells first
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        reason = self.watch.lost(run.run_id, worker)
        return CheckRunHealthResult(WorkerStatus.FAILED if reason else WorkerStatus.RUNNING, reason)

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        return f"Worker: {run.tags.get(WORKER_TAG) or 'none'}"

    def machines(self) -> list[str]:
        """A sentence for the workers that answer, by queue, and one for each that does not and has runs."""
        try:
            told, waits = asked(self.celery)
        except UNREACHABLE as error:
            return [f"the broker cannot be reached, which alone knows the machines: {error}"]
        return machines_of(overview_of(instance_of(self), told, waits))

    def fail_what_was_lost_before_it_began(self) -> list[str]:
        """Runs that were handed to the broker and that nobody knows: Dagster's own monitoring watches those alone that
        have begun. Returns their ids."""
        instance = instance_of(self)
        starting = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
        reasons = self.watch.never_taken({run.run_id for run in starting})
        lost = [run for run in starting if run.run_id in reasons]
        for run in lost:
            again = instance.get_run_by_id(run.run_id)
            if again and again.status == dg.DagsterRunStatus.STARTING:
                instance.report_run_failed(again, reasons[run.run_id])
        return [run.run_id for run in lost]


def hand_over(app: Celery, run_id: str, queue: str) -> None:
    """Put a run into a queue. Where the broker is away this waits for it, or each try of the run would fail."""
    give_up_s = time.monotonic() + BROKER_WAIT_S
    while True:
        try:
            app.send_task(TASK, [run_id], task_id=run_id, queue=queue, routing_key=queue, retry=False)
            return
        except UNREACHABLE as error:
            if time.monotonic() > give_up_s:
                raise
            log.warning("the broker cannot be reached, run %s waits: %s", run_id, error)
            time.sleep(TRY_S)


def look(app: Celery) -> Look | None:
    """Ask broker and workers what they know; None if the broker is away."""
    try:
        waits = {run for runs in waiting(app).values() for run in runs} | on_the_way(app)
        return Look({worker: told["runs"] for worker, told in answers(app).items()}, waits)
    except UNREACHABLE as error:
        log.warning("the broker cannot be reached: %s", error)
        return None
