"""The drawn shots show what they say that they show."""

import numpy as np

from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot, draw_shot


def _like_canvas(shot: DrawnShot, number: int) -> float:
    """Mean difference in levels between a frame and the canvas at the nearest whole pixels, where it is in sight."""
    x, y = np.rint(shot.places[number, :2] - np.array(shot.size_px) / 2 - (shot.left_px, shot.top_px)).astype(int)
    window = shot.canvas[y : y + shot.size_px[1], x : x + shot.size_px[0]]
    frame = next(shot.frames_at([number]))[1]
    return float(np.abs(frame.astype(float) - window)[~shot.covered(number)].mean())


def test_first_and_last_frame_lie_where_the_truth_says():
    shot = draw_shot("walker", (320, 180), seed=3, frames=24)
    assert shot.places[-1, 0] == 640
    assert max(_like_canvas(shot, 0), _like_canvas(shot, 23)) < 4
    assert shot.boxes[0]
    assert not shot.letters.any()


def test_the_same_seed_draws_the_same_bytes():
    again = draw_shot.__wrapped__("pan", (320, 180), 5, 16)
    assert draw_shot("pan", (320, 180), seed=5, frames=16).encoded == again.encoded


def test_letters_are_marked_as_burnt_in():
    shot = draw_shot("subtitle", (320, 180), seed=4, frames=16)
    assert 0.005 < shot.letters.mean() < 0.1
    assert np.array_equal(shot.covered(0) | shot.covered(15), shot.letters)
