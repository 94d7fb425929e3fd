from __future__ import annotations

from pathlib import Path

from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.hand_edited import hand_edited_rows, sidecars, written_tags


def rows(folder: Path, *pictures: str) -> dict[str, tuple[str, list[str]]]:
    found, faults = hand_edited_rows(folder, [{"image_id": f"s.e/{name}", "source_file": name} for name in pictures])
    assert not faults
    return {row["image_id"][4:]: (row["file"], row["tags"]) for row in found}


def test_tags_are_parted_by_commas_or_lines_and_each_is_taken_once_in_its_order():
    assert written_tags(" b tag,a,\n b_tag, ,^_^ ,long   hair\r\n") == ["b tag", "a", "^_^", "long hair"]
    assert written_tags(" \n,") == []


def test_a_text_of_the_pictures_name_holds_its_tags(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("x.txt", "sub/y.tags", "z.png.tags", "w.v2.txt"):
        (tmp_path / name).write_text("1girl, hat", encoding="utf-8-sig")
    found = rows(tmp_path, "x.png", "sub/y.jpg", "z.png", "w.v2.webp", "none.png")
    assert {name: file for name, (file, _) in found.items()} == {
        "x.png": "x.txt",
        "sub/y.jpg": "sub/y.tags",
        "z.png": "z.png.tags",
        "w.v2.webp": "w.v2.txt",
    }
    assert {tuple(tags) for _, tags in found.values()} == {("1girl", "hat")}


def test_a_file_called_tags_goes_before_a_text_and_an_empty_one_counts_as_none(tmp_path: Path):
    assert sidecars("x.png") == ["x.tags", "x.txt", "x.png.tags", "x.png.txt"]
    (tmp_path / "x.txt").write_text("from txt")
    (tmp_path / "x.tags").write_text("from tags")
    assert rows(tmp_path, "x.png") == {"x.png": ("x.tags", ["from tags"])}
    (tmp_path / "x.tags").write_text(" \n")
    assert rows(tmp_path, "x.png") == {"x.png": ("x.txt", ["from txt"])}


def test_all_frames_of_an_animation_share_its_tags(tmp_path: Path):
    (tmp_path / "x.txt").write_text("hat")
    found, _ = hand_edited_rows(tmp_path, [{"image_id": f"s.e/{n}", "source_file": "x.gif"} for n in range(3)])
    assert [row["tags"] for row in found] == [["hat"]] * 3
    SCHEMAS["hand_edited_tags"].table(found)


def test_a_file_that_is_no_text_is_named_and_the_others_are_read(tmp_path: Path):
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "y.txt").write_text("hat")
    keyframes = [{"image_id": f"s.e/{name}", "source_file": f"{name}.png"} for name in "xy"]
    found, faults = hand_edited_rows(tmp_path, keyframes)
    assert [row["image_id"] for row in found] == ["s.e/y"]
    assert len(faults) == 1
    assert "x.txt cannot be read as tags" in faults[0]
