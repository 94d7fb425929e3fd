"""Dagster's event log in PostgreSQL, for the processes of several machines; see `shared_log`.

Needs `dagster-postgres`, and a URL of psycopg2 (`postgresql+psycopg2://`): what dagster-postgres sends with each event
is a syntax error to psycopg 3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import (
    create_pg_connection,
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
)

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.orchestration.dagster_internals import (
    ConfigurableClassData,
    EventLogEntry,
    SqlEventLogStorageTable,
)
from dataset_pipeline.orchestration.patience import patient
from dataset_pipeline.orchestration.shared_log import LOCK_WAIT_S, SharedEventLog

# A server that lost its power, or a firewall that forgot the connection, says nothing: found out within a minute.
LIVELY = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_ENGINES: WeakSet[sa.Engine] = WeakSet()
POOLS = int.from_bytes(b"pools")  # the number of the lock in the database


@patient
class BatchedPostgresEventLog(SharedEventLog, PostgresEventLogStorage):
    """Holds what Dagster's own log in PostgreSQL would hold, in the same tables, with two transactions for many events
    and one connection kept for all: Dagster opens one for each question, and asks several for each episode of a run.

    config: as Dagster's, with `postgres_url` or `postgres_db`.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        # Each is tried before it is used, as the server may have been started again since.
        kept: dict[str, Any] = {"pool_size": 1, "max_overflow": -1, "pool_pre_ping": True, "connect_args": LIVELY}
        self._engine_kept = create_pg_engine(postgres_url, token_provider, isolation_level="AUTOCOMMIT", **kept)
        _ENGINES.add(self._engine_kept)
        self._tables_there: set[str] = set()
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> BatchedPostgresEventLog:
        url = pg_url_from_config(config_value)
        if sa.make_url(url).get_driver_name() != "psycopg2":
            raise PermanentError(
                f"the URL of Dagster's event log asks for {sa.make_url(url).drivername}, with which dagster-postgres "
                "cannot write; begin it with postgresql+psycopg2://"
            )
        make_tables = config_value.get("should_autocreate_tables", True)
        return cls(url, make_tables, inst_data, get_token_provider_from_config(config_value))

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        return self.index_connection()

    def index_connection(self) -> AbstractContextManager[sa.Connection]:
        return create_pg_connection(self._engine_kept)

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables_there:
            with self.index_connection() as connection:
                if not sa.inspect(connection).has_table(table_name):
                    return False
            self._tables_there.add(table_name)
        return True

    def store_event(self, event: EventLogEntry) -> None:
        super(PostgresEventLogStorage, self).store_event(event)  # on the connection kept

    def dispose(self) -> None:
        super().dispose()
        self._engine_kept.dispose()

    @contextmanager
    def pools_locked(self) -> Iterator[None]:
        with self.index_transaction() as connection:  # whose end gives the lock back, and so does a killed process
            wait_ms = int(LOCK_WAIT_S * 1000)
            # A machine that loses its power says nothing; the server ends what such a one has left open.
            for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
                connection.execute(sa.text(f"SET LOCAL {setting} = {wait_ms}"))
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": POOLS})
            yield

    def store_asset_events(self, run_id: str, events: list[EventLogEntry]) -> None:
        rows = [self.row_of(event) for event in events]
        numbered = sa.insert(SqlEventLogStorageTable).returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        # Committed by itself: who reads the log by rising numbers passes over those that show up late, and the rows of
        # assets may be locked for a while.
        with self.index_transaction() as connection:
            numbers = connection.scalars(numbered, rows).all()
        with self.index_transaction() as connection:
            self.write_index(connection, events, numbers)


def _leave_connections_to_parent() -> None:
    for engine in _ENGINES:
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):  # two processes on one connection would read each other's answers
    os.register_at_fork(after_in_child=_leave_connections_to_parent)
