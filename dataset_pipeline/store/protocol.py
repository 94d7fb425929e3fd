"""What a store asks of whatever holds its files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from dataset_pipeline.base.errors import PermanentError

# Files found to be wanted again count as new from this age on, so that a cleaner's grace period starts afresh.
REFRESH_S = 3600.0
TAIL_BYTES = 64 * 1024


class StoreError(PermanentError):
    """Something in the store cannot be used; the message says what to do."""


class Mark(NamedTuple):
    """What tells one content of a file from another."""

    tag: str
    version: str = ""  # beside it, where a client wants both back


class Files(Protocol):
    """Paths are relative to the root, with forward slashes."""

    far: bool  # each request takes a round trip, and many may be under way at a time

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError, or another OSError if the store cannot be read."""
        ...

    def write(self, path: str, data: bytes, durable: bool = False) -> None:
        """Put a whole file in place of any other; `durable`: on the disk before this returns."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Write a whole file, safe on the disk, if none is there; whether that was so. Of several who try at once one
        succeeds, where a lock is to be had."""
        ...

    def read_marked(self, path: str) -> tuple[bytes, Mark]:
        """As `read`, with the mark of this content."""
        ...

    def read_tail(self, path: str) -> bytes:
        """The last TAIL_BYTES of a file, or more of it."""
        ...

    def marks(self, path: str) -> dict[str, Mark] | None:
        """The files right in `path` by name; None where reading them costs no more than marks would."""
        ...

    def marks_below(self, path: str, most: int) -> dict[str, Mark] | None:
        """The files in a folder and those below by path; None as of `marks`, or where there are `most` or more."""
        ...

    def fault_of_conditions(self) -> str:
        """Why several writers at a time are not safe here; empty if they are."""
        ...

    def swap(self, path: str, data: bytes, before: Mark | None) -> Mark | None:
        """Put a whole file, safe on the disk, in place of the content of this mark, or of none: its mark, or None if
        something else is there."""
        ...

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        """Have a file of this size there, safe from a cleaner for a while, writing it if need be; `closely`: durable,
        and of this very content."""
        ...

    def refresh(self, path: str) -> bool:
        """Whether a file is there, which is then safe from a cleaner for a while."""
        ...

    def folders(self, path: str) -> list[str]:
        """Names of the folders right below `path`, sorted."""
        ...

    def names(self, path: str) -> list[str]:
        """Names of the files right in `path`, sorted."""
        ...

    def below(self, path: str) -> list[str]:
        """Paths of all files of a store below a folder, sorted."""
        ...

    def age_and_size(self, path: str) -> tuple[float, int]:
        """Seconds since the file was written, by the clock of what holds it, and its bytes. Raises
        FileNotFoundError."""
        ...

    def remove(self, path: str) -> None:
        """No error if it is gone already."""
        ...

    def locked(self, path: str) -> AbstractContextManager[None]:
        """Hold this to change what lies at `path` by what is there: one holder at a time, where a lock is to be had.

        A killed holder lets go. Raises TimeoutError if another does not within LOCK_WAIT_S. Object stores and drives
        without locks let everyone in.
        """
        ...

    def local_path(self, path: str) -> Path | None: ...

    def uri(self, path: str) -> str: ...
