"""Folders of pictures under the names that people's disks really hold."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.base.ids import exact_picture_id, file_name, image_id, picture_id
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.hand_edited import hand_edited_rows
from dataset_pipeline.video.stream import DecodeReport

COMPOSED, DECOMPOSED = "\u304c \u00e9.png", "\u304b\u3099 e\u0301.png"


def colour(number: int) -> tuple[int, int, int]:
    return 40 * number % 256, 255 - 20 * number, 9 * number


def drawn(folder: Path, *names: str) -> Path:
    """A picture of its own colour under each name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), colour(number)).save(folder / name, format="PNG")
    return folder


def taken(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, list[int]]]:
    """Probe, rows of `keyframes` by image id, and by image id the colour at full size."""
    (found,) = find_sources([folder]).sources
    source = {"episode": found.key, "path": str(found.path), "kind": found.kind}
    probed, settings = probe_source(source), load_settings().keyframes
    listed = [row for row, _ in candidates(source, probed, settings, DecodeReport())]
    SCHEMAS["keyframes"].table([row | {"episode": found.key, "path": "x", "pixel_sha256": "x"} for row in listed])
    rows = {row["image_id"]: row for row in listed}
    assert len(rows) == len(listed)
    pictures = dict(full_size(source, rows, probed, settings))
    assert pictures.keys() == rows.keys()
    assert all(image_id(file_name(name)) == name for name in rows)
    return probed, rows, {name: picture[0, 0].tolist() for name, picture in pictures.items()}


def test_a_decomposed_name_is_read_by_the_name_it_has_and_keeps_the_id_of_the_composed_one(tmp_path):
    folder = drawn(tmp_path / "Art", "plain.png", DECOMPOSED)
    (folder / f"{DECOMPOSED[:-4]}.txt").write_text("hat")
    probed, rows, colours = taken(folder)
    assert probed["damage"] == []
    assert colours == {
        picture_id("art.art", "plain.png"): list(colour(0)),
        picture_id("art.art", COMPOSED): list(colour(1)),
    }
    assert sorted(row["source_file"] for row in rows.values()) == sorted(["plain.png", DECOMPOSED])
    (tagged,), faults = hand_edited_rows(folder, rows.values())
    assert (tagged["image_id"], tagged["tags"], faults) == (picture_id("art.art", COMPOSED), ["hat"], [])


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_files_that_claim_one_id_each_get_one_of_their_own_and_the_others_keep_theirs(tmp_path):
    folder = drawn(tmp_path / "Art", COMPOSED, DECOMPOSED, "a\\b.png", "a/b.png", "plain.png", "CON.png", "con.png")
    _, rows, colours = taken(folder)
    files = {row["source_file"]: row["image_id"] for row in rows.values()}
    claimed = [COMPOSED, DECOMPOSED, "a\\b.png", "a/b.png"]
    assert [files[name] for name in claimed] == [exact_picture_id("art.art", name) for name in claimed]
    assert [files[name] for name in ("plain.png", "CON.png")] == [
        picture_id("art.art", name) for name in ("plain.png", "CON.png")
    ]
    assert [colours[files[name]] for name in claimed] == [list(colour(number)) for number in range(4)]


def test_a_file_called_like_a_frame_of_an_animation_leaves_the_frame_another_id(tmp_path):
    folder = drawn(tmp_path / "Art", "a.gif#1")
    first, second = (Image.new("RGB", (8, 6), (200, 0, 50 * number)) for number in (1, 2))
    first.save(folder / "a.gif", save_all=True, append_images=[second])
    _, rows, _ = taken(folder)
    assert rows.keys() == {
        picture_id("art.art", "a.gif"),
        picture_id("art.art", "a.gif#1"),
        exact_picture_id("art.art", "a.gif", 1),
    }


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_a_name_that_is_no_text_and_a_file_that_cannot_be_read_cost_only_themselves(tmp_path, monkeypatch):
    folder = drawn(tmp_path / "Art", "good.png", "locked.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.png")).write_bytes((folder / "good.png").read_bytes())
    whole = Path.read_bytes

    def refusing(path: Path) -> bytes:
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    (found,) = find_sources([folder]).sources
    probed = probe_source({"episode": found.key, "path": str(found.path), "kind": found.kind})
    assert probed["readable"]
    assert probed["pictures"] == 1
    assert "locked.png: cannot be read: Permission denied" in probed["damage"]
    rows = candidates(
        {"episode": found.key, "path": str(found.path), "kind": found.kind},
        probed, load_settings().keyframes, DecodeReport(),
    )  # fmt: skip
    assert {row["source_file"] for row, _ in rows} <= {"good.png", "locked.png"}


