"""The graph with its store in a bucket of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.store import pointers
from dataset_pipeline_tests.scenarios.conftest import Project, new_project
from dataset_pipeline_tests.servers.counting import Requests, counted
from dataset_pipeline_tests.servers.s3 import s3_server

pytestmark = pytest.mark.thorough

MEASURING = phases()[0].assets
REQUESTS_A_PICTURE, REQUESTS_AN_ASSET, REQUESTS_WHERE_NOTHING_CHANGED = 1.3, 7, 100


@dataclass
class InBucket(Project):
    """A project whose store lies in a bucket."""

    bucket: str = ""

    def settings(self, **changes: Any) -> Any:
        return super().settings(**{"store__root": self.bucket} | changes)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A drawn clip of twelve seconds."""
    write_show(tmp_path / "episodes", replace(TEST_SHOW, scripts=TEST_SHOW.scripts[:1]))
    return tmp_path / "episodes"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Requests]]:
    """The root of a store, and the requests to its server."""
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    with s3_server(tmp_path / "s3") as server, counted(server.url) as requests:
        for name, value in (server.environment | {"AWS_ENDPOINT_URL": requests.url}).items():
            monkeypatch.setenv(name, value)
        yield server.root("store"), requests


def test_measuring_a_clip_takes_little_more_than_a_request_a_picture_and_a_look_afterwards_less(
    clip: Path, bucket: tuple[str, Requests], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, requests = bucket
    project = InBucket(new_project(tmp_path / "project").root, bucket=root)
    outcome, _ = project.run(clip, only=MEASURING)
    assert not outcome.failures, outcome.failures
    pictures = len([path for path in project.store._files.below("") if path.endswith((".png", ".webp", ".jpg"))])
    measuring, kinds = requests.total, dict(requests.by_kind)
    with capsys.disabled():
        print(f"\n{pictures} pictures, {len(MEASURING)} assets: {measuring} requests {kinds}")
    assert measuring <= REQUESTS_A_PICTURE * pictures + REQUESTS_AN_ASSET * len(MEASURING)


def test_a_look_at_the_whole_graph_where_nothing_changed_takes_few_requests(
    clip: Path, bucket: tuple[str, Requests], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, requests = bucket
    project = InBucket(new_project(tmp_path / "project").root, bucket=root)
    outcome, _ = project.run(clip)
    assert not outcome.failures, outcome.failures
    for who in ("the same process", "another process"):
        if who == "another process":
            pointers._READ.__init__()
        requests.clear()
        outcome, seen = project.run(clip)
        assert (outcome.failures, sum(seen.values())) == ([], 0)
        with capsys.disabled():
            print(f"\nnothing changed, {who}: {requests.total} requests {dict(requests.by_kind)}")
        assert requests.total <= REQUESTS_WHERE_NOTHING_CHANGED
