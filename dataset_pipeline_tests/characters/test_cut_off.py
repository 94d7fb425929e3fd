"""Bodies that the picture's side cuts off, completed by their mirror image."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.characters.cut_off import completed, completed_crop


def columns(width: int, height: int = 100) -> np.ndarray:
    """A picture whose columns count up from 0."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3)).copy()


def across(picture: np.ndarray) -> list[int]:
    return picture[0, :, 0].tolist()


def test_a_sliver_at_the_side_goes_on_as_its_mirror_image_as_wide_as_somebody_who_stands():
    assert across(completed(columns(30), 0.0, 0.1)) == [*range(11, -1, -1), *range(30)]
    assert across(completed(columns(30), 0.9, 1.0)) == [*range(30), *range(29, 17, -1)]


def test_what_is_very_narrow_is_at_most_doubled():
    assert across(completed(columns(5), 0.0, 0.01)) == [4, 3, 2, 1, 0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(("width", "first", "last"), [(30, 0.2, 0.3), (30, 0.0, 1.0), (42, 0.0, 0.2), (90, 0.7, 1.0)])
def test_who_is_whole_or_wide_or_fills_the_picture_stays_as_it_is(width: int, first: float, last: float):
    picture = columns(width)
    assert completed(picture, first, last) is picture


def test_of_crops_the_persons_are_completed():
    still = "show.e01/00001000"
    assert completed_crop(f"{still}#person-0-100-50-800", columns(30)).shape == (100, 42, 3)
    assert completed_crop(f"{still}#head-0-100-50-800", columns(30)).shape == (100, 30, 3)
