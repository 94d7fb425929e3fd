"""Which runs count as lost."""

from __future__ import annotations

from dataset_pipeline.cluster.watch import RECONNECT_S, Look, Watch

SILENT_S = 30.0


class Cluster:
    """What workers and broker say, at a time that stands until it is moved. `seen` is None while the broker is away."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.seen: Look | None = Look({"gpu-1": ["run"]})
        self.watch = Watch(lambda: self.seen, SILENT_S, lambda: self.now_s)

    def after(self, seconds: float) -> str:
        self.now_s += seconds
        return self.watch.lost("run", "gpu-1")


def test_a_run_that_its_worker_holds_is_not_lost_however_long_it_takes():
    cluster = Cluster()
    assert not any(cluster.after(60) for _ in range(100))


def test_a_worker_that_is_silent_for_long_has_lost_its_run_and_not_before():
    cluster = Cluster()
    assert cluster.after(5) == ""
    cluster.seen = Look({})
    assert [bool(cluster.after(5)) for _ in range(6)] == [False] * 5 + [True]
    assert cluster.after(5) == "gpu-1 has not answered for 35 s"


def test_a_worker_that_was_never_heard_of_has_as_long_to_answer():
    cluster = Cluster()
    cluster.seen = Look({})
    assert cluster.after(500) == ""
    assert cluster.after(29) == ""
    assert "has not answered for 30 s" in cluster.after(1)


def test_one_answer_starts_the_time_anew():
    cluster = Cluster()
    assert cluster.after(5) == ""
    for _ in range(5):
        cluster.seen = Look({})
        assert cluster.after(29) == ""
        cluster.seen = Look({"gpu-1": ["run"]})
        assert cluster.after(1) == ""


def test_a_worker_that_answers_twice_without_the_run_has_lost_it():
    cluster = Cluster()
    cluster.seen = Look({"gpu-1": []})
    assert cluster.after(5) == ""
    assert "does not work on it" in cluster.after(5)


def test_a_run_missing_from_one_answer_alone_is_not_lost():
    cluster = Cluster()
    for _ in range(5):
        cluster.seen = Look({"gpu-1": ["other"]})
        assert cluster.after(5) == ""
        cluster.seen = Look({"gpu-1": ["run", "other"]})
        assert cluster.after(5) == ""


def test_nobody_is_lost_while_the_broker_is_away_nor_while_workers_find_it_again():
    cluster = Cluster()
    assert cluster.after(5) == ""
    cluster.seen = None
    assert not any(cluster.after(60) for _ in range(5))
    cluster.seen = Look({})
    assert not any(cluster.after(5) for _ in range(int((RECONNECT_S + SILENT_S) // 5) - 1))
    assert "has not answered" in cluster.after(10)


def test_runs_asked_about_at_one_moment_share_one_look():
    cluster = Cluster()
    looks: list[int] = []
    cluster.watch.look = lambda: looks.append(1) or Look({"gpu-1": ["run"]})
    for number in range(10):
        cluster.watch.lost(f"run {number}", "gpu-1")
    assert len(looks) == 1


def test_a_run_that_neither_broker_nor_worker_knows_was_lost_before_it_began():
    cluster = Cluster()
    cluster.seen = Look({"gpu-1": ["taken"]}, ["waits"])
    every = ["taken", "waits", "lost"]
    assert cluster.watch.never_taken(every) == {}
    cluster.now_s += SILENT_S - 1
    assert cluster.watch.never_taken(every) == {}
    cluster.now_s += 1
    assert cluster.watch.never_taken(every).keys() == {"lost"}


def test_a_run_between_two_workers_is_not_lost():
    cluster = Cluster()
    for _ in range(20):
        cluster.seen = Look({})
        assert cluster.watch.never_taken(["run"]) == {}
        cluster.now_s += SILENT_S - 5
        cluster.seen = Look({}, ["run"])
        assert cluster.watch.never_taken(["run"]) == {}
        cluster.now_s += SILENT_S
