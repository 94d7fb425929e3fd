"""Which processes that carry runs are still there, by files that each holds locked for its life.

The kernel frees a lock with its process, however that ends, and at a restart of the machine. Names of machines and
numbers of processes tell less: containers and cloned machines share both. A file lies in the folder of the process's
Dagster instance, so that of a process elsewhere nothing is there to be judged by.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FOLDER = "processes"
SUFFIX = ".lock"

_held: dict[Path, tuple[str, int]] = {}  # by folder the mark of this process there and the file that it keeps open
_one_at_a_time = Lock()


def mark_in(instance_folder: Path) -> str:
    """The mark of this process: the name of a file in the folder, which stays locked while the process lives.

    Raises OSError where nothing can be written or locked.
    """
    folder = _folder(instance_folder)
    with _one_at_a_time:
        if folder not in _held:
            folder.mkdir(parents=True, exist_ok=True)
            _held[folder] = _locked_anew(folder)
        return _held[folder][0]


def gone_in(instance_folder: Path) -> set[str]:
    """The marks in the folder whose processes have ended."""
    gone = set()
    for file in _folder(instance_folder).glob(f"*{SUFFIX}"):
        with suppress(OSError):
            os.close(_lock(file))
            gone.add(file.stem)
    return gone


def forget(instance_folder: Path, gone: Iterable[str]) -> None:
    """Remove the files of processes that have ended and whose runs have been seen to."""
    for mark in gone:
        file = _folder(instance_folder) / f"{mark}{SUFFIX}"
        with suppress(OSError):
            held = _lock(file)
            try:
                # Windows removes no open file; elsewhere nobody may lock it before it is gone.
                if sys.platform != "win32":
                    file.unlink()
            finally:
                os.close(held)
            if sys.platform == "win32":
                file.unlink()


def _locked_anew(folder: Path) -> tuple[str, int]:
    while True:
        file = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            held = _lock(file, os.O_CREAT | os.O_EXCL)
        except BlockingIOError:
            continue  # somebody looks at this very moment whether its process has ended
        if file.exists():
            return file.stem, held
        os.close(held)  # and has removed it, as nobody held it yet


def _lock(file: Path, flags: int = 0) -> int:
    """The open file, locked until it is closed: by the system's own call, as filelock removes the files of some systems
    when it lets go, and these have to stay. Raises BlockingIOError if another process, or another open file of this
    one, has it locked; OSError if it cannot be opened or locked."""
    descriptor = os.open(file, os.O_RDWR | flags)
    try:
        if sys.platform == "win32":
            _lock_on_windows(descriptor)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock_on_windows(descriptor: int) -> None:
    assert sys.platform == "win32"
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(error.errno, error.strerror) from error


def _hold_nothing_of_parent() -> None:
    global _one_at_a_time
    _one_at_a_time = Lock()  # a thread of the parent's may have held the other at the fork
    for _, descriptor in _held.values():
        os.close(descriptor)  # which frees no lock as long as the parent has the file open
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hold_nothing_of_parent)


def _folder(instance_folder: Path) -> Path:
    return instance_folder.absolute() / FOLDER
