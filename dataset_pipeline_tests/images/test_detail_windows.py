"""Where a square is laid around a part of a still."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.base.boxes import share_inside
from dataset_pipeline.images.detail_windows import (
    CUTS_HEAD,
    HOLDS_FACE,
    SMALL,
    TOUCHES_UNKNOWN,
    Part,
    Surroundings,
    Unknown,
    Window,
    around,
    lay,
    show_the_same,
    side_of,
    snapped,
)

SIZE = (1920, 1080)


def square(x: float, y: float, side: float) -> tuple[float, float, float, float]:
    return x, y, x + side, y + side


def face(box: tuple, *holds: tuple, scale: float = 2.0, least_fill: float = 0.25) -> Part:
    return Part("face", box, 0.9, scale, least_fill, holds or (box,))


def hand(box: tuple) -> Part:
    return Part("hand", box, 0.9, 2.2, 0.2, (box,), avoids_faces=True)


@pytest.mark.parametrize(
    ("face_px", "target_px", "side_px"),
    [
        (300, 512, 600),  # twice the face
        (128, 512, 512),  # the target, of which it is a quarter
        (100, 512, 400),  # no less than a quarter of the window
        (700, 512, 1080),  # no more than the still has
        (300, 1024, 1024),
    ],
)
def test_a_window_is_the_part_times_its_scale_or_the_target_and_the_part_fills_its_share(face_px, target_px, side_px):
    assert side_of(face(square(100, 100, face_px)), SIZE, target_px) == side_px


def test_a_window_below_three_quarters_of_the_target_is_small():
    assert lay(face(square(900, 500, 95)), Surroundings(SIZE), 512)[1] == SMALL
    assert lay(face(square(900, 500, 96)), Surroundings(SIZE), 512) == (Window(756, 356, 384), "")
    assert lay(face(square(300, 300, 200)), Surroundings((640, 360)), 512)[1] == SMALL


def test_a_window_lies_in_the_middle_of_its_part_and_is_shifted_off_the_edges():
    assert lay(face(square(900, 500, 128)), Surroundings(SIZE), 512) == (Window(708, 308, 512), "")
    assert lay(face(square(10, 20, 128)), Surroundings(SIZE), 512) == (Window(0, 0, 512), "")
    assert lay(face(square(1780, 950, 128)), Surroundings(SIZE), 512) == (Window(1408, 568, 512), "")


@pytest.mark.parametrize(("step_px", "side_px"), [(0, 500), (64, 448), (32, 480), (256, 256)])
def test_sides_are_whole_steps_of_a_trainers_buckets_and_never_more(step_px, side_px):
    assert snapped(500.9, step_px) == side_px


def test_a_snapped_window_is_small_by_what_it_came_to():
    assert lay(face(square(900, 500, 110)), Surroundings(SIZE), 512, 64)[0].side == 384
    assert lay(face(square(900, 500, 110)), Surroundings(SIZE), 512, 256)[1] == SMALL


def test_a_face_is_held_with_its_whole_head():
    box, head = square(900, 500, 200), (840.0, 300.0, 1160.0, 720.0)
    window, reason = lay(face(box, head), Surroundings(SIZE, [head], [box]), 256)
    assert (window.side, reason) == (420, "")
    assert share_inside(head, window.box) == 1.0


def test_a_window_moves_no_farther_than_it_must_so_that_it_cuts_through_no_head():
    wish = Window(700, 300, 500)
    assert lay(hand(square(900, 500, 100)), Surroundings(SIZE, []), 512) == (wish, "")
    for head, moved in ((square(1150, 480, 160), 650), (square(1100, 480, 160), 760)):  # it ends before it, or holds it
        assert 0.05 < share_inside(head, wish.box) < 0.95
        assert lay(hand(square(900, 500, 100)), Surroundings(SIZE, [head]), 512) == (Window(moved, 300, 500), "")


def test_a_window_that_shows_little_of_a_head_cuts_no_chin_off_either():
    head, chin_up = (800.0, 0.0, 1000.0, 310.0), (860.0, 260.0, 940.0, 310.0)
    assert lay(hand(square(900, 500, 100)), Surroundings(SIZE, [head]), 512) == (Window(700, 300, 500), "")
    assert lay(hand(square(900, 500, 100)), Surroundings(SIZE, [head], [chin_up]), 512) == (Window(700, 310, 500), "")


def test_a_window_that_finds_no_place_is_made_smaller():
    heads = [square(500, 400, 300), square(1180, 400, 300)]  # 380 px apart, of which a twentieth may be cut off
    window, reason = lay(hand(square(940, 500, 100)), Surroundings(SIZE, heads), 512)
    assert (window.side, reason) == (405, "")
    assert all(share_inside(head, window.box) <= 0.05 for head in heads)


def test_a_face_whose_head_touches_another_is_shown_with_both():
    head, touching = square(500, 400, 300), square(780, 400, 300)
    both = (500.0, 400.0, 1080.0, 700.0)
    window, reason = lay(face(square(560, 470, 180), head, both), Surroundings(SIZE, [head, touching]), 512)
    assert (window.side, reason) == (580, "")
    assert share_inside(both, window.box) == 1.0
    # A face of 140 px would be less than a quarter of that.
    assert lay(face(square(580, 490, 140), head, both), Surroundings(SIZE, [head, touching]), 512)[1] == CUTS_HEAD


def test_a_part_that_no_square_shows_without_cutting_through_a_head_is_left_out():
    head = square(700, 200, 600)
    assert lay(hand(square(950, 450, 100)), Surroundings(SIZE, [head]), 512)[1] == CUTS_HEAD
    wide = (200.0, 0.0, 1400.0, 1000.0)
    assert lay(face(square(500, 300, 600), wide), Surroundings(SIZE, [wide]), 512)[1] == CUTS_HEAD


def test_a_hand_that_is_only_shown_with_a_face_is_left_out():
    near = square(755, 485, 150)
    assert lay(hand(square(790, 520, 80)), Surroundings(SIZE, [], [near]), 512)[1] == HOLDS_FACE
    assert lay(face(near), Surroundings(SIZE, [], [near]), 512)[1] == ""


def test_a_window_touches_no_pixel_that_nobody_has_seen():
    mask = np.zeros((1080, 1920), bool)
    mask[:, 1000:] = True
    there = Surroundings(SIZE, unknown=Unknown(mask))
    assert lay(face(square(840, 500, 128)), there, 512) == (Window(456, 308, 512), "")
    assert lay(face(square(1100, 500, 128)), there, 512)[1] == TOUCHES_UNKNOWN
    mask = np.zeros((1080, 1920), bool)
    mask[1079, 511] = True
    assert Unknown(mask).touched(Window(0, 568, 512))
    assert not Unknown(mask).touched(Window(0, 567, 512))
    assert not Unknown(mask).touched(Window(512, 568, 512))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (square(0, 0, 500), square(100, 100, 500), False),  # 160,000 of 340,000
        (square(0, 0, 500), square(80, 80, 500), True),  # 176,400 of 323,600
        (square(0, 0, 500), square(50, 50, 360), True),  # inside, and .52 as large
        (square(0, 0, 500), square(50, 50, 350), False),  # inside, and .49 as large
        (square(0, 0, 500), square(230, 0, 360), False),  # three quarters inside
    ],
)
def test_windows_show_the_same_that_overlap_by_half_or_lie_within_one_another(one, other, same):
    assert show_the_same(one, other) is show_the_same(other, one) is same


def test_what_is_around_a_box_is_the_smallest_that_holds_its_middle():
    large, small = square(0, 0, 400), square(100, 100, 200)
    assert around(square(150, 150, 50), [large, small]) == small
    assert around(square(500, 500, 50), [large, small]) is None
