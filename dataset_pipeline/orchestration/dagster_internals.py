"""Every name that Dagster keeps private and this package uses: what a new release of Dagster may take away stands here.

Each is used because nothing public does it; a test asserts that no other module reaches for one.
"""

import sys
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph as AssetGraph
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.partitions.subset.default import DefaultPartitionsSubset
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.storage import local_compute_log_manager
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._serdes import ConfigurableClassData
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer
from dagster._utils.concurrency import ConcurrencyClaimStatus
from dagster._utils.interrupts import capture_interrupts
from sqlalchemy import Connection, Engine

from dataset_pipeline.orchestration.printed import printed_into

# Dagster starts four processes for each run to copy what it prints, two of which Ctrl-C stops with a traceback.
setattr(local_compute_log_manager, "mirror_stream_to_file", printed_into)  # noqa: B010

# A changed threshold is a backfill, and so is `run --submit`; each waits for two looks of the daemon, which cost a
# query each. Dagster's half a minute between them cannot be configured.
BACKFILL_LOOK_S = 4
if _daemon := sys.modules.get("dagster._daemon.controller"):  # the daemon has it loaded before it opens the instance
    vars(_daemon)["DEFAULT_DAEMON_INTERVAL_SECONDS"] = BACKFILL_LOOK_S


class OpenEventLog(SqlEventLogStorage):
    """Dagster's event log in a database, with what it keeps private of storing an event and of who it belongs to."""

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    def row_of(self, event: EventLogEntry) -> dict[str, Any]:
        """The event as a row of the log, and of the index."""
        return self._event_to_row(event)

    def write_asset_tags(self, connection: Any, events: Sequence[EventLogEntry], numbers: Sequence[int]) -> None:
        """Into the index. numbers: of the events' rows."""
        self._store_asset_event_tags(connection, events, numbers)

    def write_asset(self, connection: Any, event: EventLogEntry, number: int) -> None:
        """The newest event of an asset, into the asset's row of the index."""
        self._store_asset_event(connection, event, number)


class SqliteEventLog(SqliteEventLogStorage):
    """Dagster's event log in SQLite, with the folder that it lies in, and files opened by who inherits from it."""

    INDEX = INDEX_SHARD_NAME  # the file of all runs; the others bear the name of their run

    @property
    def folder(self) -> Path:
        return Path(self._base_dir)

    def url_of(self, file: str) -> str:
        return self.conn_string_for_shard(file)

    @abstractmethod
    def connected(self, file: str) -> AbstractContextManager[Connection]:
        """A transaction on one of the files."""

    def make_tables(self, engine: Engine) -> None:
        """In a file that was just opened, unless they are there."""
        self._initdb(engine)

    def _connect(self, shard: str) -> AbstractContextManager[Connection]:
        return self.connected(shard)


def instance_of(part: Any) -> dg.DagsterInstance:
    """The instance that a launcher or a coordinator of runs belongs to."""
    return part._instance


def backfill_of(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    partitions: Sequence[str],
    tags: Mapping[str, str],
    title: str,
) -> PartitionBackfill:
    """One run of the assets for each partition, to be added to the instance; the daemon starts them."""
    return PartitionBackfill.from_asset_partitions(
        backfill_id=uuid.uuid4().hex[:8],
        asset_graph=defs.resolve_asset_graph(),
        partition_names=partitions,
        asset_selection=assets,
        backfill_timestamp=time.time(),
        tags=tags,
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=None,
        run_config=None,
    )


def request_runs_by(
    choose: Callable[
        [AssetGraph, AbstractSet[dg.AssetKey], Sequence[EntitySubset], Callable[[dg.AssetKey], Sequence[str]]],
        tuple[list[dg.RunRequest], list[EntitySubset]],
    ],
) -> None:
    """Have each tick of automation ask for the runs that `choose` gives, and go Dagster's way with what that leaves.
    It is told the graph, the assets looked at, what is asked for, and of an asset all partitions in their order."""
    others_of = AutomationTickEvaluationContext._build_run_requests

    def requests(self: AutomationTickEvaluationContext, asked: Sequence[EntitySubset]) -> Sequence[dg.RunRequest]:
        evaluator, graph = self._evaluator, self.asset_graph
        keys = {key for key in evaluator.entity_keys if isinstance(key, dg.AssetKey)}

        def partitions(key: dg.AssetKey) -> Sequence[str]:
            partitions_def = graph.get(key).partitions_def
            queryer = evaluator.instance_queryer
            return partitions_def.get_partition_keys(dynamic_partitions_store=queryer) if partitions_def else ()

        runs, rest = choose(graph, keys, asked, partitions)
        tagged = [run._replace(tags={**self._materialize_run_tags, **run.tags}) for run in runs]
        return [*tagged, *others_of(self, rest)]

    setattr(AutomationTickEvaluationContext, "_build_run_requests", requests)  # noqa: B010


