"""A bucket in memory, through the client that speaks to real ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any


class Bucket:
    """What ObjectFiles asks of its client. asked: the names of the calls, with the path. older_s: of what is told of
    an object's time, by path. minds: whether it keeps to conditions, as servers should."""

    def __init__(self) -> None:
        from obstore.store import MemoryStore

        self.store = MemoryStore()
        self.asked: list[tuple[str, str]] = []
        self.older_s: dict[str, float] = {}
        self.minds = True

    def put(self, path: str, data: bytes, mode: Any = None, **options: Any) -> Any:
        self.asked.append(("put", path))
        found = self.store.put(path, data, mode=mode if self.minds else "overwrite", **options)
        self.older_s.pop(path, None)
        return found

    def get(self, path: str, **options: Any) -> Any:
        self.asked.append(("get", path))
        found = self.store.get(path, **options)
        return SimpleNamespace(bytes=found.bytes, meta=self._aged(found.meta))

    def head(self, path: str) -> Any:
        self.asked.append(("head", path))
        return self._aged(self.store.head(path))

    def list(self, prefix: str | None = None, **options: Any) -> Iterator[list[Any]]:
        self.asked.append(("list", prefix or ""))
        return ([self._aged(it) for it in some] for some in self.store.list(prefix, **options))

    def list_with_delimiter(self, prefix: str | None = None) -> Any:
        self.asked.append(("list", prefix or ""))
        found = self.store.list_with_delimiter(prefix)
        return {**found, "objects": [self._aged(it) for it in found["objects"]]}

    def delete(self, path: str) -> None:
        self.asked.append(("delete", path))
        self.store.delete(path)

    def _aged(self, meta: Any) -> dict[str, Any]:
        older_s = self.older_s.get(meta["path"], 0.0)
        return {**meta, "last_modified": meta["last_modified"] - timedelta(seconds=older_s)}
