"""Who works on what: for `workers` and `status`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg
from celery import Celery

from dataset_pipeline.cluster.broker import QUEUES, answers, waiting
from dataset_pipeline.cluster.tags import REFUSED_TAG, WORKER_TAG
from dataset_pipeline.orchestration.unfinished import PARTITION_TAG

STATUS = dg.DagsterRunStatus


def overview(app: Celery, instance: dg.DagsterInstance) -> dict[str, Any]:
    """The workers that answer with what each says of itself, the runs that wait in each queue of the broker, how many
    are queued behind those, runs whose worker is silent, and runs that a worker refused."""
    return overview_of(instance, *asked(app))


def asked(app: Celery) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """What the workers that answer say of themselves, and the runs that wait in each queue. Raises one of
    UNREACHABLE."""
    return answers(app), waiting(app)


def overview_of(instance: dg.DagsterInstance, told: dict[str, Any], waits: dict[str, list[str]]) -> dict[str, Any]:
    """As `overview`, of what workers and broker said."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING]))
    by_id = {run.run_id: _shown(run) for run in runs}
    unknown = {"what": "which has ended"}
    for worker in told.values():
        worker["runs"] = [{"run_id": run_id} | by_id.get(run_id, unknown) for run_id in worker["runs"]]
    silent = [it for it in by_id.values() if it["worker"] and it["worker"] not in told]
    return {
        "workers": dict(sorted(told.items())),
        "waiting": waits,
        "queued": instance.get_runs_count(dg.RunsFilter(statuses=[STATUS.QUEUED])),
        "silent": silent,
        "refused": [it for it in by_id.values() if it["refused"] and not it["worker"]],
    }


def machines_of(found: dict[str, Any]) -> list[str]:
    """Of an overview in sentences: which machines answer, by queue, and which do not and have runs."""
    sentences = []
    for queue in QUEUES:
        names = [
            _machine(name) + (" (stands back)" if told["refuses"] else "")
            for name, told in found["workers"].items()
            if told["queue"] == queue
        ]
        counts = {name: names.count(name) for name in sorted(names)}
        listed = ", ".join(f"{name} ({count} workers)" if count > 1 else name for name, count in counts.items())
        sentences.append(f"machines for {queue} runs: {listed or 'none answers'}")
    lost = Counter(_machine(it["worker"]) for it in found["silent"])
    return [
        *sentences,
        *(f"{name} does not answer and has {count} run{'s' * (count > 1)}" for name, count in sorted(lost.items())),
    ]


def _machine(worker: str) -> str:
    return worker.rpartition("@")[2]


def _shown(run: dg.DagsterRun) -> dict[str, str]:
    assets = sorted(key.path[-1] for key in run.asset_selection or ())
    what = run.job_name if not assets else ", ".join(assets[:3]) + (", …" if len(assets) > 3 else "")
    return {
        "run_id": run.run_id,
        "what": f"{run.tags.get(PARTITION_TAG, '')} {what}".strip(),
        "worker": run.tags.get(WORKER_TAG, ""),
        "refused": run.tags.get(REFUSED_TAG, ""),
    }
