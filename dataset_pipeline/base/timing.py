"""Where the seconds go: exclusive wall time by kind of work, for benchmarks.

Spans belong on the thread that runs the asset: what its helper threads do is counted as the time it waits for them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_SECONDS: dict[str, float] = defaultdict(float)
_STACK: list[float] = []


@contextmanager
def span(kind: str) -> Iterator[None]:
    """Add the seconds inside to `kind`, less those of spans opened within it."""
    _STACK.append(0.0)
    start_s = time.perf_counter()
    try:
        yield
    finally:
        elapsed_s = time.perf_counter() - start_s
        _SECONDS[kind] += elapsed_s - _STACK.pop()
        if _STACK:
            _STACK[-1] += elapsed_s


def timed_iteration(kind: str, items: Iterable[T]) -> Iterator[T]:
    """Yield `items`, adding the seconds spent on producing them to `kind`."""
    iterator = iter(items)
    while True:
        with span(kind):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def take() -> dict[str, float]:
    """Seconds by kind since the last call, and start again."""
    taken = dict(_SECONDS)
    _SECONDS.clear()
    return taken
