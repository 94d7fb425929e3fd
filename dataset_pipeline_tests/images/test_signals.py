from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.signals import SIGNALS, banding, blockiness, grid_of, noise, png_bytes, signals_of
from dataset_pipeline.settings import metrics

SIZE = 512, 384


def luma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [draw_scene(seed, SIZE, people=seed % 2, backdrop_seed=1000 + seed).image for seed in range(3)]


def coded(picture: np.ndarray, roughness: float) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(100 - roughness)])[1], 1)


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    grain = np.random.default_rng(1).normal(0, deviation, picture.shape[:2])[..., None]
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def stepped(picture: np.ndarray, step: float) -> np.ndarray:
    """A sky in steps of so many levels, above and below the middle of the picture."""
    rise = np.linspace(40, 200, SIZE[0] * 4) // step * step
    sky = np.broadcast_to(rise[: SIZE[0]], (SIZE[1] // 2, SIZE[0]))[..., None]
    return np.concatenate([np.repeat(sky, 3, axis=2).astype(np.uint8), picture[SIZE[1] // 2 :]])


def softened(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def emptied(picture: np.ndarray, share: float) -> np.ndarray:
    result = picture.copy()
    result[: round(share * SIZE[1])] = (120, 60, 40)
    return result


WORSE: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "blockiness": (coded, (10, 30, 50, 75, 90)),
    "sharpness": (softened, (0.8, 1.5, 3)),
    "noise": (noisy, (1, 2, 4, 8)),
    "banding": (stepped, (1, 2, 4, 8)),
    "complexity": (emptied, (0.4, 0.6, 0.8, 1.0)),
}


@pytest.mark.parametrize("name", list(SIGNALS))
def test_a_signal_goes_its_way_with_the_strength_of_what_is_wrong(scenes: list[np.ndarray], name: str):
    worsen, strengths = WORSE[name]
    signal = SIGNALS[name]
    way = -1 if signal.higher_is_better else 1
    for picture in scenes:
        pictures = [picture, *(worsen(picture, by) for by in strengths)]
        values = [signal.measure(it if signal.of_colours else luma(it)) * way for it in pictures]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("shift", [(3, 5), (7, 0), (4, 4)])
def test_blocks_are_told_alike_wherever_their_grid_lies(scenes: list[np.ndarray], shift: tuple[int, int]):
    y, x = shift
    for picture in scenes:
        pictures = [luma(coded(picture, roughness))[y:, x:] for roughness in (10, 25, 50, 90)]
        values = [blockiness(it) for it in [luma(picture), *pictures]]
        assert values == sorted(values)
        assert {grid_of(it) for it in pictures} == {(-y % 8, -x % 8)}
        assert values[1:] == pytest.approx([blockiness(luma(coded(picture, it))) for it in (10, 25, 50, 90)], rel=0.2)


def test_drawings_that_were_never_coded_stay_below_the_limit_of_30_and_coarse_ones_far_above(scenes: list[np.ndarray]):
    assert max(blockiness(luma(picture)) for picture in scenes) < 10
    assert min(blockiness(luma(coded(picture, 30))) for picture in scenes) > 30


def test_the_deviation_of_noise_is_told_in_levels(scenes: list[np.ndarray]):
    grey = np.full((200, 300), 128, np.uint8)
    for deviation in (1, 2, 5, 10):
        assert noise(noisy(grey[..., None], deviation)[..., 0]) == pytest.approx(deviation, rel=0.15)
        for picture in scenes:
            assert noise(luma(noisy(picture, deviation))) == pytest.approx(deviation, rel=0.4, abs=0.6)
    assert max(noise(luma(picture)) for picture in scenes) < 0.6


def test_a_gradient_has_the_height_of_its_steps_and_a_dithered_one_has_no_bands():
    rise = np.broadcast_to(np.linspace(20, 84, 1280), (64, 1280))
    for step in (1, 2, 4, 8):
        bands = (rise // step * step).astype(np.uint8)
        assert banding(bands) == pytest.approx(step, rel=0.15)
        assert banding(np.ascontiguousarray(bands.T)) == pytest.approx(step, rel=0.15)
        dither = np.random.default_rng(2).uniform(0, step, rise.shape)
        assert banding(((rise + dither) // step * step).astype(np.uint8)) < 0.02 * step


def test_flat_areas_of_a_drawing_are_no_bands():
    picture = np.full((120, 240), 90, np.uint8)
    picture[:, 80:160] = 84  # a shadow, and the light beyond it
    picture[:, 160:] = 92
    assert banding(picture) == 0
    assert banding(np.full((120, 240), 90, np.uint8)) == 0


def test_complexity_tells_how_large_a_png_will_be(scenes: list[np.ndarray]):
    for picture in (scenes[0], noisy(scenes[0], 3)):
        assert png_bytes(signals_of(picture)["complexity"], SIZE[0] * SIZE[1]) == len(encode_png(picture))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 9), (39, 41), (41, 40)])
def test_pictures_of_any_size_have_all_signals(size: tuple[int, int]):
    for picture in (np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8), np.zeros((*size, 3), np.uint8)):
        found = signals_of(picture)
        assert list(found) == list(SIGNALS)
        assert all(np.isfinite(value) and value >= 0 for value in found.values())


def test_settings_name_the_signals_that_there_are():
    assert list(metrics.SIGNALS) == list(SIGNALS)


def test_what_is_no_picture_is_refused():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="a picture is uint8"):
            signals_of(wrong)
