"""People are where they were seen, and in between."""

import numpy as np
import pytest

from dataset_pipeline.stitching.alignment import Alignment
from dataset_pipeline.stitching.followed import Followed


def _alignment(count: int) -> Alignment:
    numbers = np.arange(count)
    fixed = np.zeros((45, 80), bool)
    return Alignment(
        numbers, numbers / 24, (640, 360), np.zeros((count, 4)), np.ones(count), False, (), fixed, 1.0, 0.0, 1.0
    )


def _box(x: float) -> tuple[float, float, float, float]:
    return x, 100.0, x + 60, 300.0


def test_between_two_looks_somebody_is_in_between():
    people = Followed({0: [_box(100)], 4: [_box(120)]}, _alignment(9))
    assert people.at(3) == [pytest.approx(_box(115))]
    assert people.at(4) == [_box(120)]


def test_who_was_missed_for_four_looks_was_there_all_the_same():
    looks = {pts: [] for pts in range(0, 24, 2)} | {4: [_box(100)], 14: [_box(150)]}
    assert Followed(looks, _alignment(24)).at(9) == [pytest.approx(_box(125))]


def test_who_was_missed_for_five_looks_was_not():
    looks = {pts: [] for pts in range(0, 24, 2)} | {4: [_box(100)], 16: [_box(150)]}
    people = Followed(looks, _alignment(24))
    assert people.at(9) == []
    assert people.at(5) == [_box(100)]  # up to the next look they are still there


def test_a_person_stays_to_the_ends_of_a_shot_that_nobody_looked_at():
    people = Followed({4: [_box(100)], 8: [_box(100)]}, _alignment(20))
    assert people.at(0) == people.at(19) == [_box(100)]
