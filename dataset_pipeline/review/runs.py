"""Runs that the page starts: `dataset-pipeline run` over the episodes that corrections are addressed to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_pipeline.base.progress import PROGRESS_LINE, PROGRESS_LINES

LINES = 40  # of what a run said last
PATIENCE_S = 10.0  # for a run that is asked to end


@dataclass
class Run:
    """The newest run of a page. command: what is started, without the sources."""

    command: Sequence[str]
    patience_s: float = PATIENCE_S
    _process: subprocess.Popen | None = None
    _lines: list[str] = field(default_factory=list)
    _started_s: float = 0.0
    _ended_s: float | None = None  # once all that it said was read
    _progress: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, sources: Sequence[str]) -> None:
        """Raises ValueError if one is under way, or there is nothing to run."""
        if not sources:
            raise ValueError("no episode is there to run: its file or folder is not where it was")
        with self._lock:
            if self.is_under_way:
                raise ValueError("a run is under way already")
            self._lines, self._progress, self._started_s, self._ended_s = [], {}, time.monotonic(), None
            self._process = subprocess.Popen(
                [*self.command, *sources],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, PROGRESS_LINES: "1"},
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    @property
    def is_under_way(self) -> bool:
        return self._process is not None and self._ended_s is None

    def _listen(self, process: subprocess.Popen) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(PROGRESS_LINE):
                self._progress |= json.loads(line.removeprefix(PROGRESS_LINE))
            elif line.strip():
                self._lines = [*self._lines, line.rstrip()][-LINES:]
        process.wait()
        self._ended_s = time.monotonic()

    def told(self) -> dict[str, Any]:
        """What of it the page shows."""
        if self._process is None:
            return {"state": "none"}
        state = {None: "running", 0: "done", 3: "partly"}.get(self._process.poll(), "failed")
        if self._ended_s is None:
            state = "running"
        seconds = (self._ended_s or time.monotonic()) - self._started_s
        return {"state": state, "seconds": round(seconds), "lines": self._lines, **self._progress}

    def stop(self) -> None:
        """End it with the page that started it; what is finished is kept. One that does not hear, as what a job in the
        background starts may not, is killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()


def command_of(models: str, settings_file: Path | None) -> list[str]:
    """`dataset-pipeline run` in this Python, with the options that the page was started with."""
    command = [sys.executable, "-c", "from dataset_pipeline.cli.app import main; main()", "run"]
    command += ["--models", models] if models else []
    return command + (["--settings", str(settings_file)] if settings_file else [])
