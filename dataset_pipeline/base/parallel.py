"""Work in several threads whose answers come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

READERS = 8  # files and requests that are waited for at a time


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
