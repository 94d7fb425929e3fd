"""Machines of a cluster for tests: each a folder of its own as home and working folder, and where the system allows it
namespaces of its own, so that it has another name, sees no process of the others, and ends with all it started."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dataset_pipeline.settings import PACKAGE

WORKSPACE = """load_from:
  - python_module:
      module_name: dataset_pipeline.definitions
      attribute: defs
      working_directory: .
      location_name: dataset_pipeline
"""
APART = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]


@functools.cache
def can_be_apart() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*APART, "true"], capture_output=True).returncode == 0


@dataclass
class Machine:
    """settings: the text of its settings.local.toml."""

    name: str
    folder: Path
    settings: str
    log: Path = field(init=False)
    _process: subprocess.Popen | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "workspace.yaml").write_text(WORKSPACE)
        (self.folder / "settings.local.toml").write_text(self.settings)
        self.log = self.folder / "log.txt"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "DATASET_PIPELINE"))
        }
        mine = {"HOME": str(self.folder), "DATASET_PIPELINE_HOST": self.name, "PYTHONPATH": str(PACKAGE.parent)}
        return kept | mine | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def start(self, *words: str) -> None:
        """A command of the package, in the background."""
        apart = [*APART, "sh", "-c", 'hostname "$0" && exec "$@"', self.name] if can_be_apart() else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*apart, *self._command(words)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def say(self, *words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """A command of the package, to its end."""
        return subprocess.run(
            self._command(words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def processes(self) -> list[psutil.Process]:
        """All that it started and that still runs."""
        if self._process is None:
            return []
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def carriers(self) -> list[psutil.Process]:
        """Of a worker: the processes that runs are carried in and that have not ended."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        main = main.children()[0] if can_be_apart() else main
        carriers: list[psutil.Process] = []
        for child in main.children():
            try:
                if "resource_tracker" not in " ".join(child.cmdline()):
                    carriers.append(child)
            except psutil.NoSuchProcess:  # also what is only waited for
                continue
        return carriers

    def pause(self) -> None:
        """As a network that is cut off: nothing ends, and nothing answers."""
        for process in self.processes():
            process.suspend()

    def kill(self) -> None:
        """As a power cut: all its processes at once."""
        if self._process is None:
            return
        family = self.processes()
        self._process.kill()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        self._process = None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-c", "from dataset_pipeline.cli.app import main; main()", *words]
