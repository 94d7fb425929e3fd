from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataset_pipeline.assets.native_size import luma_of
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, probe_source
from dataset_pipeline.super_resolution.native_height import (
    FRAMES,
    Upscale,
    descaled,
    frames_to_look_at,
    native_height,
)
from dataset_pipeline.video.decode import DecodeReport
from dataset_pipeline_tests.super_resolution.drawn_heights import coded_luma, drawn_cels, upscaled, write_videos

FULL_PX = 360
EPISODES = [  # drawn height, seed, scaler
    *((height_px, 11, "mitchell") for height_px in (720, 810, 864, 900, 1080)),
    *((height_px, 12, scaler) for height_px, scaler in ((720, "BICUBIC"), (810, "LANCZOS"), (864, "LANCZOS"))),
    *((height_px, 12, scaler) for height_px, scaler in ((900, "BICUBIC"), (1080, "none"))),
]


@pytest.fixture(scope="module")
def drawn() -> dict[int, list[np.ndarray]]:
    """A part of a picture of each of eleven shots, by the height that it was drawn at."""
    narrow = {}
    for height_px in (240, 288, FULL_PX):
        pictures = [cels[0][0] for seed in (11, 12) for cels in drawn_cels(height_px, seed)]
        narrow[height_px] = [picture[:, height_px // 2 : height_px // 2 + 24] for picture in pictures[:11]]
    return narrow


def frames_of(pictures: list[np.ndarray], quality: int = 92) -> list[np.ndarray]:
    return [coded_luma(upscaled(picture, FULL_PX, "mitchell"), quality) for picture in pictures]


@pytest.mark.parametrize("height_px", [240, 288])
def test_the_height_that_frames_were_drawn_at_is_found(drawn, height_px):
    found = native_height(frames_of(drawn[height_px]))
    assert (found.verdict, found.height_px, found.share) == ("upscaled", height_px, 1.0)
    assert found.dip > 0.5
    assert found.z > 15
    near = np.abs(found.heights_px - height_px) <= 12
    assert found.heights_px[near][found.curve[near].argmin()] == height_px


def test_frames_with_detail_of_their_full_height_are_native():
    noise = np.random.default_rng(2).normal(128, 60, (6, FULL_PX, 24))
    found = native_height([cv2.GaussianBlur(frame, (0, 0), 0.5) for frame in noise])
    assert (found.verdict, found.height_px, found.share) == ("native", FULL_PX, 0.0)


def test_one_frame_is_too_little_to_tell(drawn):
    assert native_height(frames_of(drawn[240][:1])).verdict == "unknown"
    assert native_height(frames_of(drawn[FULL_PX][:1])).verdict == "unknown"


def test_of_a_mixed_production_the_height_is_unknown(drawn):
    mixed = native_height([frame[:, :24] for frame in frames_of([*drawn[240][:5], *drawn[FULL_PX][5:]])])
    assert (mixed.verdict, mixed.height_px) == ("unknown", 240)
    assert mixed.share == pytest.approx(4 / 10)


def test_empty_frames_and_none_say_nothing():
    empty = native_height([np.full((FULL_PX, 4), 16, np.float32)] * 4)
    assert (empty.verdict, empty.height_px, empty.frames) == ("unknown", 0, 0)
    assert native_height([]).verdict == "unknown"


@pytest.mark.parametrize(("sigma_px", "quality"), [(0.8, 80), (1.0, 92)])
def test_coded_pictures_that_are_merely_soft_are_neither_upscaled_nor_native(drawn, sigma_px, quality):
    """A block of eight rows that lost its finest part lies as near to seven rows as an upscale of seven eighths."""
    soft = [cv2.GaussianBlur(picture, (0, 0), sigma_px) for picture in drawn[FULL_PX]]
    assert native_height(frames_of(soft, quality)).verdict == "unknown"


def test_bars_that_came_after_the_upscale_do_not_hide_it(drawn):
    frames = frames_of(drawn[240])
    for frame in frames:
        frame[:41] = frame[-41:] = 16
    found = native_height(frames, top_px=41, bottom_px=41)
    assert (found.verdict, found.height_px) == ("upscaled", 240)


def test_frames_of_different_sizes_are_refused(drawn):
    with pytest.raises(ValueError, match="one size"):
        native_height([drawn[240][0][..., 0], drawn[288][0][..., 0]])


def test_of_candidates_the_sharpest_of_each_part_is_looked_at_and_all_are_of_one_size():
    rows = [
        {"width_px": 8, "height_px": 6, "sharpness": float(number % 3), "at": number} for number in range(3 * FRAMES)
    ]
    rows.insert(5, {"width_px": 9, "height_px": 6, "sharpness": 99.0, "at": -1})
    assert [row["at"] for row in frames_to_look_at(rows)] == list(range(2, 3 * FRAMES, 3))
    assert [row["at"] for row in frames_to_look_at(rows[:2])] == [0, 1]
    assert frames_to_look_at([]) == []


def test_an_upscale_is_undone_with_the_bars_and_they_are_cut_off_after(drawn):
    large = upscaled(drawn[240][1], FULL_PX, "mitchell")
    large[:31] = large[-30:] = 0
    lies = Upscale((large.shape[1], FULL_PX), 240, "mitchell", (0, 31, 0, 30))
    assert lies.of(large.shape[1], FULL_PX - 61) == lies
    assert lies.of(large.shape[1], 300) is None
    found = lies.undone(large)
    assert found.shape[1::-1] == lies.size_px == (drawn[240][1].shape[1], 240 - 21 - 20)
    assert np.abs(found.astype(int) - drawn[240][1][21:-20])[4:-4, 4:-4].mean() < 1
    whole = lies.of(large.shape[1], FULL_PX)  # a scene that fills the frame
    assert whole is not None
    assert whole.size_px == (drawn[240][1].shape[1], 240)


@pytest.mark.parametrize("kernel", ["mitchell", "bilinear"])
def test_a_descaled_picture_is_what_was_drawn(drawn, kernel):
    picture = drawn[240][1]
    large = upscaled(picture, FULL_PX, "mitchell" if kernel == "mitchell" else "BILINEAR")
    small = descaled(large, 240, kernel)
    assert small.shape == picture.shape
    off = np.abs(small.astype(int) - picture)[4:-4, 4:-4]
    assert off.mean() < 1
    assert off.max() <= 8
    with pytest.raises(ValueError, match="not upscaled"):
        descaled(picture, 240, kernel)


@pytest.mark.thorough
@pytest.mark.parametrize(("drawn_px", "seed", "scaler"), EPISODES)
def test_coded_episodes_are_judged_rightly(tmp_path, drawn_px, seed, scaler):
    keyframes = load_settings(keyframes__mode="interval", keyframes__every_s=1 / 24).keyframes
    for path in write_videos(tmp_path, drawn_px, seed, scaler, (18, 23)).values():
        source = {"path": str(path), "kind": "video", "episode": "drawn.e01"}
        probe = probe_source(source)
        rows = frames_to_look_at(row for row, _ in candidates(source, probe, keyframes, DecodeReport()))
        assert len(rows) == FRAMES
        found = native_height(luma_of(source, rows, probe, keyframes))
        assert found.height_px == drawn_px
        assert found.verdict == ("native" if drawn_px == 1080 else "upscaled")
