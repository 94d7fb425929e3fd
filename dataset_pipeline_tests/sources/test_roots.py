"""A source in a root of `[episodes] roots` is found on every machine that has the root, wherever it lies there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.host import HOST_VARIABLE
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.roots import ROOTS_VARIABLE, absence, path_of, roots_of, told
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.store import Pointer

ROOT = Path("/mnt/anime").absolute()  # has a drive on Windows


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes this process one of a machine: with a project folder of its own, and roots where it has them."""

    def become(name: str, elsewhere: str = "") -> Path:
        folder = tmp_path / name
        (folder / "episodes").mkdir(parents=True, exist_ok=True)
        (folder / "workspace.yaml").touch()
        monkeypatch.chdir(folder)
        monkeypatch.setenv(ROOTS_VARIABLE, elsewhere)
        monkeypatch.setenv(HOST_VARIABLE, name)
        return folder

    return become


def with_roots(*roots: str) -> Settings:
    return load_settings(None, episodes__roots=list(roots))


def pointer(root: str, path: str) -> Pointer:
    return Pointer("", 0, "", Provenance(root=root, path=path))


def test_a_source_in_a_relative_root_lies_in_the_project_folder_of_each_machine(machine):
    settings, one = with_roots("episodes"), machine("one")
    said = told(settings, one / "episodes" / "Show" / "01.mkv")
    assert said == ("episodes", "Show/01.mkv")
    other = machine("other")
    assert path_of(settings, pointer(*said)) == str(other / "episodes" / "Show" / "01.mkv")


def test_a_machine_says_where_it_has_roots_that_lie_elsewhere(machine, tmp_path):
    settings = with_roots("episodes", str(ROOT))
    machine("one", f"{ROOT}={tmp_path / 'nas'}; episodes = {tmp_path / 'disk'};of another project=/x")
    assert roots_of(settings) == [tmp_path / "disk", tmp_path / "nas"]
    said = told(settings, tmp_path / "nas" / "Show" / "01.mkv")
    assert said == (str(ROOT), "Show/01.mkv")
    machine("other")
    assert path_of(settings, pointer(*said)) == str(ROOT / "Show" / "01.mkv")


def test_of_roots_in_one_another_the_innermost_is_named_and_a_root_may_be_an_episode(machine):
    settings, folder = with_roots("episodes", "episodes/films"), machine("one")
    assert told(settings, folder / "episodes" / "films" / "a.mkv") == ("episodes/films", "a.mkv")
    said = told(settings, folder / "episodes" / "films")
    assert said == ("episodes/films", ".")
    assert path_of(settings, pointer(*said)) == str(folder / "episodes" / "films")


def test_what_lies_in_no_root_is_told_by_its_full_path(machine, tmp_path):
    settings = with_roots("episodes")
    machine("one")
    said = told(settings, tmp_path / "downloads" / "01.mkv")
    assert said == ("", str(tmp_path / "downloads" / "01.mkv"))
    assert path_of(settings, pointer(*said)) == said[1]
    assert path_of(settings, None) == path_of(settings, pointer("", "")) == ""


@pytest.mark.parametrize(
    ("root", "path"), [("/mnt/anime", "/mnt/anime/Show/01.mkv"), ("Z:/anime", "Z:\\anime\\Show\\01.mkv")]
)
def test_a_full_path_of_an_older_store_is_found_where_this_machine_has_the_root(machine, tmp_path, root, path):
    settings, old = with_roots(root), pointer("", path)
    machine("one")
    assert path_of(settings, old) == path
    machine("other", f"{root}={tmp_path / 'nas'}")
    assert path_of(settings, old) == str(tmp_path / "nas" / "Show" / "01.mkv")
    beside = pointer("", f"{root}-2/Show/01.mkv")
    assert path_of(settings, beside) == beside.provenance.path


def test_a_machine_that_does_not_have_a_root_is_told_what_to_set(machine, tmp_path):
    machine("gpu-2", f"{ROOT}={tmp_path / 'nas'}")
    said = absence("show.e01", str(ROOT), str(tmp_path / "nas" / "Show" / "01.mkv"))
    assert f"{tmp_path / 'nas'} cannot be read (" in said
    assert ") on gpu-2" in said
    assert f"{ROOTS_VARIABLE}={ROOT}=<folder>" in said
    (tmp_path / "nas").mkdir()
    assert "is empty on gpu-2" in absence("show.e01", str(ROOT), "x")
    (tmp_path / "nas" / "Show").mkdir()
    assert ROOTS_VARIABLE not in absence("show.e01", str(ROOT), "x")
    assert "full path" in absence("show.e01", "", "/downloads/01.mkv")


def test_what_names_no_folder_of_a_root_is_refused(machine):
    machine("one", "episodes")
    with pytest.raises(PermanentError, match=rf"{ROOTS_VARIABLE}: 'episodes' is not <root>=<folder>"):
        roots_of(with_roots("episodes"))
