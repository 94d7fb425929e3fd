"""How the tests are shared out between two processes."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores gain nothing from more


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay in one process, as do all that read the finished show; these begin, being the longest."""
    of_finished = {item for item in items if "finished" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("finished" if item in of_finished else item.path.name))
    items.sort(key=lambda item: item not in of_finished)
