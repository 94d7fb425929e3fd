"""From what an excerpt costs to what the whole costs."""

from __future__ import annotations

import pytest

from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.reports.estimate.scaling import (
    DRIVERS,
    Looks,
    Rate,
    Units,
    distinct_of,
    driver_of,
    fitted,
    whole_of,
)


def test_two_sizes_tell_what_is_fixed_from_what_grows():
    rate = fitted((10, 3.0), (50, 7.0))
    assert rate == Rate(pytest.approx(2.0), pytest.approx(0.1))
    assert rate.of(1000) == pytest.approx(102.0)


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        ((10, 5.0), (50, 4.0), Rate(4.0, 0.0)),  # more work took less: all of it is fixed
        ((10, 0.1), (50, 10.0), Rate(0.0, 0.2)),  # it grew faster than the work: nothing is fixed
        ((40, 5.0), (50, 10.0), Rate(0.0, 0.2)),  # too near one another to tell
        ((0, 1.0), (0, 2.0), Rate(2.0, 0.0)),  # nothing to grow with
    ],
)
def test_no_part_of_a_rate_is_below_zero(small: tuple, large: tuple, expected: Rate):
    rate = fitted(small, large)
    assert (rate.fixed, rate.each) == (pytest.approx(expected.fixed), pytest.approx(expected.each))


def test_distinct_frames_grow_with_the_power_that_halves_show():
    assert distinct_of(1600, 100, 80, [40, 40]) == pytest.approx(1280)  # halves share nothing: in proportion
    assert distinct_of(400, 100, 40, [20 * 2**0.5] * 2) == pytest.approx(80)  # square root: four times are twice
    assert distinct_of(400, 100, 40, [40, 40]) == pytest.approx(40)  # all is seen in either half
    assert distinct_of(100, 100, 40, [30, 30]) == pytest.approx(40)  # the excerpt is the whole
    assert distinct_of(400, 0, 0, []) == 0.0


def test_what_follows_stills_keeps_the_proportions_of_the_excerpt():
    sample = Units(1, 20, 30, 10, 15, 25, 5)
    assert whole_of(sample, 200, 250, 40) == Units(1, 200, 250, 40, 60, 100, 20)
    assert whole_of(Units(1, 20, 30), 200, 250, 0) == Units(1, 200, 250)


def test_pictures_that_a_model_passed_over_are_added():
    looks = Looks(call_s=5.0, look_s=4.0, looked_at=4, given=10)  # 1 s went into reading the six others
    assert looks.each_s == 1.0
    assert looks.as_if_all(7.0, looks.each_s) == pytest.approx(7.0 - 1.0 + 6.0)
    assert Looks().as_if_all(7.0, 3.0) == 7.0


def test_cost_grows_with_what_an_asset_looks_at():
    assert driver_of("keyframes") == "candidates"
    assert driver_of("keyframes", every_frame_is_looked_at=True) == "seconds"
    assert driver_of("video_probe", is_folder=True) == "candidates"
    assert driver_of("quality_scores") == "images"
    assert [driver_of(it) for it in ("text_lines", "burnt_in_text")] == ["stills", "stills"]
    assert driver_of("screen_marks") == "candidates"
    assert set(DRIVERS.values()) <= Units().as_dict().keys()


def test_drivers_name_assets_that_exist():
    import dataset_pipeline.definitions  # noqa: F401

    assert DRIVERS.keys() <= DECLARATIONS.keys()
