"""Dagster's event log in SQLite, for the processes of one machine; see `shared_log`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from dataset_pipeline.orchestration.dagster_internals import (
    ConfigurableClassData,
    EventLogEntry,
    SqlEventLogStorageTable,
    SqliteEventLog,
)
from dataset_pipeline.orchestration.shared_log import LOCK_WAIT_S, SharedEventLog


class BatchedSqliteEventLog(SharedEventLog, SqliteEventLog):
    """Holds what Dagster's own log in SQLite would hold, in the same files, with two databases opened and two commits
    for many events."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._pools_lock = FileLock(self.folder / "pools.lock", timeout=LOCK_WAIT_S)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedSqliteEventLog:
        return cls(inst_data=inst_data, **config_value)

    def pools_locked(self) -> FileLock:
        return self._pools_lock

    def store_asset_events(self, run_id: str, events: list[EventLogEntry]) -> None:
        rows = [self.row_of(event) for event in events]
        insert = sa.insert(SqlEventLogStorageTable)
        with self.index_transaction() as connection:
            numbered = insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
            self.write_index(connection, events, connection.scalars(numbered, rows).all())
        # The run's own log last: only the index, which all processes write, may be locked for long, and what fails as a
        # batch Dagster stores again one by one.
        with self.run_connection(run_id) as connection:
            connection.execute(insert, rows)
