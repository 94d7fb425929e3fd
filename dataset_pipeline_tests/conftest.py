"""How the tests are shared out between two processes."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
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


def _is_scenario(path: str) -> bool:
    return "/scenarios/" in path
