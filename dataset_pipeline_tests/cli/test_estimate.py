"""What `estimate` says where there is nothing to measure, and how it tells what it found."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from dataset_pipeline.cli import estimate
from dataset_pipeline.reports.estimate.costs import Estimate, Stage
from dataset_pipeline_tests.cli.project import Project


def test_a_folder_without_episodes_is_named(project: Project):
    (project.root / "empty").mkdir()
    code, _, said = project.command("estimate", str(project.root / "empty"))
    assert code == 1
    assert f"no episodes in {project.root / 'empty'}" in said


def test_a_file_that_no_excerpt_can_be_cut_from_is_named(project: Project):
    file = project.root / "Show - 01.mkv"
    file.write_text("no video")
    code, _, said = project.command("estimate", str(file), "--json")
    assert code == 1
    assert f"{file}: cannot be opened as a video" in said


def test_without_weights_it_says_how_to_get_them(project: Project):
    settings = project.root / "real.toml"
    settings.write_text(f"[models]\ncache = {json.dumps(str(project.root / 'weights'))}\n", encoding="utf-8")
    project.register("one")
    code, _, said = project.command(
        "estimate", str(project.root / "episodes"), "--models", "real", "--settings", str(settings)
    )
    assert code == 1
    assert "models pull" in said


def told(free: int) -> Estimate:
    stages = [Stage("shots", 90.0, 1e6, "seconds", 1440.0), Stage("start", 9.0, 0.0, "once", 1.0)]
    rests_on = {
        "took_s": 61.0,
        "windows": 12,
        "episodes": ["a.1"],
        "seconds_of_video": 96.0,
        "units": {"candidates": 40.0, "stills": 20.0},
        "looked_at": {"quality": 4},
        "disks": {"store": "/data", "exports": "/data"},
    }
    disk = {"store": 3e9, "exports": 1e9, "history": 2e6}
    return Estimate(99.0, 150.0, stages, disk, {"/data": free}, {}, 1, ["a.2"], rests_on, {"quality": "cpu"}, 2 * 10**9)


def test_it_tells_what_it_rests_on_and_where_room_is_lacking(monkeypatch: pytest.MonkeyPatch):
    page, warned = io.StringIO(), io.StringIO()
    monkeypatch.setattr(estimate, "out", Console(file=page, width=200, markup=False, emoji=False))
    monkeypatch.setattr(estimate, "err", Console(file=warned, width=200, markup=False, emoji=False))
    estimate.print_estimate(told(free=5 * 10**9))
    for words in (
        "1 episodes are done",
        "1 min 30 s",
        "1440 seconds",
        "for 61 s on 12 windows of 1 episodes",
        "quality 4",
        "cpu (quality)",
        "about 1 min 39 s (2 min 30 s of one core); 3.0 GB store, 1.0 GB exports, 2.0 MB history",
    ):
        assert words in page.getvalue()
    assert not warned.getvalue()
    estimate.print_estimate(told(free=3 * 10**9))
    assert "/data: 1.0 GB more than is free there" in warned.getvalue()
