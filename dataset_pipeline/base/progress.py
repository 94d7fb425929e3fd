"""Who hears about progress inside a long step: the command line sets a listener, everything else stays silent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

# Called with (what, done, total); total is None while unknown.
Listener = Callable[[str, int, int | None], None]
LISTENER: ContextVar[Listener | None] = ContextVar("progress listener", default=None)


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
