"""A background under two lights is two backgrounds; one that fades or is walked over is one."""

from collections.abc import Sequence

import numpy as np

from dataset_pipeline.stitching.looks import looks_of


def _found(levels: Sequence[float], figure: slice = slice(0), per_s: float = 24) -> list[list[int]]:
    """The frames of each look of a place at these levels; a figure stands in some columns from frame to frame."""
    place = np.random.default_rng(3).integers(40, 200, (18, 32)).astype(np.float32)
    frames = np.stack([place * level for level in levels])
    for number, frame in enumerate(frames):
        frame[:, figure] = number * 37 % 256
    return [look.tolist() for look in looks_of(frames, (np.arange(len(levels)) / per_s).tolist())]


def test_a_light_that_goes_out_makes_two_looks():
    assert _found([1.0] * 20 + [0.4] * 16) == [list(range(20)), list(range(20, 36))]


def test_a_light_that_comes_back_shows_the_first_look_again():
    assert _found([1.0] * 14 + [0.4] * 14 + [1.0] * 14) == [[*range(14), *range(28, 42)], list(range(14, 28))]


def test_one_light_is_one_look_whoever_walks_through_half_of_it():
    assert _found([1.0] * 30, slice(5, 21)) == [list(range(30))]


def test_a_fade_is_no_look():
    assert _found([*np.linspace(0.1, 1, 12), *[1.0] * 30]) == [list(range(42))]
    found = _found([*[0.4] * 20, *np.linspace(0.45, 0.95, 8), *[1.0] * 20])
    assert len(found) == 2
    assert found[0][:20] == list(range(20))
    assert found[1][-20:] == list(range(28, 48))


def test_a_flash_is_no_look():
    assert _found([1.0] * 20 + [0.3] * 3 + [1.0] * 20) == [list(range(43))]
    assert _found([1.0] * 20 + [0.3] * 13 + [1.0] * 20, per_s=60) == [list(range(53))]


def test_a_long_shot_is_sampled_and_what_lies_between_two_looks_is_of_none():
    first, second = _found([1.0] * 500 + [0.5] * 500)
    assert (first[0], second[-1]) == (0, 999)
    assert 980 <= len(first) + len(second) <= 1000
    assert max(first) < 500 <= min(second)
