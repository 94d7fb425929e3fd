"""Drawn shots and what is thought of them before anything is drawn. No threshold was chosen on the seeds used here."""

from __future__ import annotations

import pytest

from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.stitching.aligning import align
from dataset_pipeline.stitching.confidence import of_panorama
from dataset_pipeline.stitching.drawing import shares_by_blocks
from dataset_pipeline.stitching.placing import cleaned
from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot, draw_shot

LIMITS = load_settings(DEFAULTS).panoramas
SMALL, MIDDLE = (320, 180), (480, 270)
SEEDS = (401, 402, 403)
GOOD = ("pan", "twos", "fade", "subtitle", "walker", "along", "sprites")
REFUSED = {
    "fence": "parallax",
    "roll": "rotation",
    "push": "zoom_adds_nothing",
    "zoom": "zoom_adds_nothing",
    "nudge": "too_little_travel",
    "still": "too_little_travel",
    "wall": "too_much_unknown",
}


def verdict_on(shot: DrawnShot) -> tuple[str, str]:
    found = align(shot.pts, shot.pts_s, shot.frames_at)
    if isinstance(found, str):
        return "refused", found
    clean = cleaned(found, shot.frames_at, is_plate=False)
    verdict = of_panorama(found, clean, shares_by_blocks(found, clean), LIMITS)
    return verdict.verdict, verdict.reason


@pytest.mark.parametrize("kind", ["roll", "push", "nudge"])
def test_what_no_panorama_can_be_made_of_is_refused(kind: str):
    assert verdict_on(draw_shot(kind, SMALL, seed=404, frames=48)) == ("refused", REFUSED[kind])


@pytest.mark.thorough
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", GOOD)
def test_pans_are_kept(kind: str, seed: int):
    assert verdict_on(draw_shot(kind, MIDDLE, seed=seed)) == ("keep", "kept")


@pytest.mark.thorough
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_wrong_is_refused_with_its_reason(kind: str, seed: int):
    assert verdict_on(draw_shot(kind, MIDDLE, seed=seed)) == ("refused", REFUSED[kind])


@pytest.mark.thorough
@pytest.mark.parametrize("seed", SEEDS)
def test_where_people_hide_the_place_all_the_time_nothing_is_kept(seed: int):
    verdict, reason = verdict_on(draw_shot("throng", MIDDLE, seed=seed))
    print(f"{verdict}, {reason}")
    assert verdict != "keep"
    assert reason in ("content_moves", "parallax", "too_much_unknown")
