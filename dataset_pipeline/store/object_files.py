"""Files in a bucket: of S3 and what speaks like it, Google Cloud or Azure, through obstore.

Each request costs a round trip, so nothing is looked at before it is read or put: a file that must not be there is put
on that condition, and one that must not have changed on the condition of its tag.
"""

from __future__ import annotations

import errno
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any

from dataset_pipeline.base.errors import PassingError
from dataset_pipeline.store.buckets import NO_BUCKET, client_of, fault_of
from dataset_pipeline.store.protocol import REFRESH_S, TAIL_BYTES, Mark, StoreError


class ObjectFiles:
    """A put shows the whole object or nothing, and replaces at once. Safe for many writers, if the server keeps to
    conditions."""

    far = True

    def __init__(self, root: str, client: Any = None) -> None:
        self.root = root.rstrip("/")
        self._client = client_of(self.root) if client is None else client
        self._process = os.getpid()

    def read(self, path: str) -> bytes:
        return self.read_marked(path)[0]

    def read_marked(self, path: str) -> tuple[bytes, Mark]:
        with self._telling(path):
            found = self._client.get(path)
            return bytes(found.bytes()), _mark_of(found.meta)

    def read_tail(self, path: str) -> bytes:
        from obstore.exceptions import NotSupportedError

        with self._telling(path):
            try:
                return bytes(self._client.get(path, options={"range": {"suffix": TAIL_BYTES}}).bytes())
            except NotSupportedError:
                return self.read(path)

    def write(self, path: str, data: bytes, durable: bool = False) -> None:
        self._put(path, data, "overwrite")

    def create(self, path: str, data: bytes) -> bool:
        return self._put(path, data, "create") is not None

    def swap(self, path: str, data: bytes, before: Mark | None) -> Mark | None:
        if before is None:
            return self._put(path, data, "create")
        return self._put(path, data, {"e_tag": before.tag} | ({"version": before.version} if before.version else {}))

    def keep(self, path: str, data: bytes, closely: bool = False) -> None:
        if self.create(path, data):
            return
        # Somebody's file is there: objects cannot be touched, so an old one is put again, which makes it new.
        try:
            with self._telling(path):
                meta = self._client.get(path) if closely else None
                is_same = meta is None or bytes(meta.bytes()) == data
                about = self._client.head(path) if meta is None else meta.meta
        except FileNotFoundError:  # a cleaner came between
            is_same, about = False, {}
        if not is_same or about["size"] != len(data) or _is_old(about):
            self.write(path, data)

    def refresh(self, path: str) -> bool:
        try:
            with self._telling(path):
                is_old = _is_old(self._client.head(path))
            if is_old:
                self.write(path, self.read(path))
        except FileNotFoundError:
            return False
        return True

    def folders(self, path: str) -> list[str]:
        return sorted(name.rstrip("/").rpartition("/")[2] for name in self._listed(path)["common_prefixes"])

    def names(self, path: str) -> list[str]:
        return sorted(self.marks(path))

    def marks(self, path: str) -> dict[str, Mark]:
        return {it["path"].rpartition("/")[2]: _mark_of(it) for it in self._listed(path)["objects"]}

    def marks_below(self, path: str, most: int) -> dict[str, Mark] | None:
        found: dict[str, Mark] = {}
        with self._telling(path):
            for some in self._client.list(path, chunk_size=most):
                found |= {it["path"]: _mark_of(it) for it in some}
                if len(found) >= most:  # there may be more, which would be another request
                    return None
        return found

    def below(self, path: str) -> list[str]:
        with self._telling(path):
            return sorted(it["path"] for some in self._client.list(path or None) for it in some)

    def age_and_size(self, path: str) -> tuple[float, int]:
        with self._telling(path):
            meta = self._client.head(path)
        return max(0.0, _seconds_since(meta) + self._clock_ahead_s), meta["size"]

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError), self._telling(path):
            self._client.delete(path)

    def locked(self, path: str) -> AbstractContextManager[None]:
        return nullcontext()

    def fault_of_conditions(self) -> str:
        path = f"_probe-{uuid.uuid4().hex}"
        try:
            first = self.swap(path, b"1", None)
            kept = first is not None and self.swap(path, b"2", None) is None
            second = self.swap(path, b"2", first)
            kept = kept and second is not None and self.swap(path, b"3", first) is None
        finally:
            self.remove(path)
        return "" if kept else (
            f"{self.root}: the server takes no notice of conditions (If-None-Match, If-Match), so that two writers "
            "would overwrite one another's tables: use it from one machine only, or take a server that keeps to them"
        )  # fmt: skip

    def local_path(self, path: str) -> None:
        return None

    def uri(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _put(self, path: str, data: bytes, mode: Any) -> Mark | None:
        """The new mark; None if the condition does not hold."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._telling(path):
                return _mark_of(self._client.put(path, data, mode=mode, use_multipart=False))
        except (AlreadyExistsError, PreconditionError):
            return None
        except FileNotFoundError:  # what was to be replaced is gone
            if isinstance(mode, str):
                raise
            return None

    def _listed(self, path: str) -> Any:
        with self._telling(path):
            return self._client.list_with_delimiter(path or None)

    @cached_property
    def _clock_ahead_s(self) -> float:
        """How much the server's clock is ahead of this machine's."""
        path = f"_clock-{uuid.uuid4().hex}"
        self.write(path, b"")
        try:
            with self._telling(path):
                return -_seconds_since(self._client.head(path))
        finally:
            self.remove(path)

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """Errors of the client in words: FileNotFoundError, StoreError or PassingError; refusals as they are."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        if os.getpid() != self._process:  # the client's own threads stayed behind, and it would wait for ever
            raise RuntimeError(f"{self.root} was opened in the process that this one was forked from: spawn it instead")
        try:
            yield
        except (AlreadyExistsError, PreconditionError, StoreError, PassingError):
            raise
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and not re.search(NO_BUCKET, str(error)):
                raise FileNotFoundError(errno.ENOENT, "there is no such file", self.uri(path)) from None
            raise fault_of(error, self.root, self.uri(path)) from None


def _seconds_since(meta: Any) -> float:
    """Since it was put, by this machine's clock, which may go wrong."""
    return time.time() - meta["last_modified"].timestamp()


def _is_old(meta: Any) -> bool:
    """Whether it has to be put again to be safe: clocks that differ by less than that matter little to a cleaner."""
    return not -REFRESH_S < _seconds_since(meta) <= REFRESH_S


def _mark_of(meta: Any) -> Mark:
    return Mark(meta["e_tag"] or "", meta["version"] or "")
