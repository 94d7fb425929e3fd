"""Who works on what: for `workers`."""

from __future__ import annotations

from typing import Any

import dagster as dg

from dataset_pipeline.cluster.broker import answers, waiting
from dataset_pipeline.cluster.launcher import ClusterRunLauncher
from dataset_pipeline.cluster.tags import REFUSED_TAG, WORKER_TAG
from dataset_pipeline.orchestration.unfinished import PARTITION_TAG

STATUS = dg.DagsterRunStatus


def overview(instance: dg.DagsterInstance) -> dict[str, Any]:
    """The workers that answer with what each says of itself, the runs that wait in each queue of the broker, how many
    are queued behind those, runs whose worker is silent, and runs that a worker refused."""
    launcher = instance.run_launcher
    assert isinstance(launcher, ClusterRunLauncher)
    told, waits = answers(launcher.celery), waiting(launcher.celery)
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


def _shown(run: dg.DagsterRun) -> dict[str, str]:
    assets = sorted(key.path[-1] for key in run.asset_selection or ())
    what = run.job_name if not assets else ", ".join(assets[:3]) + (", …" if len(assets) > 3 else "")
    return {
        "run_id": run.run_id,
        "what": f"{run.tags.get(PARTITION_TAG, '')} {what}".strip(),
        "worker": run.tags.get(WORKER_TAG, ""),
        "refused": run.tags.get(REFUSED_TAG, ""),
    }
