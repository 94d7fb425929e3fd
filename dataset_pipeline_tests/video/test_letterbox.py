import numpy as np
import pytest

from dataset_pipeline.video.letterbox import Bars, find_bars

HEIGHT, WIDTH = 120, 160


def pictures(count: int = 8, low: int = 60, high: int = 200) -> list[np.ndarray]:
    """Luma of uneven pictures, all of them lit."""
    random = np.random.default_rng(1)
    return [random.integers(low, high, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(count)]


def boxed(frames: list[np.ndarray], top: int, bottom: int, black: int = 16) -> list[np.ndarray]:
    for frame in frames:
        frame[:top] = black
        frame[HEIGHT - bottom :] = black
    return frames


def test_bars_are_rounded_inwards_to_whole_chroma_samples():
    assert find_bars(boxed(pictures(), 15, 20)) == Bars(0, 16, 0, 20)
    assert find_bars(boxed(pictures(), 15, 20), chroma_px=1) == Bars(0, 15, 0, 20)
    assert find_bars([frame.T.copy() for frame in boxed(pictures(), 15, 20)]) == Bars(16, 0, 20, 0)


def test_full_range_black_is_a_bar_and_a_grey_border_is_none():
    assert find_bars(boxed(pictures(), 14, 14, black=0), black=0) == Bars(0, 14, 0, 14)
    assert find_bars(boxed(pictures(), 14, 14, black=48)) == Bars()


def test_a_line_mixed_of_bar_and_picture_goes_with_the_bar():
    frames = boxed(pictures(), 20, 20)
    for frame in frames:
        frame[20] = (frame[20].astype(int) + 16) // 2
    assert find_bars(frames, chroma_px=1) == Bars(0, 21, 0, 20)


@pytest.mark.parametrize("lit", [2, 1, 0])
def test_dark_frames_say_nothing_and_too_few_lit_ones_do_not_decide(lit):
    frames = boxed(pictures(lit), 20, 20) + [np.full((HEIGHT, WIDTH), 16, np.uint8)] * 20
    assert find_bars(frames) == Bars()


def test_a_quarter_of_the_lit_frames_is_enough_and_less_is_not():
    assert find_bars(boxed(pictures(6), 20, 20) + pictures(18)) == Bars(0, 20, 0, 20)
    assert find_bars(boxed(pictures(4), 20, 20) + pictures(18)) == Bars()


def test_a_bar_on_one_side_alone_must_be_in_most_frames():
    assert find_bars(boxed(pictures(16), 20, 0) + pictures(4)) == Bars(0, 20, 0, 0)
    assert find_bars(boxed(pictures(8), 20, 0) + pictures(12)) == Bars()


def test_a_dark_part_that_is_lit_in_places_in_every_frame_is_no_bar():
    frames = boxed(pictures(), 40, 40)
    for frame in frames:
        frame[:40, 20:60] = 150
    assert find_bars(frames).top_px == 0


def test_a_dark_sky_that_grows_lighter_is_no_bar():
    frames = boxed(pictures(), 40, 0)
    for frame in frames:
        frame[:40] = np.linspace(16, 28, 40, dtype=np.uint8)[:, None]
    assert find_bars(frames) == Bars()


def test_no_frames_have_no_bars():
    assert find_bars([]) == Bars()
