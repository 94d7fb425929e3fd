"""What is left of an episode that is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.looks import intact

ASSETS = ("video", "video_probe", "frame_embeddings", "frame_embeddings__measured")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    for asset in ASSETS:
        for episode in ("a.e01", "a.e02"):
            store.write(asset, SCHEMAS[asset.removesuffix("__measured")].empty(), episode)
    return store


def test_no_table_of_a_forgotten_episode_is_current_and_all_others_are(store):
    store.write("character_gallery", SCHEMAS["character_gallery"].empty())
    store.forget("a.e01")
    assert all(store.pointer(asset, "a.e01") is None for asset in ASSETS)
    assert all(store.episodes(asset) == ["a.e02"] for asset in ASSETS)
    assert store.pointer("character_gallery") is not None
    store.forget("a.e01")
    store.forget("never.known")


def test_files_of_a_forgotten_episode_are_left_to_clean_and_its_grace(store, tmp_path):
    picture = store.put_picture("distinct_frames", "a.e01", "a.e01/00000000", b"pixels", "png")
    store.forget("a.e01")
    assert store.read_picture(picture) == b"pixels"
    assert store.clean(grace_s=3600).size_bytes == 0
    cleaned = store.clean(grace_s=0)
    assert (cleaned.tables, cleaned.pictures) == (len(ASSETS), 1)
    assert not list((tmp_path / "video" / "a.e01").iterdir())
    assert store.read("video", "a.e02").num_rows == 0


def test_forgetting_ends_with_the_source_so_that_it_can_be_repeated(store, monkeypatch):
    removed = []
    monkeypatch.setattr(store._files, "remove", removed.append)
    store.forget("a.e01")
    assert removed[-1] == pointer_path("video", "a.e01")
    assert len(removed) == len(ASSETS)


def test_an_episode_written_anew_after_it_was_forgotten_is_current_again(store):
    store.forget("a.e01")
    assert store.write("video", SCHEMAS["video"].empty(), "a.e01").changed
    assert intact(store, "video", "a.e01")


def test_forgetting_everything_needs_a_key(store):
    with pytest.raises(ValueError, match="_all"):
        store.forget("_all")
