from __future__ import annotations

from dataset_pipeline.training.shot_strata import shots_of

SHOTS = [
    {"episode": "a.e1", "number": 0, "start_s": 0.0},
    {"episode": "a.e1", "number": 1, "start_s": 1.0016},
    {"episode": "a.e1", "number": 2, "start_s": 2.5},
    {"episode": "a.e2", "number": 0, "start_s": 0.0},
]


def test_an_image_is_of_the_shot_that_runs_at_its_time_and_its_crops_too():
    expected = {
        "a.e1/00000000": "a.e1/0",
        "a.e1/00001001": "a.e1/0",
        "a.e1/00001002": "a.e1/1",  # 1.0016 s, as its id rounds it
        "a.e1/00001002#head-1-1-5-5": "a.e1/1",
        "a.e1/pan-00002500-00003000": "a.e1/2",
        "a.e1/00099000": "a.e1/2",
        "a.e2/00099000": "a.e2/0",
    }
    assert shots_of(expected, reversed(SHOTS)) == expected


def test_pictures_of_folders_and_of_episodes_without_shots_are_of_none():
    assert shots_of(["a.e3/00000000", "a.pictures/x-0123abcd"], SHOTS) == {}
