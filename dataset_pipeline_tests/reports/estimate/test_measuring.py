"""Which sources are measured, which stand for others, and whether the disk has room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataset_pipeline.reports.estimate.costs import Estimate
from dataset_pipeline.reports.estimate.passes import Cores, Spent
from dataset_pipeline.reports.estimate.scaling import Looks
from dataset_pipeline.reports.estimate.subjects import Subject, like, sampled, subjects_of
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.source import Source


def subject(key: str, seconds: float, codec: str = "h264", height: int = 720) -> Subject:
    source = Source(key, "s", key, "s", key, Path(f"{key}.mkv"), "video", 1, 1, "f")
    return Subject(source, seconds, (codec, height * 16 // 9, height))


def keys(subjects: list[Subject]) -> list[str]:
    return [it.source.key for it in subjects]


def test_one_of_each_kind_is_measured_those_with_most_to_do_first():
    short, long = subject("short", 10, height=1080), [subject(f"{number}", 100) for number in range(5)]
    chosen = sampled([short, *long])
    assert keys(chosen)[:2] == ["2", "short"]
    assert len(set(keys(chosen))) == 3


def test_a_source_is_stood_for_by_the_one_most_like_it():
    measured = [subject("hevc", 10, "hevc", 720), subject("small", 10, "h264", 480), subject("large", 10, "h264", 1080)]
    assert like(subject("x", 10, "hevc", 2160), measured).source.key == "hevc"
    assert like(subject("x", 10, "h264", 900), measured).source.key == "large"
    assert like(measured[1], measured) is measured[1]


def test_steps_are_told_as_if_models_had_seen_everything():
    looks = {("quality_scores", "a"): {"quality": Looks(6.0, 6.0, 2, 10)}, ("tags", "a"): {}}
    spent = Spent(20.0, {("quality_scores", "a"): 7.0, ("tags", "a"): 1.0}, looks)
    assert spent.each_s == {"quality": 3.0}
    whole = spent.as_if_all(spent.each_s)
    assert whole.steps == {("quality_scores", "a"): pytest.approx(31.0), ("tags", "a"): 1.0}
    assert whole.total_s == pytest.approx(44.0)


def test_the_seconds_of_a_core_are_read_between_two_notes():
    cores = Cores()
    cores.close()
    cores.at_s, cores.spent_s = [10.0, 20.0], [1.0, 6.0]
    assert cores.between(12.0, 16.0) == pytest.approx(2.0)


def test_places_on_one_disk_share_what_is_free():
    disks = {"store": "/a", "exports": "/a", "history": "/b"}
    disk_bytes = {"store": 60.0, "exports": 50.0, "history": 5.0}
    told = Estimate(1, 1, [], disk_bytes, {"/a": 100, "/b": 10}, {}, 1, [], {"disks": disks}, {}, 1)
    assert told.lacking_bytes == {"/a": 10.0}
    assert replace(told, free_bytes={"/a": 200, "/b": 10}).lacking_bytes == {}


def test_a_file_that_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "Show").mkdir()
    (tmp_path / "Show" / "Show - 01.mkv").write_text("no video")
    found, faults = subjects_of(find_sources([tmp_path]).sources)
    assert not found
    assert list(faults) == [str(tmp_path / "Show" / "Show - 01.mkv")]
    assert "cannot be opened" in next(iter(faults.values()))
