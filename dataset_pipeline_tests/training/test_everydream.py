from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import pytest

from dataset_pipeline.ids import image_id
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.exporters import ExportError, ExportReport, everydream, export
from dataset_pipeline.training.exporters.folder import CHECKSUMS, MANIFEST

ABOUT = {"settings": "abc", "licence": "of the video"}


def data_of(path: str) -> bytes:
    return f"picture {path}".encode()


def row(number: int, concept: str = "1_character/fern", multiply: float = 1.361, **changes: object) -> dict:
    path = f"pictures/{number}.webp"
    return {
        "image_id": f"show.e1/{number:08d}",
        "episode": "show.e1",
        "show": "show",
        "kind": "still",
        "characters": ["fern"],
        "concept": concept,
        "multiply": multiply,
        "caption": f"1girl, fern, ^_^, tag {number}",
        "quality": 0.5,
        "path": path,
        "width_px": 1365,
        "height_px": 768,
        "file_sha256": hashlib.sha256(data_of(path)).hexdigest(),
        **changes,
    }


ROWS = [row(1), row(2), row(3, "2_characters/fern+フリーレン", 100.0), row(4, "0_characters/character_others", 0.004)]


def write(root: Path, rows: list[dict] | None = None, about: dict | None = None) -> ExportReport:
    return export("everydream", ROWS if rows is None else rows, data_of, root, ABOUT if about is None else about)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def as_everydream_reads(root: Path) -> dict[str, tuple[str, list[str], float]]:
    """Picture name -> (main prompt, tags, multiply), by the rules of its loader: hidden folders are skipped, a
    picture's text is that of its stem, split at commas, and a multiply of 0 counts as none."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        multiply = 1.0
        if "multiply.txt" in files:
            multiply = float((Path(folder) / "multiply.txt").read_text("utf-8").strip()) or 1.0
        for name in files:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".jfif"}:
                caption = (Path(folder) / f"{stem}.txt").read_text("utf-8").strip()
                main, *tags = map(str.strip, caption.split(","))
                found[name] = (main, tags, multiply)
    return found


def test_the_trainer_finds_every_picture_with_its_caption_and_multiply(tmp_path: Path):
    SCHEMAS["training_set"].table(ROWS)
    report = write(tmp_path)
    read = as_everydream_reads(report.folder)
    assert {image_id(name) for name in read} == {row["image_id"] for row in ROWS}
    by_id = {image_id(name): value for name, value in read.items()}
    assert by_id["show.e1/00000001"] == ("1girl", ["fern", "^_^", "tag 1"], 1.36)
    assert by_id["show.e1/00000003"][2] == 100.0
    assert by_id["show.e1/00000004"][2] == 0.004
    assert (report.images, report.concepts, report.reused, report.changed) == (4, 3, False, ())


def test_the_folder_holds_pictures_captions_multiplies_manifest_and_checksums_and_nothing_else(tmp_path: Path):
    report = write(tmp_path)
    assert report.folder.parent == tmp_path
    assert report.folder.name == f"show-everydream-{report.content_sha256[:8]}"
    assert [path.name for path in tmp_path.iterdir()] == [report.folder.name]
    names = files_in(report.folder)
    assert len(names) == 4 * 2 + 3 + 2
    assert "1_character/fern/multiply.txt" in names
    assert "1_character/fern/show~e1@00000001.webp" in names
    assert report.size_bytes == sum((report.folder / name).stat().st_size for name in names)
    for name in names:
        if name.endswith(".txt"):
            text = (report.folder / name).read_bytes()
            assert not text.startswith(b"\xef\xbb\xbf")
            assert len(text.decode("utf-8").splitlines()) == 1


def test_manifest_and_checksums_describe_every_file(tmp_path: Path):
    folder = write(tmp_path).folder
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    assert manifest["about"] == ABOUT
    assert [entry["image_id"] for entry in manifest["images"]] == [row["image_id"] for row in ROWS]
    for entry, source in zip(manifest["images"], ROWS, strict=True):
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert hashlib.sha256(source["caption"].encode()).hexdigest() == entry["caption_sha256"]
        assert entry["concept"] == source["concept"]
    listed = dict(line.split("  ")[::-1] for line in (folder / CHECKSUMS).read_text("utf-8").splitlines())
    assert sorted(listed) == [name for name in files_in(folder) if name != CHECKSUMS]
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())


def test_the_same_set_is_found_again_and_left_as_it_is_whatever_its_order(tmp_path: Path):
    first = write(tmp_path)
    times = {name: (first.folder / name).stat().st_mtime_ns for name in files_in(first.folder)}
    again = write(tmp_path, rows=ROWS[::-1], about={"settings": "other"})
    assert again.reused
    assert (again.folder, again.images, again.size_bytes) == (first.folder, 4, first.size_bytes)
    assert {name: (first.folder / name).stat().st_mtime_ns for name in files_in(first.folder)} == times


def test_the_same_set_gives_the_same_bytes_elsewhere(tmp_path: Path):
    one, other = write(tmp_path / "a").folder, write(tmp_path / "b", rows=ROWS[::-1]).folder
    assert one.name == other.name
    assert (one / CHECKSUMS).read_bytes() == (other / CHECKSUMS).read_bytes()


@pytest.mark.parametrize(
    "change", [{"caption": "another"}, {"concept": "1_character/stark"}, {"image_id": "show.e1/00000009"}]
)
def test_another_content_gets_another_folder_and_the_old_one_stays(tmp_path: Path, change: dict):
    first = write(tmp_path)
    second = write(tmp_path, rows=[*ROWS[:3], {**ROWS[3], **change}])
    assert second.folder != first.folder
    assert not second.reused
    assert first.folder.is_dir()


def test_a_folder_that_somebody_changed_is_left_alone_and_the_set_written_beside_it(tmp_path: Path):
    first = write(tmp_path).folder
    caption = first / "1_character/fern/show~e1@00000001.txt"
    caption.write_text("better words", "utf-8")
    (first / "latents.cache").write_bytes(b"1")
    (first / "1_character/fern/show~e1@00000002.webp").unlink()
    second = write(tmp_path)
    assert second.folder.name == f"{first.name}-2"
    assert set(second.changed) == {
        f"{first.name}: 1_character/fern/show~e1@00000001.txt changed",
        f"{first.name}: latents.cache added",
        f"{first.name}: 1_character/fern/show~e1@00000002.webp removed",
    }
    assert caption.read_text("utf-8") == "better words"
    third = write(tmp_path)
    assert (third.folder, third.reused) == (second.folder, True)
    (second.folder / CHECKSUMS).unlink()
    assert write(tmp_path).folder.name == f"{first.name}-3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": ""}, "show.e1/00000004 has no one-line caption: ''"),
        ({"caption": "two\nlines"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": "one line\n"}, "show.e1/00000004 has no one-line caption"),
        ({"caption": None}, "show.e1/00000004 has no one-line caption: None"),
        ({"concept": "1_character/fern"}, "concept 1_character/fern has two multiplies"),
        ({"multiply": 0.0}, "has the multiply 0.0"),
        ({"multiply": float("nan")}, "has the multiply nan"),
        ({"concept": "../elsewhere"}, r"concept \.\./elsewhere is no folder of a set"),
        ({"concept": "/etc"}, "concept /etc is no folder of a set"),
        (
            {"image_id": "show.e1/00000003", "concept": "2_characters/fern+フリーレン", "multiply": 100.0},
            "would be one file",
        ),
        ({"path": "4.tiff"}, "EveryDream2 does not read 4.tiff"),
        ({"file_sha256": "0" * 64}, "is not the one the set lists"),
    ],
)
def test_what_no_trainer_should_be_given_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, change: dict, message: str
):
    with pytest.raises(ExportError, match=message):
        write(tmp_path, rows=[*ROWS[:3], {**ROWS[3], **change}])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_set_and_an_unknown_profile_are_refused(tmp_path: Path):
    with pytest.raises(ExportError, match="the training set is empty"):
        write(tmp_path, rows=[])
    with pytest.raises(ExportError, match="unknown trainer profile 'sdxl'; known: everydream"):
        export("sdxl", ROWS, data_of, tmp_path, ABOUT)


def test_an_export_that_was_killed_is_cleared_away_by_the_next(tmp_path: Path):
    name = write(tmp_path / "elsewhere").folder.name
    partial = tmp_path / f".{name}.partial"
    (partial / "1_character").mkdir(parents=True)
    (partial / "1_character/half.webp").write_bytes(b"half")
    folder = write(tmp_path).folder
    assert [path.name for path in tmp_path.iterdir() if path.name != "elsewhere"] == [folder.name]
    assert not list(folder.rglob("half.webp"))


def test_a_failing_picture_store_leaves_nothing_behind(tmp_path: Path):
    def broken(path: str) -> bytes:
        if path.endswith("3.webp"):
            raise OSError("disk")
        return data_of(path)

    with pytest.raises(OSError, match="disk"):
        export("everydream", ROWS, broken, tmp_path, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_set_of_several_shows_is_called_set(tmp_path: Path):
    rows = [row(1), row(2, image_id="other.e1/00000002", show="other")]
    assert write(tmp_path, rows=rows).folder.name.startswith("set-everydream-")


@pytest.mark.parametrize(
    ("multiply", "text"),
    [(1.0, "1.00"), (1.365, "1.36"), (100.0, "100.00"), (0.1, "0.10"), (0.004, "0.004"), (1e-6, "1e-06")],
)
def test_a_multiply_has_two_decimals_and_never_becomes_nothing(multiply: float, text: str):
    assert everydream.multiply_text(multiply) == text


def test_any_positive_multiply_is_read_back_within_five_percent():
    rng = random.Random(1)
    for _ in range(300):
        multiply = 10 ** rng.uniform(-6, 2)
        assert float(everydream.multiply_text(multiply)) == pytest.approx(multiply, rel=0.05, abs=0)
