"""What is kept, what a person is asked about, and what is refused, by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, Layer
from dataset_pipeline.stitching.confidence import WHOLE, of_panorama, of_plate, refusal, views_passed
from dataset_pipeline.stitching.drawing import Shares

LIMITS = load_settings(DEFAULTS)
ALIGNMENT = Alignment(
    pts=np.arange(3),
    pts_s=np.arange(3) / 24,
    size_px=(1000, 500),
    places=np.array([[0.0, 0, 0, 0], [200, 10, 0, 0], [400, 20, 0, 0]]),
    gains=np.ones(3),
    is_similarity=False,
    layers=(),
    fixed=np.zeros((63, 125), bool),
    agreement=0.98,
    residual_px=0.05,
    texture=0.8,
)
CLEAN = CleanFrames(
    block_px=8.0,
    left_px=-500.0,
    top_px=-250.0,
    used=np.arange(3),
    clean=np.ones((2, 2), np.uint64),
    known=np.ones((2, 2), bool),
    moving=np.zeros((2, 2), np.float32),
    like_frame=0.95,
    moved=0.2,
)
FENCE, SPRITES, SUBTITLE = Layer(1.8, 0.17), Layer(1.6, 0.10), Layer(0.0, 0.03)


def still(alignment: Alignment = ALIGNMENT, scale: float = 0.0) -> Alignment:
    return replace(alignment, places=alignment.places * 0.1 + np.array([0, 0, scale, 0]) * np.arange(3)[:, None])


def test_travel_is_the_larger_way_in_views():
    assert views_passed(ALIGNMENT) == pytest.approx(0.4)
    upwards = replace(ALIGNMENT, places=ALIGNMENT.places[:, [1, 0, 2, 3]])
    assert views_passed(upwards) == pytest.approx(0.8)


def test_a_pan_that_goes_too_little_and_a_zoom_that_goes_nowhere_are_refused_before_anything_is_drawn():
    assert refusal(ALIGNMENT, LIMITS.panoramas) == ""
    assert refusal(still(), LIMITS.panoramas) == "too_little_travel"
    assert refusal(still(scale=-0.1), LIMITS.panoramas) == "zoom_adds_nothing"


@pytest.mark.parametrize(("degrees", "expected"), [(9, ""), (-9, ""), (11, "rotation"), (-11, "rotation")])
def test_frames_that_turn_share_no_upright_picture(degrees: float, expected: str):
    places = ALIGNMENT.places + np.radians(degrees) / 2 * np.arange(3)[:, None] * (0, 0, 0, 1)
    assert refusal(replace(ALIGNMENT, places=places, is_similarity=True), LIMITS.panoramas) == expected


def test_where_the_place_itself_moves_a_person_is_asked():
    moving = np.array([[0.9, 0.9], [0.9, 0.1]], np.float32)
    for here, expected in ((moving, ("doubtful", "content_moves")), (moving.T * 0.5, ("keep", "kept"))):
        found = of_panorama(ALIGNMENT, replace(CLEAN, moving=here), WHOLE, LIMITS.panoramas)
        assert (found.verdict, found.reason) == expected


@pytest.mark.parametrize(
    ("like_frame", "layers", "known", "residual_px", "expected"),
    [
        (0.95, (), 0.95, 0.05, ("keep", "kept")),
        (0.95, (SPRITES, SUBTITLE), 0.95, 0.05, ("keep", "kept")),
        (0.87, (FENCE,), 0.95, 0.05, ("refused", "parallax")),
        (0.91, (FENCE,), 0.95, 0.05, ("doubtful", "parallax")),
        (0.87, (SPRITES, SUBTITLE), 0.95, 0.05, ("refused", "content_moves")),
        (0.95, (), 0.80, 0.05, ("doubtful", "too_much_unknown")),
        (0.91, (), 0.70, 0.05, ("refused", "too_much_unknown")),
        (0.95, (FENCE,), 0.70, 0.05, ("refused", "parallax")),
        (0.95, (), 0.95, 0.21, ("doubtful", "badly_placed")),
    ],
)
def test_the_worst_of_what_speaks_against_a_panorama_counts(like_frame, layers, known, residual_px, expected):
    alignment = replace(ALIGNMENT, layers=layers, residual_px=residual_px)
    found = of_panorama(alignment, replace(CLEAN, like_frame=like_frame), Shares(known), LIMITS.panoramas)
    assert (found.verdict, found.reason) == expected


@pytest.mark.parametrize(("scale", "reason"), [(0.0, "too_little_travel"), (-0.3, "zoom_adds_nothing")])
def test_a_picture_that_is_hardly_larger_than_a_frame_is_refused(scale: float, reason: str):
    places = ALIGNMENT.places + np.array([0, 0, scale, 0]) * np.arange(3)[:, None]
    alignment = replace(ALIGNMENT, places=places, is_similarity=scale != 0)
    for size_px, expected in (((1140, 500), ("refused", reason)), ((1160, 500), ("keep", "kept"))):
        found = of_panorama(alignment, CLEAN, Shares(1.0, 1.0, size_px), LIMITS.panoramas)
        assert (found.verdict, found.reason) == expected


@pytest.mark.parametrize(
    ("size_px", "verdict"),
    [((739, 1489), "refused"), ((790, 2000), "refused"), ((810, 2000), "keep"), ((2800, 390), "refused"),
     ((2800, 422), "keep")],
)  # fmt: skip
def test_a_picture_that_is_narrower_or_lower_than_a_frame_is_refused_but_for_what_subtitles_hide(size_px, verdict):
    found = of_panorama(ALIGNMENT, CLEAN, Shares(1.0, 1.0, size_px), LIMITS.panoramas)
    assert (found.verdict, found.reason) == (verdict, "kept" if verdict == "keep" else "too_little_travel")


def test_without_a_solver_the_agreement_of_far_pairs_stands_for_how_much_is_like_a_frame():
    assert of_panorama(ALIGNMENT, None, WHOLE, LIMITS.panoramas).verdict == "keep"
    assert of_panorama(replace(ALIGNMENT, agreement=0.5), None, WHOLE, LIMITS.panoramas).reason == "content_moves"


def test_a_plate_without_boxes_is_doubtful_at_best():
    for with_boxes, expected in ((True, ("keep", "kept")), (False, ("doubtful", "no_boxes"))):
        found = of_plate(still(), CLEAN, Shares(0.97, 0.6), with_boxes, LIMITS.backdrops)
        assert (found.verdict, found.reason) == expected
    assert of_plate(still(), CLEAN, Shares(0.5), False, LIMITS.backdrops).reason == "too_much_unknown"


def test_boxes_say_of_a_plate_what_is_known_so_that_slow_figures_refuse_none():
    slow = replace(CLEAN, like_frame=0.8)
    for with_boxes, expected in ((True, ("doubtful", "content_moves")), (False, ("refused", "content_moves"))):
        found = of_plate(still(), slow, Shares(0.97, 0.9), with_boxes, LIMITS.backdrops)
        assert (found.verdict, found.reason) == expected


def test_a_person_is_asked_where_the_largest_known_rectangle_shows_too_little():
    found = of_plate(still(), CLEAN, Shares(0.97, 0.59), True, LIMITS.backdrops)
    assert (found.verdict, found.reason) == ("doubtful", "too_much_unknown")
