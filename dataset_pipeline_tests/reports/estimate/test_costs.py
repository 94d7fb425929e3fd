"""Worked numbers for what was measured on excerpts, scaled to what is due."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dataset_pipeline.reports.estimate.costs import Job, Measured, _one_by_one
from dataset_pipeline.reports.estimate.passes import Spent
from dataset_pipeline.reports.estimate.scaling import Units
from dataset_pipeline.reports.estimate.subjects import Subject
from dataset_pipeline.sources.source import Source

EPISODE = "show.01"


def _shots(due: set[str], every_frame_is_looked_at: bool) -> float:
    """Seconds that `shots` of 100 s of video are thought to take, after excerpts of 10 s and 30 s of it in which
    `keyframes` took 3 s and 7 s, and `shots` 1 s and 1.2 s."""
    subject = Subject(
        Source(EPISODE, "show", "01", "show", "01", Path("a.mkv"), "video", 1, 1, "f"), 100.0, ("h264", 1920, 1080)
    )
    small, large = (
        SimpleNamespace(units={EPISODE: Units(1, seconds, candidates=seconds)}, bytes_of={}) for seconds in (10.0, 30.0)
    )
    found = cast(Measured, SimpleNamespace(subjects=[subject], small=small, large=large))
    units = {EPISODE: Units(1, 100.0, candidates=100.0)}
    job = Job([subject], units, {EPISODE: due}, {EPISODE: subject}, every_frame_is_looked_at)
    took = [
        Spent(10.0, {("keyframes", EPISODE): keyframes_s, ("shots", EPISODE): shots_s}, {})
        for keyframes_s, shots_s in ((3.0, 1.0), (7.0, 1.2))
    ]
    return _one_by_one("shots", job, found, *took, {}).seconds


def test_shots_alone_cost_what_the_look_took_in_which_keyframes_found_them():
    assert _shots({"keyframes", "shots"}, every_frame_is_looked_at=True) == pytest.approx(0.9 + 0.01 * 100)
    assert _shots({"shots"}, every_frame_is_looked_at=True) == pytest.approx(1.0 + 0.2 * 100)
    assert _shots({"shots"}, every_frame_is_looked_at=False) == pytest.approx(0.9 + 0.01 * 100)
