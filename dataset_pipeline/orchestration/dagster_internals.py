"""Every name that Dagster keeps private and this package uses: what a new release of Dagster may take away stands here.

Each is used because nothing public does it; a test asserts that no other module reaches for one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey
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
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster._utils.concurrency import ConcurrencyClaimStatus


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
    """Dagster's event log in SQLite, with the folder that it lies in."""

    @property
    def folder(self) -> Path:
        return Path(self._base_dir)


FAILURE_PREFIX = "dagster._core.definitions.events.Failure: "  # of the message of a step that raised dg.Failure

__all__ = [
    "ASSET_EVENTS",
    "BULK_ACTION_TERMINAL_STATUSES",
    "FAILURE_PREFIX",
    "AssetKeyPartitionKey",
    "BulkActionStatus",
    "BulkActionsFilter",
    "ConcurrencyClaimStatus",
    "ConfigurableClassData",
    "EventLogEntry",
    "OpenEventLog",
    "PartitionBackfill",
    "SqlEventLogStorageTable",
    "SqliteEventLog",
    "UnresolvedAssetJobDefinition",
    "raise_execution_interrupts",
]
