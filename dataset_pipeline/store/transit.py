"""What of a store never changes, on its way: tables and pictures.

On a disk it is simply read and written. To and from a bucket each takes a round trip: there it goes in threads, ahead
of who reads and behind who writes, and what this process wrote or read last is kept in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from threading import Lock
from typing import Protocol

from dataset_pipeline.store.protocol import Files

THREADS = 32  # requests at a time
AHEAD = 32  # files asked for before they are read
HELD_BYTES = 512 << 20  # as much as the pictures of a usual episode
WAITING_BYTES = 64 << 20  # may wait to be written before the next writer waits
LISTING_S = 10.0
NEVER = float("-inf"), set[str]()


class Transit(Protocol):
    def read(self, path: str) -> bytes:
        """As `Files.read`."""
        ...

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        """As `Files.keep`, at the latest when `settle` returns. Raises the error of an earlier one of its folder."""
        ...

    def settle(self, folder: str) -> None:
        """Returns when nothing that was kept is on its way. Raises, once, the first error of what should lie in a
        folder and does not; errors of others are for who settles theirs."""
        ...

    def ahead(self, paths: Iterable[str]) -> Iterator[str]:
        """The same paths, of files that will be read in this order."""
        ...

    def held(self, path: str) -> bytes | None:
        """What is at hand without a request."""
        ...


class Listings:
    """The names of the files in a folder. A disk is asked each time; of a bucket a listing counts for LISTING_S, with
    what this process has put there since."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._listed: dict[str, tuple[float, set[str]]] = {}
        self._lock = Lock()

    def __call__(self, folder: str) -> Collection[str]:
        if not self._files.far:
            return self._files.names(folder)
        if time.monotonic() - self._listed.get(folder, NEVER)[0] > LISTING_S:
            listed = time.monotonic(), set(self._files.names(folder))
            with self._lock:
                self._listed[folder] = listed
        with self._lock:  # a set of its own, as others may add to this one
            return set(self._listed[folder][1])

    def add(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        with self._lock:
            if folder in self._listed:
                self._listed[folder][1].add(name)


def transit_of(files: Files) -> Transit:
    return ByRequests(files) if files.far else AtOnce(files)


class AtOnce:
    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self, path: str) -> bytes:
        return self._files.read(path)

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        self._files.keep(path, data, closely)

    def settle(self, folder: str) -> None:
        pass

    def ahead(self, paths: Iterable[str]) -> Iterator[str]:
        return iter(paths)

    def held(self, path: str) -> None:
        return None


class ByRequests:
    """Safe in many threads."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._held_bytes = 0
        self._writing: dict[str, tuple[Future[None], int]] = {}
        self._failed: dict[str, BaseException] = {}
        self._reading: dict[str, Future[bytes]] = {}
        self._lock = Lock()

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, "store")

    def read(self, path: str) -> bytes:
        with self._lock:
            reading, writing = self._reading.pop(path, None), self._writing.get(path)
        if (data := self.held(path)) is not None:
            return data
        if reading is not None:
            return reading.result()
        if writing is not None:
            wait([writing[0]])
        return self._read(path)

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        while True:
            with self._lock:
                has_failed = any(_folder(path) == _folder(it) for it in self._failed)
                waiting = sum(size for _, size in self._writing.values())
                oldest = next(iter(self._writing.values()))[0] if waiting > WAITING_BYTES else None
            if has_failed:
                self.settle(_folder(path))
            if oldest is None:
                break
            wait([oldest])
        self._hold(path, data)
        with self._lock:
            if path not in self._writing:  # the same file is on its way
                self._writing[path] = self._pool.submit(self._keep, path, data, closely), len(data)

    def settle(self, folder: str) -> None:
        with self._lock:
            writing = [future for future, _ in self._writing.values()]
        wait(writing)
        with self._lock:
            failed = [self._failed.pop(path) for path in list(self._failed) if _folder(path) == folder]
        if failed:
            raise failed[0]

    def ahead(self, paths: Iterable[str]) -> Iterator[str]:
        waiting: deque[str] = deque()
        try:
            for path in paths:
                self._ask(path)
                waiting.append(path)
                if len(waiting) > AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            with self._lock:
                for path in waiting:
                    self._reading.pop(path, None)

    def held(self, path: str) -> bytes | None:
        with self._lock:
            if path in self._held:
                self._held.move_to_end(path)
            return self._held.get(path)

    def _ask(self, path: str) -> None:
        with self._lock:
            if path not in self._held and path not in self._reading and path not in self._writing:
                self._reading[path] = self._pool.submit(self._read, path)

    def _keep(self, path: str, data: bytes, closely: bool) -> None:
        """What is under way stays in `_writing` until it is there, or among what failed."""
        error: BaseException | None = None
        try:
            self._files.keep(path, data, closely)
        except BaseException as caught:
            error = caught
        with self._lock:
            del self._writing[path]
            if error is not None:
                self._failed[path] = error
                self._held_bytes -= len(self._held.pop(path, b""))

    def _read(self, path: str) -> bytes:
        data = self._files.read(path)
        self._hold(path, data)
        return data

    def _hold(self, path: str, data: bytes) -> None:
        with self._lock:
            self._held_bytes += len(data) - len(self._held.pop(path, b""))
            self._held[path] = data
            while self._held_bytes > HELD_BYTES:
                self._held_bytes -= len(self._held.popitem(last=False)[1])


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
