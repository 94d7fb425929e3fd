"""People linked over the looked-at frames of a shot, by their boxes alone."""

from __future__ import annotations

import pytest

from dataset_pipeline.characters.linking import Found, Linker, people_of

STEP_S = 1 / 3


def person(x0: float, score: float = 0.9, height: float = 400) -> Found:
    """100 px wide, from the top of the picture."""
    return Found((x0, 0.0, x0 + 100, height), score)


def linked(*frames: list[Found], step_s: float = STEP_S) -> list[list[float]]:
    """The left edges of each track, after all of these frames."""
    linker = Linker()
    for number, people in enumerate(frames):
        linker.feed(number, number * step_s, people)
    return [[it.box[0] for it in track.found] for track in linker.tracks]


def test_two_people_who_walk_keep_a_track_each():
    frames = [[person(10.0 * n), person(800 - 15.0 * n)] for n in range(6)]
    assert linked(*frames) == [[10.0 * n for n in range(6)], [800 - 15.0 * n for n in range(6)]]
    assert linked(*[people[::-1] for people in frames]) == [
        [800 - 15.0 * n for n in range(6)],
        [10.0 * n for n in range(6)],
    ]


def test_a_box_with_a_low_score_goes_on_with_a_track_and_begins_none():
    assert linked([person(0)], [person(5, score=0.12)], [person(10)]) == [[0, 5, 10]]
    assert linked([person(0, score=0.12)], [person(5, score=0.2)]) == []
    assert linked([person(0)], [person(0, score=0.05)]) == [[0]]


def test_who_walks_faster_than_a_box_is_wide_is_followed_and_the_first_step_is_doubtful():
    linker = Linker()
    for number in range(4):
        linker.feed(number, number * STEP_S, [person(180.0 * number)])
    (track,) = linker.tracks
    assert [it.box[0] for it in track.found] == [0, 180, 360, 540]
    assert track.doubts == [(0, 1)]  # from then on it is where it was expected


def test_a_box_far_off_or_of_another_size_is_somebody_else():
    assert linked([person(0)], [person(1500)]) == [[0], [1500]]
    assert linked([person(0)], [person(150, height=200)]) == [[0], [150]]


def test_who_is_gone_for_long_comes_back_as_another_track_and_for_a_moment_as_a_doubt():
    assert linked([person(0)], [], [person(0)]) == [[0, 0]]
    assert linked([person(0)], [], [], [], [], [person(0)]) == [[0], [0]]
    linker = Linker()
    for number, people in enumerate(([person(0)], [], [person(0)])):
        linker.feed(number, number * STEP_S, people)
    assert linker.tracks[0].doubts == [(0, 1)]


def test_where_two_people_meet_the_last_clear_sample_before_and_the_first_after_are_doubtful():
    linker = Linker()
    for number, (left, right) in enumerate(((0, 300), (100, 200), (140, 160), (200, 100), (300, 0))):
        linker.feed(number, number * STEP_S, [person(left), person(right)])
    assert len(linker.tracks) == 2
    for track in linker.tracks:
        assert track.crowded == [False, False, True, False, False]
        assert track.doubts == [(1, 3)]


def test_a_crowd_of_hundreds_is_followed():
    frames = [[person(120.0 * n + step, height=50) for n in range(300)] for step in (0, 5, 10)]
    assert linked(*frames) == [[120.0 * n, 120.0 * n + 5, 120.0 * n + 10] for n in range(300)]


def test_nobody_on_any_frame_gives_no_track():
    assert linked([], [], []) == []


def test_each_head_goes_to_the_person_on_whose_top_it_is():
    left, right = ((0.0, 0.0, 100.0, 400.0), 0.9), ((80.0, 0.0, 180.0, 400.0), 0.8)
    of_left, of_right = ((25.0, 0.0, 75.0, 60.0), 0.7), ((105.0, 5.0, 155.0, 65.0), 0.6)
    elsewhere = ((500.0, 0.0, 550.0, 60.0), 0.9)
    found = people_of([left, right], [of_right, elsewhere, of_left])
    assert [it.head for it in found] == [of_left[0], of_right[0]]
    assert [it.head_score for it in found] == [0.7, 0.6]
    (alone,) = people_of([left], [])
    assert alone.head is None
    assert people_of([], [of_left]) == []


def test_a_head_that_sticks_out_of_a_person_is_not_its_own():
    (found,) = people_of([((0.0, 100.0, 100.0, 400.0), 0.9)], [((20.0, 50.0, 80.0, 120.0), 0.9)])
    assert found.head is None


@pytest.mark.parametrize("step_s", [1 / 24, 1.0])
def test_the_time_between_looks_may_be_any(step_s):
    assert linked(*[[person(4.0 * n)] for n in range(4)], step_s=step_s) == [[0, 4, 8, 12]]
