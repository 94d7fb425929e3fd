from __future__ import annotations

import math
import random

import pytest

from dataset_pipeline.training.strata import CHOSEN, CUT, ENOUGH, choose, proportional

INF = math.inf


def test_rows_are_chosen_in_their_order_until_a_group_or_the_total_is_full():
    groups = [[0], [0], [1], [0], [1]]
    assert choose(groups, [0, 0], [2, INF]) == [CHOSEN, CHOSEN, CHOSEN, 0, CHOSEN]
    assert choose(groups, [0, 0], [2, INF], total=3) == [CHOSEN, CHOSEN, CHOSEN, ENOUGH, ENOUGH]


def test_a_row_of_several_groups_takes_a_place_of_each_and_needs_one_in_each():
    assert choose([[0, 1], [0], [1], [2]], [0, 0, 0], [1, 1, 1]) == [CHOSEN, 0, 1, CHOSEN]


def test_a_group_gets_its_least_before_all_others_even_of_rows_that_do_not_pass():
    groups, passes = [[0], [0], [0], [1], [1]], [True, True, True, False, False]
    assert choose(groups, [0, 1], [INF, INF], 2, passes) == [CHOSEN, ENOUGH, ENOUGH, CHOSEN, CUT]
    assert choose(groups, [0, 0], [INF, INF], 2, passes) == [CHOSEN, CHOSEN, ENOUGH, CUT, CUT]


def test_the_least_of_groups_goes_beyond_the_total_and_never_beyond_what_a_group_holds():
    assert choose([[0], [0], [1]], [2, 1], [INF, INF], total=1) == [CHOSEN, CHOSEN, CHOSEN]
    assert choose([[0], [0], [1]], [2, 1], [1, INF], total=3) == [CHOSEN, 0, CHOSEN]


def test_whole_places_go_to_the_largest_remainders():
    # 10 places for 53, 24 and 23 of 100: 5.3, 2.4 and 2.3.
    assert proportional([53, 24, 23], 10) == [5, 3, 2]
    assert proportional([1, 1, 1], 2) == [1, 1, 0]
    assert proportional([30, 60, 10], 100) == [30, 60, 10]


def test_a_floor_and_a_quota_move_places_to_and_from_the_others_by_their_sizes():
    assert proportional([600, 300, 100], 100, least=20) == [53, 27, 20]  # 80 among 600 and 300
    assert proportional([600, 300, 100], 100, most=50) == [50, 38, 12]  # 50 among 300 and 100, 37.5 and 12.5
    assert proportional([600, 300, 5], 100, least=20) == [63, 32, 5]  # a group gives no more than it has


def test_bounds_that_leave_no_way_go_before_the_total():
    assert proportional([600, 300, 100], 10, least=20) == [20, 20, 20]
    assert proportional([600, 300, 100], 100, most=20) == [20, 20, 20]
    assert proportional([], 10) == []


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_any_sizes_come_to_the_total_and_lie_within_a_place_of_their_part(seed: int):
    rng = random.Random(seed)
    for _ in range(50):
        sizes = [rng.randrange(1, 2000) for _ in range(rng.randrange(1, 12))]
        total = rng.randrange(sum(sizes) + 1)
        places = proportional(sizes, total)
        assert sum(places) == total
        assert all(abs(it - size * total / sum(sizes)) < 1 for it, size in zip(places, sizes, strict=True))
        least, most = rng.randrange(50), rng.randrange(50, 1500)
        bounded = proportional(sizes, total, least, most)
        assert all(min(least, size) <= it <= min(most, size) for it, size in zip(bounded, sizes, strict=True))