def test_an_exact_id_is_an_image_id_and_never_a_plain_one():
    names = [COMPOSED, DECOMPOSED, "a/b.png", "\udcff.png", "!!!.png"]
    exact = {exact_picture_id("art.art", name, frame) for name in names[:3] for frame in (0, 1, 11)}
    assert len(exact) == 9
    plain = {picture_id("art.art", name) for name in names if name.isprintable()}
    assert not exact & plain
    assert {len(name) - name.rindex("-") for name in exact} == {17}
    assert np.all([image_id(file_name(name)) == name for name in exact])


def moving(form: str, **options: Any) -> bytes:
    """Six frames of soft noise."""
    small = np.random.default_rng(7).integers(0, 256, (6, 10, 10, 3), dtype=np.uint8)
    first, *others = [Image.fromarray(picture).resize((80, 60), Image.Resampling.BICUBIC) for picture in small]
    whole = io.BytesIO()
    first.save(whole, format=form, save_all=True, append_images=others, duration=100, **options)
    return whole.getvalue()


def noisy(data: bytes, share: float) -> bytes:
    start = int(len(data) * share)
    return data[:start] + bytes(value ^ 0xA5 for value in data[start : start + 40]) + data[start + 40 :]


def between_frames(gif: bytes) -> bytes:
    """Cut off where its last frame begins."""
    return gif[: gif.rindex(b"!\xf9\x04")]


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.gif", lambda: moving("GIF")[:-900], "good frames: cannot be decoded"),
        ("a.gif", lambda: noisy(moving("GIF"), 0.6), "good frames: cannot be decoded"),
        ("a.gif", lambda: between_frames(moving("GIF")), "after 5 good frames: is cut off behind its 5 frames"),
        ("a.png", lambda: moving("PNG")[:-4000], "good frames: cannot be decoded"),
        ("a.png", lambda: noisy(moving("PNG"), 0.6), "good frames: cannot be decoded"),
        ("a.webp", lambda: moving("WEBP")[:-400], "cannot be decoded"),
        ("a.avif", lambda: noisy(moving("AVIF"), 0.8), "good frames: cannot be decoded"),
        ("a.tif", lambda: moving("TIFF")[:-900], "good frames: cannot be decoded"),
    ],
)
def test_an_animation_that_is_damaged_after_its_first_frame_is_named_and_its_good_frames_are_taken(
    tmp_path, name, make, reason
):
    folder = drawn(tmp_path / "Art", "good.png")
    (folder / name).write_bytes(make())
    probed, rows, _ = taken(folder)
    (sentence,) = probed["damage"]
    assert sentence.startswith(f"{name}: ")
    assert reason in sentence
    good = sum(row["source_file"] == name for row in rows.values())
    assert (good > 0) == ("good frames" in reason)
    assert probed["pictures"] == 1 + (good > 0)


@pytest.mark.parametrize(("name", "form"), [("a.gif", "GIF"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.avif", "AVIF")])
def test_of_a_whole_animation_every_frame_is_taken_and_nothing_is_said(tmp_path, name, form):
    folder = drawn(tmp_path / "Art", "good.png")
    (folder / name).write_bytes(moving(form) + (b"behind its end" if form == "GIF" else b""))
    probed, rows, _ = taken(folder)
    assert (probed["damage"], probed["pictures"], len(rows)) == ([], 2, 7)


def test_a_row_that_names_a_picture_out_of_the_folder_is_unreadable(tmp_path):
    folder = drawn(tmp_path / "Art", "plain.png")
    drawn(tmp_path, "precious.png")
    settings = load_settings().keyframes
    source = {"kind": "folder", "path": str(folder), "episode": "art.art"}
    frames = {
        f"art.art/{number}": {"source_file": file, "pts": None}
        for number, file in enumerate(["plain.png", "../precious.png", str(tmp_path / "precious.png"), "a\0b"])
    }
    assert [image_id for image_id, _ in full_size(source, frames, {}, settings)] == ["art.art/0"]
