"""Connections to SQLite files that stay open from one question to the next.

Dagster opens a file anew for each question, asks it in words that SQLAlchemy puts together anew, and closes it, which
writes its journal back. All that takes several times as long as the answer.

Before a fork all files are closed. SQLite's table of the locks that a process holds would go to the child, which holds
none of them: a parent that closed its file would then delete the journal into which the child writes on.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

WAIT_S = 30  # for another process to let go of a file, as Dagster waits
MOST_FILES = 8  # open at a time: a file for each run, and the web server may read all of them

_forking = threading.RLock()
_all: WeakSet[KeptConnections] = WeakSet()
_held: list[KeptConnections] = []  # by the thread that forks


class _File(NamedTuple):
    engine: sa.Engine
    path: str
    identity: tuple[int, int] | None


class KeptConnections:
    """One connection to each of the files last asked for, in the hands of one thread at a time. A file that another
    process removed or replaced is opened anew. A thread must not fork within a transaction.

    prepare: called once with the engine of each file that is opened. on_connect: statements for a new connection to a
    file, by its URL.
    """

    def __init__(
        self,
        prepare: Callable[[str, sa.Engine], None] = lambda url, engine: None,
        on_connect: Callable[[str], list[str]] = lambda url: [],
    ) -> None:
        self._prepare, self._on_connect = prepare, on_connect
        self._turn = threading.RLock()
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._under_way: dict[str, sa.Connection] = {}
        with _forking:
            _all.add(self)

    @contextmanager
    def transaction(self, url: str) -> Iterator[sa.Connection]:
        """The connection to a file, whose changes are kept at the end unless an error is raised. Within another
        transaction on the file it is a part of that."""
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

    def is_under_way(self, url: str) -> bool:
        """Whether this thread is within a transaction on a file."""
        with self._turn:
            return url in self._under_way

    def close(self) -> None:
        with self._turn:
            for file in self._files.values():
                file.engine.dispose()
            self._files.clear()

    def hold(self) -> None:
        """Let no other thread open a file until `release`."""
        self._turn.acquire()

    def release(self) -> None:
        self._turn.release()

    def _engine(self, url: str) -> sa.Engine:
        if url in self._files:
            file = self._files[url]
            if file.identity is not None and file.identity == _identity(file.path):
                self._files.move_to_end(url)
                return file.engine
            self._files.pop(url).engine.dispose()
        arguments = {"timeout": WAIT_S, "check_same_thread": False}
        engine = sa.create_engine(url, poolclass=StaticPool, connect_args=arguments)

        @event.listens_for(engine, "connect")
        def set_up(connection: sa.engine.interfaces.DBAPIConnection, record: sa.pool.ConnectionPoolEntry) -> None:
            for statement in self._on_connect(url):
                connection.cursor().execute(statement)

        path = engine.url.database or ""
        try:
            self._prepare(url, engine)
            engine.connect().close()  # which makes the file, so that it can be told from another
        except BaseException:
            engine.dispose()
            raise
        self._files[url] = _File(engine, path, _identity(path))
        too_many = max(0, len(self._files) - MOST_FILES)
        for oldest in [it for it in self._files if it not in self._under_way][:-1][:too_many]:
            self._files.pop(oldest).engine.dispose()
        return engine


def _identity(path: str) -> tuple[int, int] | None:
    """Of the file that lies there; None if there is none."""
    with suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_all):
        connections.hold()
        _held.append(connections)
        connections.close()


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
