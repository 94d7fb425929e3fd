"""Dagster's event log in SQLite, with the events of many episodes written in one transaction.

Dagster hands over in batches what one run plans or makes of many partitions, where DAGSTER_EVENT_BATCH_SIZE says so;
its own SQLite log then still opens two databases and commits twice for each. Loaded by dagster.yaml, in every process
that opens the instance.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from dataset_pipeline.orchestration.dagster_internals import (
    ASSET_EVENTS,
    ConfigurableClassData,
    EventLogEntry,
    SqlEventLogStorageTable,
    SqliteEventLog,
)

BATCH = "DAGSTER_EVENT_BATCH_SIZE"
os.environ.setdefault(BATCH, "500")


class BatchedSqliteEventLog(SqliteEventLog):
    """Holds what Dagster's own log in SQLite would hold, in the same files."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedSqliteEventLog:
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        for (run_id, of_assets), together in groupby(events, key=_kind):
            if of_assets:
                self._store_asset_events(run_id, list(together))
            else:
                for event in together:
                    self.store_event(event)

    def _store_asset_events(self, run_id: str, events: list[EventLogEntry]) -> None:
        rows = [self.row_of(event) for event in events]
        insert = sa.insert(SqlEventLogStorageTable)
        with self.index_transaction() as connection:
            numbered = insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
            numbers = connection.scalars(numbered, rows).all()
            self.write_asset_tags(connection, events, numbers)
            # The row of an asset holds its newest event of a kind, so only the last of each is of interest.
            newest = {
                (row["asset_key"], row["dagster_event_type"]): (event, number)
                for row, event, number in zip(rows, events, numbers, strict=True)
            }
            for event, number in newest.values():
                self.write_asset(connection, event, number)
        # The run's own log last: only the index, which all processes write, may be locked for long, and what fails as a
        # batch Dagster stores again one by one.
        with self.run_connection(run_id) as connection:
            connection.execute(insert, rows)


def _kind(event: EventLogEntry) -> tuple[str, bool]:
    return event.run_id, event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS
