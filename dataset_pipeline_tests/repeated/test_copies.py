from __future__ import annotations

import numpy as np

from dataset_pipeline.repeated.copies import aligned_pairs, decide_repeated
from dataset_pipeline.repeated.runs import Run


def test_a_spoilt_copy_never_stands_for_a_sound_one():
    frames = [
        {"image_id": "a/1", "episode": "a", "pts_s": 1.0, "sharpness": 500.0, "text": 0.9},
        {"image_id": "b/1", "episode": "b", "pts_s": 1.0, "sharpness": 100.0, "text": 0.1},
    ]
    vectors = np.array([[1, 0], [1, 0]], np.float32)
    rows = decide_repeated(
        frames, vectors, [], [], similarity=0.95, aligned_similarity=0.9, limits={"text": 0.5}, earlier_choice=["a/1"]
    )
    assert [row["kept"] for row in rows] == [False, True]


def test_frames_are_aligned_at_the_same_instant_of_a_run():
    run = Run("a", "b", 10.0, 20.0, 5.0, 4, 0.99)
    times = np.array([9.0, 12.0, 19.9, 14.0, 17.5, 24.8])
    vectors = np.ones((6, 1), np.float32)
    pairs = aligned_pairs([run], ["a", "a", "a", "b", "b", "b"], times, vectors, 0.9)
    assert pairs.tolist() == [[1, 4], [2, 5]]
