from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.super_resolution.held_out_sequences import Parts, looks_of, parted
from dataset_pipeline.super_resolution.sequences import SIGNATURE_VALUES, FrameRun
from dataset_pipeline.super_resolution.signatures import as_vectors

MOST_ALIKE = 0.9


def look(place: int) -> np.ndarray:
    return np.random.default_rng(place).integers(0, 256, SIGNATURE_VALUES, np.uint8)


def made(*places: int, each: int = 1, episode: str = "a.e1") -> dict[FrameRun, np.ndarray]:
    """Sequences with their looks: of each shot so many, shots of one place look the same but for a little noise."""
    dice = np.random.default_rng(len(places))
    return {
        FrameRun(episode, shot, tuple(range(100 * shot + 7 * at, 100 * shot + 7 * at + 7))): np.stack(
            [np.clip(look(place).astype(int) + dice.integers(-9, 10, SIGNATURE_VALUES), 0, 255)] * 3
        ).astype(np.uint8)
        for shot, place in enumerate(places)
        for at in range(each)
    }


def shots(runs: list[FrameRun]) -> list[int]:
    return [it.shot for it in runs]


def of(looks: dict[FrameRun, np.ndarray], count: int) -> Parts:
    return parted(list(looks), looks, count, MOST_ALIKE)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_what_is_held_out_looks_like_nothing_that_is_trained_on(count: int):
    looks = made(0, 1, 0, 1, 2, 3, 4, 2, 5, 6, 7) | made(8, 3, 9, each=3, episode="a.e2")
    parts = of(looks, count)
    assert len(parts.held_out) == count
    assert sorted(map(str, (*parts.trained, *parts.held_out, *parts.beside))) == sorted(map(str, looks))
    trained = as_vectors([it.tobytes() for run in parts.trained for it in looks[run]])
    for run in parts.held_out:
        assert (as_vectors([it.tobytes() for it in looks[run]]) @ trained.T).max() < MOST_ALIKE
        assert (run.episode, run.shot) not in {(it.episode, it.shot) for it in parts.trained}


def test_shots_that_cost_the_fewest_others_are_held_out():
    parts = of(made(0, 1, 0, 1, 0, 2, 3), 2)
    assert shots(parts.held_out) == [5, 6]
    assert (shots(parts.trained), parts.beside) == ([0, 1, 2, 3, 4], [])
    assert shots(of(made(0, 1, 0, 1, 0, 2, 0), 2).trained) == [0, 2, 4, 6]


def test_of_a_shot_with_several_sequences_one_is_held_out_and_none_trained_on():
    parts = of(made(0, 1, 2, each=4), 1)
    assert (len(parts.trained), len(parts.held_out), len(parts.beside)) == (8, 1, 3)


def test_what_is_alike_through_others_stays_together():
    looks = made(0, 1, 2, 3)
    pan = list(looks)[1]
    looks[pan] = np.stack([look(0), look(5), look(2)])  # from the place of the first to that of the third
    parts = of(looks, 1)
    assert (shots(parts.held_out), shots(parts.trained)) == ([3], [0, 1, 2])
    del looks[list(looks)[3]]
    assert of(looks, 1) == Parts(list(looks), [], [])


def test_something_is_left_to_train_on_and_without_a_wish_nothing_is_held_out():
    looks = made(0, 1, 2)
    assert len(of(looks, 9).trained) == 1
    assert of(looks, 0) == Parts(list(looks), [], [])
    assert of(made(0, 0), 1).held_out == []
    assert parted([], {}, 3, MOST_ALIKE) == Parts([], [], [])


def test_bars_make_no_two_frames_alike():
    copies = np.stack([look(it).reshape(18, 32) // 16 + 120 for it in range(20)])
    copies[:, :4] = copies[:, 14:] = 0
    copies = copies.reshape(20, -1)
    runs = [FrameRun("a.e1", it, tuple(range(10 * it, 10 * it + 10))) for it in range(2)]
    for bars, alike in (((0, 0, 0, 0), True), ((0, 0.2, 0, 0.2), False)):
        one, other = (as_vectors([it.tobytes() for it in looks_of(run, copies, bars)]) for run in runs)
        assert one.shape == (3, SIGNATURE_VALUES)
        assert ((one @ other.T).min() > MOST_ALIKE) == alike
