from __future__ import annotations

import pytest

from dataset_pipeline.base.boxes import Box, area, clipped, holds, iou, middle, share_inside, shared_area

ONE = (0.0, 0.0, 4.0, 2.0)


@pytest.mark.parametrize(
    ("other", "shared", "share", "overlap"),
    [
        (ONE, 8.0, 1.0, 1.0),
        ((2.0, 1.0, 6.0, 3.0), 2.0, 0.25, 2 / 14),
        ((4.0, 0.0, 8.0, 2.0), 0.0, 0.0, 0.0),  # side by side
        ((5.0, 5.0, 6.0, 6.0), 0.0, 0.0, 0.0),  # apart both ways
        ((1.0, 1.0, 1.0, 2.0), 0.0, 0.0, 0.0),  # no box at all
    ],
)
def test_what_two_boxes_share(other: Box, shared: float, share: float, overlap: float):
    assert shared_area(ONE, other) == shared_area(other, ONE) == shared
    assert share_inside(ONE, other) == share
    assert iou(ONE, other) == iou(other, ONE) == pytest.approx(overlap)


def test_a_box_without_area_lies_in_nothing():
    line = (1.0, 1.0, 1.0, 2.0)
    assert (area(line), share_inside(line, ONE), iou(line, line)) == (0.0, 0.0, 0.0)


def test_a_box_holds_its_left_and_upper_edge_alone():
    assert middle(ONE) == (2.0, 1.0)
    assert holds(ONE, (0.0, 0.0))
    assert not holds(ONE, (4.0, 1.0))
    assert not holds(ONE, (1.0, 2.0))


def test_a_box_is_clipped_to_its_picture():
    assert clipped((-5, 1, 300, 510), (200, 500)) == (0.0, 1.0, 200.0, 500.0)
