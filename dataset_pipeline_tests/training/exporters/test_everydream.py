from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from dataset_pipeline.base.ids import image_id
from dataset_pipeline.training.exporters import everydream


def as_everydream_reads(root: Path) -> dict[str, tuple[str, list[str], float]]:
    """Picture name -> (main prompt, tags, multiply), by the rules of its loader: hidden folders are skipped, zip files
    unpacked, a picture's text is that of its stem, split at commas, and a multiply of 0 counts as none."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        assert not any(name.endswith((".zip", ".yaml", ".yml", ".caption")) for name in files)
        multiply = 1.0
        if "multiply.txt" in files:
            multiply = float((Path(folder) / "multiply.txt").read_text("utf-8").strip()) or 1.0
        for name in files:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".jfif"}:
                assert name not in found
                caption = (Path(folder) / f"{stem}.txt").read_text("utf-8").strip()
                main, *tags = map(str.strip, caption.split(","))
                found[name] = (main, tags, multiply)
    return found


def test_the_trainer_finds_every_picture_with_its_caption_and_multiply(parted, tmp_path: Path):
    parted.add(12, "1_character/rare", 0.004)
    folder = parted.export("everydream", tmp_path).folder
    read = {image_id(name): value for name, value in as_everydream_reads(folder / "train").items()}
    trained = [row for row in parted.rows if row.get("split") != "validation"]
    assert read.keys() == {row["image_id"] for row in trained}
    for row in trained:
        main, tags, _ = read[row["image_id"]]
        assert ", ".join([main, *tags]) == row["caption"]
    assert read["show.e1/00000001"][2] == 1.36
    assert read["show.e1/00000003"][2] == 3.7
    assert read["show.e1/00000012"][2] == 0.004
    assert read["show.e1/00000009"][2] == pytest.approx(12.487 / 2, abs=0.26)  # an epoch shows 12 of the two
    assert (folder / "train/reg/1girl/loss_scale.txt").read_text() == "1.0\n"
    assert [path.parent.name for path in folder.rglob("loss_scale.txt")] == ["1girl"]
    held_out = {image_id(name): multiply for name, (*_, multiply) in as_everydream_reads(folder / "validation").items()}
    assert held_out == {f"show.e1/{number:08d}": 1.0 for number in (6, 7, 8)}


def test_the_card_names_the_keys_by_which_held_out_pictures_are_read(parted, tmp_path: Path):
    key = '"val_split_mode": "manual", "manual_data_root": "<this folder>/validation"'
    assert key in (parted.export("everydream", tmp_path).folder / "README.md").read_text("utf-8")
    parted.rows = [row for row in parted.rows if row.get("split") != "validation"]
    assert "val_" not in (parted.export("everydream", tmp_path).folder / "README.md").read_text("utf-8")


def test_concepts_are_folders_of_their_own_names(sample, tmp_path: Path, files_in):
    names = files_in(sample.export("everydream", tmp_path).folder)
    assert "train/1_character/fern/multiply.txt" in names
    assert "train/1_character/fern/show~e1@00000001.webp" in names
    assert len(names) == 6 * 2 + 3 + 5


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
