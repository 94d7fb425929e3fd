"""Dagster's event log in SQLite, with the events of many episodes written in one transaction, and pools that two
processes can share. Loaded by dagster.yaml, in every process that opens the instance.

Dagster hands over in batches what one run plans or makes of many partitions, where DAGSTER_EVENT_BATCH_SIZE says so;
its own SQLite log then still opens two databases and commits twice for each.

A step that takes its turn on the GPU claims a slot of a pool. Dagster looks for a free slot and queues the step in two
transactions: one freed in between is handed to nobody, and the step waits for ever. It also takes a slot in two
statements, so that two steps may hold one. Here both happen under a lock between processes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from dataset_pipeline.orchestration.dagster_internals import (
    ASSET_EVENTS,
    ConcurrencyClaimStatus,
    ConfigurableClassData,
    EventLogEntry,
    SqlEventLogStorageTable,
    SqliteEventLog,
    raise_execution_interrupts,
)

BATCH = "DAGSTER_EVENT_BATCH_SIZE"
os.environ.setdefault(BATCH, "500")
LOCK_WAIT_S = 60.0  # what is done under the lock takes milliseconds
LOOK_S = 0.25  # between two looks for a free slot
TOLD_AFTER_S = 60.0  # of waiting for a slot

log = logging.getLogger(__name__)


class BatchedSqliteEventLog(SqliteEventLog):
    """Holds what Dagster's own log in SQLite would hold, in the same files."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._pools_lock = FileLock(self.folder / "pools.lock", timeout=LOCK_WAIT_S)
        self._waiting_since_s: dict[tuple[str, str], float] = {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedSqliteEventLog:
        return cls(inst_data=inst_data, **config_value)

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """As Dagster's. A claim that is refused returns after LOOK_S: who made it asks again at once, and without
        resting. Runs of processes that are gone hold no slot."""
        with self._pools_lock:
            status = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
            if not status.is_assigned and self.has_unassigned_slots(concurrency_key):
                # Somebody was killed between freeing a slot and handing it on.
                self.assign_pending_steps([concurrency_key])
                status = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        if status.is_claimed:
            self._waiting_since_s.pop((run_id, step_key), None)
            return status
        from dataset_pipeline.orchestration.unfinished import free_slots_of_dead_runs

        free_slots_of_dead_runs(self.instance, [concurrency_key])
        self._tell_of_waiting(concurrency_key, run_id, step_key)
        with raise_execution_interrupts():  # between steps Dagster looks for none, and who waits could not be stopped
            time.sleep(LOOK_S)
        return status.with_sleep_interval(0.0)

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        with self._pools_lock:
            super().free_concurrency_slot_for_step(run_id, step_key)

    def free_concurrency_slots_for_run(self, run_id: str) -> None:
        with self._pools_lock:
            super().free_concurrency_slots_for_run(run_id)

    def _tell_of_waiting(self, pool: str, run_id: str, step_key: str) -> None:
        """Once for each step that waits longer than others are likely to work: for whom."""
        since_s = self._waiting_since_s.setdefault((run_id, step_key), time.monotonic())
        if time.monotonic() - since_s < TOLD_AFTER_S:
            return
        self._waiting_since_s[run_id, step_key] = float("inf")
        holders = {f"{slot.step_key} of run {slot.run_id}" for slot in self.get_concurrency_info(pool).claimed_slots}
        log.warning(
            "%s waits for its turn on the %s, which %s holds; cancel that run if nobody works on it",
            *(step_key, pool, " and ".join(sorted(holders)) or "nobody"),
        )

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
