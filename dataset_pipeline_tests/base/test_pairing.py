"""Whose a head is, and pairs that fit best together."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.base.pairing import matched, owners_of

LEFT, RIGHT = (0.0, 0.0, 100.0, 400.0), (80.0, 0.0, 180.0, 400.0)


def test_each_head_goes_to_the_person_at_the_middle_of_whose_top_it_is():
    of_left, of_right = (25.0, 0.0, 75.0, 60.0), (105.0, 5.0, 155.0, 65.0)
    assert owners_of([of_right, (500.0, 0.0, 550.0, 60.0), of_left], [LEFT, RIGHT]) == {0: 1, 2: 0}
    assert owners_of([], [LEFT]) == owners_of([of_left], []) == {}


def test_heads_are_shared_out_together_so_that_as_many_as_can_be_have_a_person():
    before, behind = (100.0, 100.0, 300.0, 700.0), (120.0, 60.0, 400.0, 700.0)
    both_fit, only_behind = (160.0, 105.0, 230.0, 180.0), (330.0, 70.0, 390.0, 130.0)
    assert owners_of([both_fit, only_behind], [behind, before]) == {0: 1, 1: 0}


def test_a_head_may_stick_out_but_not_its_core():
    hat = (20.0, -30.0, 80.0, 50.0)  # its core is from -10 to 30 px
    assert owners_of([hat], [LEFT]) == {0: 0}
    assert owners_of([(20.0, -60.0, 80.0, 50.0)], [LEFT]) == {}  # from -32.5 to 22.5 px
    assert owners_of([(70.0, 0.0, 130.0, 60.0)], [LEFT]) == {}  # a neighbour's; its middle lies on the edge


def test_the_head_of_a_child_in_front_is_not_that_of_whose_box_it_lies_in():
    assert owners_of([(20.0, 190.0, 80.0, 250.0)], [LEFT]) == {0: 0}
    assert owners_of([(20.0, 210.0, 80.0, 270.0)], [LEFT]) == {}


def test_a_face_is_of_the_head_and_a_half_body_of_the_person_that_it_lies_in():
    assert owners_of([(30.0, 25.0, 70.0, 58.0)], [(20.0, 0.0, 80.0, 60.0)]) == {0: 0}
    assert owners_of([(0.0, 0.0, 100.0, 200.0)], [LEFT]) == {0: 0}


def test_of_parts_and_of_people_that_fit_equally_well_the_first_has_it():
    head = (25.0, 0.0, 75.0, 60.0)
    assert owners_of([head, head], [LEFT]) == {0: 0}
    assert owners_of([head], [LEFT, LEFT]) == {0: 0}
    assert owners_of([head], [LEFT, (0.0, 0.0, 100.01, 400.0)]) == {0: 0}  # by less than is measured


def test_pairs_have_the_greatest_likeness_together_and_none_is_below_the_least():
    assert matched(np.array([[0.9, 0.8], [0.8, 0.1]]), 0.0) == [(0, 1), (1, 0)]
    assert matched(np.array([[0.9, 0.8], [0.4, 0.1]]), 0.5) == [(0, 0)]
    assert matched(np.zeros((0, 0)), 0.0) == matched(np.zeros((0, 3)), 0.0) == []
