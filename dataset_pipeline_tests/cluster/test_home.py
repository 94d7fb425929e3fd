"""The instance that a cluster's machines open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_pipeline.cluster import home as homes
from dataset_pipeline.cluster.addresses import broker_fault, database_fault, without_password
from dataset_pipeline.cluster.home import EXTRA, QUEUE_TAG, ClusterError, cluster_home, instance_config
from dataset_pipeline.settings import DEFAULTS, Settings, SettingsError, load_settings

ADDRESSES = {"cluster__broker": "redis://head/0", "cluster__database": "postgresql://me:secret@head/dagster"}


def settings_of(**changes: object) -> Settings:
    return load_settings(DEFAULTS, **(ADDRESSES | changes))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(homes.importlib.util, "find_spec", lambda name: name)
    return tmp_path


def test_as_many_runs_go_at_once_as_the_cluster_has_slots():
    config = instance_config(settings_of(cluster__gpu_slots=5, cluster__head_slots=2).cluster, Path("home"))
    runs = config["concurrency"]["runs"]
    assert runs["max_concurrent_runs"] == 7
    assert {(it["key"], it["value"]): it["limit"] for it in runs["tag_concurrency_limits"]} == {
        (QUEUE_TAG, "gpu"): 5,
        (QUEUE_TAG, "head"): 2,
    }
    assert config["concurrency"]["pools"]["default_limit"] == 5


@pytest.mark.parametrize("silent_s", [2.0, 8.0, 30.0, 120.0])
def test_a_silent_worker_is_looked_for_often_enough(silent_s: float):
    config = instance_config(settings_of(cluster__silent_s=silent_s).cluster, Path("home"))
    assert 1 <= config["run_monitoring"]["poll_interval_seconds"] <= max(1, silent_s / 4)
    assert config["run_monitoring"]["start_timeout_seconds"] >= 3600


def test_the_home_is_written_once_and_again_when_the_settings_change(project: Path):
    path = cluster_home(settings_of()) / "dagster.yaml"
    assert path == project / ".dagster" / "cluster" / "dagster.yaml"
    first = path.stat().st_mtime_ns
    assert path.stat().st_mode & 0o077 == 0
    cluster_home(settings_of())
    assert path.stat().st_mtime_ns == first
    cluster_home(settings_of(cluster__silent_s=10.0))
    assert json.loads(path.read_text())["run_launcher"]["config"]["silent_s"] == 10.0
    assert [it.name for it in path.parent.iterdir()] == ["dagster.yaml"]


def test_the_database_is_spoken_to_by_the_driver_that_dagsters_sql_is_for(project: Path):
    config = json.loads((cluster_home(settings_of()) / "dagster.yaml").read_text())
    urls = {config[name]["config"]["postgres_url"] for name in config if name.endswith("_storage") and name[0] != "l"}
    assert urls == {"postgresql+psycopg2://me:secret@head/dagster"}


@pytest.mark.parametrize("missing", EXTRA)
def test_without_the_extra_the_command_that_installs_it_is_named(
    missing: str, project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(homes.importlib.util, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ClusterError, match="uv sync --extra cluster"):
        cluster_home(settings_of())


def test_without_addresses_it_is_said_where_they_belong(project: Path):
    with pytest.raises(ClusterError, match=r"settings\.local\.toml.*Several machines"):
        cluster_home(load_settings(DEFAULTS))


@pytest.mark.parametrize("left_out", ADDRESSES)
def test_broker_and_database_belong_together(left_out: str):
    with pytest.raises(SettingsError, match="belong together"):
        load_settings(DEFAULTS, **{name: url for name, url in ADDRESSES.items() if name != left_out})


def test_no_message_holds_a_password():
    assert without_password("postgresql://me:secret@head:5432/dagster") == "postgresql://head:5432/dagster"
    assert without_password("redis://:secret@head:6379/0") == "redis://head:6379/0"


def test_a_server_that_does_not_answer_is_named():
    pytest.importorskip("psycopg2")
    pytest.importorskip("redis")
    told = database_fault("postgresql://me:secret@127.0.0.1:1/dagster")
    assert "PostgreSQL at postgresql://127.0.0.1:1/dagster" in told
    assert "secret" not in told
    assert "Redis at redis://127.0.0.1:1/0" in broker_fault("redis://:secret@127.0.0.1:1/0")
