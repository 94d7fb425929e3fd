"""Whole files at a root: a local folder or an fsspec file system. A file is there completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dataset_pipeline.base.paths import long_path, now_s_on_drive, patiently, write_whole
from dataset_pipeline.store.object_files import ObjectFiles
from dataset_pipeline.store.protocol import REFRESH_S, TAIL_BYTES, Files, Mark, StoreError

# Locks are a fixed number of empty files that stay: removing one while another process waits for it would split them.
LOCK_FOLDER, LOCKS = ".locks", 64
LOCK_WAIT_S, LOCK_POLL_S = 60.0, 0.01
BUCKETS = ("s3", "s3a", "gs", "az", "abfs", "abfss")
# What network drives say that know no locks.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

log = logging.getLogger(__name__)


def open_files(root: str) -> Files:
    """`root`: a local path, a bucket (s3://, gs://, az://), or another URL that fsspec knows. Raises StoreError."""
    if "://" not in root:
        return LocalFiles(Path(root))
    if root.partition("://")[0] in BUCKETS:
        return ObjectFiles(root)
    if root.startswith("file://"):
        return LocalFiles(Path(url2pathname(urlsplit(root).path)))
    import fsspec

    # Listings must not come from a cache: other processes write here too.
    try:
        system, path = fsspec.url_to_fs(root, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise _no_root(root, error) from error
    return RemoteFiles(system, path)


class LocalFiles:
    far = False

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._is_warned = False
        try:
            if not stat.S_ISDIR(os.stat(self.root).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except FileNotFoundError:
            pass  # the first write makes it
        except (OSError, ValueError) as error:
            raise _no_root(self.root, error) from error

    def read(self, path: str) -> bytes:
        return patiently(self._at(path).read_bytes)

    def write(self, path: str, data: bytes, durable: bool = False) -> None:
        target = self._at(path)
        self._make(target.parent)
        write_whole(target, data, durable=durable)

    def create(self, path: str, data: bytes) -> bool:
        with self.locked(path):
            if is_new := not self._at(path).exists():
                self.write(path, data, durable=True)
            return is_new

    def read_marked(self, path: str) -> tuple[bytes, Mark]:
        data = self.read(path)
        return data, _mark_of(data)

    def read_tail(self, path: str) -> bytes:
        with open(self._at(path), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read()

    def marks(self, path: str) -> None:
        return None

    def marks_below(self, path: str, most: int) -> None:
        return None

    def fault_of_conditions(self) -> str:
        """Whether locks hold between machines cannot be told from one: that there are any can."""
        from filelock import FileLock, Timeout

        file = self._at(f"{LOCK_FOLDER}/{uuid.uuid4().hex}.lock")
        self._make(file.parent)
        try:
            with FileLock(file), FileLock(file, timeout=0):
                reason = "two could lock the same file"
        except Timeout:
            return ""
        except (OSError, RuntimeError) as error:
            if not _knows_no_locks(error):
                raise
            reason = str(error)
        finally:
            patiently(lambda: file.unlink(missing_ok=True))
        return (
            f"{self.root}: its drive knows no locks ({reason}), so that two writers would overwrite one another's "
            "tables: use it from one machine only, or mount it with locks"
        )

    def swap(self, path: str, data: bytes, before: Mark | None) -> Mark | None:
        with self.locked(path):
            if _mark_now(self, path) != before:
                return None
            self.write(path, data, durable=True)
        return _mark_of(data)

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        try:
            age_s, size_bytes = self.age_and_size(path)
        except FileNotFoundError:
            size_bytes = -1
        if size_bytes != len(data) or (closely and self.read(path) != data):
            self.write(path, data, durable=closely)
        elif age_s > REFRESH_S:
            os.utime(self._at(path))

    def refresh(self, path: str) -> bool:
        try:
            if self.age_and_size(path)[0] > REFRESH_S:
                os.utime(self._at(path))
        except FileNotFoundError:
            return False
        return True

    def folders(self, path: str) -> list[str]:
        return self._list(path, lambda entry: entry.is_dir())

    def names(self, path: str) -> list[str]:
        return self._list(path, lambda entry: entry.is_file())

    def _list(self, path: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
        try:
            with os.scandir(self._at(path)) as entries:
                return sorted(entry.name for entry in entries if wanted(entry))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def below(self, path: str) -> list[str]:
        folders, found = [path], []
        while folders:
            folder = folders.pop()
            begins = f"{folder}/" if folder else ""
            found += [f"{begins}{name}" for name in self.names(folder)]
            if folder.count("/") < 1:  # no file of a store lies deeper, and a link may lead round in a circle
                folders += [f"{begins}{name}" for name in self.folders(folder)]
        return sorted(found)

    def age_and_size(self, path: str) -> tuple[float, int]:
        status = self._at(path).stat()
        return max(0.0, time.time() + self._clock_ahead_s - status.st_mtime), status.st_size

    @cached_property
    def _clock_ahead_s(self) -> float:
        """How much the clock of the drive is ahead of this machine's; 0 where nothing can be written."""
        try:
            return now_s_on_drive(self._at("")) - time.time()
        except OSError:
            return 0.0

    def remove(self, path: str) -> None:
        target = self._at(path)
        patiently(lambda: target.unlink(missing_ok=True))

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        number = int(hashlib.sha256(path.encode()).hexdigest()[:8], 16) % LOCKS
        file = self._at(f"{LOCK_FOLDER}/{number:02d}.lock")
        self._make(file.parent)
        lock = FileLock(file, timeout=LOCK_WAIT_S)
        try:
            lock.acquire(poll_interval=LOCK_POLL_S)
        except Timeout:
            raise TimeoutError(
                f"{self.uri(path)} cannot be changed: another process has held {file} for {LOCK_WAIT_S:g} s. "
                "Wait for it to finish, or stop it if it hangs, and run again"
            ) from None
        except (OSError, RuntimeError) as error:
            if not _knows_no_locks(error):
                raise
            if not self._is_warned:
                self._is_warned = True
                log.warning("%s cannot be locked (%s): runs at once may measure a picture twice", file, error)
        try:
            yield
        finally:
            lock.release()

    def local_path(self, path: str) -> Path:
        return self._at(path)

    def uri(self, path: str) -> str:
        return (self.root / PurePosixPath(path)).as_uri()

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if os.path.isdir(self.root) and error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise _no_root(self.root, error) from error

    def _at(self, path: str) -> Path:
        return long_path(self.root / PurePosixPath(path))


class RemoteFiles:
    """What fsspec reaches. For one writer: nothing is locked here, and others may put theirs between two steps."""

    far = False

    def __init__(self, system: Any, root: str) -> None:
        self.system, self.root = system, root.rstrip("/")

    def read(self, path: str) -> bytes:
        try:
            return self.system.cat_file(self._at(path))
        except OSError:
            raise
        except Exception as error:  # of the store's own client, such as boto's
            raise OSError(f"{self.uri(path)} cannot be read: {error}") from error

    def write(self, path: str, data: bytes, durable: bool = False) -> None:
        self.system.pipe_file(self._at(path), data)

    def create(self, path: str, data: bytes) -> bool:
        if is_new := not self.system.exists(self._at(path)):
            self.write(path, data)
        return is_new

    def read_marked(self, path: str) -> tuple[bytes, Mark]:
        data = self.read(path)
        return data, _mark_of(data)

    def read_tail(self, path: str) -> bytes:
        return self.read(path)

    def marks(self, path: str) -> None:
        return None

    def marks_below(self, path: str, most: int) -> None:
        return None

    def fault_of_conditions(self) -> str:
        return (
            f"{self.uri('')} knows no writing on a condition, so that two writers would overwrite one another's "
            "tables: use it from one machine only, or take s3://, gs://, az:// or a shared folder"
        )

    def swap(self, path: str, data: bytes, before: Mark | None) -> Mark | None:
        if _mark_now(self, path) != before:
            return None
        self.write(path, data)
        return _mark_of(data)

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        try:
            age_s, size_bytes = self.age_and_size(path)
        except FileNotFoundError:
            age_s, size_bytes = 0.0, -1
        # Files cannot be touched; an old one is put again, which makes it new.
        if size_bytes != len(data) or age_s > REFRESH_S or (closely and self.read(path) != data):
            self.write(path, data)

    def refresh(self, path: str) -> bool:
        try:
            if self.age_and_size(path)[0] > REFRESH_S:
                self.write(path, self.read(path))
        except FileNotFoundError:
            return False
        return True

    def folders(self, path: str) -> list[str]:
        return self._list(path, "directory")

    def names(self, path: str) -> list[str]:
        return self._list(path, "file")

    def _list(self, path: str, kind: str) -> list[str]:
        try:
            entries = self.system.ls(self._at(path), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == kind)

    def below(self, path: str) -> list[str]:
        root = self._at("")
        return sorted(name.removeprefix(root).lstrip("/") for name in self.system.find(self._at(path)))

    def age_and_size(self, path: str) -> tuple[float, int]:
        at = self._at(path)
        return time.time() - self.system.modified(at).timestamp(), int(self.system.info(at)["size"])

    def remove(self, path: str) -> None:
        try:
            self.system.rm_file(self._at(path))
        except FileNotFoundError:
            return

    def locked(self, path: str) -> AbstractContextManager[None]:
        return nullcontext()

    def local_path(self, path: str) -> None:
        return None

    def uri(self, path: str) -> str:
        return self.system.unstrip_protocol(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root


def _knows_no_locks(error: OSError | RuntimeError) -> bool:
    return not isinstance(error, OSError) or error.errno in _NO_LOCKS


def _mark_of(data: bytes) -> Mark:
    return Mark(hashlib.sha256(data).hexdigest())


def _mark_now(files: Files, path: str) -> Mark | None:
    try:
        return files.read_marked(path)[1]
    except FileNotFoundError:
        return None


def _no_root(root: Path | str, error: Exception) -> StoreError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StoreError(
        f"[store] root: nothing can be kept in {root} ({reason}); "
        "name a folder that can be made and written, or a bucket, such as s3://bucket/folder"
    )
