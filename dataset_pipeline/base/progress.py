"""Who hears about progress inside a long step: the command line sets a listener, everything else stays silent. And how
long a run of many parts will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

# Called with (what, done, total); total is None while unknown.
Listener = Callable[[str, int, int | None], None]
LISTENER: ContextVar[Listener | None] = ContextVar("progress listener", default=None)
PROGRESS_LINES = "DATASET_PIPELINE_PROGRESS_LINES"  # the environment variable by which a watching program asks for
PROGRESS_LINE = "\x1eprogress "  # lines that begin so, followed by JSON, on standard error


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and tell the listener, if there is one, how many have been taken."""
    listener = LISTENER.get()
    if listener is None:
        yield from items
        return
    listener(what, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        listener(what, done, total)


UNKNOWN_SHARE = 0.02  # of all the rest, which a kind of part takes that was never seen ...
UNKNOWN_S = 1.0  # ... and at least so long
RISE = 1.1  # the time shown goes up only if what is left is longer by this factor


class TimeLeft:
    """How long a run will still take, learnt from its parts as they end.

    A part is of a kind and has a size; parts of one kind take seconds in proportion. `sizes`: of the episodes, in any
    unit that grows with the work. `earlier`: seconds for one unit of size, by kind, which count until a part of this
    run has ended. Nothing is told before there is a basis for parts of the first kind. `now` is a clock in seconds.
    """

    def __init__(
        self,
        sizes: Mapping[str, float] | None = None,
        earlier: Mapping[str, float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sizes, self.earlier, self.now = dict(sizes or {}), dict(earlier or {}), now
        self._waiting: dict[str, list[float]] = {}
        self._ended: dict[str, tuple[float, float]] = {}  # seconds and sizes of ended parts
        self._part: tuple[str, float, float] | None = None  # kind, size and beginning of the one at work
        self._shown: tuple[float, float] | None = None  # what was shown, and when

    def size_of(self, episode: str) -> float:
        """The size of an episode; that of the middle one if it is not known."""
        known = sorted(self.sizes.values())
        return self.sizes.get(episode) or (known[len(known) // 2] if known else 0) or 1.0

    def expect(self, kind: str, sizes: Sequence[float]) -> None:
        """Parts of a kind are still to come, so many and so large, in place of what was expected of it before."""
        self._waiting[kind] = list(sizes)

    @contextmanager
    def part(self, kind: str, size: float = 1.0) -> Iterator[None]:
        """One of the expected parts is at work."""
        waiting = self._waiting.get(kind, [])
        if size in waiting:
            waiting.remove(size)
        begun_s = self.now()
        self._part = kind, size, begun_s
        try:
            yield
        finally:
            seconds, sizes = self._ended.get(kind, (0.0, 0.0))
            self._ended[kind] = seconds + self.now() - begun_s, sizes + size
            self._part = None

    def left_s(self) -> float | None:
        """Seconds that all parts still take; None without a basis."""
        # Copies, since a thread of its own draws while the run goes on.
        part, ended = self._part, dict(self._ended)
        waiting = {kind: sum(sizes) for kind, sizes in dict(self._waiting).items()}
        rates = {kind: rate for kind in waiting if (rate := self._rate(kind)) is not None}
        first = next(iter(waiting), "")
        to_come = waiting.get(first) or (part is not None and part[0] == first)
        if not rates or (to_come and first not in rates):
            return None
        spent_s = sum(seconds for seconds, _ in ended.values())
        left_s = sum(rate * waiting[kind] for kind, rate in rates.items())
        unknown = {kind: 0.0 for kind, size in waiting.items() if size and kind not in rates}
        if part is not None:
            kind, size, begun_s = part
            at_work_s = self.now() - begun_s
            spent_s += at_work_s
            if kind in rates:
                left_s += max(0.0, rates[kind] * size - at_work_s)
            else:
                unknown[kind] = at_work_s
        each_s = max(UNKNOWN_S, UNKNOWN_SHARE * (spent_s + left_s))
        return left_s + sum(max(0.0, each_s - done_s) for done_s in unknown.values())

    def shown_s(self) -> float | None:
        """What to show of it: it runs down with the clock, jumps down where less is left, and up only for good."""
        left_s, now_s = self.left_s(), self.now()
        if left_s is None:
            self._shown = None
            return None
        if self._shown is not None:
            before_s, at_s = self._shown
            run_down_s = max(0.0, before_s - (now_s - at_s))
            left_s = left_s if left_s < run_down_s or left_s > RISE * run_down_s else run_down_s
        self._shown = left_s, now_s
        return left_s

    def _rate(self, kind: str) -> float | None:
        seconds, sizes = self._ended.get(kind, (0.0, 0.0))
        return seconds / sizes if sizes else self.earlier.get(kind)