def tell_runs_of_all_updates() -> None:
    """Have conditions about the runs behind updates see all that a condition asked before them on the tick sees, as
    `newly_updated() & all_new_updates_have_run_tags()` does in that order. Dagster's own look no further than to where
    the tick began, so that an update made since then would be one by no run."""
    told = CachingInstanceQueryer.get_asset_materializations_updated_after_cursor

    def updates(self: Any, asset_key: dg.AssetKey, after_cursor: int, before_cursor: int | None = None) -> Any:
        return told(self, asset_key=asset_key, after_cursor=after_cursor)

    setattr(CachingInstanceQueryer, "get_asset_materializations_updated_after_cursor", updates)  # noqa: B010


def skip_empty_subsets() -> None:
    """Have a tick write down at once that a part of a condition holds for no partition, which is so of five in six:
    Dagster looks all partitions up for each, a quarter of a tick over a thousand episodes."""
    ranges_of = DefaultPartitionsSubset.get_partition_key_ranges

    def ranges(
        self: DefaultPartitionsSubset, partitions_def: dg.PartitionsDefinition
    ) -> Sequence[dg.PartitionKeyRange]:
        return ranges_of(self, partitions_def) if self.subset else []

    setattr(DefaultPartitionsSubset, "get_partition_key_ranges", ranges)  # noqa: B010


def at_home(context: dg.AutomationContext) -> dg.AutomationContext:
    """The context of a condition over all partitions of its asset, with what that asset remembers of the tick before,
    and not what the asset does from whose condition this one is asked."""
    memory = context._full_cursor.get_previous_condition_cursor(context.key)
    everything = context.asset_graph_view.get_full_subset(key=context.key)
    return replace(context, candidate_subset=everything, parent_context=None, _cursor=memory)


def keep_subsets(job: dg.JobDefinition) -> None:
    """Have a job keep, for each selection of assets, what its runs in this process are made from. Dagster makes it anew
    for every run, and with it the snapshot that it writes, which of a small run is a tenth."""
    if "as_ephemeral_job" in vars(job):
        return
    subset_of, made = job.as_ephemeral_job, dict[frozenset[dg.AssetKey], dg.JobDefinition]()

    def kept(
        resource_defs: Mapping[str, dg.ResourceDefinition],
        input_values: Mapping[str, object],
        op_selection: Sequence[str] | None = None,
        asset_selection: Sequence[dg.AssetKey] | None = None,
    ) -> dg.JobDefinition:
        if resource_defs or input_values or op_selection:
            return subset_of(resource_defs, input_values, op_selection, asset_selection)
        key = frozenset(asset_selection or ())
        if key not in made:
            made[key] = subset_of({}, {}, None, asset_selection)
        return made[key]

    vars(job)["as_ephemeral_job"] = kept


def execute_run(run_id: str, instance: dg.DagsterInstance) -> None:
    """Carry a run that was launched, in this process, by definitions read anew. What becomes of it, errors too, stands
    in the run's own log."""
    from dagster._cli.api import _execute_run_command_body
    from dagster._core.definitions.reconstruct import ReconstructableJob

    ReconstructableJob.get_definition.cache_clear()  # type: ignore[attr-defined]
    ReconstructableJob.get_repository_definition.cache_clear()  # type: ignore[attr-defined]
    _execute_run_command_body(run_id, instance, lambda event: None, False)


FAILURE_PREFIX = "dagster._core.definitions.events.Failure: "  # of the message of a step that raised dg.Failure

__all__ = [
    "ASSET_EVENTS",
    "BULK_ACTION_TERMINAL_STATUSES",
    "FAILURE_PREFIX",
    "AssetGraph",
    "AssetKeyPartitionKey",
    "BulkActionStatus",
    "BulkActionsFilter",
    "CheckRunHealthResult",
    "ConcurrencyClaimStatus",
    "ConfigurableClassData",
    "EntitySubset",
    "EventLogEntry",
    "LaunchRunContext",
    "OpenEventLog",
    "PartitionBackfill",
    "QueuedRunCoordinator",
    "SqlEventLogStorageTable",
    "SqliteEventLog",
    "SqliteRunStorage",
    "SubmitRunContext",
    "UnresolvedAssetJobDefinition",
    "WorkerStatus",
    "at_home",
    "backfill_of",
    "capture_interrupts",
    "execute_run",
    "instance_of",
    "keep_subsets",
    "raise_execution_interrupts",
    "request_runs_by",
    "skip_empty_subsets",
    "tell_runs_of_all_updates",
]
