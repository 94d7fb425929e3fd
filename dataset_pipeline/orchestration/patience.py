"""Dagster's storages in PostgreSQL that wait for their server while it is away: one that is started again costs no run
that is under way.

What is asked again may have been written just before the server ended. An event can then stand in the log twice, which
Dagster takes as once, and who adds a run or a backfill is told that it is there already.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException, pg_url_from_config
from sqlalchemy.exc import DBAPIError

from dataset_pipeline.orchestration.dagster_internals import ConfigurableClassData

PATIENCE_S = 90.0  # for a server that recovers what it had not yet written
TRY_S = 0.5

log = logging.getLogger(__name__)
Storage = TypeVar("Storage", bound=type)


class DatabaseAway(OSError):
    """The database has not answered for PATIENCE_S; the message says which."""


def patient(storage: Storage) -> Storage:
    """The class with each of its public methods tried again while the server is away."""
    for name, method in inspect.getmembers(storage, inspect.isfunction):
        if not name.startswith("_") and not isinstance(inspect.getattr_static(storage, name), staticmethod):
            setattr(storage, name, _patient(method))
    return storage


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(self: Any, *args: Any, **options: Any) -> Any:
        give_up_s = None
        while True:
            try:
                return method(self, *args, **options)
            except (DBAPIError, DagsterPostgresException) as error:
                if not _is_away(error):
                    raise
                now_s = time.monotonic()
                if give_up_s is None:
                    give_up_s = now_s + PATIENCE_S
                    log.warning("the database does not answer, %s waits for it: %s", method.__name__, error)
                if now_s > give_up_s:
                    where = sa.make_url(self.postgres_url).render_as_string()
                    raise DatabaseAway(f"the database at {where} has not answered for {PATIENCE_S:.0f} s") from error
                time.sleep(TRY_S)

    return asked


def _is_away(error: Exception) -> bool:
    """Whether the server ended a connection or took none; a lock or a statement may have timed out."""
    if isinstance(error, DagsterPostgresException):  # Dagster's word for connections that were refused several times
        return isinstance(error.__cause__, DBAPIError)
    return isinstance(error, DBAPIError) and error.connection_invalidated


@patient
class PatientRunStorage(PostgresRunStorage):
    """config: `postgres_url`, as Dagster's."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> PatientRunStorage:
        return cls(pg_url_from_config(config_value), inst_data=inst_data)


@patient
class PatientScheduleStorage(PostgresScheduleStorage):
    """config: `postgres_url`, as Dagster's."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> PatientScheduleStorage:
        return cls(pg_url_from_config(config_value), inst_data=inst_data)
