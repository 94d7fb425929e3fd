"""What lies among sources and is not taken in is named once, with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.passed_over import (
    BESIDE_VIDEOS,
    DEAD_LINK,
    DISC_IMAGE,
    KEPT,
    LOOSE,
    NO_FILE,
    NO_TEXT,
    NOTES,
    PACKED,
    PLAYLIST,
    RAW_STREAM,
    UNFINISHED,
    UNKNOWN,
    UNREAD,
    PassedOver,
    last_summaries,
    left_in,
    remember_passed_over,
    summaries,
)
from dataset_pipeline.store.store import Store


def touch(path: Path, content: bytes = b"text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, format="PNG")
    return path


def passed_over(*paths: Path, folders_of_shows: bool = False) -> dict[str, str]:
    """Reasons by name, of what `run` finds outside of every source."""
    return {item.path.name: item.reason for item in find_sources(paths, folders_of_shows=folders_of_shows).passed_over}


def test_what_lies_beside_videos_is_named_and_what_belongs_there_is_not(tmp_path):
    show = tmp_path / "Show"
    for name in ("01.mkv", "01.ass", "01.nfo", "01.flac", "font.ttf", "fonts.zip", "a.sfv", ".hidden", "Thumbs.db"):
        touch(show / name)
    picture(show / "cover.jpg")
    picture(show / "no ending")
    touch(show / "cover.psd")
    touch(show / "data.bin")
    touch(show / "02.mkv.part")
    (show / "gone.mkv").symlink_to(show / "nothing")
    (show / "Art").mkdir()
    picture(show / "Art" / "a.png")
    touch(show / "Art" / "a.psd")  # the probe of that episode names it
    assert passed_over(tmp_path) == {
        "cover.jpg": BESIDE_VIDEOS,
        "no ending": BESIDE_VIDEOS,
        "cover.psd": UNREAD,
        "data.bin": UNKNOWN,
        "02.mkv.part": UNFINISHED,
        "gone.mkv": DEAD_LINK,
    }


def test_pictures_among_the_folders_of_shows_are_named(tmp_path):
    picture(tmp_path / "loose.png")
    picture(tmp_path / "Art" / "a.png")
    assert passed_over(tmp_path, folders_of_shows=True) == {"loose.png": LOOSE}
    assert passed_over(tmp_path) == {}


def test_files_in_folders_without_any_source_are_named(tmp_path):
    touch(tmp_path / "Show" / "01.mkv")
    touch(tmp_path / "Show" / "Extras" / "sketch.clip")
    (tmp_path / "Show" / "Extras" / "b.png").symlink_to(tmp_path / "nothing")
    assert passed_over(tmp_path) == {"sketch.clip": UNREAD, "b.png": DEAD_LINK}


@pytest.mark.skipif(os.name != "posix", reason="pipes and names of any bytes")
def test_a_folder_of_pictures_tells_what_else_it_holds(tmp_path):
    folder = tmp_path / "Art"
    for name in ("a.png", "a.jxl", "sub/b.png", "no ending"):
        picture(folder / name)
    for name in ("a.txt", "a.TXT", "readme.md", ".hidden", "desktop.ini", "Icon\r", "sub/a.caption"):
        touch(folder / name)
    for name in ("a.psd", "sub/photo.nef", "pages.cbz", "notes.docx", "b.png.crdownload", "line\nbreak.bin"):
        touch(folder / name)
    (folder / "gone.png").symlink_to(folder / "nothing")
    (folder / "round.png").symlink_to(folder / "round.png")
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    touch(Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")))
    reasons = {item.path.name: item.reason for item in left_in(folder)}
    assert reasons.pop("round.png")
    assert reasons == {
        "a.psd": UNREAD,
        "photo.nef": UNREAD,
        "pages.cbz": PACKED,
        "notes.docx": UNKNOWN,
        "line\nbreak.bin": UNKNOWN,
        "b.png.crdownload": UNFINISHED,
        "gone.png": DEAD_LINK,
        "pipe.png": NO_FILE,
        "\udcff.png": NO_TEXT,
    }
    sentences = summaries(left_in(folder), folder)
    assert f"a.psd, sub/photo.nef: {UNREAD}" in sentences
    assert f"line\\nbreak.bin, notes.docx: {UNKNOWN}" in sentences
    assert f"?.png: {NO_TEXT}" in sentences
    assert find_sources([folder]).passed_over == []


def test_a_folder_tells_anew_when_something_odd_comes_or_goes(tmp_path):
    def fingerprint() -> str:
        [source] = find_sources([tmp_path]).sources
        return source.fingerprint

    picture(tmp_path / "Art" / "a.png")
    before = fingerprint()
    odd = touch(tmp_path / "Art" / "a.psd")
    assert fingerprint() != before
    odd.unlink()
    touch(tmp_path / "Art" / "readme.txt")
    assert fingerprint() == before


def test_many_of_one_reason_are_one_sentence(tmp_path):
    items = [PassedOver(tmp_path / f"{number:03}" / "cover.jpg", BESIDE_VIDEOS) for number in range(500)]
    assert summaries(items, tmp_path) == [f"000/cover.jpg, 001/cover.jpg and 498 more: {BESIDE_VIDEOS}"]


def test_the_last_look_at_a_place_counts_as_long_as_its_files_are_there(tmp_path):
    store = Store(str(tmp_path / "store"))
    assert last_summaries(store) == []
    files = [touch(tmp_path / "e" / "Show" / f"{number}.jpg") for number in range(3)]
    items = [PassedOver(file, BESIDE_VIDEOS) for file in files]
    remember_passed_over(store, tmp_path / "e" / "Show", items)
    remember_passed_over(store, tmp_path / "e", items)
    assert last_summaries(store) == [f"{tmp_path}/e: Show/0.jpg, Show/1.jpg and 1 more: {BESIDE_VIDEOS}"]
    assert len(store.notes(NOTES)) == 1
    remember_passed_over(store, tmp_path / "e" / "Show", items)
    assert len(last_summaries(store)) == 1
    files[0].unlink()
    assert last_summaries(store) == [f"{tmp_path}/e: Show/1.jpg, Show/2.jpg: {BESIDE_VIDEOS}"]
    remember_passed_over(store, tmp_path / "e", [])
    assert last_summaries(store) == []


def test_a_look_at_very_many_files_keeps_a_bounded_number_and_their_count(tmp_path):
    store = Store(str(tmp_path / "store"))
    there = touch(tmp_path / "0.jpg")
    items = [PassedOver(tmp_path / f"{number}.jpg", BESIDE_VIDEOS) for number in range(2 * KEPT)]
    remember_passed_over(store, tmp_path, items)
    (note,) = store.notes(NOTES).values()
    assert len(note["groups"][0]["paths"]) == KEPT
    assert last_summaries(store) == [f"{tmp_path}: {there.name} and {KEPT} more: {BESIDE_VIDEOS}"]
    (tmp_path / "store" / f"_{NOTES}" / f"{next(iter(store.notes(NOTES)))}.json").write_text("{")
    assert last_summaries(store) == []


@pytest.mark.parametrize(
    "note",
    [
        {},
        [],
        "text",
        {"root": 1, "groups": []},
        {"root": "/a", "groups": None},
        {"root": "/a", "groups": ["text"]},
        {"root": "/a", "groups": [{"reason": UNKNOWN, "count": 1}]},
        {"root": "/a", "groups": [{"reason": UNKNOWN, "count": "1", "paths": ["/a/b"]}]},
        {"root": "/a", "groups": [{"reason": UNKNOWN, "count": 1, "paths": [1]}]},
    ],
)
def test_a_note_that_is_none_costs_no_look_and_is_named(tmp_path, caplog, note):
    store = Store(str(tmp_path / "store"))
    store.write_note(NOTES, "0123", note)
    cover = touch(tmp_path / "cover.jpg")
    remember_passed_over(store, tmp_path, [PassedOver(cover, BESIDE_VIDEOS)])
    assert last_summaries(store) == [f"{tmp_path}: cover.jpg: {BESIDE_VIDEOS}"]
    assert f"{store.root}/_{NOTES}/0123.json" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_a_question_mark_in_a_name_is_told_of_as_long_as_the_file_is_there(tmp_path):
    def look() -> list[str]:
        return [sentence.removeprefix(f"{tmp_path}/e: ").partition(":")[0] for sentence in last_summaries(store)]

    store, folder = Store(str(tmp_path / "store")), tmp_path / "e" / "Show"
    asked, odd = touch(folder / "Who?.psd"), Path(os.fsdecode(os.fsencode(folder) + b"/\xff.mkv"))
    touch(folder / "01.mkv")
    touch(odd)
    remember_passed_over(store, tmp_path / "e", find_sources([tmp_path / "e"]).left_in(tmp_path / "e"))
    assert look() == ["Show/?.mkv", "Show/Who?.psd"]
    asked.unlink()
    assert look() == ["Show/?.mkv"]
    odd.rename(folder / "02.mkv")
    assert look() == []


def test_archives_are_named_where_they_may_hold_episodes(tmp_path):
    named = ("Other - 01-12.zip", "Other.rar", "Show/Show - 02.7z", "Show/[Some-Subs] Show - 03 (Multi-Sub).RAR")
    named += ("Show/scans.cbz", "Show/Extras/Extras.zip", "Show/Extras/guide.pdf", "More/01-12.tar.gz")
    expected = ("Show/fonts.zip", "Show/[Group] Show 01-12 Subs.rar", "Show/Show - 01_ASS.7z", "Show/scans.zip")
    expected += ("Show/booklet.pdf", "Show/Fonts/all.zip", "Show/Extras/Show fonts.tar.gz", "fonts.zip")
    touch(tmp_path / "Show" / "01.mkv")
    for name in (*named, *expected):
        touch(tmp_path / name)
    found = find_sources([tmp_path]).passed_over
    assert {item.path.relative_to(tmp_path).as_posix() for item in found} == set(named)
    assert {item.reason for item in found} == {PACKED}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Show - 04.iso", DISC_IMAGE),
        ("Show - 04.IMG", DISC_IMAGE),
        ("01.m3u8", PLAYLIST),
        ("01.mpd", PLAYLIST),
        ("01.h264", RAW_STREAM),
        ("01.265", RAW_STREAM),
        ("01.hevc", RAW_STREAM),
    ],
)
@pytest.mark.parametrize("others", ["01.mkv", "01.png"])
def test_what_holds_a_video_in_a_way_that_is_not_read_is_told_how_to_get_it_out(tmp_path, name, reason, others):
    touch(tmp_path / "Show" / name, b"\0\0\0\1\x67")
    picture(tmp_path / "Show" / others) if others.endswith("png") else touch(tmp_path / "Show" / others)
    found = passed_over(tmp_path) or {item.path.name: item.reason for item in left_in(tmp_path / "Show")}
    assert found == {name: reason}
