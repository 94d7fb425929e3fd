"""What is printed is whole, however narrow the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dataset_pipeline.cli.console import PIPED_COLUMNS, console_for, table_of


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
