"""The two consoles, standard output and error, and what draws on them: tables and lines of progress."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataset_pipeline.base.progress import LISTENER, PROGRESS_LINE, PROGRESS_LINES, TimeLeft

FOR_PATHS: dict[str, Any] = {"highlight": False, "soft_wrap": True}
SECONDS_A_LINE = 0.2  # between lines that tell of one asset
PIPED_COLUMNS = 200  # where no terminal says how wide it is, nor COLUMNS


def console_for(stderr: bool = False) -> Console:
    """Paths and messages hold square brackets and colons, which rich would take for its own markup."""
    console = Console(stderr=stderr, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_COLUMNS
    return console


out, err = console_for(), console_for(stderr=True)


def table_of(*headers: str, **options: Any) -> Table:
    """A table that breaks a name too long for its column into lines, and never cuts it off."""
    table = Table(**options)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min 20 s`, `12 s`, `0.4 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


class ProgressLines:
    """Two lines on the terminal: the graph with the time that all of it still takes, once `time_left` tells, and the
    pictures of the asset at work with their rate."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.time_left: TimeLeft | None = None
        self.outer_task = self.inner_task = None
        self.inner_name = ""

    def outer(self, what: str, done: int, total: int) -> None:
        if self.bar is None:
            return
        if self.outer_task is None:
            self.outer_task = self.bar.add_task(what, total=total)
        self.bar.update(self.outer_task, description=what, completed=done, total=total)

    def inner(self, what: str, done: int, total: int | None) -> None:
        if self.bar is None:
            return
        if self.inner_task is None or what != self.inner_name or done == 0:
            if self.inner_task is not None:
                self.bar.remove_task(self.inner_task)
            self.inner_name, self.inner_task = what, self.bar.add_task(what, total=total)
        self.bar.update(self.inner_task, completed=done, total=total)

    def left(self, task_id: Any) -> str:
        """The time left, in words, on the line of the graph."""
        if self.time_left is None or task_id != self.outer_task:
            return ""
        left_s = self.time_left.shown_s()
        return "" if left_s is None else f"about {duration(left_s)} left"


class ToldLines(ProgressLines):
    """The same as lines of JSON on standard error, for a program that watches."""

    def __init__(self) -> None:
        super().__init__(None)
        self._told_s = 0.0

    def outer(self, what: str, done: int, total: int) -> None:
        left_s = self.time_left.shown_s() if self.time_left else None
        self._tell(graph={"what": what, "done": done, "total": total, "left_s": left_s})

    def inner(self, what: str, done: int, total: int | None) -> None:
        if done in (0, total) or time.monotonic() - self._told_s > SECONDS_A_LINE:
            self._told_s = time.monotonic()
            self._tell(asset={"what": what, "done": done, "total": total})

    def _tell(self, **told: Any) -> None:
        print(f"{PROGRESS_LINE}{json.dumps(told)}", file=sys.stderr, flush=True)


@contextmanager
def _told_in_lines(inner: bool) -> Iterator[ProgressLines]:
    show = ToldLines()
    token = LISTENER.set(show.inner if inner else None)
    try:
        yield show
    finally:
        LISTENER.reset(token)


@contextmanager
def showing_progress(quiet: bool, inner: bool = True) -> Iterator[ProgressLines]:
    """`inner`: whether the line of the asset at work is shown."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

    if os.environ.get(PROGRESS_LINES) and not quiet:
        with _told_in_lines(inner) as told:
            yield told
        return

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed and task.id != show.outer_task else "")

    class Left(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(show.left(task.id))

    show = ProgressLines(None)
    if quiet:
        yield show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), Left())
    with Progress(*columns, console=err, transient=True) as bar:
        show.bar = bar
        token = LISTENER.set(show.inner if inner else None)
        try:
            yield show
        finally:
            LISTENER.reset(token)
