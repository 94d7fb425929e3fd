"""The head of a cluster: web UI and daemon, a worker of the queue `head`, and an eye on runs that nobody took up.

Each is a process of its own that is started again when it ends, as Dagster's daemon does when its database is away, and
that is told to end when the head is gone.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dagster as dg

from dataset_pipeline.cluster.addresses import by_psycopg2
from dataset_pipeline.cluster.launcher import ClusterRunLauncher

LOOK_S = 5.0
LONGEST_PAUSE_S = 30.0
LIVED_S = 60.0  # who lived so long is started again at once
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
ADVISORY_LOCK = 0x64617461  # any number that is always the same
# The database frees the lock of a machine that is lost after a minute.
KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"

log = logging.getLogger(__name__)


@dataclass
class Kept:
    """A process that is started again whenever it ends."""

    name: str
    command: Sequence[str]
    _process: subprocess.Popen | None = None
    _started_s: float = 0.0
    _pause_s: float = field(default=1.0)

    def care(self) -> None:
        """Start it if it does not run and has paused long enough."""
        now_s = time.monotonic()
        if self._process is not None and (code := self._process.poll()) is not None:
            lived = now_s - self._started_s > LIVED_S
            self._pause_s = 1.0 if lived else min(LONGEST_PAUSE_S, self._pause_s * 2)
            log.warning("%s ended (%s) and is started again in %.0f s", self.name, code, self._pause_s)
            self._process, self._started_s = None, now_s + self._pause_s
        if self._process is None and now_s >= self._started_s:
            # A signal of the terminal is for the head, which tells its processes.
            self._process = subprocess.Popen(
                self.command, start_new_session=True, preexec_fn=lambda: end_with_parent(signal.SIGTERM)
            )
            self._started_s = now_s

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tell(self, number: int) -> None:
        if self.runs and self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """With all that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def end_with_parent(number: int) -> None:
    """The signal that this process gets when its parent is gone; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


@contextmanager
def alone(database: str) -> Iterator[bool]:
    """Whether no other process is in here on the same database, whose lock ends with this one's connection."""
    import sqlalchemy as sa

    url, options = by_psycopg2(database), {"options": KEEPALIVE}
    engine = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection.execute(sa.text(f"select pg_try_advisory_lock({ADVISORY_LOCK})")).scalar_one()


def keep(processes: Sequence[Kept], look: Callable[[], None]) -> None:
    """Until a signal ends it; then all processes are told to end, and waited for, or killed at a second signal. look:
    asked every few seconds meanwhile."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    looked_s = time.monotonic()
    while not stopped:
        for process in processes:
            process.care()
        time.sleep(0.5)
        if time.monotonic() - looked_s >= LOOK_S:
            look()
            looked_s = time.monotonic()
    for process in processes:
        process.tell(signal.SIGTERM)
    while any(process.runs for process in processes):
        if len(stopped) > 1:
            for process in processes:
                process.kill()
        time.sleep(0.2)


def fail_what_was_lost(instance: dg.DagsterInstance) -> None:
    """Of the runs that wait for a worker."""
    launcher = instance.run_launcher
    assert isinstance(launcher, ClusterRunLauncher)
    try:
        for run_id in launcher.fail_what_was_lost_before_it_began():
            log.warning("run %s was lost before it began", run_id)
    except Exception as error:  # the database is away: what else there is to do goes on
        log.warning("the runs cannot be looked at: %s", error)


def ours(*arguments: str) -> list[str]:
    """A command of this package, as a process of this Python."""
    return [sys.executable, "-c", "from dataset_pipeline.cli.app import main; main()", *arguments]
