"""What Dagster knows of the last attempt to make each asset of each episode: under way, or failed and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import dagster as dg

from dataset_pipeline.base.host import host_name
from dataset_pipeline.graph.declaration import declared, is_joined
from dataset_pipeline.graph.project import location_prefix
from dataset_pipeline.orchestration.runs import plain_error
from dataset_pipeline.orchestration.unfinished import HOST_TAG
from dataset_pipeline.reports.status.states import JOINED, Cell, Place, State
from dataset_pipeline.settings import Settings

# One that is starting may wait for a worker for hours.
NOT_BEGUN = frozenset({dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING})
ENDED = frozenset({dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})
PAGE = 500
NO_WORD = "its run failed without a word"


def last_attempts(instance: dg.DagsterInstance, settings: Settings, assets: Sequence[str]) -> dict[Place, Cell]:
    """The places whose last attempt has not ended, or failed, with nothing materialized since."""
    planned = _unanswered(instance, settings, assets)
    runs = {record.dagster_run.run_id: record for record in _run_records(instance, set(planned.values()))}
    not_made: dict[str, set[str]] = {}
    for (asset, _), run_id in planned.items():
        not_made.setdefault(run_id, set()).add(asset)
    graph = declared(settings)
    failed = {
        # what reads something that the same run did not make either was skipped by it
        run_id: {asset for asset in not_made[run_id] if not not_made[run_id].intersection(graph[asset].reads)}
        for run_id, record in runs.items()
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE
    }
    errors = _errors(instance, [runs[run_id] for run_id in failed], failed)
    found = {}
    for (asset, key), run_id in planned.items():
        if run_id not in runs:
            continue  # deleted from Dagster's history
        if runs[run_id].dagster_run.status not in ENDED:
            found[asset, key] = _under_way(runs[run_id])
        elif asset in failed.get(run_id, ()):
            found[asset, key] = _failed(runs[run_id], errors.get(run_id, {}).get(asset, NO_WORD))
    return found


def _under_way(record: dg.RunRecord) -> Cell:
    since = f" since {datetime.fromtimestamp(record.start_time):%Y-%m-%d %H:%M}" if record.start_time else ""
    state: State = "queued" if record.dagster_run.status in NOT_BEGUN else "running"
    # One that was tried before has the tags of that try.
    host = record.dagster_run.tags.get(HOST_TAG, "") if state == "running" else ""
    return Cell(state, f"run {record.dagster_run.run_id[:8]}{f' on {host}' if host else ''}{since}", host)


def _failed(record: dg.RunRecord, error: str) -> Cell:
    host = record.dagster_run.tags.get(HOST_TAG, "")
    return Cell("failed", f"{error} (on {host})" if host not in ("", host_name()) else error)


def _unanswered(instance: dg.DagsterInstance, settings: Settings, assets: Sequence[str]) -> dict[Place, str]:
    """The last run that was to make a place, where it has not been materialized since: one query for each asset.

    Dagster writes down what a run is to make when the run is created, so queued runs and ranges count too.
    """
    keys = {asset: dg.AssetKey([*location_prefix(settings), asset]) for asset in assets}
    found: dict[Place, str] = {}
    for asset in assets:
        if not is_joined(asset):
            log = instance.event_log_storage
            attempts = log.get_latest_asset_partition_materialization_attempts_without_materializations(keys[asset])
            found |= {(asset, episode): run_id for episode, (run_id, _) in attempts.items()}
    joined = {keys[asset]: asset for asset in assets if is_joined(asset)}
    records = instance.get_asset_records(list(joined)) if joined else []
    for entry in (record.asset_entry for record in records):
        planned = instance.get_latest_planned_materialization_info(entry.asset_key)
        if planned and planned.storage_id > (entry.last_materialization_storage_id or 0):
            found[joined[entry.asset_key], JOINED] = planned.run_id
    return found


def _run_records(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> list[dg.RunRecord]:
    ids = sorted(run_ids)
    pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
    return [record for page in pages for record in instance.get_run_records(dg.RunsFilter(run_ids=page))]


def _errors(
    instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], failed: Mapping[str, set[str]]
) -> dict[str, dict[str, str]]:
    """The first lines of the errors, by run id and asset, of the assets that each run `failed` to make.

    Dagster writes the first failed step into the event of the run's failure, so that many runs are one query; the log
    of a run is read only where more than that step is in question.
    """
    found: dict[str, dict[str, str]] = {}
    if not records:
        return found
    since = min(record.create_timestamp.timestamp() for record in records) - 1.0
    wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_timestamp=since)
    cursor: str | None = None
    while True:
        page = instance.fetch_run_status_changes(wanted, limit=PAGE, cursor=cursor)
        for entry in (record.event_log_entry for record in page.records):
            if entry.run_id in failed and entry.run_id not in found and entry.dagster_event is not None:
                found[entry.run_id] = _errors_of_run(instance, entry.run_id, entry.dagster_event, failed[entry.run_id])
        if not page.has_more or len(found) == len(failed):
            return found
        cursor = page.cursor


def _errors_of_run(
    instance: dg.DagsterInstance, run_id: str, event: dg.DagsterEvent, assets: Iterable[str]
) -> dict[str, str]:
    details = event.event_specific_data  # None if the run was ended from outside
    first: dg.DagsterEvent | None = getattr(details, "first_step_failure_event", None)
    if first is None:
        return dict.fromkeys(assets, _first_line(plain_error(event)))
    errors = {_asset_of(first): _step_error(first)}
    others = set(assets) - errors.keys()
    if others:
        records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        steps = [step for record in records if (step := record.event_log_entry.dagster_event)]
        errors |= {_asset_of(step): _step_error(step) for step in steps}
    stopped_by = f"{_asset_of(first)} failed: {_step_error(first)}"
    return dict.fromkeys(others, stopped_by) | errors


def _asset_of(step: dg.DagsterEvent) -> str:
    return (step.step_key or "").split("__")[-1]


def _step_error(step: dg.DagsterEvent) -> str:
    return _first_line(plain_error(step))


def _first_line(text: str) -> str:
    """With the one after it if it only announces that."""
    first, _, rest = text.strip().partition("\n")
    return f"{first} {rest.strip().partition(chr(10))[0]}" if first.endswith(":") and rest else first
