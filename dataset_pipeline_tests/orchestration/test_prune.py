"""Which episodes can be taken out, and what is left of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.orchestration.prune import gone_episodes, prune
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

STARTED = dg.DagsterRunStatus.STARTED


@dataclass
class Project:
    root: Path
    settings: Settings
    instance: dg.DagsterInstance

    @property
    def store(self) -> Store:
        return Store(self.settings.store.root)

    @property
    def registered(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(partitions_name(self.settings)))

    @property
    def gone(self) -> list[str]:
        return gone_episodes(self.settings, self.store, self.instance)

    def prune(self, *episodes: str) -> Any:
        return prune(self.instance, self.store, self.settings, list(episodes) or None)

    def start(self, job: str = "measure_episode", **tags: str) -> dg.DagsterRun:
        tags = {f"dagster/{name}": value for name, value in tags.items()}
        return create_run_for_test(self.instance, job, status=STARTED, tags=tags)


@pytest.fixture
def project(tmp_path: Path):
    """show.e01 to show.e04 and other.e01 in the root, measured as far as video_probe."""
    root = tmp_path / "episodes"
    for name in ("Show/01", "Show/02", "Show/03", "Show/04", "Other/01"):
        path = root / f"{name}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x1a\x45\xdf\xa3" + name.encode())
    (tmp_path / "settings.toml").write_text("")
    places = {"episodes__roots": [str(root)], "store__root": str(tmp_path / "store")}
    with dg.DagsterInstance.ephemeral() as instance:
        project = Project(root, load_settings(tmp_path / "settings.toml", **places), instance)
        sources = sorted(find_sources([root]).sources, key=lambda source: source.key)
        register(instance, project.store, project.settings, sources)
        for source in sources:
            project.store.write("video_probe", SCHEMAS["video_probe"].empty(), source.key)
        yield project


def test_an_episode_is_taken_out_of_store_and_partitions_and_its_file_stays(project):
    pruned = project.prune("show.e02", "show.e02")
    assert (pruned.removed, pruned.refused) == (["show.e02"], {})
    assert project.registered == ["other.e01", "show.e01", "show.e03", "show.e04"]
    assert project.store.episodes("video") == project.store.episodes("video_probe") == project.registered
    assert (project.root / "Show" / "02.mkv").exists()


def test_unknown_episodes_are_refused_by_name(project):
    pruned = project.prune("show.e09", "../x", "show.e01")
    assert pruned.removed == ["show.e01"]
    assert pruned.refused["show.e09"] == "show.e09 is no episode of this project"
    assert "../x" in pruned.refused


def test_without_names_just_those_whose_source_is_gone_are_taken_out(project):
    (project.root / "Show" / "01.mkv").unlink()
    shutil.rmtree(project.root / "Other")
    assert project.gone == ["other.e01", "show.e01"]
    assert project.prune().removed == ["other.e01", "show.e01"]
    assert project.prune().removed == []
    assert project.registered == ["show.e02", "show.e03", "show.e04"]


def test_nothing_is_gone_while_its_disk_may_be_away(project):
    shutil.move(project.root, project.root.with_name("away"))
    assert project.gone == []
    project.root.mkdir()
    assert project.gone == []
    (project.root / "lost+found").mkdir()
    (project.root / "README.txt").write_text("mount the disk here")
    assert project.gone == []
    (project.root / "Show").mkdir()
    shutil.move(project.root.with_name("away") / "Other", project.root / "Other")
    assert project.gone == []  # the folder of the show is empty: it may be a disk of its own
    (project.root / "Show").rmdir()
    assert project.gone == ["show.e01", "show.e02", "show.e03", "show.e04"]


def test_a_source_from_outside_the_roots_is_gone_only_if_its_own_folder_tells(project, tmp_path):
    path = tmp_path / "stick" / "Show" / "07.mkv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x1a\x45\xdf\xa3")
    register(project.instance, project.store, project.settings, find_sources([path]).sources)
    shutil.rmtree(tmp_path / "stick")
    assert project.gone == []
    path.parent.mkdir(parents=True)
    assert project.gone == []
    (path.parent / "08.mkv").touch()
    assert project.gone == ["show.e07"]


def test_a_folder_that_cannot_be_listed_keeps_its_episodes(project, monkeypatch):
    (project.root / "Show" / "01.mkv").unlink()

    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    assert project.gone == []


@pytest.mark.parametrize(
    "tags",
    [
        {"partition": "show.e02"},
        {"asset_partition_range_start": "show.e01", "asset_partition_range_end": "show.e03"},
        {"asset_partition_range_start": "show.e00", "asset_partition_range_end": "show.e03"},  # an end that is gone
    ],
)
def test_an_episode_with_a_run_that_is_not_finished_is_refused(project, tags):
    run = project.start(**tags)
    pruned = project.prune("show.e02", "other.e01")
    assert pruned.refused == {"show.e02": f"run {run.run_id} of show.e02 is not finished: wait for it or cancel it"} | (
        {"other.e01": pruned.refused["other.e01"]} if "show.e00" in tags.values() else {}
    )
    project.instance.report_run_canceled(run)
    assert "show.e02" in project.prune("show.e02").removed


def test_runs_of_others_are_in_nobodys_way(project):
    project.start(partition="show.e01")
    project.start(asset_partition_range_start="show.e03", asset_partition_range_end="show.e04")
    project.start(job="rebuild_set")
    create_run_for_test(
        project.instance,
        "measure_episode",
        status=STARTED,
        tags={"dagster/partition": "show.e02", "dataset_pipeline/project": "episodes_demo"},
    )
    create_run_for_test(
        project.instance,
        "anything",
        status=STARTED,
        tags={"dagster/partition": "show.e02"},
        asset_selection=frozenset([dg.AssetKey(["demo", "video_probe"])]),
    )
    assert project.prune("show.e02").removed == ["show.e02"]


def backfill_of(project: Project, episodes: list[str], status: BulkActionStatus, key: str) -> PartitionBackfill:
    partitions = dg.DynamicPartitionsDefinition(name="episodes")
    graph = dg.Definitions(assets=[dg.AssetSpec(dg.AssetKey(key.split("/")), partitions_def=partitions)])
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=f"backfill-{status.value}",
        asset_graph=graph.resolve_asset_graph(),
        partition_names=episodes,
        asset_selection=[dg.AssetKey(key.split("/"))],
        backfill_timestamp=1_700_000_000.0,
        tags={},
        dynamic_partitions_store=project.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    assert isinstance(backfill.asset_backfill_data, AssetBackfillData)
    return backfill.with_status(status)


def test_an_episode_in_a_backfill_that_is_not_finished_is_refused(project):
    clusters = backfill_of(project, ["show.e01", "show.e02"], BulkActionStatus.REQUESTED, "clusters")
    project.instance.add_backfill(clusters)
    project.instance.add_backfill(backfill_of(project, ["show.e03"], BulkActionStatus.COMPLETED_SUCCESS, "clusters"))
    project.instance.add_backfill(backfill_of(project, ["show.e04"], BulkActionStatus.CANCELING, "demo/clusters"))
    pruned = project.prune("show.e02", "show.e03", "show.e04")
    assert pruned.removed == ["show.e03", "show.e04"]
    assert "backfill-REQUESTED that includes show.e02 is not finished" in pruned.refused["show.e02"]


def test_a_call_that_broke_off_finds_the_episode_again(project, monkeypatch):
    (project.root / "Show" / "01.mkv").unlink()

    def die(*_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(project.instance, "delete_dynamic_partition", die)
        with pytest.raises(KeyboardInterrupt):
            project.prune()
    assert project.store.pointer("video", "show.e01") is None
    assert project.gone == ["show.e01"]
    assert project.prune().removed == ["show.e01"]
    assert "show.e01" not in project.registered
