"""A set that is copied to a URL is whole there or not there, whatever interrupts the copying."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_pipeline.graph.project import export_root, published
from dataset_pipeline.settings import SettingsError, load_settings
from dataset_pipeline.store.files import Files, LocalFiles, StoreError, open_files
from dataset_pipeline.training.exporters.folder import ABSOLUTE, CHECKSUMS, checksums_in
from dataset_pipeline.training.exporters.publishing import publish
from dataset_pipeline_tests.servers.s3 import s3_server
from dataset_pipeline_tests.servers.server import INSTALL


class Watched(LocalFiles):
    """Remembers what was written; fails once it has written as many files as it may."""

    def __init__(self, root: Path, most: int = 1000) -> None:
        super().__init__(root)
        self.most = most
        self.written: list[str] = []

    def write(self, path: str, data: bytes, durable: bool = False) -> None:
        if len(self.written) >= self.most:
            raise OSError("the connection was reset")
        self.written.append(path)
        super().write(path, data, durable)


@pytest.fixture
def made(sample, tmp_path: Path) -> Path:
    return sample.export("kohya", tmp_path / "exports").folder


def test_a_copy_holds_what_the_checksums_list_and_they_come_last(made, tmp_path, files_in):
    there = Watched(tmp_path / "there")
    assert publish(made, there) == there.uri(made.name)
    copy = tmp_path / "there" / made.name
    assert (made / ABSOLUTE).is_dir()
    assert files_in(copy) == sorted([*checksums_in(made), CHECKSUMS])
    assert all((copy / path).read_bytes() == (made / path).read_bytes() for path in files_in(copy))
    assert there.written[-1] == f"{made.name}/{CHECKSUMS}"


def test_a_set_that_is_there_is_not_copied_again(made, tmp_path):
    publish(made, Watched(tmp_path / "there"))
    again = Watched(tmp_path / "there")
    assert publish(made, again) == again.uri(made.name)
    assert again.written == []


def test_a_copy_that_was_interrupted_counts_as_none_and_is_written_anew(made, tmp_path, files_in):
    with pytest.raises(OSError, match="reset"):
        publish(made, Watched(tmp_path / "there", most=5))
    copy = tmp_path / "there" / made.name
    assert len(files_in(copy)) == 5
    assert not (copy / CHECKSUMS).exists()
    (copy / "train").mkdir(exist_ok=True)
    (copy / "train" / "of another content.png").write_bytes(b"1")
    publish(made, LocalFiles(tmp_path / "there"))
    assert files_in(copy) == sorted([*checksums_in(made), CHECKSUMS])


def test_a_copy_of_other_content_keeps_its_name(made, tmp_path):
    there = LocalFiles(tmp_path / "there")
    there.write(f"{made.name}/{CHECKSUMS}", b"of others")
    assert publish(made, there) == publish(made, there) == there.uri(f"{made.name}-2")
    assert there.read(f"{made.name}/{CHECKSUMS}") == b"of others"


def test_sets_for_a_url_are_made_in_the_project_and_copied(made, tmp_path, monkeypatch):
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path)
    url = f"memory://sets-{uuid.uuid4().hex}"
    settings = load_settings(None, exported_set__root=f"{url}/{{pack}}", models__pack="demo")
    assert export_root(settings) == tmp_path / "data" / "demo" / "exports"
    assert published(settings, made) == open_files(f"{url}/demo").uri(made.name)
    assert_whole(open_files(f"{url}/demo"), made)
    local = load_settings(None, exported_set__root=str(tmp_path / "exports"))
    assert published(local, made) == str(made)


@pytest.mark.parametrize("of_one_file", ["lmdb", "zip"])
def test_what_is_one_file_as_large_as_its_set_is_refused_for_a_url(of_one_file):
    with pytest.raises(SettingsError, match=rf"s3://lab/sets.*sr_set\.{of_one_file} = false"):
        load_settings(None, exported_set__root="s3://lab/sets", **{f"sr_set__{of_one_file}": True})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.mark.thorough
def test_a_set_is_copied_to_a_bucket(made, server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    try:
        files = open_files(server.root("sets"))
    except StoreError as error:
        pytest.skip(f"{INSTALL}: {error}")
    assert publish(made, files) == publish(made, files) == files.uri(made.name)
    assert_whole(files, made)


def assert_whole(files: Files, made: Path) -> None:
    for path in [*checksums_in(made), CHECKSUMS]:
        assert files.read(f"{made.name}/{path}") == (made / path).read_bytes()
