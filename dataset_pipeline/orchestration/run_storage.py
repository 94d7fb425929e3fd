"""Dagster's list of runs in SQLite, for the processes of one machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from dataset_pipeline.orchestration.dagster_internals import ConfigurableClassData, SqliteRunStorage
from dataset_pipeline.orchestration.kept_connections import KeptConnections


class KeptSqliteRunStorage(SqliteRunStorage):
    """Holds what Dagster's own would hold, in the same file, which stays open between two questions."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._connections = KeptConnections()
        self._url = conn_string
        super().__init__(conn_string, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> KeptSqliteRunStorage:
        return cls.from_local(inst_data=inst_data, **config_value)

    def connect(self) -> AbstractContextManager[sa.Connection]:
        return self._connections.transaction(self._url)

    def dispose(self) -> None:
        super().dispose()
        self._connections.close()
