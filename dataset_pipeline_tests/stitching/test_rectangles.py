"""Rectangles of a mask, beside what comes of trying them all."""

import numpy as np
import pytest

from dataset_pipeline.stitching.rectangles import largest_known, most_worth


def _sums(values: np.ndarray) -> list[tuple[int, int]]:
    """Of every rectangle, its area and the sum of what is in it."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = values.shape
    return [
        ((y1 - y0) * (x1 - x0), int(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]))
        for y0 in range(rows)
        for y1 in range(y0 + 1, rows + 1)
        for x0 in range(columns)
        for x1 in range(x0 + 1, columns + 1)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_none_is_larger(seed: int):
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 9), rng.integers(1, 10))) < rng.choice([0.5, 0.8, 0.95])
    x, y, width, height = largest_known(mask)
    assert mask[y : y + height, x : x + width].all()
    assert width * height == max((area for area, known in _sums(mask) if known == area), default=0)


@pytest.mark.parametrize("seed", range(30))
def test_none_is_worth_more(seed: int):
    rng = np.random.default_rng(seed)
    worth = rng.integers(-9, 4, (rng.integers(1, 9), rng.integers(1, 10)))
    x, y, width, height = most_worth(worth, cell_px=1)
    assert worth[y : y + height, x : x + width].sum() == max(0, *(value for _, value in _sums(worth)))


def test_its_sides_lie_where_they_are_worth_most_not_on_cells():
    worth = np.full((60, 90), -100)
    worth[13:47, 5:82] = 1
    assert most_worth(worth) == (5, 13, 77, 34)
    assert most_worth(-np.ones((20, 30), int)) == (0, 0, 0, 0)


def test_nothing_known_has_no_rectangle():
    assert largest_known(np.zeros((4, 5), bool)) == (0, 0, 0, 0)


def test_all_known_is_the_whole():
    assert largest_known(np.ones((4, 5), bool)) == (0, 0, 5, 4)


def test_a_diagonal_pan_keeps_the_belt_that_both_ends_share():
    mask = np.zeros((12, 20), bool)
    mask[:9, :12] = mask[3:, 8:] = True
    assert largest_known(mask) == (0, 3, 20, 6)
