"""Which pictures say who is who, in each layout, and what is passed over with its reason."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from dataset_pipeline.settings import DEFAULTS, SettingsError, load_settings
from dataset_pipeline.settings.reference_folders import Reference, fault_of_name, references_in


def put(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(file.encode())
    return folder


def read(folder: Path) -> dict[str, tuple[str, str]]:
    """Name and outfit by file."""
    return {it.file: (it.name, it.outfit) for it in references_in(folder).pictures}


def test_a_name_is_a_folder_an_outfit_a_folder_in_it_and_files_beside_them_begin_with_a_name(tmp_path: Path):
    put(tmp_path, "Fern/1.png", "Fern/red dress/2.jpg", "Stark of the North_3.png", "Himmel.webp", ".hidden/4.png")
    put(tmp_path, "Fern/1.txt", "Fern/.DS_Store", "readme.md")
    assert read(tmp_path) == {
        "Fern/1.png": ("Fern", ""),
        "Fern/red dress/2.jpg": ("Fern", "none|red dress"),
        "Stark of the North_3.png": ("Stark of the North", ""),
        "Himmel.webp": ("Himmel", ""),
    }
    assert references_in(tmp_path).passed_over == {}


@pytest.mark.parametrize("noise", ["noise", "Noise", "noise 2", "noise_crowd", "NOISE-bg", "0_noise", "-1_noise"])
def test_whatever_is_called_noise_rejects(tmp_path: Path, noise: str):
    put(tmp_path, f"{noise}/1.png", f"{noise}_2.png", "Noisette/3.png")
    assert [it.is_noise for it in references_in(tmp_path).pictures] == [
        not it.startswith("Noisette") for it in sorted(read(tmp_path))
    ]
    assert read(tmp_path)["Noisette/3.png"] == ("Noisette", "")


def test_the_layout_of_anime_screenshot_pipeline_is_read_as_it_is(tmp_path: Path):
    put(tmp_path, "Noise/a.png", "KarenH/b.png", "Terakomari/cone hair bun/red dress/c.png")
    put(tmp_path, "Terakomari/hair bun/d.png", "Terakomari/none/pajama/e.png", "Terakomari/_bun/None/cape+hat/f.gif")
    put(tmp_path, "Terakomari/.c_meta.json", "Terakomari/.c_ccip.npy")
    assert read(tmp_path) == {
        "Noise/a.png": ("", ""),
        "KarenH/b.png": ("KarenH", ""),
        "Terakomari/cone hair bun/red dress/c.png": ("Terakomari", "cone hair bun|red dress"),
        "Terakomari/hair bun/d.png": ("Terakomari", "none|hair bun"),
        "Terakomari/none/pajama/e.png": ("Terakomari", "none|pajama"),
        "Terakomari/_bun/None/cape+hat/f.gif": ("Terakomari", "_bun|cape+hat"),
    }


def neme(folder: Path, content: object) -> Path:
    put(folder, "refs/1.png", "refs/2.png", "output/kept/3.png", "refs/.thumbnails/1.png")
    (folder / "project.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_project_of_neme_anima_is_read_by_its_file_wherever_it_was_written(tmp_path: Path):
    refs = [{"path": path, "added_at": "2026-01-01"} for path in ("/home/me/show/refs/1.png", "C:\\show\\refs\\2.png")]
    characters = [
        {"slug": "fern", "name": "Fern", "refs": [refs[0], {"path": "/x/refs/gone.png"}]},
        {"slug": "noise", "name": "noise", "refs": [refs[1]]},
        {"slug": "stark", "name": "Stark", "refs": []},
    ]
    found = references_in(neme(tmp_path, {"name": "my show", "slug": "show", "characters": characters}))
    assert {it.file: it.name for it in found.pictures} == {"refs/1.png": "Fern", "refs/2.png": ""}
    assert found.passed_over == {
        "/x/refs/gone.png": "is not in refs: copy it there",
        "project.json: Stark": "has no pictures",
    }


def test_an_older_project_of_neme_anima_has_one_character_of_its_own_name(tmp_path: Path):
    neme(tmp_path, {"name": "Fern", "slug": "x", "refs": [{"path": "/a/refs/2.png", "added_at": ""}]})
    assert read(tmp_path) == {"refs/2.png": ("Fern", "")}


@pytest.mark.parametrize("content", ["{", "[]", '{"characters": [3]}', '{"characters": [{"refs": 7}]}', "[" * 100_000])
def test_a_file_that_is_no_project_is_told_and_nothing_is_read(tmp_path: Path, content: str):
    found = references_in(neme(tmp_path, content))
    assert found.pictures == ()
    assert found.passed_over["project.json"].startswith("cannot be read as a project of neme-anima: ")


def test_no_path_of_a_project_leads_out_of_its_folder(tmp_path: Path):
    put(tmp_path, "secret.png")
    neme(tmp_path / "show", {"name": "Fern", "refs": [{"path": "../../secret.png"}, {"path": ".."}, {"path": "refs/"}]})
    assert read(tmp_path / "show") == {}
    assert len(references_in(tmp_path / "show").passed_over) == 3


def test_what_is_wrong_is_told_by_file_and_the_others_are_read(tmp_path: Path):
    put(tmp_path, "Fern/1.png", "Fern/2.png", "fern/3.png", "a,b/4.png", "none/5.png", "c-0123abcd/6.png", "x|y_7.png")
    put(tmp_path, "___/8.png")
    (tmp_path / "Stark").mkdir()
    found = references_in(tmp_path)
    assert [it.file for it in found.pictures] == ["Fern/1.png", "Fern/2.png"]
    assert found.passed_over == {
        "Stark": "is empty: put pictures into it, or remove it",
        "fern/3.png": "'fern' is another spelling of 'Fern': call both the same",
        "a,b/4.png": "the name 'a,b' has ,, which separates names in captions: rename it",
        "x|y_7.png": "the name 'x|y' has |, which separates names in captions: rename it",
        "none/5.png": "'none' is no name: rename it",
        "___/8.png": "'___' is no name: rename it",
        "c-0123abcd/6.png": "the name 'c-0123abcd' looks like the id of a character: rename it",
    }


def test_one_name_in_composed_and_decomposed_letters_is_one_name(tmp_path: Path):
    put(tmp_path, "Jos\u00e9/1.png", "Jose\u0301_2.png")
    assert {it.name for it in references_in(tmp_path).pictures} == {"Jos\u00e9"}
    assert not references_in(tmp_path).passed_over


def test_names_are_kept_as_they_are_typed(tmp_path: Path):
    put(tmp_path, "  Übel (young) /1.png", "二条_2.png", "O'Neil-Smith/3.png")
    assert {it.name for it in references_in(tmp_path).pictures} == {"Übel (young)", "二条", "O'Neil-Smith"}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything can be read here")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path):
    put(tmp_path, "Fern/1.png", "Fern/2.png")
    (tmp_path / "Fern/1.png").chmod(0)
    assert list(read(tmp_path)) == ["Fern/2.png"]


def test_no_folder_and_a_folder_without_pictures_count_as_nothing(tmp_path: Path):
    def counted(folder: Path) -> dict:
        return load_settings(references__root=str(folder)).references.counted()

    (tmp_path / "empty").mkdir()
    default = load_settings(DEFAULTS).references
    assert default.folder.exists() or default.counted() == {}
    assert counted(tmp_path / "empty") == {}
    assert counted(tmp_path / "absent") != {}
    (tmp_path / "empty" / "Stark").mkdir()
    assert counted(tmp_path / "empty") != {}
    first, second = put(tmp_path / "a", "Fern/1.png"), put(tmp_path / "b", "Fern/1.png")
    assert counted(first) == counted(second) != {}
    before = counted(first)
    os.utime(first / "Fern/1.png", (1, 1))
    assert counted(first) == before
    put(first, "Fern/2.png")
    assert counted(first) != before


def test_content_tells_pictures_apart(tmp_path: Path):
    put(tmp_path, "Fern/1.png", "Fern/2.png")
    one, other = references_in(tmp_path).pictures
    assert isinstance(one, Reference)
    assert len(one.sha256) == len(other.sha256) == 64
    assert one.sha256 != other.sha256


def test_one_picture_under_two_names_counts_for_neither_and_both_files_are_told(tmp_path: Path):
    put(tmp_path, "Fern/1.png", "Fern/2.png", "Fern/dress/3.png")
    for other in ("Stark/1.png", "noise/1.png", "Fern/dress/4.png"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / "Stark/1.png").write_bytes(b"Fern/1.png")
    (tmp_path / "noise/1.png").write_bytes(b"Fern/2.png")
    (tmp_path / "Fern/dress/4.png").write_bytes(b"Fern/dress/3.png")
    found = references_in(tmp_path)
    assert [it.file for it in found.pictures] == ["Fern/dress/3.png", "Fern/dress/4.png"]
    assert found.passed_over == {
        "Fern/1.png": "is the same picture as Stark/1.png: remove one of them",
        "Stark/1.png": "is the same picture as Fern/1.png: remove one of them",
        "Fern/2.png": "is the same picture as noise/1.png: remove one of them",
        "noise/1.png": "is the same picture as Fern/2.png: remove one of them",
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"characters": [{"name": "Fern", "refs": [{}]}]}', "characters.0.refs.0.path is missing"),
        ('{"characters": [{"name": 3}]}', "characters.0.name is no text"),
        ('{"characters": [{"refs": 7}]}', "characters.0.refs is no list"),
        ("[]", "the whole of it is no object"),
        ("{", "it is no JSON"),
    ],
)
def test_where_a_project_of_neme_anima_is_broken_is_told(tmp_path: Path, content: str, told: str):
    found = references_in(neme(tmp_path, content))
    assert found.passed_over == {"project.json": f"cannot be read as a project of neme-anima: {told}"}


def test_a_character_without_a_name_is_no_noise_and_a_path_may_be_of_any_length(tmp_path: Path):
    nameless = {"name": None, "refs": [{"path": "/a/refs/1.png"}]}
    long = {"name": "Fern", "refs": [{"path": "a" * 400}, {"path": "a\0"}, {"path": "/a/refs/2.png"}]}
    found = references_in(neme(tmp_path, {"characters": [nameless, long]}))
    assert [it.file for it in found.pictures] == ["refs/2.png"]
    assert found.passed_over == {
        "project.json: characters.0": "has no name: give it one",
        "a" * 400: "is not in refs: copy it there",
        "a\0": "is no picture in refs",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="links are made by administrators there")
def test_links_are_not_followed_and_told(tmp_path: Path):
    outside = put(tmp_path / "outside", "1.png")
    folder = put(tmp_path / "references", "Fern/2.png")
    (folder / "Stark").symlink_to(outside)
    (folder / "Fern/3.png").symlink_to(outside / "1.png")
    assert list(read(folder)) == ["Fern/2.png"]
    assert references_in(folder).passed_over == dict.fromkeys(
        ("Stark", "Fern/3.png"), "is a link, and links are not followed: put a copy there"
    )


def test_of_a_loose_file_the_last_mark_is_taken_off_and_a_camera_names_nobody(tmp_path: Path):
    put(tmp_path, "Lucy_Heartfilia_1.png", "IMG_1234.png", "Screenshot_2.png", "_3.png", "KarenH_4.png")
    assert read(tmp_path) == {"Lucy_Heartfilia_1.png": ("Lucy_Heartfilia", ""), "KarenH_4.png": ("KarenH", "")}
    camera = "is named by a camera or a player: put it into a folder of the name, or call it <name>_1"
    assert references_in(tmp_path).passed_over == {
        "IMG_1234.png": camera,
        "Screenshot_2.png": camera,
        "_3.png": "begins with no name: rename it",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
@pytest.mark.parametrize("name", ["CON", "con.txt", "trail.", "a:b", "back\\slash", "x.part", "a" * 81, "二" * 60])
def test_a_name_that_no_folder_or_training_set_takes_is_told(tmp_path: Path, name: str):
    put(tmp_path, f"{name}/1.png", "Fern/2.png")
    found = references_in(tmp_path)
    assert [it.file for it in found.pictures] == ["Fern/2.png"]
    assert fault_of_name(name)


@pytest.mark.parametrize(
    ("root", "told"), [("~nobody-here/x", "there is no such user"), ("bad\0name", "no folder has a NUL in its name")]
)
def test_a_root_that_can_be_no_folder_is_an_error_of_the_setting(root: str, told: str):
    with pytest.raises(SettingsError, match=rf"references\.root = .*{told}"):
        load_settings(DEFAULTS, references__root=root)
