"""The head of a cluster: web UI and daemon, a worker of the queue `head`, and an eye on runs that nobody took up.

Each is a process of its own that is started again when it ends, as Dagster's daemon does when its database is away.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from dataset_pipeline.cluster.launcher import ClusterRunLauncher

LOOK_S = 5.0
LONGEST_PAUSE_S = 30.0
LIVED_S = 60.0  # who lived so long is started again at once

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
            self._process = subprocess.Popen(self.command)
            self._started_s = now_s

    def tell(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()


def keep(processes: Sequence[Kept], instance: dg.DagsterInstance) -> None:
    """Until a signal ends it; then all processes are told to end, and waited for."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    looked_s = time.monotonic()
    while not stopped:
        for process in processes:
            process.care()
        time.sleep(0.5)
        if time.monotonic() - looked_s >= LOOK_S:
            _look(instance)
            looked_s = time.monotonic()
    for process in processes:
        process.tell(signal.SIGTERM)
    for process in processes:
        process.wait()


def _look(instance: dg.DagsterInstance) -> None:
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
