"""A server that a test starts, ends as a power cut would, and starts again on the same port and data."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

INSTALL = "uv sync --extra cluster --group servers"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, each another."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [it.getsockname()[1] for it in sockets]


def free_port() -> int:
    return free_ports(1)[0]


def package_folder(name: str) -> Path:
    """Where a package of the group `servers` lies; skips the test where it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {name}: {INSTALL}")
    return Path(spec.origin).parent


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Server:
    """url: of the server for those who ask it. ready: whether it answers. user: as whom it runs, ours if not given."""

    url: str
    command: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool]
    user: int | None = None
    _process: subprocess.Popen | None = field(default=None, init=False)

    def start(self, patience_s: float = 60) -> None:
        """Wait until the server answers. One that ends at once is started again, as its memory may still be held by
        those it leaves behind."""
        give_up = time.monotonic() + patience_s
        while time.monotonic() < give_up:
            if self._process is None or self._process.poll() is not None:
                with self.log.open("ab") as log:
                    self._process = subprocess.Popen(self.command, stdout=log, stderr=log, user=self.user, cwd="/")
            if self.ready() and self._process.poll() is None:
                return
            time.sleep(0.1)
        self.kill()
        raise TimeoutError(f"{self.command[0]} does not answer: {self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """End it and all that it started, at once (SIGKILL)."""
        if self._process is None:
            return
        try:
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        self._process = None
