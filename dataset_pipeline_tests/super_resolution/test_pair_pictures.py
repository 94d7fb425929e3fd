from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dataset_pipeline.super_resolution.pair_pictures import CannotPair, Pair, fitted
from dataset_pipeline.super_resolution.release_geometry import Geometry
from dataset_pipeline_tests.super_resolution.drawn_heights import drawn_cels
from dataset_pipeline_tests.super_resolution.drawn_releases import COLOURS, corner_error_px, lowered

HIGH_PX, LOW_PX = (480, 270), (208, 128)
LIES = Geometry(step_x=2.28, step_y=2.05, start_x_px=3.0, start_y_px=1.5)


@pytest.fixture(scope="module")
def frames() -> list[Pair]:
    pictures = [cels[0][0] for seed in (11, 12) for cels in drawn_cels(HIGH_PX[1], seed)]
    return [(picture, lowered(picture, LIES, LOW_PX)) for picture in pictures]


def test_the_high_picture_has_so_many_times_the_low_ones_pixels_and_shows_the_same_in_its_colours(frames):
    pairing = fitted(frames, 2, "of_low")
    assert corner_error_px(pairing.geometry, LIES, LOW_PX) <= 0.05
    made = pairing.pictures(*frames[3])
    assert made.low.dtype == made.high.dtype == np.uint8
    assert made.high.shape == (2 * made.low.shape[0], 2 * made.low.shape[1], 3)
    assert np.array_equal(made.low, frames[3][1][: made.low.shape[0], : made.low.shape[1]])
    assert made.comparison.correlation > 0.98
    small = made.high.reshape(made.low.shape[0], 2, made.low.shape[1], 2, 3).mean(axis=(1, 3))
    assert abs((small - made.low).mean()) < 1


def test_colours_are_matched_the_way_that_was_chosen(frames):
    by_colours = {colours: fitted(frames, 2, colours).pictures(*frames[3]) for colours in ("of_low", "of_high", "own")}
    assert np.array_equal(by_colours["of_high"].high, by_colours["own"].high)
    assert np.array_equal(by_colours["of_low"].low, by_colours["own"].low)
    brighter = {colours: made.high.mean() - made.low.mean() for colours, made in by_colours.items()}
    assert abs(brighter["of_low"]) < 1.5
    assert abs(brighter["of_high"]) < 1.5
    assert abs(brighter["own"]) > 2


def test_bars_of_either_release_are_no_part_of_a_pair(frames):
    plain = fitted(frames, 2, "own")
    barred = fitted(frames, 2, "own", high_bars=(0, 40, 0, 40), low_bars=(6, 0, 10, 0))
    assert barred.box == (6, -(-(40 - 2) // 2), plain.box[2] - 10, 111)
    assert barred.pictures(*frames[0]).low.shape == (barred.box[3] - barred.box[1], barred.box[2] - 6, 3)


def test_a_low_release_of_too_many_rows_is_shrunk_so_far_that_the_high_one_is_not_enlarged(frames):
    low_px, lies = (208, 142), replace(LIES, step_y=1.86)
    pal = [(high, lowered(high, lies, low_px)) for high, _ in frames]
    with pytest.raises(CannotPair, match=r"1\.86 times .*; set \[release_pairs\] shrink_low_to = 0\.9[23], so"):
        fitted(pal, 2, "own")
    pairing = fitted(pal, 2, "own", low_bars=(0, 14, 0, 0), shrink_low_to=0.9)
    assert corner_error_px(pairing.geometry, lies, low_px) <= 0.05
    assert pairing.pair_px == (208, 132)
    assert pairing.low_shares == (1.0, pytest.approx(132 / 142))
    assert pairing.box[1] == 14  # of 13.01 rows
    made = pairing.pictures(*pal[3])
    assert made.high.shape == (2 * made.low.shape[0], 2 * made.low.shape[1], 3)
    assert made.comparison.correlation > 0.98
    small = made.high.reshape(made.low.shape[0], 2, made.low.shape[1], 2, 3).mean(axis=(1, 3))
    assert abs((small @ COLOURS[:, :3].T + COLOURS[:, 3] - made.low).mean()) < 1
    assert pairing.shrunk.step_y >= 1.99


def test_where_no_pair_can_be_made_it_is_said_why(frames):
    told = (
        r"2\.05 times the low one's pixels along a side, and pairs of scale 3 .*scale = 2 or .*shrink_low_to = 0\.68,"
    )
    with pytest.raises(CannotPair, match=told):
        fitted(frames, 3, "own", shrink_low_to=0.69)
    with pytest.raises(CannotPair, match=r"0\.43 times .*; name the two the other way round"):
        fitted([(low, high) for high, low in frames], 2, "own", shrink_low_to=0.25)
    narrow = [(high[:, : LOW_PX[0] // 2], low) for high, low in frames]
    with pytest.raises(CannotPair, match=r"0\.50 times .*; no scale and no shrink_low_to"):
        fitted(narrow, 2, "own", shrink_low_to=0.25)
    with pytest.raises(CannotPair, match="no frame of both"):
        fitted([], 2, "own")
    empty = [(np.zeros_like(high), np.zeros_like(low)) for high, low in frames[:4]]
    with pytest.raises(CannotPair, match="blocks"):
        fitted(empty, 2, "own")
    with pytest.raises(ValueError, match="the frame is 100x128 px, not 208x128"):
        fitted(frames, 2, "own").pictures(frames[0][0], frames[0][1][:, :100])
