"""What `explain` prints."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dataset_pipeline.cli import explain
from dataset_pipeline.reports.explain import Decision, Explanation

PATH = "keyframes/paper-comet-club.s01e01/" + "0123456789abcdef" * 4 + ".png"


def test_an_explanation_tells_the_whole_path(monkeypatch: pytest.MonkeyPatch):
    page = io.StringIO()
    monkeypatch.setattr(explain, "out", Console(file=page, width=80, markup=False, emoji=False))
    decision = Decision("keyframes", "a.e1/00000001", {"path": PATH}, "1-0123456789ab", {}, [])
    explain.print_explanation(Explanation("a.e1/00000001", "a.e1/00000001", "/v.mkv", 1.0, None, False, [decision]))
    assert "…" not in page.getvalue()
    column = "".join(line.split("│")[2].strip() for line in page.getvalue().splitlines() if line.count("│") == 4)
    assert column == f"path:{PATH}"
