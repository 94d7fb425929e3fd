from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataset_pipeline.super_resolution.release_geometry import (
    Geometry,
    fit_geometry,
    shown_by_both,
    warped,
    whole_frame,
)
from dataset_pipeline_tests.super_resolution.drawn_heights import coded_luma, drawn_cels
from dataset_pipeline_tests.super_resolution.drawn_releases import corner_error_px, lowered

HIGH_PX, LOW_PX = (480, 270), (176, 144)
TRUE = Geometry(step_x=2.66, step_y=1.83, start_x_px=5.1, start_y_px=2.7)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    pictures = [cels[0][0] for seed in (11, 12) for cels in drawn_cels(HIGH_PX[1], seed)]
    return [
        (
            cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32),
            coded_luma(lowered(picture, TRUE, LOW_PX), 85),
        )
        for picture in pictures
    ]


def test_where_the_low_release_lies_is_found_to_a_twentieth_of_its_pixels(pairs):
    found = fit_geometry(pairs)
    assert corner_error_px(whole_frame(HIGH_PX, LOW_PX), TRUE, LOW_PX) > 1
    assert corner_error_px(found, TRUE, LOW_PX) <= 0.05
    assert found.error_px <= 0.05


def test_of_equal_frames_each_pixel_lies_on_itself_and_the_frames_stay_as_they_are(pairs):
    low = [low for _, low in pairs]
    before = [frame.copy() for frame in low]
    found = fit_geometry([(frame, frame) for frame in low])
    assert corner_error_px(found, Geometry(1.0, 1.0, 0.0, 0.0), LOW_PX) <= 0.005
    assert all(np.array_equal(*its) for its in zip(before, low, strict=True))


def test_frames_without_detail_do_not_tell():
    with pytest.raises(ValueError, match="blocks"):
        fit_geometry([(np.zeros((270, 480), np.float32), np.zeros((144, 176), np.float32))] * 16)


def test_a_warped_frame_shows_what_lies_at_each_pixel_and_may_be_larger_than_the_low_one():
    y, x = np.mgrid[0:270, 0:480] + 0.5
    for scale in (1, 2):
        lies = Geometry(step_x=2.5, step_y=2.25, start_x_px=7.0, start_y_px=3.0)
        drawn = warped(np.dstack([x, y, x + y]), lies, (170, 110), scale)
        assert drawn.shape == (110 * scale, 170 * scale, 3)
        assert np.abs(drawn[20:-20, 20:-20, 0] - (7 + (np.arange(170 * scale)[20:-20] + 0.5) * 2.5 / scale)).max() < 0.1
        assert np.allclose(drawn[..., 2], drawn[..., 0] + drawn[..., 1], atol=1e-3)


def test_the_high_release_is_never_enlarged():
    lies = Geometry(step_x=2.66, step_y=1.83, start_x_px=0, start_y_px=0)
    assert lies.largest_scale == 1
    assert whole_frame((1920, 1080), (704, 480)).largest_scale == 2
    assert whole_frame((1920, 1080), (960, 541)).largest_scale == 2
    with pytest.raises(ValueError, match="more than the high one has"):
        warped(np.zeros((270, 480)), lies, LOW_PX, scale=2)


def test_what_only_the_low_release_shows_is_left_out():
    lies = Geometry(step_x=2.0, step_y=2.0, start_x_px=-5.0, start_y_px=4.0)
    assert shown_by_both(lies, (200, 100), (110, 48)) == (3, 0, 102, 48)
