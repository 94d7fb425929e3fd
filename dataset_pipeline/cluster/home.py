"""The Dagster instance that all machines of a cluster open, written from `[cluster]` of the settings."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.paths import replace
from dataset_pipeline.cluster.addresses import by_psycopg2
from dataset_pipeline.settings import ClusterSettings, Settings, project_folder

GPU, HEAD = "gpu", "head"  # queues
QUEUE_TAG = "dagster-celery/queue"
START_TIMEOUT_S = 24 * 3600  # a run that waits for a free worker counts as starting, and waiting is not failing
CANCEL_TIMEOUT_S = 120
TRIES = 3  # of a run whose worker is lost
EXTRA = ("celery", "redis", "dagster_celery", "dagster_postgres")


class ClusterError(PermanentError):
    """Several machines cannot work together; the message says why and what to do."""


def cluster_home(settings: Settings) -> Path:
    """The folder of the cluster's instance on this machine, for DAGSTER_HOME. Raises ClusterError."""
    if not settings.cluster.is_set:
        raise ClusterError(
            "[cluster] broker and database are empty: write the addresses of Redis and PostgreSQL into "
            'settings.local.toml, see "Several machines" in the README'
        )
    if not all(importlib.util.find_spec(name) for name in EXTRA):
        raise ClusterError("[cluster] wants packages that are not installed: run `uv sync --extra cluster`")
    home = project_folder() / ".dagster" / "cluster"
    home.mkdir(parents=True, exist_ok=True)
    path = home / "dagster.yaml"
    text = json.dumps(instance_config(settings.cluster, home), indent=1)  # which is YAML too
    if not path.exists() or path.read_text() != text:
        beside = path.with_suffix(f".{os.getpid()}")
        beside.touch(mode=0o600)  # the address of the database may hold a password
        beside.write_text(text)
        replace(beside, path)
    return home


def instance_config(cluster: ClusterSettings, home: Path) -> dict[str, Any]:
    """What dagster.yaml holds."""
    database = {"postgres_url": by_psycopg2(cluster.database)}
    kept = home / "kept"
    return {
        "run_storage": _made("dataset_pipeline.orchestration.patience", "PatientRunStorage", database),
        "event_log_storage": _made("dataset_pipeline.orchestration.postgres_log", "BatchedPostgresEventLog", database),
        "schedule_storage": _made("dataset_pipeline.orchestration.patience", "PatientScheduleStorage", database),
        "local_artifact_storage": _made("dagster._core.storage.root", "LocalArtifactStorage", {"base_dir": str(kept)}),
        "compute_logs": _made(
            "dagster._core.storage.local_compute_log_manager",
            "LocalComputeLogManager",
            {"base_dir": str(kept / "compute_logs")},
        ),
        "run_coordinator": _made(
            "dataset_pipeline.cluster.coordinator", "ClusterRunCoordinator", {"dequeue_interval_seconds": 1}
        ),
        "run_launcher": _made(
            "dataset_pipeline.cluster.launcher",
            "ClusterRunLauncher",
            {"broker": cluster.broker, "silent_s": cluster.silent_s},
        ),
        "concurrency": {
            "runs": {
                "max_concurrent_runs": cluster.gpu_slots + cluster.head_slots,
                "tag_concurrency_limits": [
                    {"key": QUEUE_TAG, "value": GPU, "limit": cluster.gpu_slots},
                    {"key": QUEUE_TAG, "value": HEAD, "limit": cluster.head_slots},
                ],
            },
            "pools": {"granularity": "op", "default_limit": cluster.gpu_slots},
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": START_TIMEOUT_S,
            "cancel_timeout_seconds": CANCEL_TIMEOUT_S,
            "max_resume_run_attempts": 0,
            "poll_interval_seconds": max(1, min(5, int(cluster.silent_s / 4))),
            "free_slots_after_run_end_seconds": 10,
        },
        # An error of ours comes again; a lost worker does not.
        "run_retries": {"enabled": True, "max_retries": TRIES, "retry_on_asset_or_op_failure": False},
        "sensors": {"use_threads": True, "num_workers": 4},  # arrivals do not wait for the page of status
        "retention": {"sensor": {"purge_after_days": {"skipped": 1, "success": 30}}},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }


def _made(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class": name, "config": config}
