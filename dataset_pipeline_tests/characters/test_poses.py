"""Which frames show the most of the people of a shot."""

from __future__ import annotations

from typing import Any

import numpy as np

from dataset_pipeline.characters.poses import chosen_frames
from dataset_pipeline.characters.small_copies import COPY_ROWS

STRIPES = np.cos(np.arange(COPY_ROWS) * np.pi / 16)[:, None] * np.ones(32)
COLUMNS = np.cos(np.arange(32) * np.pi / 4)[None] * np.sin(np.arange(COPY_ROWS) * np.pi / 16)[:, None]


def sample(pts: int, angle: float = 0.0, **more: Any) -> dict[str, Any]:
    """A person at a time in seconds. Two of one angle show one pose, two that are 90 degrees apart nothing alike."""
    look = np.cos(np.radians(angle)) * STRIPES + np.sin(np.radians(angle)) * COLUMNS
    box = {"x0_px": 0.0, "y0_px": 0.0, "x1_px": 100.0, "y1_px": 200.0}
    thumb = np.rint(128 + 60 * look).astype(np.uint8).tobytes()
    return {"pts": pts, "pts_s": float(pts), **box, "score": 0.9, "sharpness": 100.0, "thumb": thumb, **more}


def track(*samples: dict[str, Any], shot: int = 0, max_score: float = 0.9) -> dict[str, Any]:
    return {"shot": shot, "max_score": max_score, "samples": list(samples)}


def test_of_a_person_who_holds_still_the_sharpest_frame_is_chosen():
    still = track(sample(0), sample(1, sharpness=150.0), sample(2, angle=10))
    assert chosen_frames([still], per_track=4, min_score=0.3) == [1]


def test_frames_of_poses_that_differ_most_are_chosen_up_to_a_number():
    moving = track(*[sample(n, angle) for n, angle in enumerate((0, 20, 60, 120))])
    assert chosen_frames([moving], per_track=2, min_score=0.3) == [0, 3]
    assert chosen_frames([moving], per_track=3, min_score=0.3) == [0, 2, 3]
    assert chosen_frames([moving], per_track=1, min_score=0.3) == [0]
    assert chosen_frames([moving], per_track=9, min_score=0.3) == [0, 2, 3]


def test_somebody_who_stays_in_place_shows_another_pose_sooner_than_who_moves():
    """By 40 degrees copies differ by 0.05."""
    beside = {"x0_px": 40.0, "x1_px": 140.0}
    assert chosen_frames([track(sample(0), sample(1, angle=40))], per_track=4, min_score=0.3) == [0, 1]
    assert chosen_frames([track(sample(0), sample(1, angle=40, **beside))], per_track=4, min_score=0.3) == [0]
    assert chosen_frames([track(sample(0), sample(1, angle=60, **beside))], per_track=4, min_score=0.3) == [0, 1]


def test_blurred_and_half_hidden_samples_are_not_chosen_unless_there_is_nothing_else():
    rushing = track(sample(0), sample(1, angle=90, sharpness=20.0), sample(2, angle=90, score=0.3))
    assert chosen_frames([rushing], per_track=4, min_score=0.3) == [0]
    dim = track(sample(0, score=0.3, sharpness=3.0), sample(1, sharpness=1.0))
    assert chosen_frames([dim], per_track=1, min_score=0.3) == [0]


def test_one_frame_that_shows_two_people_anew_is_taken_before_two_frames():
    left = track(*[sample(n, angle) for n, angle in enumerate((0, 90, 90, 0))])
    right = track(*[sample(n, angle) for n, angle in enumerate((0, 90, 0, 90))])
    assert chosen_frames([left, right], per_track=2, min_score=0.3) == [0, 1]


def test_everybody_is_chosen_once_also_who_is_there_for_one_frame_alone():
    assert chosen_frames([track(sample(0), sample(1)), track(sample(7)), track(sample(9), shot=1)], 4, 0.3) == [0, 7, 9]


def test_a_pose_of_a_track_that_broke_off_is_not_shown_again_by_the_one_that_goes_on():
    before, after = track(sample(0), sample(1, angle=90)), track(sample(2), sample(3, angle=90), sample(4, angle=180))
    assert chosen_frames([before, after], per_track=4, min_score=0.3) == [0, 1, 2, 4]
    beside = track(sample(0, angle=90), sample(1, angle=90), sample(2), sample(3), sample(4, angle=180))
    assert chosen_frames([after, beside], per_track=4, min_score=0.3) == [0, 2, 3, 4]  # of two people


def test_nobody_takes_another_pose_within_two_frames():
    assert chosen_frames([track(sample(0), sample(1, angle=90, pts_s=0.08))], per_track=4, min_score=0.3) == [0]
    assert chosen_frames([track(sample(0), sample(1, angle=90, pts_s=0.25))], per_track=4, min_score=0.3) == [0, 1]


def test_who_scores_low_all_along_counts_for_nothing():
    assert chosen_frames([track(sample(0, score=0.2), max_score=0.2)], per_track=4, min_score=0.3) == []
    assert chosen_frames([track(sample(0, score=0.2), max_score=0.2)], per_track=4, min_score=0.1) == [0]
    assert chosen_frames([], per_track=4, min_score=0.1) == []
