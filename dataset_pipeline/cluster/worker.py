"""A worker: takes runs from a queue and carries each in one of its processes, which keep their models over runs.

The parent answers who asks for it while its processes work. A process that was interrupted, or whose run failed, is
replaced: a library that was interrupted while it was imported stays broken for as long as the process lives.
"""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from threading import Thread
from typing import Any

import dagster as dg
from celery import Celery, signals
from celery.exceptions import Ignore
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.host import host_name
from dataset_pipeline.cluster.fitness import faults
from dataset_pipeline.cluster.head import end_with_parent
from dataset_pipeline.cluster.home import GPU, QUEUE_TAG
from dataset_pipeline.cluster.launcher import TASK, hand_over
from dataset_pipeline.cluster.tags import REFUSED_TAG, WORKER_TAG, settings_of, versions
from dataset_pipeline.orchestration.dagster_internals import capture_interrupts, execute_run
from dataset_pipeline.orchestration.unfinished import host_tag

STANDS_BACK_S = 60.0  # who refused a run leaves the queue to others for so long
TOLD_S = 10.0
SAME_S = 1.0  # signals within this are one: `uv run` hands on what its group was sent too

log = logging.getLogger(__name__)
standing: dict[str, Any] = {"queue": "", "slots": 0, "refuses": ""}  # of the parent
back_s: list[float] = []  # when it takes runs again, if it stands back
leaving: list[float] = []  # when it was told to end


def serve(app: Celery, queue: str, slots: int) -> int:
    """Take runs until told to stop. Returns the exit code."""
    import dataset_pipeline.definitions  # noqa: F401  (whose code all processes run, however it changes on the disk)

    versions()
    standing.update(queue=queue, slots=slots)
    app.task(carry_run, bind=True, name=TASK)
    name = f"{queue}-{uuid.uuid4().hex[:6]}@{host_name()}"  # one that comes back is not the one that was lost
    quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}  # workers ask nothing of others
    worker = app.Worker(hostname=name, queues=[queue], concurrency=slots, pool="prefork", loglevel="INFO", **quiet)
    worker.start()
    return worker.exitcode or 0


def carry_run(task: Any, run_id: str) -> None:
    """The task. Leaves by SystemExit, which ends its process, where the run did not go well."""
    name = task.request.hostname
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run)
        if run is None or run.status != dg.DagsterRunStatus.STARTING:
            raise Ignore  # cancelled while it waited, or delivered twice
        if reasons := unfit_for(run):
            _refuse(task.app, instance, run, name, " ".join(reasons))
            raise Ignore
        if _status(instance, run_id) != dg.DagsterRunStatus.STARTING:
            raise Ignore  # looking at itself takes a while
        refused = {REFUSED_TAG: ""} if run.tags.get(REFUSED_TAG) else {}
        instance.add_run_tags(run_id, {WORKER_TAG: name, **refused, **host_tag()})
        before = signal.getsignal(signal.SIGTERM)
        try:
            with capture_interrupts():  # between steps an interrupt waits for the next
                execute_run(run_id, instance)
        finally:
            signal.signal(signal.SIGTERM, before)
        ended = _status(instance, run_id)
    if ended != dg.DagsterRunStatus.SUCCESS:
        raise SystemExit(0)


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = instance.get_run_by_id(run_id)
    return run.status if run else None


def unfit_for(run: dg.DagsterRun) -> list[str]:
    """Why this machine cannot take a run; nothing if it can."""
    try:
        settings = settings_of(run)
    except (OSError, PermanentError) as error:
        return [str(error)]
    return faults(settings, run.tags.get(QUEUE_TAG, GPU) == GPU, run.tags) if settings else []


def _refuse(app: Celery, instance: dg.DagsterInstance, run: dg.DagsterRun, name: str, reason: str) -> None:
    """Leave the run to another worker, and the queue for a while. It is told once."""
    told = f"{name} refuses this run: {reason}"
    log.warning(told)
    if run.tags.get(REFUSED_TAG) != told:
        instance.add_run_tags(run.run_id, {REFUSED_TAG: told})
        instance.report_engine_event(told, run)
    app.control.broadcast("stand_back", {"reason": reason}, destination=[name], reply=True, timeout=TOLD_S, limit=1)
    hand_over(app, run.run_id, run.tags.get(QUEUE_TAG, GPU))


@inspect_command()
def describe(state: Any, **_: Any) -> dict[str, Any]:
    """What a worker says of itself; `runs`: those it has taken."""
    _come_back(state.consumer)
    return {**standing, "runs": sorted(worker_state.requests), "versions": versions(), "process": os.getpid()}


@control_command(args=[("reason", str)])
def stand_back(state: Any, reason: str, **_: Any) -> dict[str, str]:
    """Take no runs for a while: then the next is looked at again."""
    state.consumer.cancel_task_queue(standing["queue"])
    standing["refuses"], back_s[:] = reason, [time.monotonic() + STANDS_BACK_S]
    return {"ok": f"stands back from {standing['queue']}"}


def _come_back(consumer: Any) -> None:
    """Asked as often as the head looks who is there: timers of a worker are lost when it finds the broker again."""
    if back_s and not leaving and time.monotonic() >= back_s[0]:
        back_s.clear()
        standing["refuses"] = ""
        consumer.add_task_queue(standing["queue"])


@signals.worker_ready.connect
def _end_after_its_run(sender: Any, **_: Any) -> None:
    """A first signal takes it out of its queue, and it ends once it has no run: where Celery waits for a run by itself
    it answers nobody meanwhile, and who is silent has lost its run. A second signal is as Celery's second Ctrl-C."""
    celerys: Any = signal.getsignal(signal.SIGINT)

    def told(number: int, frame: Any) -> None:
        if leaving and time.monotonic() - leaving[0] < SAME_S:
            return
        if leaving:
            celerys(signal.SIGINT, frame)
            again: Any = signal.getsignal(signal.SIGINT)
            again(signal.SIGINT, frame)
            return
        leaving.append(time.monotonic())
        what = "it ends after its run" if worker_state.requests else "it ends"
        log.warning(f"{what}; once more, and it ends at once")
        standing["refuses"] = what
        sender.call_soon(sender.cancel_task_queue, standing["queue"])
        Thread(target=_end_without_runs, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)


def _end_without_runs() -> None:
    while worker_state.requests:
        time.sleep(0.5)
    worker_state.should_stop = 0


@signals.worker_process_init.connect
def _warm_up(**_: Any) -> None:
    """Import what a run will need: an interrupt in the middle of an import would spoil the process."""
    os.setpgrp()  # Ctrl-C is for the parent, which then waits for the run
    end_with_parent(signal.SIGKILL)  # for which alone it works
    if standing["queue"] == GPU:
        import cv2  # noqa: F401
        import onnxruntime  # noqa: F401
        import torch  # noqa: F401
