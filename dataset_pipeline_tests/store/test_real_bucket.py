"""A store on a real server of S3, and what it says where something is wrong."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_pipeline.base.errors import PassingError
from dataset_pipeline.store import buckets
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store, StoreError
from dataset_pipeline_tests.servers.counting import Requests, counted
from dataset_pipeline_tests.servers.s3 import S3Server, free_ports, s3_server

pytestmark = pytest.mark.thorough

EPISODE = "show.e01"
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Requests]]:
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    with s3_server(tmp_path_factory.mktemp("s3")) as server, counted(server.url) as requests:
        yield server, requests


@pytest.fixture
def server(running: tuple[S3Server, Requests], monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in (running[0].environment | {"AWS_ENDPOINT_URL": running[1].url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(buckets, "RETRIES", 1)
    return running[0]


@pytest.fixture
def root(server: S3Server) -> str:
    return server.root(uuid.uuid4().hex)


def test_tables_and_pictures_come_back_and_are_cleaned(root: str) -> None:
    store = Store(root)
    store.check_conditions()
    path = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000000", b"pixels", "png")
    gone = store.put_picture("keyframes", EPISODE, f"{EPISODE}/00000001", b"others", "png")
    row = {"image_id": f"{EPISODE}/00000000", "kept": True, "path": path}
    store.write("distinct_frames", SCHEMAS["distinct_frames"].table([row]), EPISODE)
    store.write("distinct_frames", SCHEMAS["distinct_frames"].table([{**row, "reason": "best"}]), EPISODE)
    other = Store(root)
    assert other.read_picture(path) == b"pixels"
    assert other.episodes("distinct_frames") == [EPISODE]
    assert other.missing_pictures("distinct_frames", EPISODE) == set()
    assert other.agree("models.lock", {"a": "b"}) == Store(root).agree("models.lock", {"a": "c"}) == {"a": "b"}
    assert other.clean(3600).size_bytes == 0
    cleaned = other.clean(0)
    assert (cleaned.tables, cleaned.pictures) == (1, 1)
    with pytest.raises(StoreError, match="is gone: materialize keyframes"):
        Store(root).read_picture(gone)
    other.forget(EPISODE)
    assert Store(root).episodes("distinct_frames") == []


def test_a_thousand_pointers_are_listed_on_more_than_one_page(root: str, running: tuple[S3Server, Requests]) -> None:
    store, names = Store(root), [f"show.e{number:04d}" for number in range(1_100)]
    table = SCHEMAS["tags"].empty()
    first = store.write("tags", table, names[0]).pointer
    for name in names[1:]:
        store._files.write(f"_pointers/tags/{name}.json", first.encoded())
    running[1].clear()
    assert Store(root).episodes("tags") == names
    assert running[1].by_kind["LIST"] == 3  # the first found that a request does not list all
    assert len(Store(root).pointers("tags", names)) == len(names)
    running[1].clear()
    assert len(Store(root).pointers("tags", names)) == len(names)
    assert running[1].by_kind == {"LIST": 3}


@pytest.mark.parametrize(
    ("variables", "root", "said"),
    [
        ({}, "s3://no-such-bucket/x", r"there is no bucket for s3://no-such-bucket/x: make it"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "s3://lab/x", r"is refused \(SignatureDoesNotMatch.*AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "s3://lab/x", r"is refused \(InvalidAccessKeyId.*look what that key may do"),
        ({"AWS_ENDPOINT_URL": "{closed}"}, "s3://lab/x", r"cannot be reached .*set AWS_ENDPOINT_URL to its address"),
        (NO_KEYS | {"AWS_METADATA_ENDPOINT": "{closed}"}, "s3://lab/x", r"without credentials: set AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": ""}, "s3://lab/x", r"Missing AccessKeyId\); set AWS_ACCESS_KEY_ID and"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said_in_words(
    server: S3Server, variables: dict[str, str], root: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in variables.items():
        value = value.replace("{closed}", f"http://127.0.0.1:{free_ports(1)[0]}")
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    calls = (
        lambda: Store(root).pointer("crops", EPISODE),
        lambda: Store(root).episodes("crops"),
        lambda: Store(root).write("quality_scores", SCHEMAS["quality_scores"].empty(), EPISODE),
        lambda: Store(root).read_picture("crops/a/b.png"),
    )
    for call in calls:
        with pytest.raises(PassingError if "cannot be reached" in said else StoreError, match=said) as caught:
            call()
        assert "Debug source" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_server_that_starts_again_soon_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="`uv sync --extra bucket` brings it")
    with s3_server(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = Store(server.root("x"))
        path = store.put_picture("crops", EPISODE, f"{EPISODE}/00000001", b"pixels", "png")
        store.write("quality_scores", SCHEMAS["quality_scores"].empty(), EPISODE)
        server.kill()
        with monkeypatch.context() as impatient:
            impatient.setattr(buckets, "RETRIES", 1)
            hasty = Store(server.root("x"))
        with pytest.raises(PassingError, match="cannot be reached"):
            hasty.read_picture(path)
        waiting = threading.Timer(0.5, server.start)
        waiting.start()
        assert Store(server.root("x")).read_picture(path) == b"pixels"
        waiting.join()


def test_a_picture_that_is_gone_is_no_error_of_the_bucket(root: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Store(root).read_picture("crops/a/b.png")
    assert caught.value.errno == errno.ENOENT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_process_that_is_forked_from_one_with_a_bucket_says_so_instead_of_hanging(root: str) -> None:
    store = Store(root)
    assert store.episodes("tags") == []
    for use in (lambda: store.agreed("anything"), lambda: Store(root)):
        if (child := os.fork()) == 0:
            try:
                use()
            except RuntimeError as error:
                os._exit(7 if "forked" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
