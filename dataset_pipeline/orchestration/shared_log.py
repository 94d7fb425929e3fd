"""What Dagster's event log lacks where several processes write one: the events of many episodes in one transaction, and
pools whose slots are claimed one at a time. Loaded by dagster.yaml, in every process that opens the instance.

Dagster hands over in batches what one run plans or makes of many partitions, where DAGSTER_EVENT_BATCH_SIZE says so;
its own logs then still store most of them one by one.

A step that takes its turn on the GPU claims a slot of a pool. Dagster looks for a free slot and queues the step in two
transactions: one freed in between is handed to nobody, and the step waits for ever. It also takes a slot in two
statements, so that two steps may hold one. Here both happen under a lock between processes.
"""

from __future__ import annotations

import logging
import os
import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

from dataset_pipeline.orchestration import noted, together
from dataset_pipeline.orchestration.dagster_internals import (
    ASSET_EVENTS,
    ConcurrencyClaimStatus,
    EventLogEntry,
    OpenEventLog,
    raise_execution_interrupts,
)

__all__ = ["SharedEventLog", "noted", "together"]  # loaded into the daemon
BATCH = "DAGSTER_EVENT_BATCH_SIZE"
os.environ.setdefault(BATCH, "500")
LOCK_WAIT_S = 60.0  # what is done under the lock takes milliseconds
LOOK_S = 0.25  # between two looks for a free slot
TOLD_AFTER_S = 60.0  # of waiting for a slot

log = logging.getLogger(__name__)


class SharedEventLog(OpenEventLog):
    """Comes before the class of Dagster's that stores the log."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting_since_s: dict[tuple[str, str], float] = {}

    @abstractmethod
    def pools_locked(self) -> AbstractContextManager[Any]:
        """Held by one of all processes that share the log; a killed one lets go. Raises after LOCK_WAIT_S."""

    @abstractmethod
    def store_asset_events(self, run_id: str, events: list[EventLogEntry]) -> None:
        """Store asset events of one run together."""

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """As Dagster's. A claim that is refused returns after LOOK_S: who made it asks again at once, and without
        resting. Runs of processes that are gone hold no slot."""
        with self.pools_locked():
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
        with self.pools_locked():
            super().free_concurrency_slot_for_step(run_id, step_key)

    def free_concurrency_slots_for_run(self, run_id: str) -> None:
        with self.pools_locked():
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
        for (run_id, of_assets), batch in groupby(events, key=_kind):
            if of_assets:
                self.store_asset_events(run_id, list(batch))
            else:
                for event in batch:
                    self.store_event(event)

    def write_index(self, connection: Any, events: Sequence[EventLogEntry], numbers: Sequence[int]) -> None:
        """The tags of asset events, and the newest event of each asset. numbers: of the events' rows."""
        self.write_asset_tags(connection, events, numbers)
        # The row of an asset holds its newest event of a kind, so only the last of each is of interest.
        newest = {_of_asset(event): (event, number) for event, number in zip(events, numbers, strict=True)}
        for _, (event, number) in sorted(newest.items()):  # in one order in all processes, so that none lock each other
            self.write_asset(connection, event, number)


def _kind(event: EventLogEntry) -> tuple[str, bool]:
    return event.run_id, event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS


def _of_asset(event: EventLogEntry) -> tuple[str, str]:
    found = event.get_dagster_event()
    assert found.asset_key is not None
    return found.asset_key.to_string(), found.event_type_value
