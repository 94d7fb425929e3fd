"""What a run prints, kept in a file for the web UI and shown on the terminal as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from threading import Event, Thread
from typing import TextIO

LOOK_S = 0.1
PIECE_BYTES = 1 << 16


@contextmanager
def printed_into(stream: TextIO | None, file: str) -> Iterator[None]:
    """What this process prints to a stream, its libraries in C too, goes to the end of a file, and a thread copies it
    from there to where the stream went before. The file appears in any case, but a stream that is no file of the system
    is left alone, and so are those of Windows, whose consoles cannot be sent elsewhere."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    number = _number_of(stream) if os.name != "nt" or os.environ.get("PYTHONLEGACYWINDOWSSTDIO") else None
    if stream is None or number is None:
        yield
        return
    stream.flush()
    ended = Event()
    with open(path, "ab", buffering=0) as kept, os.fdopen(os.dup(number), "wb", buffering=0) as before:
        copier = Thread(target=_copy, args=(path, kept.tell(), before, ended), daemon=True)
        os.dup2(kept.fileno(), number)
        copier.start()
        try:
            yield
        finally:
            stream.flush()
            os.dup2(before.fileno(), number)
            ended.set()
            copier.join()


def _number_of(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (AttributeError, OSError, ValueError):  # one that a test or a service has put in its place
        return None


def _copy(path: Path, start: int, into: RawIOBase, ended: Event) -> None:
    """What comes into the file from `start` on, until nothing more does after `ended`."""
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        while True:
            last = ended.is_set()
            while piece := file.read(PIECE_BYTES):
                try:
                    _write(piece, into)
                except OSError:  # the terminal is gone, and the file has it all
                    return
            if last:
                return
            ended.wait(LOOK_S)


def _write(piece: bytes, into: RawIOBase) -> None:
    while piece:
        written = into.write(piece)
        if written is None:  # of a terminal that a parent process has set not to be waited for
            time.sleep(LOOK_S)
        piece = piece[written or 0 :]
