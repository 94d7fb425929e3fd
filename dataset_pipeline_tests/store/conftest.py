from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from dataset_pipeline.store import object_files, pointers, transit
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.bucket import Bucket


class Disk:
    """A store's root seen from outside, whatever holds it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.system, self.path = fsspec.url_to_fs(root)
        self.local = "://" not in root

    def files(self) -> dict[str, bytes]:
        """Content by path relative to the root."""
        found = self.system.find(self.path)
        return {name.removeprefix(self.path).lstrip("/"): self.system.cat_file(name) for name in found}

    def put(self, path: str, data: bytes) -> None:
        self.system.makedirs(f"{self.path}/{path}".rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(f"{self.path}/{path}", data)

    def remove(self, path: str) -> None:
        self.system.rm_file(f"{self.path}/{path}")

    def clear(self) -> None:
        self.system.rm(self.path, recursive=True)

    def make_older(self, seconds: float, part: str = "") -> None:
        """Set back the time of every file whose path contains `part`."""
        for path in self.files():
            if part not in path:
                continue
            if self.local:
                then = time.time() - seconds
                os.utime(Path(self.root) / path, (then, then))
            else:
                self.system.store[f"{self.path}/{path}"].modified = datetime.now(UTC) - timedelta(seconds=seconds)

    def age_s(self, path: str) -> float:
        return time.time() - self.system.modified(f"{self.path}/{path}").timestamp()


class BucketDisk(Disk):
    """The same of a bucket in memory."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket, self.local = bucket, False

    def files(self) -> dict[str, bytes]:
        names = sorted(it["path"] for some in self.bucket.store.list() for it in some)
        return {name: bytes(self.bucket.store.get(name).bytes()) for name in names}

    def put(self, path: str, data: bytes) -> None:
        self.bucket.put(path, data)

    def remove(self, path: str) -> None:
        self.bucket.delete(path)

    def clear(self) -> None:
        for path in self.files():
            self.remove(path)

    def make_older(self, seconds: float, part: str = "") -> None:
        for path in self.files():
            if part in path:
                self.bucket.older_s[path] = self.bucket.older_s.get(path, 0.0) + seconds

    def age_s(self, path: str) -> float:
        return time.time() - self.bucket.head(path)["last_modified"].timestamp()


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Bucket]:
    """Buckets in memory by root, in the place of real ones; nothing is held, under way or taken for current that was
    read before, so that a test may change what lies there."""
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    made: dict[str, Bucket] = {}
    monkeypatch.setattr(object_files, "client_of", lambda root: made.setdefault(root, Bucket()))
    keep = transit.ByRequests.keep

    def at_once(self: transit.ByRequests, path: str, data: bytes, closely: bool = False) -> None:
        keep(self, path, data, closely)
        self.settle(path.rpartition("/")[0])

    monkeypatch.setattr(transit.ByRequests, "keep", at_once)
    monkeypatch.setattr(transit, "HELD_BYTES", 0)
    monkeypatch.setattr(transit, "LISTING_S", -1.0)
    monkeypatch.setattr(pointers, "LOOK_S", -1.0)
    monkeypatch.setattr(pointers, "_READ", pointers._Read())
    return made


@pytest.fixture(params=["local", "memory", pytest.param("bucket", marks=pytest.mark.thorough)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        request.getfixturevalue("buckets")
        return f"s3://{uuid.uuid4().hex}/store"
    return str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def store(root: str) -> Store:
    return Store(root)


@pytest.fixture
def disk(root: str, request: pytest.FixtureRequest) -> Disk:
    if root.startswith("s3://"):
        return BucketDisk(request.getfixturevalue("buckets").setdefault(root, Bucket()))
    return Disk(root)
