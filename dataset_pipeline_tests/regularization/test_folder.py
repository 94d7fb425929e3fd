from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.ids import check_image
from dataset_pipeline.regularization.folder import from_folder
from dataset_pipeline.settings import RegularizationClass


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def a_class(folder: Path, caption: str = "") -> RegularizationClass:
    return RegularizationClass(name="own", source="folder", folder=str(folder), caption=caption)


def test_pictures_come_as_they_are_with_the_text_beside_them(tmp_path: Path):
    for name in ("a.png", "inner/b.png", "c.png"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text("a woman,\nsmiling", encoding="utf-16")
    (tmp_path / "inner" / "b.caption").write_text("two women")
    rows = {Path(row["path"]).name: row for row in from_folder(a_class(tmp_path, "woman"))}
    assert {name: row["caption"] for name, row in rows.items()} == {
        "a.png": "a woman, smiling", "b.png": "two women", "c.png": "woman",
    }  # fmt: skip
    assert rows["a.png"]["path"] == "a.png"
    assert rows["b.png"]["path"] == "inner/b.png"
    assert {(row["width_px"], row["people"], row["prompt"]) for row in rows.values()} == {(0, None, "")}


def test_ids_go_by_the_place_in_the_folder_wherever_that_lies(tmp_path: Path):
    for name in ("one/a.png", "one/b.png", "two/b.png"):
        picture(tmp_path / name)
    one, two = (from_folder(a_class(tmp_path / name, "woman")) for name in ("one", "two"))
    assert [check_image(row["image_id"]) for row in two] == [
        row["image_id"] for row in one if row["path"].endswith("b.png")
    ]


def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path):
    with pytest.raises(PermanentError, match=r"'own' takes its pictures from .*gone, which is not there: make it"):
        from_folder(a_class(tmp_path / "gone"))
    with pytest.raises(PermanentError, match="which holds no pictures: put some there"):
        from_folder(a_class(tmp_path))
    (tmp_path / "file").write_text("x")
    with pytest.raises(PermanentError, match="which is a file"):
        from_folder(a_class(tmp_path / "file"))
    for name in "abcdefg":
        picture(tmp_path / "pictures" / f"{name}.png")
    with pytest.raises(PermanentError, match=r"7 pictures have no caption: a.png, b.png, .*…. Write one .* e.g. a.txt"):
        from_folder(a_class(tmp_path / "pictures"))
    (tmp_path / "pictures" / "a.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(PermanentError, match=r"a.txt cannot be read as a caption: it is no .*: save it as UTF-8"):
        from_folder(a_class(tmp_path / "pictures", "woman"))


def test_a_broken_picture_is_asked_for_and_left_to_whoever_reads_it(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert [Path(row["path"]).name for row in from_folder(a_class(tmp_path, "woman"))] == ["broken.png"]
