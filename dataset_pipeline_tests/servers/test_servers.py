"""The servers that thorough tests start keep their data over a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline_tests.servers.postgresql import postgresql
from dataset_pipeline_tests.servers.redis import redis
from dataset_pipeline_tests.servers.server import INSTALL

pytestmark = pytest.mark.thorough


def test_what_postgresql_committed_is_there_after_a_kill():
    sqlalchemy = pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg2", reason=INSTALL)
    with postgresql() as server:
        for statement in ("create table kept (number integer)", "insert into kept values (7)"):
            with sqlalchemy.create_engine(server.url).begin() as connection:
                connection.execute(sqlalchemy.text(statement))
        server.kill()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            sqlalchemy.create_engine(server.url).connect()
        server.start()
        with sqlalchemy.create_engine(server.url).connect() as connection:
            assert connection.execute(sqlalchemy.text("select number from kept")).scalars().all() == [7]


def test_what_redis_was_told_is_there_after_a_kill(tmp_path: Path):
    client = pytest.importorskip("redis", reason=INSTALL)
    with redis(tmp_path) as server:
        client.from_url(server.url).lpush("queue", "run")
        server.kill()
        with pytest.raises(client.ConnectionError):
            client.from_url(server.url).ping()
        server.start()
        assert client.from_url(server.url).lrange("queue", 0, -1) == [b"run"]
