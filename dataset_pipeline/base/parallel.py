"""Work in several threads whose answers come in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

READERS = 8  # files and requests that are waited for at a time
TRIED = 2  # items that show whether their answers are waited for


def map_ahead(function: Callable[[Item], Answer], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Answer]:
    """`map(function, items)` in some threads, at most `ahead` calls further than the answer that is taken.

    `items` is read in the calling thread. An error of an item or of a call is raised where its answer would stand. Who
    stops taking answers waits for nothing: what has not begun never does.
    """
    waiting: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Python may collect what nobody reads to its end while a thread starts, and waiting for one there never ends.
        pool.shutdown(wait=False, cancel_futures=True)


def map_all(function: Callable[[Item], Answer], items: Sequence[Item], threads: int = READERS) -> list[Answer]:
    """The answers for all items, from several threads. Raises the first error among them."""
    if len(items) == 1:
        return [function(items[0])]
    waiting = deque(enumerate(items))
    answers: dict[int, Answer] = {}
    errors: dict[int, BaseException] = {}

    def work() -> None:
        while waiting:
            try:
                place, item = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                answers[place] = function(item)
            except BaseException as error:
                errors[place] = error
                waiting.clear()

    with ThreadPoolExecutor(threads) as readers:
        try:
            wait(
                [readers.submit(work) for _ in items[:threads]]
            )  # a task for each item would cost more than most items
        finally:
            waiting.clear()
    if errors:
        raise errors[min(errors)]
    return [answers[place] for place in range(len(items))]


def map_files(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """As `map_all`, for many small files: in threads only if the first are waited for longer than they are worked on.

    Those of a disk that lie at hand take longer, and more CPU time, the more threads dispute Python's lock over them.
    """
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    tried = [function(item) for item in items[:TRIED]]
    worked_s = time.thread_time() - began_cpu_s
    waits = time.perf_counter() - began_s > 2 * worked_s
    rest = items[TRIED:]
    return [*tried, *(map_all(function, rest) if waits else map(function, rest))]
