"""What a run prints, kept in a file for the web UI and shown on the terminal as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TextIO

LOOK_S = 0.1
PATIENCE_S = 5.0  # with a terminal that takes nothing more, at the end of a run
PIECE_BYTES = 4096  # that a pipe takes in one piece, whoever else writes to it


@contextmanager
def printed_into(stream: TextIO | None, file: str) -> Iterator[None]:
    """What this process prints to a stream, its libraries in C too, goes to the end of a file, and a thread copies it
    from there to where the stream went before. One stream's captures may lie in each other, but not overlap.

    The file appears in any case, but a stream that is no file of the system is left alone, and so are those of Windows,
    whose consoles cannot be sent elsewhere. The last words of a process that is killed may be in the file alone.
    """
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    number = _number_of(stream) if os.name != "nt" or os.environ.get("PYTHONLEGACYWINDOWSSTDIO") else None
    if stream is None or number is None:
        yield
        return
    stream.flush()
    with open(path, "ab", buffering=0) as kept, os.fdopen(os.dup(number), "wb", buffering=0) as before:
        copier = _Copier(path, number)
        copier.start()
        try:
            os.dup2(kept.fileno(), number)
            yield
        finally:
            try:
                stream.flush()
            finally:  # of a full disk the terminal is to hear
                os.dup2(before.fileno(), number)
                copier.finish(os.fstat(kept.fileno()).st_size)


def _number_of(stream: TextIO | None) -> int | None:
    try:
        return stream.fileno() if stream is not None else None
    except (AttributeError, OSError, ValueError):  # one that a test or a service has put in its place
        return None


class _Copier(Thread):
    """Copies what comes into a file from now on to where a number of the system's leads now, in whole lines as far as
    there are any, so that another stream to the same place does not cut them."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(daemon=True)
        self._path, self._at, self._end, self._ended = path, path.stat().st_size, -1, Event()
        self._file, self._into = open(path, "rb", buffering=0), os.dup(number)  # noqa: SIM115

    def run(self) -> None:
        try:
            while (left := self._end - self._at) > 0 or self._end < 0:
                self._file.seek(self._at)
                piece = self._file.read(min(left, PIECE_BYTES) if left > 0 else PIECE_BYTES)
                if piece:
                    self._write(piece[: _lines_of(piece)])
                elif self._end < 0:
                    self._ended.wait(LOOK_S)
                else:
                    return
        except OSError:  # the terminal is gone, and the file has it all
            return
        finally:
            self._file.close()
            os.close(self._into)

    def _write(self, piece: bytes) -> None:
        try:
            self._at += os.write(self._into, piece)
        except BlockingIOError:  # a terminal that a parent process has set not to be waited for
            time.sleep(LOOK_S)

    def finish(self, end: int) -> None:
        """Copy what the file holds up to that byte, as long as it is taken."""
        self._end = end
        self._ended.set()
        at = -1
        while self.is_alive() and at < self._at:
            at = self._at
            self.join(PATIENCE_S)


def _lines_of(piece: bytes) -> int:
    """How many bytes of it are whole lines; all, if there is none."""
    return 1 + max(piece.rfind(b"\n"), piece.rfind(b"\r")) or len(piece)
