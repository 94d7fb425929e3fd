"""Connections to SQLite files that stay open from one question to the next.

Dagster opens a file anew for each question, asks it in words that SQLAlchemy puts together anew, and closes it, which
writes its journal back. All that takes several times as long as the answer.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

WAIT_S = 30  # for another process to let go of a file, as Dagster waits
MOST_FILES = 8  # open at a time: a file for each run, and the web server may read all of them


class KeptConnections:
    """One connection to each of the files last asked for, in the hands of one thread at a time.

    prepare: called once with the engine of each file that is opened. on_connect: statements for a new connection to a
    file, by its URL.
    """

    def __init__(
        self,
        prepare: Callable[[str, sa.Engine], None] = lambda url, engine: None,
        on_connect: Callable[[str], list[str]] = lambda url: [],
    ) -> None:
        self._prepare, self._on_connect = prepare, on_connect
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._turn = threading.RLock()
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        self._under_way: dict[str, sa.Connection] = {}

    @contextmanager
    def transaction(self, url: str) -> Iterator[sa.Connection]:
        """The connection to a file, whose changes are kept at the end unless an error is raised. Within another
        transaction on the file it is a part of that."""
        if os.getpid() != self._process:  # a fork must not touch what its parent has open
            self._begin_anew()
        with self._turn:
            if url in self._under_way:
                yield self._under_way[url]
                return
            with self._engine(url).begin() as connection:
                self._under_way[url] = connection
                try:
                    yield connection
                finally:
                    del self._under_way[url]

    def close(self) -> None:
        if os.getpid() == self._process:
            with self._turn:
                for engine in self._engines.values():
                    engine.dispose()
                self._engines.clear()

    def _engine(self, url: str) -> sa.Engine:
        if url in self._engines:
            self._engines.move_to_end(url)
            return self._engines[url]
        arguments = {"timeout": WAIT_S, "check_same_thread": False}
        engine = sa.create_engine(url, poolclass=StaticPool, connect_args=arguments)

        @event.listens_for(engine, "connect")
        def set_up(connection: sa.engine.interfaces.DBAPIConnection, record: sa.pool.ConnectionPoolEntry) -> None:
            for statement in self._on_connect(url):
                connection.cursor().execute(statement)

        self._prepare(url, engine)
        self._engines[url] = engine
        for oldest in [it for it in self._engines if it not in self._under_way][:-1][: len(self._engines) - MOST_FILES]:
            self._engines.pop(oldest).dispose()
        return engine
