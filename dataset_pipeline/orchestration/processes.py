"""Which processes that carry runs are still there, by files that each holds locked for its life.

The kernel frees a lock with its process, however that ends, and at a restart of the machine. Names of machines and
numbers of processes tell less: containers and cloned machines share both. A file lies in the folder of the process's
Dagster instance, so that of a process elsewhere nothing is there to be judged by.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout

from dataset_pipeline.base.paths import IS_WINDOWS

FOLDER = "processes"
SUFFIX = ".lock"

_held: dict[tuple[Path, int], FileLock] = {}  # by the process too: a fork holds nothing of its parent's
_one_at_a_time = Lock()


def mark_in(instance_folder: Path) -> str:
    """The mark of this process: the name of a file in the folder, which stays locked while the process lives.

    Raises OSError where nothing can be written or locked.
    """
    folder = _folder(instance_folder)
    with _one_at_a_time:
        if (lock := _held.get((folder, os.getpid()))) is None:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _new_lock(folder)
            _held[folder, os.getpid()] = lock
        return Path(lock.lock_file).stem


def gone_in(instance_folder: Path) -> set[str]:
    """The marks in the folder whose processes have ended."""
    gone = set()
    for file in _folder(instance_folder).glob(f"*{SUFFIX}"):
        with suppress(Timeout, OSError), FileLock(file, timeout=0, thread_local=False):
            gone.add(file.stem)
    return gone


def forget(instance_folder: Path, gone: Iterable[str]) -> None:
    """Remove the files of processes that have ended and whose runs have been seen to."""
    for mark in gone:
        file = _folder(instance_folder) / f"{mark}{SUFFIX}"
        with suppress(Timeout, OSError):
            with FileLock(file, timeout=0, thread_local=False):
                if not IS_WINDOWS:  # which removes no open file; elsewhere nobody may lock it before it is gone
                    file.unlink(missing_ok=True)
            if IS_WINDOWS:
                file.unlink(missing_ok=True)


def _new_lock(folder: Path) -> FileLock:
    while True:
        lock = FileLock(folder / f"{uuid.uuid4().hex}{SUFFIX}", thread_local=False)
        lock.acquire()
        if os.path.exists(lock.lock_file):  # else it was taken for an ended process's before it was locked
            return lock
        lock.release()


def _folder(instance_folder: Path) -> Path:
    return instance_folder.absolute() / FOLDER
