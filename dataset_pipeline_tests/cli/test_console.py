"""What is printed is whole, however narrow the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dataset_pipeline.base.progress import TimeLeft
from dataset_pipeline.cli.console import PIPED_COLUMNS, ProgressLines, console_for, duration, table_of


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


def test_without_a_terminal_lines_are_wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console_for().width == PIPED_COLUMNS
    monkeypatch.setenv("COLUMNS", "60")
    assert console_for().width == 60


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_durations_are_told_in_two_units_at_most(seconds: float, words: str):
    assert duration(seconds) == words


def test_the_time_left_stands_on_the_line_of_the_graph_once_there_is_a_basis():
    show = ProgressLines(None)
    show.outer_task = 1
    assert show.left(1) == ""
    show.time_left = TimeLeft(now=lambda: 0.0)
    show.time_left.expect("measure", [1.0])
    assert show.left(1) == ""
    show.time_left.earlier["measure"] = 65.0
    assert (show.left(1), show.left(2)) == ("about 1 min 05 s left", "")
