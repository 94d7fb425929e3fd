"""Answers come in order, a bounded number of calls runs ahead, and stopping early waits for nothing."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dataset_pipeline.base import parallel
from dataset_pipeline.base.parallel import map_ahead, map_all, map_files


def counted(drawn: list[int], most: int = 40) -> Iterator[int]:
    for number in range(most):
        drawn.append(number)
        yield number


def test_answers_come_in_the_order_of_the_items_whichever_call_ends_first():
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * 2

    assert list(map_ahead(slow_first, range(20), threads=4, ahead=8)) == list(range(0, 40, 2))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 6), (4, 4), (8, 1)])
def test_no_more_items_are_taken_than_are_allowed_ahead(threads: int, ahead: int):
    drawn: list[int] = []
    for taken, answer in enumerate(map_ahead(str, counted(drawn), threads, ahead), start=1):
        assert answer == str(taken - 1)
        assert len(drawn) <= taken + ahead
    assert len(drawn) == 40


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_calls_run_at_once_than_there_are_threads(threads: int):
    running, most, lock = [0], [0], threading.Lock()

    def call(number: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.002)
        with lock:
            running[0] -= 1
        return number

    assert len(list(map_ahead(call, range(30), threads, ahead=10))) == 30
    assert most[0] <= threads


def test_an_error_of_a_call_stands_in_its_place_and_ends_the_map():
    drawn: list[int] = []

    def call(number: int) -> float:
        return 1 / (3 - number)

    taken = map_ahead(call, counted(drawn), threads=2, ahead=4)
    assert [next(taken) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(taken)
    assert list(taken) == []
    assert len(drawn) <= 8


def test_an_error_of_an_item_is_raised_to_who_takes_the_answers():
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the drive is away")

    taken = map_ahead(str, items(), threads=2, ahead=0)
    assert next(taken) == "1"
    with pytest.raises(OSError, match="away"):
        next(taken)


@pytest.mark.parametrize("how", ["closed", "forgotten", "interrupted"])
def test_who_stops_early_waits_for_no_call_and_lets_none_begin(how: str):
    go_on, begun, ended = threading.Event(), [], []

    def call(number: int) -> int:
        begun.append(number)
        if number:
            go_on.wait(30)
        ended.append(number)
        return number

    taken = map_ahead(call, range(100), threads=2, ahead=6)
    assert next(taken) == 0
    if how == "closed":
        taken.close()
    elif how == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            taken.throw(KeyboardInterrupt())
    else:
        del taken
        gc.collect()
    assert ended == [0]
    go_on.set()
    time.sleep(0.05)
    assert len(begun) <= 1 + 2 + 2  # of the two threads each may take one more as it is let go


def test_a_map_that_reads_from_another_ends():
    inner = map_ahead(lambda number: number + 1, range(50), threads=2, ahead=6)
    outer = map_ahead(lambda number: list(map_ahead(str, range(number), 2, 2)), inner, threads=2, ahead=6)
    assert [len(answer) for answer in outer] == list(range(1, 51))


def test_nothing_gives_nothing():
    assert list(map_ahead(str, [], threads=2, ahead=2)) == []
    assert map_all(str, []) == []


def test_all_answers_come_in_order_and_the_first_error_is_raised():
    assert map_all(str, range(100)) == [str(number) for number in range(100)]
    with pytest.raises(ZeroDivisionError):
        map_all(lambda number: 1 // number, range(3))


@pytest.mark.parametrize(("worked_s", "alone"), [(0.9, True), (0.1, False)])
def test_files_are_read_in_threads_only_where_they_are_waited_for(monkeypatch, worked_s: float, alone: bool):
    clocks = {"perf_counter": iter([5.0, 6.0]), "thread_time": iter([3.0, 3.0 + worked_s])}
    monkeypatch.setattr(parallel, "time", SimpleNamespace(**{name: it.__next__ for name, it in clocks.items()}))
    found = map_files(lambda number: (number, threading.get_ident()), range(20))
    assert [number for number, _ in found] == list(range(20))
    assert ({thread for _, thread in found} == {threading.get_ident()}) == alone


def test_the_first_error_of_files_is_raised_whichever_it_is():
    assert map_files(str, []) == []
    for at in (0, 1, 5):
        with pytest.raises(ZeroDivisionError):
            map_files(lambda number, at=at: 1 // (number - at), range(8))
