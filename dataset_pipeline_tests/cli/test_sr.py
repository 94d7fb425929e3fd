"""What `sr` prints of what it came to, and what stops it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from dataset_pipeline.cli import run, sr
from dataset_pipeline.cli.run import Ran
from dataset_pipeline.orchestration.runs import Outcome
from dataset_pipeline.reports.super_resolution import SrReport
from dataset_pipeline_tests.cli.project import Project

LADDER = "| best | tiles |\n| ---: | ---: |\n| 400 | 398 |"


def report(**changes: Any) -> SrReport:
    values: dict[str, Any] = {
        "folder": "/exports/show-sr-1a2b3c4d", "selected": 20, "pictures": {"kept": 5, "bars": 2},
        "tiles": {"selected": 20, "low_score": 4}, "sequences": {},
        "too_small": ["a.a/tiny"], "notes": {"ladder": LADDER}, "faults": [],
        "failures": [], "changed": "", "seconds": 3.0, "model_calls": {"quality.pictures": 24},
        "made_with_demo_models": False,
    }  # fmt: skip
    return SrReport(**values | changes)


def printed(monkeypatch: pytest.MonkeyPatch, shown: SrReport, **rejected: str) -> tuple[str, str]:
    pages = [io.StringIO(), io.StringIO()]
    for name, page in zip(("out", "err"), pages, strict=True):
        for module in (sr, run):
            monkeypatch.setattr(module, name, Console(file=page, width=100, markup=False, emoji=False))
    sr.print_sr(shown, Ran(Outcome(), rejected, {}, [], []))
    return pages[0].getvalue(), pages[1].getvalue()


def test_a_report_tells_what_became_of_pictures_and_tiles_and_where_the_set_lies(monkeypatch: pytest.MonkeyPatch):
    told, warned = printed(monkeypatch, report(), **{"notes.txt": "is no video"})
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if line.count("│") == 4]
    assert cells == [
        ["pictures", "kept", "5"],
        ["pictures", "bars", "2"],
        ["tiles", "selected", "20"],
        ["tiles", "low_score", "4"],
    ]
    assert "The best so many tiles would be" in told
    assert "398" in told
    assert "24 tiles or pictures through models" in told
    assert told.endswith("The set of 20 tiles: /exports/show-sr-1a2b3c4d\n")
    assert "1 pictures are smaller than a tile, a.a/tiny the first" in warned
    assert "notes.txt: is no video" in warned


def test_a_run_without_a_set_names_the_step_that_failed(monkeypatch: pytest.MonkeyPatch):
    failure = {"asset": "sr_tiles", "episode": "a.a", "error": "no space"}
    told, warned = printed(monkeypatch, report(folder="", failures=[failure]))
    assert "sr_tiles failed for a.a: no space" in warned
    assert "No set was written" in warned
    assert "The set of" not in told


def test_a_metric_that_there_is_not_stops_the_command_before_anything_is_done(project: Project):
    code, _, error = project.command("sr", str(project.root), "--metric", "beauty")
    assert code == 1
    assert "sr_selection.metric = 'beauty' is no metric that is known: quality, blockiness, " in " ".join(error.split())
    assert not (project.root / "store").exists()
    code, _, error = project.command("sr", str(project.root), "--metric", "hyperiqa")
    assert code == 1
    assert '[sr_selection] metric = "hyperiqa", for which its cut by score is meant' in " ".join(error.split())
    assert not (project.root / "store").exists()


def test_weights_that_are_missing_are_named_with_the_way_that_takes_none(project: Project):
    settings = project.root / "settings.toml"
    real = f'pack = "real"\ncache = {json.dumps(str(project.root / "nothing"))}'
    settings.write_text(settings.read_text().replace('pack = "demo"', real))
    code, _, error = project.command("sr", str(project.root))
    assert code == 1
    assert "quality" in error
    assert "--metric sharpness" in error
    assert "tagger" not in error
