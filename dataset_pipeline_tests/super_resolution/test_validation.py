from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.super_resolution.validation import validation_picks


def turned(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


NONE = np.zeros((0, 2))


def test_the_best_is_taken_first_and_then_the_one_least_like_those_taken():
    assert validation_picks(turned(0, 5, 80, 40, 20), NONE, 3, 1.0) == [0, 2, 3]
    assert validation_picks(turned(0, 90, -90, 45), NONE, 2, 1.0) == [0, 1]


def test_no_near_duplicate_of_a_trained_tile_or_of_another_pick_is_taken():
    candidates, trained = turned(0, 30, 31, 60, 90), turned(2, 88)
    alike = np.cos(np.radians(10))
    assert validation_picks(candidates, trained, 5, alike) == [1, 3]
    assert validation_picks(candidates, NONE, 5, alike) == [0, 4, 2, 3]
    assert validation_picks(candidates, candidates, 5, alike) == []


@pytest.mark.parametrize("seed", range(3))
def test_picks_of_any_tiles_keep_their_distance(seed: int):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(300, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    trained, candidates = vectors[:200], vectors[200:]
    picks = validation_picks(candidates, trained, 8, 0.8)
    assert 0 < len(picks) <= 8
    assert (candidates[picks] @ trained.T).max() <= 0.8
    among = candidates[picks] @ candidates[picks].T
    assert (among - 2 * np.eye(len(picks))).max() <= 0.8


def test_no_candidates_give_no_picks():
    assert validation_picks(NONE, turned(0), 4, 0.9) == []
    assert validation_picks(turned(0), NONE, 0, 0.9) == []
