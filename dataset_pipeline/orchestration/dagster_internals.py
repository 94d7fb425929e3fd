"""Every name that Dagster keeps private and this package uses: what a new release of Dagster may take away stands here.

Each is used because nothing public does it; a test asserts that no other module reaches for one.
"""

from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData

FAILURE_PREFIX = "dagster._core.definitions.events.Failure: "  # of the message of a step that raised dg.Failure

__all__ = [
    "ASSET_EVENTS",
    "BULK_ACTION_TERMINAL_STATUSES",
    "FAILURE_PREFIX",
    "AssetKeyPartitionKey",
    "BulkActionStatus",
    "BulkActionsFilter",
    "ConfigurableClassData",
    "EventLogEntry",
    "PartitionBackfill",
    "SqlEventLogStorageTable",
    "SqliteEventLogStorage",
    "UnresolvedAssetJobDefinition",
]
