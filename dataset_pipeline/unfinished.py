"""Which runs and backfills of a project are not finished, and which episodes they cover."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Sequence

import dagster as dg
import psutil
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
from dagster._core.execution.backfill import PartitionBackfill as Backfill

from dataset_pipeline.assets.framework import location_prefix, partitions_name
from dataset_pipeline.settings import Settings

PROJECT_TAG = "dataset_pipeline/project"
PROCESS_TAG = "dataset_pipeline/process"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def project_tag(settings: Settings) -> dict[str, str]:
    """The tag of a run that tells projects apart which share a Dagster instance."""
    return {PROJECT_TAG: partitions_name(settings)}


def process_tag() -> dict[str, str]:
    """The tag of a run inside this process: machine, process id and when the process began."""
    return {PROCESS_TAG: f"{platform.node()}/{os.getpid()}/{psutil.Process().create_time():.0f}"}


def unfinished_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """The project's queued and running runs; one that does not tell whose it is counts."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return [run for run in runs if _belongs(settings, run.tags.get(PROJECT_TAG), run.asset_selection or ())]


def unfinished_backfills(instance: dg.DagsterInstance, settings: Settings) -> list[Backfill]:
    """The project's backfills that may still start runs."""
    open_statuses = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=open_statuses))
    return [
        backfill
        for backfill in backfills
        if _belongs(settings, backfill.tags.get(PROJECT_TAG), backfill.asset_selection or ())
    ]


def bury_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process on this machine is gone as failed, and give back their pool slots. Returns their ids.

    Runs that the daemon started are watched by its run monitoring; those inside a process of ours are watched by
    nobody, and a run that looks unfinished for ever would hold up every join.
    """
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        mark = run.tags.get(PROCESS_TAG)
        if mark and mark.startswith(f"{platform.node()}/") and not _lives(mark):
            instance.report_run_failed(run, "the process of this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def _lives(mark: str) -> bool:
    _, process_id, started_s = mark.rsplit("/", 2)
    try:
        return abs(psutil.Process(int(process_id)).create_time() - float(started_s)) < 2
    except psutil.NoSuchProcess:
        return False


def run_covers(run: dg.DagsterRun, episode: str, registered: Sequence[str]) -> bool:
    """Whether the run is of this episode, or of a range of `registered` ones with it."""
    if run.tags.get(PARTITION_TAG) == episode:
        return True
    first, last = run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
    if first is None or last is None or episode not in registered:
        return False
    if first not in registered or last not in registered:
        return True  # a range whose ends are gone may be any
    return registered.index(first) <= registered.index(episode) <= registered.index(last)


def backfill_covers(backfill: Backfill, episode: str) -> bool:
    """Whether the backfill includes this episode; one that does not tell does."""
    if backfill.partition_names is not None:
        return episode in backfill.partition_names
    if backfill.asset_backfill_data is None:
        return True
    target = backfill.asset_backfill_data.target_subset
    return any(AssetKeyPartitionKey(key, episode) in target for key in target.partitions_subsets_by_asset_key)


def work_on(
    episode: str, registered: Sequence[str], runs: Sequence[dg.DagsterRun], backfills: Sequence[Backfill]
) -> str:
    """Which of these runs and backfills covers the episode, in words; empty if none does."""
    run = next((run for run in runs if run_covers(run, episode, registered)), None)
    if run is not None:
        return f"run {run.run_id} of {episode}"
    backfill = next((backfill for backfill in backfills if backfill_covers(backfill, episode)), None)
    return f"backfill {backfill.backfill_id} that includes {episode}" if backfill is not None else ""


def _belongs(settings: Settings, project: str | None, assets: Collection[dg.AssetKey]) -> bool:
    if project is not None:
        return project == partitions_name(settings)
    return not assets or any(list(key.path[:-1]) == location_prefix(settings) for key in assets)
