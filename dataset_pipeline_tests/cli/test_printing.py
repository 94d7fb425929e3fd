"""What is printed is whole, however narrow the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from dataset_pipeline.cli import printing
from dataset_pipeline.cli.printing import PIPED_COLUMNS, console_for, print_explanation, print_report, table_of
from dataset_pipeline.reports.explain import Decision, Explanation
from dataset_pipeline.reports.run_report import Report

PATH = "keyframes/paper-comet-club.s01e01/" + "0123456789abcdef" * 4 + ".png"


def told(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """Takes what is printed, on a terminal so wide."""
    page = io.StringIO()
    monkeypatch.setattr(printing, "out", Console(file=page, width=width, markup=False, emoji=False))
    return page


def letters(text: str) -> str:
    """A narrow column's lines put together again."""
    return "".join(part for line in text.splitlines() for part in line.strip("│┃ ").split())


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_name_longer_than_its_column_is_broken_and_not_cut_off(width: int):
    page = io.StringIO()
    table = table_of("model")
    table.add_row("clip-vit-b-32-laion2b-s34b-b79k")
    Console(file=page, width=width).print(table)
    assert "clip-vit-b-32-laion2b-s34b-b79k" in letters(page.getvalue())


def test_an_explanation_tells_the_whole_path(monkeypatch: pytest.MonkeyPatch):
    page = told(monkeypatch, 80)
    decision = Decision("keyframes", "a.e1/00000001", {"path": PATH}, "1-0123456789ab", {}, [])
    print_explanation(Explanation("a.e1/00000001", "a.e1/00000001", "/v.mkv", 1.0, None, False, [decision]))
    assert "…" not in page.getvalue()
    column = "".join(line.split("│")[2].strip() for line in page.getvalue().splitlines() if line.count("│") == 4)
    assert column == f"path:{PATH}"


def test_a_report_names_the_whole_concept(monkeypatch: pytest.MonkeyPatch):
    page = told(monkeypatch, 50)
    concept = "2_characters/" + "+".join(f"character_{number:02d}" for number in range(4))
    row = {"concept": concept, "images": 5, "probability": 0.5, "multiply": 1.0}
    print_report(Report([], {}, {}, [], {}, [], [row], "/set", False, 1.0), Path("sheet.jpg"), 2)
    column = "".join(line.split("│")[1].strip() for line in page.getvalue().splitlines() if line.count("│") == 5)
    assert column == concept


def test_without_a_terminal_lines_are_wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console_for().width == PIPED_COLUMNS
    monkeypatch.setenv("COLUMNS", "60")
    assert console_for().width == 60


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
    told(monkeypatch, 200)
    page = io.StringIO()
    monkeypatch.setattr(printing, "err", Console(file=page, width=200, markup=False, emoji=False))
    report = Report([], {}, {}, [], {}, funnel, [], export_folder="", made_with_demo_models=False, seconds=1.0)
    print_report(report, Path("characters.jpg"), 0)
    assert why in page.getvalue()
