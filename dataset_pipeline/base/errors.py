"""What every error that is wrong for good has in common, and what a full disk looks like."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL_BYTES = 1 << 20  # with less than this free, an input or output error of SQLite is one of a full disk
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class PermanentError(Exception):
    """Trying again would change nothing: a person has to act, and the message says how."""


class PassingError(OSError):
    """A moment later it may be better; the message says what is wrong and where to look if it stays so."""


def full_disk(error: BaseException | None, where: str | os.PathLike[str] = "") -> str:
    """`No space left on device: <path>` if an error comes of a full disk or quota, however it was wrapped; else empty.

    `where`: what was being written, if the error does not name a file.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return f"{os.strerror(error.errno)}: {error.filename or where}"
        if isinstance(error, sqlite3.Error) and _is_full(error, Path(where)):
            return f"{os.strerror(errno.ENOSPC)}: {where}"
        error = error.__cause__ or error.__context__
    return ""


def _is_full(error: sqlite3.Error, database: Path) -> bool:
    """SQLite says so plainly only where it is the database itself that cannot grow, not its index in memory."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code != sqlite3.SQLITE_IOERR:
        return code == sqlite3.SQLITE_FULL
    there = next(folder for folder in (database.absolute(), *database.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free < _FULL_BYTES


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError that does not say which file could not be written, or names a temporary one, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or (error.errno is not None and error.filename is None):
            error.filename = os.fspath(path)
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a model library says that the GPU's memory is full: torch by a class of its own, onnxruntime by words."""
    return type(error).__name__ == "OutOfMemoryError" or "failed to allocate memory" in str(error).lower()
