"""Dagster's event log in SQLite, for the processes of one machine; see `shared_log`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import groupby
from typing import Any, cast

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.pool import StaticPool

from dataset_pipeline.orchestration.dagster_internals import (
    ConfigurableClassData,
    EventLogEntry,
    SqlEventLogStorageTable,
    SqliteEventLog,
)
from dataset_pipeline.orchestration.kept_connections import KeptConnections
from dataset_pipeline.orchestration.shared_log import LOCK_WAIT_S, SharedEventLog


class BatchedSqliteEventLog(SharedEventLog, SqliteEventLog):
    """Holds what Dagster's own log in SQLite would hold, in the same files, which stay open between two events, with
    one commit to each of the two that an event goes into, and as many for a batch of events."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._connections = KeptConnections(self._prepare, self._on_connect)
        self._tables_of_a_run = ""  # as SQL
        self._known_tables: set[str] = set()
        super().__init__(base_dir, inst_data)
        self._pools_lock = FileLock(self.folder / "pools.lock", timeout=LOCK_WAIT_S)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedSqliteEventLog:
        return cls(inst_data=inst_data, **config_value)

    def pools_locked(self) -> FileLock:
        return self._pools_lock

    def connected(self, file: str) -> AbstractContextManager[sa.Connection]:
        return self._connections.transaction(self.url_of(file))

    def dispose(self) -> None:
        super().dispose()
        self._connections.close()

    def wipe(self) -> None:
        """As Dagster's. Other processes that have a run's file open make a new one at their next question. On Windows
        an open file cannot be removed: nothing else may have the history open there."""
        self._connections.close()
        super().wipe()

    def store_event(self, event: EventLogEntry) -> None:
        with self.index_connection():  # what Dagster does to the index one by one is one transaction
            super().store_event(event)
        self._tell_watchers(event.run_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        for run_id, together in groupby(events, key=lambda event: event.run_id):
            with self.run_connection(run_id), self.index_connection():
                super().store_event_batch(list(together))
            self._tell_watchers(run_id)

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

    def has_table(self, table_name: str) -> bool:
        """Dagster asks before each question, and a table that is there stays."""
        if table_name not in self._known_tables and super().has_table(table_name):
            self._known_tables.add(table_name)
        return table_name in self._known_tables

    def _tell_watchers(self, run_id: str) -> None:
        """The web server waits for a run's file to be written, which happens seldom while its journal is kept."""
        if self._connections.is_under_way(self.url_of(run_id)):  # nobody could read it yet
            return
        with suppress(OSError):
            os.utime(self.path_for_shard(run_id))

    def _prepare(self, url: str, engine: sa.Engine) -> None:
        """Make the tables of a file that has none, like those that Dagster makes once: it looks through all its
        migrations for that."""
        tables = sa.inspect(engine).get_table_names()
        if "alembic_version" in tables:  # the last that Dagster makes
            return
        if not tables:
            if not self._tables_of_a_run:
                self._tables_of_a_run = self._tables_as_sql()
            if _made(engine, self._tables_of_a_run):
                return
        self.make_tables(engine)

    def _tables_as_sql(self) -> str:
        """Made in memory, where no other process writes events between them."""
        engine = sa.create_engine("sqlite://", poolclass=StaticPool)
        try:
            self.make_tables(engine)
            with _raw(engine) as connection:
                return "\n".join(connection.iterdump())
        finally:
            engine.dispose()

    def _on_connect(self, url: str) -> list[str]:
        # What a power cut may take of a run's own log, its last lines, nobody goes by; they do by the index.
        return [] if url == self.url_of(self.INDEX) else ["PRAGMA synchronous=NORMAL"]


def _made(engine: sa.Engine, script: str) -> bool:
    """Whether what `script` makes could be made in a file; not if another process was there first."""
    with _raw(engine) as connection:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(script)
        except sqlite3.OperationalError:
            connection.rollback()
            return False
    return True


@contextmanager
def _raw(engine: sa.Engine) -> Iterator[sqlite3.Connection]:
    with engine.connect() as connection:
        yield cast(sqlite3.Connection, connection.connection.driver_connection)
