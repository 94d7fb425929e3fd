"""Who may take which run."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dataset_pipeline.assets  # noqa: F401  (declares what there is)
from dataset_pipeline.base.host import host_name
from dataset_pipeline.cluster import fitness
from dataset_pipeline.cluster.fitness import agree_on_weights, faults, open_store
from dataset_pipeline.cluster.tags import (
    SETTINGS_TAG,
    STORE_TAG,
    VERSIONS_TAG,
    expectations,
    queue_of,
    settings_hash,
    versions,
)
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.settings import DEFAULTS, Settings, load_settings
from dataset_pipeline.store.files import StoreError
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "sources" / "show").mkdir(parents=True)
    made = changed(tmp_path)
    assert open_store(made) == []
    return made


def changed(folder: Path, **changes: Any) -> Settings:
    usual = {
        "models__pack": "demo",
        "models__device": "cpu",
        "episodes__roots": [str(folder / "sources")],
        "store__root": str(folder / "store"),
    }
    return load_settings(DEFAULTS, **(usual | changes))


def run_of(*assets: str, job: str = "__ASSET_JOB", **tags: str) -> dg.DagsterRun:
    keys = frozenset(dg.AssetKey(["demo", name]) for name in assets) or None
    return dg.DagsterRun(job_name=job, asset_selection=keys, tags=tags)


def test_runs_that_ask_models_go_to_the_gpu_and_joins_and_exports_to_the_head():
    assert queue_of(run_of("detections", "stills")) == "gpu"
    assert queue_of(run_of("reference_embeddings")) == "gpu"
    assert queue_of(run_of("training_set")) == "head"
    assert queue_of(run_of("tags", "selection")) == "head"
    assert queue_of(run_of("exported_set")) == "head"
    assert queue_of(run_of("character_gallery", "clusters", "tags", "training_set")) == "gpu"
    assert queue_of(run_of("status")) == "head"
    assert queue_of(run_of("keyframes")) == "gpu"
    assert queue_of(run_of(job="measure_episode")) == "gpu"
    assert queue_of(run_of(job="export")) == "head"
    assert queue_of(run_of("training_set", **{"dagster-celery/queue": "gpu"})) == "gpu"


def test_a_machine_that_sees_sources_store_and_weights_is_fit(settings: Settings):
    assert faults(settings, asks_models=True) == []


def test_a_machine_without_the_sources_is_not(settings: Settings, tmp_path: Path):
    (tmp_path / "sources" / "show").rmdir()
    assert faults(settings, asks_models=False) == []  # nothing is known to lie there
    store_of(settings).write("video", SCHEMAS["video"].table([]), "show.e1")
    [told] = faults(settings, asks_models=False)
    assert f"{tmp_path / 'sources'} is empty on " in told
    (tmp_path / "sources").rmdir()
    [told] = faults(settings, asks_models=False)
    assert "cannot be read (No such file" in told


@pytest.mark.parametrize("tags", [{}, {STORE_TAG: "0" * 12}])
def test_a_store_that_cannot_be_used_is_told(tmp_path: Path, tags: dict[str, str]):
    (tmp_path / "drive").write_text("a file where a drive was mounted")
    settings = changed(tmp_path, store__root=str(tmp_path / "drive" / "store"))
    for told in (faults(settings, asks_models=True, tags=tags), open_store(settings)):
        [fault] = told
        assert fault.startswith("the store cannot be used: ")
        assert str(tmp_path / "drive") in fault


def test_an_empty_folder_where_the_store_should_be_is_refused_and_left_as_it_is(settings: Settings, tmp_path: Path):
    shutil.rmtree(tmp_path / "store")
    [told] = faults(settings, asks_models=True)
    assert f"{tmp_path / 'store'}, its store, is none that machines share: its drive is not mounted" in told
    assert not (tmp_path / "store").exists()


def test_a_store_that_is_not_safe_under_several_writers_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def unsafe(store: Store) -> None:
        raise StoreError("the server of the bucket ignores conditions")

    monkeypatch.setattr(Store, "check_conditions", unsafe)
    [told] = faults(settings, asks_models=False)
    assert "ignores conditions" in told


def test_each_look_tries_whether_the_store_can_be_written(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    assert faults(settings, asks_models=False) == []
    assert (store_of(settings).agreed("last.look") or {})["machine"] == host_name()

    def full(store: Store, name: str, told: dict) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Store, "replace_agreed", full)
    [told] = faults(settings, asks_models=False)
    assert "the store cannot be used: [Errno 28] No space left on device" in told


def test_roots_that_cannot_be_understood_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATASET_PIPELINE_ROOTS", "nonsense")
    [told] = faults(settings, asks_models=False)
    assert told.startswith("the sources cannot be used: ")
    assert "DATASET_PIPELINE_ROOTS" in told


def test_a_gpu_that_was_asked_for_and_is_not_there_is_told(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dataset_pipeline.models.device.torch_cuda_problem", lambda index: f"there is no GPU {index}")
    [told] = faults(changed(tmp_path, models__device="cuda:9"), asks_models=True)
    assert "cuda:9" in told
    assert "there is no GPU 9" in told
    assert faults(changed(tmp_path, models__device="cuda:9"), asks_models=False) == []


def test_other_weights_than_the_clusters_are_refused_until_a_person_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    assert faults(settings, asks_models=True) == []
    known = fitness.known_weights
    monkeypatch.setattr(fitness, "known_weights", lambda resources: known(resources) | {"detector": "others"})
    [told] = faults(settings, asks_models=True)
    assert "the weights of the detector are not those of the cluster" in told
    assert agree_on_weights(settings, anew=True) == []
    assert faults(settings, asks_models=True) == []


def test_a_drive_that_hangs_is_told_in_time(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitness, "PATIENCE_S", 0.05)
    monkeypatch.setattr(fitness, "_store_faults", lambda settings, expected: [])
    monkeypatch.setattr(fitness, "root_fault", lambda root: time.sleep(0.5) or "")
    assert faults(settings, asks_models=False) == ["the sources did not answer within 0 s"]


def test_a_machine_that_has_what_the_head_has_takes_the_run(settings: Settings):
    assert faults(settings, asks_models=False, tags=expectations(settings)) == []


def test_other_settings_other_code_and_another_store_are_told_apart(settings: Settings, tmp_path: Path):
    tags = expectations(settings)
    [told] = faults(settings, True, tags | {SETTINGS_TAG: "0" * 12})
    assert "its settings are not those of the head" in told
    [told] = faults(settings, True, tags | {VERSIONS_TAG: "dataset-pipeline 9.9"})
    assert "the head has dataset-pipeline 9.9" in told
    assert versions() in told
    mine = changed(tmp_path, store__root=str(tmp_path / "mine"))
    assert open_store(mine) == []
    [told] = faults(mine, True, tags)
    assert f"{tmp_path / 'mine'}, its store, is not the store of the head" in told


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"crops__person_min_side_px": 77}, True),
        ({"models__pack": "real"}, True),
        ({"models__quality": "hyperiqa"}, True),
        ({"models__pose": "other"}, True),
        ({"models__device": "cuda"}, False),
        ({"models__batch_size": 3}, False),
        ({"models__keep_loaded": 2}, False),
        ({"store__root": "elsewhere"}, False),
        ({"episodes__roots": ["elsewhere"]}, True),
        ({"cluster__silent_s": 9.0}, False),
    ],
)
def test_settings_differ_by_what_decides_a_result_and_by_the_names_of_roots(
    settings: Settings, tmp_path: Path, changes: dict, counts: bool
):
    assert (settings_hash(changed(tmp_path, **changes)) != settings_hash(settings)) == counts
