"""Which frames show the most of the people of a shot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dataset_pipeline.characters.poses import MIN_APART, chosen_frames, differences_of


def sample(pts: int, look: int = 100, width: float = 100, **more: Any) -> dict[str, Any]:
    """A person whose small copy is of one grey."""
    box = {"x0_px": 0.0, "y0_px": 0.0, "x1_px": width, "y1_px": 200.0}
    return {"pts": pts, **box, "score": 0.9, "head": None, "sharpness": 100.0, "thumb": bytes([look]) * 128, **more}


def track(*samples: dict[str, Any], shot: int = 0, max_score: float = 0.9) -> dict[str, Any]:
    return {"shot": shot, "max_score": max_score, "samples": list(samples)}


def test_of_a_person_who_holds_still_the_sharpest_frame_is_chosen():
    still = track(sample(0), sample(1, sharpness=150.0), sample(2, look=101))
    assert chosen_frames([still], per_track=4, min_score=0.3) == [1]


def test_frames_of_poses_that_differ_most_are_chosen_up_to_a_number():
    moving = track(*[sample(n, look=100 + 5 * n) for n in range(10)])
    assert chosen_frames([moving], per_track=2, min_score=0.3) == [0, 5]
    assert chosen_frames([moving], per_track=3, min_score=0.3) == [0, 5, 9]
    assert chosen_frames([moving], per_track=1, min_score=0.3) == [0]


def test_blurred_and_half_hidden_samples_are_not_chosen_unless_there_is_nothing_else():
    rushing = track(sample(0), sample(1, look=200, sharpness=20.0), sample(2, look=200, score=0.3))
    assert chosen_frames([rushing], per_track=4, min_score=0.3) == [0]
    dim = track(sample(0, score=0.3, sharpness=3.0), sample(1, sharpness=1.0))
    assert chosen_frames([dim], per_track=1, min_score=0.3) == [0]


def test_one_frame_that_shows_two_people_anew_is_taken_before_two_frames():
    left = track(*[sample(n, look=look) for n, look in enumerate((50, 120, 120, 50))])
    right = track(*[sample(n, look=look) for n, look in enumerate((50, 120, 50, 120))])
    assert chosen_frames([left, right], per_track=2, min_score=0.3) == [0, 1]


def test_everybody_is_chosen_once_also_who_is_there_for_one_frame_alone():
    assert chosen_frames([track(sample(0), sample(1)), track(sample(7)), track(sample(9), shot=1)], 4, 0.3) == [0, 7, 9]


def test_who_scores_low_all_along_counts_for_nothing():
    assert chosen_frames([track(sample(0, score=0.2), max_score=0.2)], per_track=4, min_score=0.3) == []
    assert chosen_frames([track(sample(0, score=0.2), max_score=0.2)], per_track=4, min_score=0.1) == [0]
    assert chosen_frames([], per_track=4, min_score=0.1) == []


def test_a_turned_head_a_wider_box_and_another_look_are_other_poses_and_a_small_shift_is_none():
    head = {"x0_px": 30.0, "y0_px": 0.0, "x1_px": 70.0, "y1_px": 50.0, "score": 0.8}
    turned = {**head, "x0_px": 60.0, "x1_px": 100.0}
    shifted = {"x0_px": 5.0, "x1_px": 105.0}
    found = differences_of(
        [sample(0, head=head), sample(1, head=turned), sample(2, width=180), sample(3, look=130, head=head),
         sample(4, head=head | {"x0_px": 35.0, "x1_px": 75.0}, **shifted)]
    )  # fmt: skip
    assert found.diagonal() == pytest.approx(0.0)
    assert np.array_equal(found, found.T)
    assert (found[0, 1:4] > MIN_APART).all()
    assert found[0, 4] < MIN_APART


def test_a_person_who_only_moves_through_the_picture_or_comes_nearer_shows_no_other_pose():
    corners = ("x0_px", "y0_px", "x1_px", "y1_px")
    body, head = (0.0, 0.0, 100.0, 200.0), (30.0, 0.0, 70.0, 50.0)

    def at(pts: int, x_px: float, scale: float) -> dict[str, Any]:
        placed = [
            {c: x_px * (c[0] == "x") + scale * v for c, v in zip(corners, it, strict=True)} for it in (body, head)
        ]
        return sample(pts, head={**placed[1], "score": 0.8}, **placed[0])

    walking = [at(0, 0.0, 1.0), at(1, 400.0, 1.0), at(2, 900.0, 2.5)]
    assert differences_of(walking) == pytest.approx(np.zeros((3, 3)), abs=1e-9)
    assert chosen_frames([track(*walking)], per_track=4, min_score=0.3) == [0]
