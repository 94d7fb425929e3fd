from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataset_pipeline.settings.degradation import BEST_AND_WORST
from dataset_pipeline.super_resolution.recode import CODECS, neighbours, recoded

QUALITY = {"h264": 28, "h265": 28, "mpeg2": 8, "mpeg4": 8, "vp9": 40}


def moving(frames: int = 9, size: tuple[int, int] = (96, 64)) -> list[np.ndarray]:
    """Shapes that move over a textured ground, so that each frame is another one."""
    ground = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 3)
    shown = []
    for number in range(frames):
        frame = ground.copy()
        cv2.circle(frame, (12 + 8 * number, 30), 10, (220, 60, 40), -1, cv2.LINE_AA)
        cv2.rectangle(frame, (80 - 7 * number, 8), (92 - 7 * number, 18), (30, 200, 240), -1)
        shown.append(frame)
    return shown


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_come_back_in_order_with_what_the_codec_did_to_them(codec: str):
    frames = moving()
    found = recoded(frames, codec, QUALITY[codec])
    assert len(found) == len(frames)
    for number, it in enumerate(found):
        assert it.rgb.shape == frames[number].shape
        errors = [error(it.rgb, frame) for frame in frames]
        assert errors.index(min(errors)) == number
        assert 0 < errors[number] < 12


def test_some_frames_are_predicted_from_both_sides_as_in_a_video():
    types = [it.picture_type for it in recoded(moving(), "h264", 28)]
    assert types[0] == "I"
    assert {"P", "B"} <= set(types)
    assert "B" in {it.picture_type for it in recoded(moving(), "mpeg2", 8)}


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_pixels_and_a_worse_quality_worse_ones(codec: str):
    frames = moving(5)
    one, again = (recoded(frames, codec, QUALITY[codec]) for _ in range(2))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(one, again, strict=True))
    worse = recoded(frames, codec, BEST_AND_WORST[codec][1])
    assert sum(error(it.rgb, frame) for it, frame in zip(worse, frames, strict=True)) > sum(
        error(it.rgb, frame) for it, frame in zip(one, frames, strict=True)
    )


def test_colours_come_back_as_they_were():
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :32], frame[:, 32:] = (230, 40, 30), (20, 60, 200)
    found = recoded([frame] * 3, "h264", 1)[1].rgb.astype(int)
    assert np.abs(found[:, 4:28] - (230, 40, 30)).max() <= 4
    assert np.abs(found[:, 36:60] - (20, 60, 200)).max() <= 4


def test_odd_sides_keep_their_size():
    frames = [frame[:63, :95] for frame in moving(4)]
    found = recoded(frames, "mpeg2", 4)
    assert [it.rgb.shape for it in found] == [(63, 95, 3)] * 4
    assert error(found[2].rgb, frames[2]) < 6


def test_what_cannot_be_coded_is_refused():
    assert recoded([], "h264", 20) == []
    for codec, quality in (("divx", 20), ("h264", 0), ("mpeg2", 32)):
        with pytest.raises(ValueError, match="known are h264 1-51"):
            recoded(moving(2), codec, quality)
    with pytest.raises(ValueError, match="2 sizes"):
        recoded([moving(1)[0], moving(1, (64, 64))[0]], "h264", 20)


def test_frames_around_one_are_of_its_shot_and_those_after_it_come_first_where_it_begins_the_shot():
    shots = [range(0, 40, 2), range(40, 46, 2), [50]]
    assert [list(it) for it in neighbours(shots, 20)] == [[6, 8, 10, 12, 14, 16, 18], [22, 24, 26, 28]]
    assert [list(it) for it in neighbours(shots, 36)] == [[22, 24, 26, 28, 30, 32, 34], [38]]
    assert [list(it) for it in neighbours(shots, 2)] == [[16, 14, 12, 10, 8, 6, 4], [0]]
    assert [list(it) for it in neighbours(shots, 40)] == [[44, 42], []]
    assert [list(it) for it in neighbours(shots, 50)] == [[], []]
    assert [list(it) for it in neighbours(shots, 41)] == [[], []]
    assert [list(it) for it in neighbours([], 41)] == [[], []]
