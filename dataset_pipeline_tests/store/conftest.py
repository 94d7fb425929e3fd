from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from dataset_pipeline.store.store import Store


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


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def store(root: str) -> Store:
    return Store(root)


@pytest.fixture
def disk(root: str) -> Disk:
    return Disk(root)
