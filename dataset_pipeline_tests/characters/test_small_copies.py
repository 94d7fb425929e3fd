"""What small copies of people tell of their poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.characters.poses import MIN_APART
from dataset_pipeline.characters.small_copies import (
    COPY_ROWS,
    MAX_COLUMNS,
    MOST_LOOKS,
    NO_PERSON,
    Backdrop,
    apart,
    as_copy,
    small_copy,
)

HEIGHT, WIDTH = 360, 640
PLACE = cv2.resize(
    np.random.default_rng(5).integers(0, 255, (18, 32), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR
)


def figure(at_px: int, arms_up: bool = False, size: float = 1.0) -> tuple[np.ndarray, Box]:
    """A picture of somebody with two arms before `PLACE`, and their box."""
    picture = PLACE.copy()
    top = 60

    def part(x0: float, y0: float, x1: float, y1: float, level: int) -> None:
        corners = [(round(at_px + size * x), round(top + size * y)) for x, y in ((x0, y0), (x1, y1))]
        cv2.rectangle(picture, *corners, level, -1)

    part(-16, 0, 16, 60, 230)  # head
    part(-18, 60, 18, 150, 40)  # body
    part(-18, 150, -4, 260, 90)  # legs
    part(4, 150, 18, 260, 90)
    part(-45, 60, -18, 72, 200)  # elbows
    part(18, 60, 45, 72, 200)
    for x in (-32, 20):
        part(x, *((0, x + 12, 60) if arms_up else (72, x + 12, 140)), 200)
    return picture, (at_px - 45 * size, top, at_px + 45 * size, top + 260 * size)


def copy_of(picture: np.ndarray, box: Box) -> np.ndarray:
    x0, y0, x1, y1 = (round(v) for v in box)
    return small_copy(picture[y0:y1, x0:x1])


def difference(one: tuple[np.ndarray, Box], other: tuple[np.ndarray, Box]) -> float:
    """Of two of one shot, with two looks besides from which the place is known."""
    backdrop = Backdrop((WIDTH, HEIGHT))
    for picture, box in (one, other, figure(60), figure(580)):
        backdrop.see(picture, [box])
    place = backdrop.known()
    copies = [backdrop.taken_from(copy_of(picture, box), box, place) for picture, box in (one, other)]
    heights = [box[3] - box[1] for _, box in (one, other)]
    return apart(copies[0], copies[1], (heights[0], heights[1]))


def test_a_copy_has_the_shape_of_the_person_and_comes_back_from_its_bytes():
    copy = copy_of(*figure(200))
    assert copy.shape == (COPY_ROWS, round(90 / 260 * COPY_ROWS))
    assert np.array_equal(as_copy(copy.tobytes()), copy)
    assert small_copy(np.zeros((10, 300), np.uint8)).shape == (COPY_ROWS, MAX_COLUMNS)


def test_who_walks_through_the_picture_shows_one_pose_and_who_raises_the_arms_another():
    assert difference(figure(150), figure(420)) < MIN_APART
    assert difference(figure(150), figure(420, arms_up=True)) > MIN_APART
    assert difference(figure(150), figure(150)) == pytest.approx(0.0, abs=1e-5)


def test_the_place_behind_would_tell_poses_apart_that_are_one():
    one, other = figure(150), figure(420)
    assert difference(one, other) < MIN_APART < apart(copy_of(*one), copy_of(*other), (260.0, 260.0))


def test_who_comes_nearer_or_is_half_cut_off_shows_no_other_pose():
    assert difference(figure(200), figure(400, size=0.5)) < MIN_APART
    picture, (x0, y0, x1, y1) = figure(400)
    assert difference(figure(200), (picture, (x0, y0, x1, y0 + 0.6 * (y1 - y0)))) < MIN_APART


def test_light_is_no_pose_and_neither_is_what_shows_nothing():
    copy = copy_of(*figure(200))
    assert apart(copy, (copy // 2 + 20).astype(np.uint8), (260.0, 260.0)) < 0.01
    assert apart(np.full((64, 30), 9, np.uint8), copy, (260.0, 260.0)) == 0.0


def test_what_no_box_covered_is_the_place_and_where_it_changes_nothing_is_known():
    backdrop = Backdrop((WIDTH, HEIGHT))
    for at_px in (60, 150, 580):
        picture, box = figure(at_px)
        picture[300:, 560:] = at_px // 3  # a light that flickers, partly behind the last of them
        backdrop.see(picture, [box])
    place = backdrop.known()
    assert place is not None
    assert np.isnan(place[151:, 281:]).all()
    assert np.abs(place[:140] - cv2.resize(PLACE, (320, 180), interpolation=cv2.INTER_AREA)[:140]).max() <= 1.0
    picture, box = figure(150)
    copy = copy_of(picture, box)
    left = backdrop.taken_from(copy, box, place)
    assert (left[:8, 0] == NO_PERSON).all()  # beside the head
    assert np.array_equal(left[2:10, 9:13], copy[2:10, 9:13])  # the head


def test_while_the_camera_moves_no_place_is_known():
    backdrop = Backdrop((WIDTH, HEIGHT))
    for step in range(4):
        backdrop.see(np.roll(PLACE, 40 * step, axis=1), [])
    place = backdrop.known()
    assert place is None
    copy = copy_of(*figure(150))
    assert backdrop.taken_from(copy, (105, 60, 195, 320), place) is copy
    assert Backdrop((WIDTH, HEIGHT)).known() is None


def test_of_a_long_shot_some_looks_are_kept_that_are_spread_over_it():
    backdrop = Backdrop((64, 36))
    for level in range(400):
        backdrop.see(np.full((36, 64), level // 2, np.uint8), [])
    numbers = [number for number, _ in backdrop._seen]
    assert len(numbers) <= MOST_LOOKS
    assert (numbers[0], numbers[1], numbers[-1]) == (0, 16, 384)
