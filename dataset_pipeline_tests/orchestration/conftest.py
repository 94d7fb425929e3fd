"""A project with a store in a folder and Dagster's history in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.store.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "settings.toml").write_text("")
    roots = {"store__root": str(tmp_path / "store"), "corrections__root": str(tmp_path / "corrections")}
    return load_settings(tmp_path / "settings.toml", **roots)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store.root)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
