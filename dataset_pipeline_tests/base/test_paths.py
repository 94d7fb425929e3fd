"""What a path may be on every system."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dataset_pipeline.base import paths
from dataset_pipeline.base.file_names import safe_first_part
from dataset_pipeline.base.ids import check_episode, file_name
from dataset_pipeline.base.paths import (
    OutsideError,
    check_relative,
    fault_of_path,
    inside,
    is_device,
    leads_out,
    links_out,
    long_name,
    patiently,
    waits,
    write_whole,
)
from dataset_pipeline.training.arrangement import safe_name

DEVICES = [
    "con",
    "CON",
    "con.txt",
    "Aux.tar.gz",
    "nul",
    "prn",
    "com1",
    "COM0",
    "lpt9.png",
    "com¹",
    "LPT³.x",
    "CONIN$",
    "conout$",
    "con .txt",
]
NO_DEVICES = ["console", "comet", "com10", "xcon", "con~s01", "con-1", "lpt", "nul_", "com", "aux1", ".con", "¹"]
OUTSIDE = [
    "",
    ".",
    "..",
    "../x",
    "a/../x",
    "/x",
    "//server/x",
    "a//b",
    "a/",
    "C:\\x",
    "C:x",
    "c:/x",
    "a\\b",
    "\\x",
    "a\0b",
    "a\nb",
    "a:b",
    "a/con/b",
    "a/NUL.txt",
    "a./b",
    "a /b",
    "a/b.",
    "\ud800",
    5,
    None,
    b"a",
    ["a"],
]
INSIDE = [
    "a",
    "a/b.webp",
    "train/2_1_character~fern+stark/show~e1@00000003=face-1-2-3-4.webp",
    "フリーレン/x",
    "a b/c",
    "~x",
    "..a",
    "a..b",
]


@pytest.mark.parametrize("name", DEVICES)
def test_every_name_that_windows_keeps_is_a_device_in_each_place_that_asks(name: str):
    assert is_device(name)
    assert fault_of_path(f"train/{name}")
    assert not is_device(safe_name(name))
    assert not is_device(safe_first_part(name.partition(".")[0]))


@pytest.mark.parametrize("name", NO_DEVICES)
def test_names_that_only_look_like_one_are_none(name: str):
    assert not is_device(name)


@pytest.mark.parametrize("name", ["con", "com1", "nul.s01e01", "conan", "show.con"])
def test_an_episodes_folder_in_the_store_is_no_device_and_one_of_old_keeps_its_place(name: str):
    from dataset_pipeline.store.names import folder_of

    folder = folder_of("crops", check_episode(name)).removeprefix("crops/")
    first, dot, _ = name.partition(".")
    assert folder == (file_name(name) if first in ("con", "com1", "nul") else name)
    assert not (dot and is_device(folder))


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_is_not_below_the_folder_on_every_system_is_refused_by_file_and_path(path: object, tmp_path: Path):
    where = "set/manifest.json, image 3"
    for check in (lambda: check_relative(path, where), lambda: inside(tmp_path, path, where)):
        with pytest.raises(OutsideError) as caught:
            check()
        assert str(caught.value).startswith(f"{where}: {path!r} ")


@pytest.mark.parametrize("path", INSIDE)
def test_a_plain_path_is_taken_as_it_is(path: str, tmp_path: Path):
    assert check_relative(path, "a list") == path
    assert inside(tmp_path, path, "a list") == tmp_path / path


def test_a_link_out_of_the_folder_is_none_of_its_files_wherever_it_stands(tmp_path: Path):
    folder, out = tmp_path / "set", tmp_path / "out"
    (folder / "a/b").mkdir(parents=True)
    out.mkdir()
    (folder / "a/b/file").write_text("x")
    (folder / "a/out").symlink_to(out)
    (folder / "a/up").symlink_to("../..")
    (folder / "a/loop").symlink_to("loop")
    (folder / "a/gone").symlink_to(tmp_path / "never")
    (folder / "a/near").symlink_to("b")
    (folder / "a/b/near").symlink_to("file")
    inner = ["a/b/file", "a/near", "a/near/file", "a/b/near", "a/new/file", "new"]
    outer = ["a/out", "a/out/x/y", "a/up", "a/up/out/x", "a/gone", "a/gone/x"]
    assert list(links_out(folder, inner + outer)) == outer
    other = tmp_path / "other"
    other.symlink_to(folder)
    assert list(links_out(other, inner + outer)) == outer


@pytest.mark.parametrize(
    ("path", "is_out"),
    [("a/b.png", False), ("Re: Zero\\1.png", False), ("con/a.", False), ("..a", False), ("", True), ("../a", True),
     ("a/../../b", True), ("/a", True), ("a\0", True)],
)  # fmt: skip
def test_what_the_system_listed_itself_may_have_any_name(path: str, is_out: bool):
    assert leads_out(path) == is_out


@pytest.mark.parametrize(
    ("path", "long"),
    [
        (r"C:\sets\a", r"\\?\C:\sets\a"),
        (r"C:/sets/b/../a", r"\\?\C:\sets\a"),
        (r"\\server\share\sets\a", r"\\?\UNC\server\share\sets\a"),
        (r"\\?\C:\sets\a", r"\\?\C:\sets\a"),
        (r"\\.\pipe\x", r"\\.\pipe\x"),
    ],
)
def test_windows_is_told_of_a_long_path_by_a_prefix(path: str, long: str):
    assert long_name(path, 0) == long
    assert long_name(path) == path
    deep = path + r"\deep" * 60
    assert long_name(deep) == long + r"\deep" * 60


def test_only_windows_waits_for_a_file_in_use_and_about_a_second():
    assert list(waits(is_windows=False)) == []
    assert 0.8 < sum(waits(is_windows=True)) < 2


def test_a_file_in_use_is_tried_again_and_one_in_use_for_good_is_an_error():
    refusals = iter([True, True, False])

    def do() -> str:
        if next(refusals):
            raise PermissionError("used by another process")
        return "done"

    assert patiently(do, [0.0, 0.0]) == "done"
    refusals = iter([True] * 3)
    with pytest.raises(PermissionError):
        patiently(do, [0.0, 0.0])


def test_a_file_is_replaced_whole_though_a_reader_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):

    refusals, real = iter([True, True, False]), os.replace

    def replace(source: object, target: object) -> None:
        if next(refusals):
            raise PermissionError("used by another process")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(paths, "waits", lambda: iter([0.0, 0.0, 0.0]))
    monkeypatch.setattr(os, "replace", replace)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "page.html").symlink_to(victim)
    write_whole(tmp_path / "page.html", b"new")
    assert ((tmp_path / "page.html").read_bytes(), victim.read_bytes()) == (b"new", b"precious")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "victim"]


def test_a_set_is_written_and_made_anew_though_somebody_looks_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dataset_pipeline.training.exporters.remake import rebalance
    from dataset_pipeline_tests.training.exporters.test_remake import exported

    refused: dict[str, int] = {}
    real = os.replace

    def replace(source: object, target: object) -> None:
        refused[str(target)] = refused.get(str(target), 0) + 1
        if refused[str(target)] in (1, 2, 4):
            raise PermissionError("used by another process")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError):
        exported("kohya", tmp_path)
    assert list(tmp_path.iterdir()) == []
    refused.clear()
    monkeypatch.setattr(paths, "waits", lambda: iter([0.0, 0.0, 0.0]))
    folder = exported("kohya", tmp_path)
    assert rebalance(folder, {"weights": [{"pattern": "2_characters", "weight": 6.0}]}).renamed
    assert len(refused) > 8
    assert not list(tmp_path.rglob("*.partial"))


WRITES = re.compile(r"\bos\.(?:replace|rename|renames)\(|\.(?:write_text|write_bytes|rename)\(")
# The one that all others use; the store's, which tries again by the same rule; what the demo writes once for itself.
WRITERS = {
    "base/paths.py",
    "orchestration/history.py",
    "cluster/home.py",  # what its owner alone may read, and puts in place by the same rule
    "demo/training/card.py",
    "demo/training/layout.py",
    "super_resolution/databases.py",  # into a folder that is put in place as a whole
}


def test_every_module_puts_files_in_place_by_the_one_way_that_windows_takes():
    package = Path(paths.__file__).parents[1]
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if WRITES.search(path.read_text(encoding="utf-8"))
    }
    assert found == WRITERS


def test_the_one_pass_over_a_path_misses_nothing_that_is_wrong_with_it(monkeypatch: pytest.MonkeyPatch):
    import random

    draw = random.Random(3)
    pieces = [
        "a",
        "B.",
        " ",
        "/",
        "/",
        ".",
        "..",
        "con",
        "NUL",
        "com1",
        "lpt³",
        "x",
        "\\",
        ":",
        "\0",
        "conin$",
        "é",
        ".",
    ]
    made = ["".join(draw.choices(pieces, k=draw.randint(1, 6))) for _ in range(20_000)]
    quick = [fault_of_path(path) for path in made]
    monkeypatch.setattr(paths, "_DOUBTFUL", re.compile(""))
    assert [fault_of_path(path) for path in made] == quick
    assert 1000 < quick.count("") < 15_000
