"""How the tests are shared out between two processes, and what makes Dagster's history cheap in them."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
from functools import lru_cache
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores gain nothing from more
# Containers often forbid it; each of the processes that tests start would compile the libraries again, for 20 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


class ByFile(LoadScopeScheduling):
    """A file's tests stay in one process, as do all scenarios, which share what they are made from."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "scenarios" if _is_scenario(path) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process ends long after the other."""
    items.sort(key=lambda item: not _is_scenario(item.nodeid))


def pytest_collection_finish() -> None:
    """What is imported by now is there to stay, and is looked at in no later collection of garbage. Dagster's log makes
    an engine for each of its thousands of connections, which compiles every statement anew."""
    gc.collect()
    gc.freeze()
    made = lru_cache(64)(lambda url, **options: create_engine(url, connect_args={"timeout": 30}, **options))
    if log := sys.modules.get("dagster._core.storage.event_log.sqlite.sqlite_event_log"):
        vars(log)["create_engine"] = lambda url, connect_args=None, **options: made(url, **options)


@event.listens_for(Engine, "connect")
def _no_wait_for_the_disk(connection: Any, _: object) -> None:
    """At each commit of each event: no test pulls the plug."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def _is_scenario(path: str) -> bool:
    return "/scenarios/" in path
