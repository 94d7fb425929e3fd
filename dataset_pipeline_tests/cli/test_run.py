"""What `run` prints of what it came to."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from dataset_pipeline.cli import run
from dataset_pipeline.reports.run_report import Report


def printed_on(monkeypatch: pytest.MonkeyPatch, console: str, width: int) -> io.StringIO:
    """Takes what is printed on a console, on a terminal so wide."""
    page = io.StringIO()
    monkeypatch.setattr(run, console, Console(file=page, width=width, markup=False, emoji=False))
    return page


def test_a_report_names_the_whole_concept(monkeypatch: pytest.MonkeyPatch):
    page = printed_on(monkeypatch, "out", 50)
    concept = "2_characters/" + "+".join(f"character_{number:02d}" for number in range(4))
    row = {"concept": concept, "images": 5, "probability": 0.5, "multiply": 1.0}
    run.print_report(Report([], {}, {}, [], {}, [], [row], "/set", False, 1.0), Path("sheet.jpg"), 2)
    column = "".join(line.split("│")[1].strip() for line in page.getvalue().splitlines() if line.count("│") == 5)
    assert column == concept


@pytest.mark.parametrize(
    ("funnel", "why"),
    [
        ([], "no frame was found to make an image of"),
        (
            [("images", "small", 3), ("images", "low_quality", 9)],
            "no image came into the set, 9 of them for the reason",
        ),
        ([("images", "character_not_wanted", 9)], "[selection] characters names nobody who was recognised"),
        ([("images", "selected", 12), ("set", "left out", 12)], "a step after that failed, see above"),
        ([("images", "selected", 9), ("set", "in the set", 9)], "a set there is, but it could not be written"),
    ],
)
def test_a_run_without_a_set_says_why(monkeypatch: pytest.MonkeyPatch, funnel: list, why: str):
    printed_on(monkeypatch, "out", 200)
    page = printed_on(monkeypatch, "err", 200)
    report = Report([], {}, {}, [], {}, funnel, [], export_folder="", made_with_demo_models=False, seconds=1.0)
    run.print_report(report, Path("characters.jpg"), 0)
    assert why in page.getvalue()
