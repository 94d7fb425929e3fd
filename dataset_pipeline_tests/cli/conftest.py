"""A project for the tests of commands; Dagster's databases are made once for all of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from dataset_pipeline_tests.cli.project import Project


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Dagster's history with its databases made, which takes a while."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_dynamic_partitions("episodes_demo")
        instance.get_asset_records([dg.AssetKey("video")])
    return home


@pytest.fixture
def project(tmp_path: Path, empty_home: Path) -> Project:
    shutil.copytree(empty_home, tmp_path / "dagster")
    (tmp_path / "settings.toml").write_text(
        f"""
        [episodes]
        roots = [{json.dumps(str(tmp_path / "episodes"))}]
        [models]
        pack = "demo"
        device = "cpu"
        [store]
        root = {json.dumps(str(tmp_path / "store"))}
        [exported_set]
        root = {json.dumps(str(tmp_path / "exports"))}
        """
    )
    return Project(tmp_path)
