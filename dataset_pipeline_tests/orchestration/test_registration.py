"""What the store and Dagster know of a source after it was registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg

from dataset_pipeline.orchestration import registration
from dataset_pipeline.orchestration.registration import (
    carry_over,
    found_event,
    owner_in,
    recorded,
    register,
    video_key,
    write_source,
)
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.project import EpisodesSettings
from dataset_pipeline.sources.arrival_plan import Recorded
from dataset_pipeline.sources.roots import ROOTS_VARIABLE
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline_tests.store.looks import intact


def source(tmp_path: Path, number: int = 1, fingerprint: str = "f1") -> Source:
    path = tmp_path / f"{number:02}.mkv"
    path.touch()
    return Source(f"show.e{number:02}", "show", f"e{number:02}", "Show", path.stem, path, "video", 5, 7, fingerprint)


def versions(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    records = instance.fetch_materializations(video_key(settings), limit=10, ascending=True).records
    events = [record.asset_materialization for record in records]
    return [event.tags["dagster/data_version"] for event in events if event and event.tags]


def test_registering_adds_partition_row_and_version_once(instance, store, settings, tmp_path):
    first = source(tmp_path)
    assert register(instance, store, settings, [first, source(tmp_path, 2, "f2")]) == ["show.e01", "show.e02"]
    assert register(instance, store, settings, [first]) == []
    assert instance.get_dynamic_partitions("episodes") == ["show.e01", "show.e02"]
    assert versions(instance, settings) == ["f1", "f2"]
    [row] = store.read("video", "show.e01").to_pylist()
    assert row["show_title"] == "Show"
    assert store.pointer("video", "show.e01").provenance.to_json() == {
        "path": str(first.path),
        "mtime_ns": 7,
        "fingerprint": "f1",
    }


def test_a_changed_source_is_reported_and_a_moved_one_only_written(instance, store, settings, tmp_path):
    register(instance, store, settings, [source(tmp_path)])
    assert register(instance, store, settings, [source(tmp_path, fingerprint="f2")]) == ["show.e01"]
    moved = replace(source(tmp_path, fingerprint="f2"), path=tmp_path / "elsewhere.mkv")
    assert register(instance, store, settings, [moved]) == []
    assert versions(instance, settings) == ["f1", "f2"]
    assert recorded(instance, store, settings, ["show.e01"]) == {"show.e01": Recorded("f2", str(moved.path), "")}


def test_a_source_written_before_a_crash_is_still_reported(instance, store, settings, tmp_path):
    register(instance, store, settings, [source(tmp_path)])
    write_source(store, settings, source(tmp_path, fingerprint="f2"))  # and then the process died
    assert register(instance, store, settings, [source(tmp_path, fingerprint="f2")]) == ["show.e01"]
    assert versions(instance, settings) == ["f1", "f2"]


def test_a_damaged_pointer_is_written_and_reported_anew(instance, store, settings, tmp_path):
    register(instance, store, settings, [source(tmp_path)])
    (tmp_path / "store" / pointer_path("video", "show.e01")).write_text("{")
    assert register(instance, store, settings, [source(tmp_path)]) == ["show.e01"]
    assert intact(store, "video", "show.e01")


def test_the_record_is_the_newest_event_and_names_the_run_it_was_for(instance, store, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(registration, "EVENTS_A_QUERY", 3)
    for fingerprint in ("f1", "f2", "f3"):
        for number in range(1, 8):
            event = found_event(settings, source(tmp_path, number, fingerprint), run_key=f"{number}/{fingerprint}")
            instance.report_runless_asset_event(event)
    keys = [f"show.e{number:02}" for number in range(1, 10)]
    found = recorded(instance, store, settings, keys)
    assert sorted(found) == keys[:7]
    assert found["show.e04"] == Recorded("f3", str(tmp_path / "04.mkv"), "4/f3")


def test_projects_on_one_instance_keep_to_themselves(instance, store, settings, tmp_path):
    register(instance, store, settings, [source(tmp_path)])
    demo = settings.model_copy(update={"models": settings.models.model_copy(update={"pack": "demo"})})
    assert recorded(instance, store, demo, ["show.e01"]) == {}
    assert instance.get_dynamic_partitions("episodes_demo") == []


def test_an_owner_is_known_as_long_as_its_file_is_there(store, settings, tmp_path):
    write_source(store, settings, source(tmp_path))
    owner_of = owner_in(store, settings)
    assert owner_of("show.e01") == tmp_path / "01.mkv"
    assert owner_of("show.e02") is None
    (tmp_path / "01.mkv").unlink()
    assert owner_of("show.e01") is None


def test_a_machine_with_its_roots_elsewhere_finds_the_sources_of_another_and_registers_nothing_anew(
    instance, store, settings, tmp_path, monkeypatch
):
    settings = settings.model_copy(update={"episodes": EpisodesSettings(roots=[str(tmp_path / "there")])})
    (tmp_path / "there").mkdir()
    found = source(tmp_path / "there")
    assert register(instance, store, settings, [found]) == ["show.e01"]
    (tmp_path / "there").rename(tmp_path / "here")
    monkeypatch.setenv(ROOTS_VARIABLE, f"{tmp_path / 'there'}={tmp_path / 'here'}")
    moved = replace(found, path=tmp_path / "here" / "01.mkv")
    assert owner_in(store, settings)("show.e01") == moved.path
    assert recorded(instance, store, settings, ["show.e01"])["show.e01"].path == str(moved.path)
    carried = carry_over(instance, store, settings, [moved])
    assert (carried.sources, carried.notes) == ([moved], [])
    assert register(instance, store, settings, carried.sources) == []
