from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataset_pipeline.super_resolution.release_geometry import Geometry, warped
from dataset_pipeline.super_resolution.release_pairs import BLOCK_PX, compared, fit_colours
from dataset_pipeline_tests.super_resolution.drawn_heights import drawn_cels
from dataset_pipeline_tests.super_resolution.drawn_releases import COLOURS, lowered

HIGH_PX, LOW_PX = (640, 360), (288, 192)
LIES = Geometry(step_x=2.2, step_y=1.86, start_x_px=3.0, start_y_px=1.5)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """The high release's frames warped to the low one, and those of the low one, coded."""
    pictures = [cels[0][0] for seed in (11, 12) for cels in drawn_cels(HIGH_PX[1], seed)]
    return [(warped(picture, LIES, LOW_PX), coded(lowered(picture, LIES, LOW_PX))) for picture in pictures]


def coded(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)


def test_the_colours_of_one_release_become_those_of_the_other(pairs):
    found = fit_colours(pairs)
    off = [np.abs(found.applied(high) - low).mean() for high, low in pairs]
    before = [np.abs(high - low).mean() for high, low in pairs]
    assert np.mean(off) < 0.65 * np.mean(before)
    assert np.abs(found.matrix - COLOURS)[:, :3].max() < 0.04
    assert np.abs(found.matrix[:, 3] - COLOURS[:, 3]).max() < 4
    back = fit_colours([(low, high) for high, low in pairs])
    assert np.abs(back.matrix[:, :3] @ found.matrix[:, :3] - np.eye(3)).max() < 0.15


def test_parts_that_differ_do_not_change_the_colours(pairs):
    spoilt = [(high, low.copy()) for high, low in pairs]
    for _, low in spoilt:
        low[130:170, 40:250] = 255
    assert np.abs(fit_colours(spoilt).matrix - fit_colours(pairs).matrix)[:, :3].max() < 0.08


def test_pictures_keep_their_type(pairs):
    found = fit_colours(pairs)
    assert found.applied(pairs[0][1]).dtype == np.uint8
    assert found.applied(pairs[0][0]).dtype == np.float32


def test_coding_alone_is_no_difference(pairs):
    colours = fit_colours(pairs)
    found = [compared(colours.applied(high), low) for high, low in pairs]
    assert min(one.correlation for one in found) > 0.97
    assert np.mean([one.share for one in found]) < 0.03


def test_subtitles_and_redrawn_parts_are_found_where_they_are(pairs):
    colours = fit_colours(pairs)
    elsewhere = []
    for high, low in pairs:
        titled = low.copy()
        cv2.putText(titled, "What is that?", (60, 170), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(titled, "What is that?", (60, 170), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
        redrawn = np.full(3, 255 - int(low[24:56, 200:232].mean()), np.uint8)
        cv2.circle(titled, (216, 40), 14, tuple(map(int, redrawn)), -1, cv2.LINE_AA)
        found = compared(colours.applied(high), coded(titled))
        assert found.differs_in(64, 154, 200, 172)
        assert found.differs_in(206, 30, 226, 50)
        assert found.differs[160 // BLOCK_PX, 64 // BLOCK_PX : 192 // BLOCK_PX].mean() > 0.9
        elsewhere.append(found.differs[5:8].mean())
    assert np.mean(elsewhere) < 0.05
