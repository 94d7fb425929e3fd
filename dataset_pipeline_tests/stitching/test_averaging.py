"""Means that what is foreign does not move."""

import numpy as np
import pytest

from dataset_pipeline.stitching.averaging import EMPTY, robust_mean, sort_columns


@pytest.mark.parametrize("count", range(1, 25))
def test_columns_are_sorted_whatever_their_number(count: int):
    samples = np.random.default_rng(count).integers(0, 256, (count, 300)).astype(np.uint8)
    expected = np.sort(samples, 0)
    sort_columns(samples)
    assert np.array_equal(samples, expected)


def test_near_samples_are_averaged_and_far_ones_do_not_count():
    columns = [[10, 12, 14, 200], [100, 100, 130, 100], [7, EMPTY, EMPTY, EMPTY], [EMPTY] * 4]
    mean = robust_mean(np.array(columns, np.uint8).T.copy(), np.array([4, 4, 1, 0], np.uint8))
    # The median of the first is 13: 10, 12 and 14 stay, the nearer the heavier.
    weights = [(1 - (off / 24) ** 2) ** 2 for off in (3, 1, 1)]
    assert mean[0] == pytest.approx(np.dot(weights, [10, 12, 14]) / sum(weights), abs=1e-4)
    assert mean[1:].tolist() == [100, 7, 0]


def test_a_sample_as_white_as_the_filling_counts():
    mean = robust_mean(np.array([[255], [251], [EMPTY]], np.uint8), np.array([2], np.uint8))
    assert mean[0] == pytest.approx(253)
