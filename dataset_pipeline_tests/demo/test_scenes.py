"""Boxes hold what they name, and scenes are the same on every run."""

from itertools import pairwise

import numpy as np
import pytest

from dataset_pipeline.demo.backdrops import (
    DEMO_BACKDROP_SEEDS,
    KINDS,
    TEST_BACKDROP_SEEDS,
    TRAINING_BACKDROP_SEEDS,
    backdrop_kind,
    draw_backdrop,
)
from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.scenes import (
    NO_BOX,
    Placement,
    draw_people,
    draw_person,
    draw_scene,
    grade,
    seen_people,
    trace_people,
)
from dataset_pipeline.demo.shapes import Box, extent

SIZE = (640, 360)


def holds(outer: Box, inner: Box, slack_px: float = 1.0) -> bool:
    return (
        outer[0] - slack_px <= inner[0]
        and outer[1] - slack_px <= inner[1]
        and inner[2] <= outer[2] + slack_px
        and inner[3] <= outer[3] + slack_px
    )


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def test_a_scene_is_the_same_on_every_run() -> None:
    for seed in (1, 12):
        first, again = draw_scene(seed, SIZE), draw_scene(seed, SIZE)
        assert np.array_equal(first.image, again.image)
        assert first.people == again.people


def test_seeds_of_training_demo_and_tests_never_meet() -> None:
    ranges = (TRAINING_BACKDROP_SEEDS, DEMO_BACKDROP_SEEDS, TEST_BACKDROP_SEEDS)
    for a in ranges:
        for b in ranges:
            assert a is b or a.stop <= b.start or b.stop <= a.start


def test_neighbouring_backdrops_are_of_different_kinds_and_look_it() -> None:
    pictures = [draw_backdrop(seed, (320, 180)).astype(float) for seed in range(len(KINDS))]
    assert len({backdrop_kind(seed) for seed in range(len(KINDS))}) == len(KINDS)
    for a, b in pairwise(pictures):
        assert np.abs(a - b).mean() > 15


def test_parts_lie_in_the_boxes_of_the_wholes_they_belong_to() -> None:
    seen = 0
    for seed in range(60):
        scene = draw_scene(seed, SIZE)
        assert scene.image.shape == (360, 640, 3)
        assert scene.image.dtype == np.uint8
        for person in scene.people:
            seen += 1
            picture = (0.0, 0.0, 640.0, 360.0)
            # A thousandth of rounding to the raster of a hidden or cut body is at most a few pixels here.
            assert holds(picture, person.person, 0)
            assert holds(person.person, person.head, 3)
            assert holds(person.person, person.halfbody, 3)
            assert holds(person.head, person.face, 3)
            for eye in person.eyes:
                assert holds(person.face, eye, 3)
            for hand in person.hands:
                assert holds(person.person, hand, 3)
            assert 0 < person.visible <= 1
            assert person.face != NO_BOX
    assert seen > 60


def test_the_person_box_is_exactly_where_the_picture_changed() -> None:
    canvas = np.full((720, 1280, 3), 128, np.uint8)
    person = draw_person(canvas, DEMO_CAST[0], 640.0, 60.0, 120.0, Pose(turn=0.4, arms=("wave", "down")))
    changed = (canvas != 128).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(person.person) - drawn).max() <= 3
    assert person.visible == 1.0
    assert len(person.hands) == 2
    assert len(person.eyes) == 2


def test_a_person_cut_by_the_picture_keeps_only_what_is_in_it() -> None:
    canvas = np.full((360, 640, 3), 128, np.uint8)
    person = draw_person(canvas, TEST_CAST[3], 320.0, 40.0, 200.0)
    columns = np.flatnonzero((canvas != 128).any((0, 2)))
    assert abs(person.person[0] - columns[0]) <= 5
    assert abs(person.person[2] - columns[-1] - 1) <= 5
    assert person.person[3] == 360
    assert person.hands == ()
    assert 0.2 < person.visible < 0.6


def test_the_box_of_a_hand_holds_what_is_seen_of_it() -> None:
    canvas = np.full((720, 1280, 3), 128, np.uint8)
    (figure,) = trace_people(canvas, [Placement(DEMO_CAST[0], 640.0, 60.0, 120.0, Pose(arms=("wave", "down")))])
    (person,) = seen_people([figure], (1280, 720))
    for hand, box in zip(("hand0", "hand1"), person.hands, strict=True):
        x0, y0, x1, y1 = extent(figure.parts[hand])
        line = figure.line_px / 2
        whole = x0 - line, y0 - line, x1 + line, y1 + line
        assert holds(whole, box, 2)
        assert area(box) < 0.95 * area(whole)  # the wrist is under a cuff
    low = max(person.hands, key=lambda box: box[3])
    for share, hands in ((0.2, 2), (0.8, 1)):
        cut_px = round(low[3] - share * (low[3] - low[1]))
        (cut,) = seen_people([figure], (1280, cut_px))
        assert len(cut.hands) == hands
        assert all(box[3] <= cut_px for box in cut.hands)


def test_who_stands_behind_another_is_not_listed_and_who_is_half_hidden_is_partly() -> None:
    def row(gap_px: float) -> list[str]:
        canvas = np.full((360, 640, 3), 128, np.uint8)
        back = Placement(DEMO_CAST[1], 300.0, 30.0, 60.0)
        front = Placement(DEMO_CAST[2], 300.0 + gap_px, 10.0, 68.0)
        return [person.character.name for person in draw_people(canvas, [back, front])]

    assert row(0) == ["Yelune"]
    assert row(200) == ["Torrin", "Yelune"]
    canvas = np.full((360, 640, 3), 128, np.uint8)
    half = draw_people(canvas, [Placement(DEMO_CAST[1], 300.0, 30.0, 60.0), Placement(DEMO_CAST[2], 335.0, 10.0, 68.0)])
    assert 0.4 < half[0].visible < 0.95
    assert half[1].visible == 1.0


def test_a_window_on_a_canvas_shifts_and_scales_the_boxes() -> None:
    canvas = np.full((360, 1280, 3), 128, np.uint8)
    outlines = trace_people(canvas, [Placement(TEST_CAST[0], 640.0, 30.0, 60.0)])
    (whole,) = seen_people(outlines, (1280, 360))
    (shifted,) = seen_people(outlines, SIZE, (300, 0))
    assert np.allclose(np.array(whole.face) - [300, 0, 300, 0], shifted.face)
    (halved,) = seen_people(outlines, SIZE, (0, 0), 0.5)
    assert np.allclose(np.array(whole.face) / 2, halved.face)
    assert seen_people(outlines, SIZE, (900, 0)) == ()


def test_a_given_cast_number_of_people_and_backdrop_are_kept() -> None:
    scene = draw_scene(4, SIZE, cast=TEST_CAST, people=2, backdrop_seed=7)
    assert len(scene.people) <= 2
    assert {person.character for person in scene.people} <= set(TEST_CAST)
    empty = draw_scene(9, SIZE, people=0, backdrop_seed=7)
    assert empty.people == ()


def test_grading_darkens_and_blurs() -> None:
    picture = draw_backdrop(3, SIZE)
    assert grade(picture, darkness=0.6).mean() < 0.55 * picture.mean()
    rough, soft = (np.abs(np.diff(p.astype(float), axis=1)).mean() for p in (picture, grade(picture, 0.0, 3.0)))
    assert soft < 0.5 * rough


def test_a_backdrop_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 x 16"):
        draw_backdrop(1, (8, 8))
