"""How long a run still takes, by a clock that the test moves."""

from __future__ import annotations

import pytest

from dataset_pipeline.base.progress import TimeLeft


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(left: TimeLeft, clock: Clock, kind: str, size: float, seconds: float) -> None:
    with left.part(kind, size):
        clock.now_s += seconds


def test_nothing_is_told_before_an_episode_has_ended(clock: Clock):
    left = TimeLeft(now=clock)
    left.expect("measure", [1.0, 1.0])
    left.expect("join", [1.0])
    assert left.left_s() is None
    with left.part("measure"):
        clock.now_s += 60
        assert left.left_s() is None
    assert left.left_s() is not None


def test_what_a_join_took_earlier_is_no_basis_for_episodes(clock: Clock):
    left = TimeLeft(earlier={"join": 7.0}, now=clock)
    left.expect("measure", [1.0])
    left.expect("join", [1.0])
    assert left.left_s() is None
    run(left, clock, "measure", 1.0, 50.0)
    assert left.left_s() == pytest.approx(7)


def test_episodes_take_time_by_their_size(clock: Clock):
    left = TimeLeft({"a": 10.0, "b": 30.0, "c": 20.0}, now=clock)
    left.expect("measure", [left.size_of(episode) for episode in "abc"])
    run(left, clock, "measure", 10.0, 20.0)  # 2 s for one unit
    assert left.left_s() == pytest.approx(2.0 * (30 + 20))
    with left.part("measure", 30.0):
        clock.now_s += 15
        assert left.left_s() == pytest.approx(2.0 * (30 + 20) - 15)
        clock.now_s += 75  # of which 60 were expected: what is at work counts no more, the rest as before
        assert left.left_s() == pytest.approx(2.0 * 20)
    assert left.left_s() == pytest.approx((20 + 90) / 40 * 20)


def test_a_kind_never_seen_takes_its_share_of_the_rest(clock: Clock):
    left = TimeLeft(now=clock)
    left.expect("measure", [1.0, 1.0])
    left.expect("join", [1.0])
    run(left, clock, "measure", 1.0, 50.0)
    assert left.left_s() == pytest.approx(50 + 0.02 * (50 + 50))
    run(left, clock, "measure", 1.0, 50.0)
    with left.part("join"):
        clock.now_s += 1.5
        assert left.left_s() == pytest.approx(0.02 * (100 + 1.5) - 1.5)


def test_a_kind_never_seen_takes_a_second_at_least(clock: Clock):
    left = TimeLeft(now=clock)
    for kind in ("measure", "join", "export"):
        left.expect(kind, [1.0])
    run(left, clock, "measure", 1.0, 5.0)
    assert left.left_s() == pytest.approx(2)


def test_earlier_runs_are_a_basis_until_a_part_has_ended(clock: Clock):
    left = TimeLeft(earlier={"measure": 10.0, "join": 7.0}, now=clock)
    left.expect("measure", [2.0, 1.0])
    left.expect("join", [1.0])
    assert left.left_s() == pytest.approx(30 + 7)
    run(left, clock, "measure", 2.0, 8.0)  # 4 s for one unit, not 10
    assert left.left_s() == pytest.approx(4 + 7)


def test_episodes_that_are_done_already_cost_nothing(clock: Clock):
    left = TimeLeft(earlier={"measure": 10.0, "join": 7.0}, now=clock)
    left.expect("measure", [1.0, 1.0, 1.0])
    left.expect("join", [1.0])
    left.expect("measure", [1.0])
    assert left.left_s() == pytest.approx(10 + 7)
    left.expect("measure", [])
    assert left.left_s() == pytest.approx(7)


def test_an_episode_of_unknown_size_counts_as_the_middle_one(clock: Clock):
    assert TimeLeft({"a": 10.0, "b": 30.0, "c": 20.0}).size_of("d") == 20.0
    assert TimeLeft().size_of("d") == 1.0


def test_what_is_shown_runs_down_and_rises_only_for_good(clock: Clock):
    left = TimeLeft(earlier={"measure": 100.0}, now=clock)
    left.expect("measure", [1.0, 1.0])
    assert left.shown_s() == pytest.approx(200)
    clock.now_s += 10  # nothing is at work, but the clock goes on
    assert left.shown_s() == pytest.approx(190)  # 200 is not longer by a tenth
    run(left, clock, "measure", 1.0, 50.0)
    assert left.shown_s() == pytest.approx(50)  # less at once
    left.expect("measure", [1.0, 1.0])
    assert left.shown_s() == pytest.approx(100)  # more if it is much


def test_a_part_that_fails_is_over_all_the_same(clock: Clock):
    left = TimeLeft(now=clock)
    left.expect("measure", [1.0, 1.0])
    with pytest.raises(ValueError, match="broken"):
        fail(left, clock)
    assert left.left_s() == pytest.approx(5)


def fail(left: TimeLeft, clock: Clock) -> None:
    with left.part("measure"):
        clock.now_s += 5
        raise ValueError("broken")
