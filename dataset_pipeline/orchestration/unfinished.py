"""Which runs and backfills of a project are not finished, and which episodes they cover."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import dagster as dg

from dataset_pipeline.base.host import host_name
from dataset_pipeline.graph.project import location_prefix, partitions_name
from dataset_pipeline.orchestration.dagster_internals import (
    BULK_ACTION_TERMINAL_STATUSES,
    AssetKeyPartitionKey,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dataset_pipeline.orchestration.processes import forget, gone_in, mark_in
from dataset_pipeline.settings import Settings

PROJECT_TAG = "dataset_pipeline/project"
PROCESS_TAG = "dataset_pipeline/process"
WITHIN_TAG = "dataset_pipeline/within"
HOST_TAG = "dataset_pipeline/host"
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

log = logging.getLogger(__name__)


def project_tag(settings: Settings) -> dict[str, str]:
    """The tag of a run that tells projects apart which share a Dagster instance."""
    return {PROJECT_TAG: partitions_name(settings)}


def host_tag() -> dict[str, str]:
    """The tag of a run that tells people on which machine it is."""
    return {HOST_TAG: host_name()}


def process_tags(instance: dg.DagsterInstance, within: str = "") -> dict[str, str]:
    """The tags of a run inside this process: a mark that outlives it, the machine, and the run that it belongs to.

    within: the id of that run, if the process carries one.
    """
    tags = host_tag() | ({WITHIN_TAG: within} if within else {})
    try:
        return tags | {PROCESS_TAG: mark_in(_folder(instance))}
    except OSError as error:
        log.warning("should this process be killed, its runs stay unfinished until they are cancelled: %s", error)
        return tags


def unfinished_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """The project's queued and running runs; one that does not tell whose it is counts."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return [run for run in runs if _belongs(settings, run.tags.get(PROJECT_TAG), run.asset_selection or ())]


def unfinished_backfills(instance: dg.DagsterInstance, settings: Settings) -> list[PartitionBackfill]:
    """The project's backfills that may still start runs."""
    open_statuses = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=open_statuses))
    return [
        backfill
        for backfill in backfills
        if _belongs(settings, backfill.tags.get(PROJECT_TAG), backfill.asset_selection or ())
    ]


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process is gone as failed, and give back their pool slots. Returns their ids.

    Runs that the daemon started are watched by its run monitoring; those inside a process of ours are watched by
    nobody, and a run that looks unfinished for ever would hold up every join. A process is known to be gone where it
    had this instance's folder; of a run within another, that the other has ended tells the same on every machine.
    """
    gone = gone_in(_folder(instance))
    dead = _dead(instance, instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)), gone)
    for run in dead:
        instance.report_run_failed(run, "the process of this run is gone")
    _free_slots(instance, instance.event_log_storage.get_concurrency_keys(), gone)
    forget(_folder(instance), gone)
    return [run.run_id for run in dead]


def free_slots_of_dead_runs(instance: dg.DagsterInstance, pools: Iterable[str]) -> None:
    """Give back the slots of pools that are held, or queued for, by runs whose process is gone. Whether such a run
    counts as finished does not matter: an error of Dagster's own ends a run and leaves its slot taken."""
    _free_slots(instance, pools, gone_in(_folder(instance)))


def _free_slots(instance: dg.DagsterInstance, pools: Iterable[str], gone: AbstractSet[str]) -> None:
    log = instance.event_log_storage
    found = [log.get_concurrency_info(pool) for pool in pools]
    ids = {step.run_id for pool in found for step in [*pool.claimed_slots, *pool.pending_steps]}
    for run in _dead(instance, instance.get_runs(dg.RunsFilter(run_ids=sorted(ids))) if ids else (), gone):
        log.free_concurrency_slots_for_run(run.run_id)


def _dead(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun], gone: AbstractSet[str]) -> list[dg.DagsterRun]:
    outer = {run.tags[WITHIN_TAG] for run in runs if WITHIN_TAG in run.tags}
    found = instance.get_runs(dg.RunsFilter(run_ids=sorted(outer), statuses=UNFINISHED)) if outer else ()
    ended = outer - {run.run_id for run in found}
    return [run for run in runs if run.tags.get(PROCESS_TAG) in gone or run.tags.get(WITHIN_TAG) in ended]


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory)


class UnderWay:
    """Which unfinished run or backfill covers an episode, of those that are given; looked up, not searched for, so that
    thousands of episodes can be asked about.

    registered: the episodes in the order in which Dagster reads a range of them.
    """

    def __init__(
        self, registered: Sequence[str], runs: Sequence[dg.DagsterRun], backfills: Sequence[PartitionBackfill]
    ) -> None:
        self._places = {episode: place for place, episode in enumerate(registered)}
        self._single: dict[str, int] = {}
        self._ranges: list[tuple[int, range]] = []
        self._runs = runs
        for number, run in enumerate(runs):
            if (episode := run.tags.get(PARTITION_TAG)) is not None:
                self._single.setdefault(episode, number)
            if (places := self._range(run)) is not None:
                self._ranges.append((number, places))
        self._backfills = [(it, None if it.partition_names is None else {*it.partition_names}) for it in backfills]

    def on(self, episode: str) -> str:
        """The work in words; empty if there is none."""
        place = self._places.get(episode)
        covering = [number for number, places in self._ranges if place is not None and place in places]
        if episode in self._single:
            covering.append(self._single[episode])
        if covering:
            return f"run {self._runs[min(covering)].run_id} of {episode}"
        backfill = next((it for it, names in self._backfills if _includes(it, names, episode)), None)
        return f"backfill {backfill.backfill_id} that includes {episode}" if backfill is not None else ""

    def _range(self, run: dg.DagsterRun) -> range | None:
        first, last = run.tags.get(RANGE_START_TAG), run.tags.get(RANGE_END_TAG)
        if first is None or last is None:
            return None
        if first not in self._places or last not in self._places:
            return range(len(self._places))  # a range whose ends are gone may be any
        return range(self._places[first], self._places[last] + 1)


def _includes(backfill: PartitionBackfill, names: Collection[str] | None, episode: str) -> bool:
    """A backfill that does not tell what it includes includes all."""
    if names is not None:
        return episode in names
    if backfill.asset_backfill_data is None:
        return True
    target = backfill.asset_backfill_data.target_subset
    return any(AssetKeyPartitionKey(key, episode) in target for key in target.partitions_subsets_by_asset_key)


def _belongs(settings: Settings, project: str | None, assets: Collection[dg.AssetKey]) -> bool:
    if project is not None:
        return project == partitions_name(settings)
    return not assets or any(list(key.path[:-1]) == location_prefix(settings) for key in assets)
