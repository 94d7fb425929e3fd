from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from PIL import Image

NO_PICTURES = {".txt", ".npz", ".json", ".parquet", ".bak", ".db"}  # any other file is taken for one
KEYS = {"path": str, "num_repeats": float, "mask_path": str}


def as_diffusion_pipe_reads(path: Path, cwd: Path) -> dict[str, tuple[float, str, Path | None]]:
    """Stem -> (repeats, prompt, mask), of a trainer started in `cwd`."""
    config = tomllib.loads(path.read_text("utf-8"))
    directories = config.pop("directory")
    assert config == {
        "resolutions": [1024], "enable_ar_bucket": True, "min_ar": 0.4, "max_ar": 2.5, "num_ar_buckets": 9,
        "frame_buckets": [1],
    }  # fmt: skip
    found: dict[str, tuple[float, str, Path | None]] = {}
    for directory in directories:
        for key, value in directory.items():
            assert type(value) is KEYS[key], key
        assert directory["num_repeats"] > 0
        folder = cwd / directory["path"]
        masks = {}
        if "mask_path" in directory:
            masks = {
                os.path.splitext(name)[0]: cwd / directory["mask_path"] / name
                for name in os.listdir(cwd / directory["mask_path"])
            }
        pictures = [name for name in folder.iterdir() if name.is_file() and name.suffix not in NO_PICTURES]
        assert pictures
        for picture in pictures:
            assert picture.stem not in found
            prompt = picture.with_suffix(".txt").read_text("utf-8").strip()
            found[picture.stem] = (directory["num_repeats"], prompt, masks.get(picture.stem))
            if picture.stem in masks:
                with Image.open(picture) as opened, Image.open(masks[picture.stem]) as mask:
                    assert opened.size == mask.size
    return found


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_with_its_repeats_and_caption(parted, tmp_path: Path, where: str):
    parted.add(20, "1_character/[brackets] {braces} 100% #x", 2.0)
    folder = parted.export("diffusion_pipe", tmp_path).folder
    cwd = folder if where == "." else tmp_path
    for name, part in (("dataset.toml", "train"), ("eval.toml", "validation")):
        assert as_diffusion_pipe_reads(folder / where / name, cwd) == {
            stem: (parted.multiply_of(row), row["caption"], None) for stem, row in parted.of_part(part).items()
        }
    assert "eval_datasets = [{name = 'validation'" in (folder / "README.md").read_text("utf-8")


def test_where_nothing_is_held_out_there_is_no_file_for_evaluation(sample, tmp_path: Path):
    folder = sample.export("diffusion_pipe", tmp_path).folder
    assert not list(folder.rglob("eval.toml"))
    assert "eval_datasets" not in (folder / "README.md").read_text("utf-8")


def test_every_picture_has_a_mask_of_its_size(masked, tmp_path: Path):
    folder = masked.export("diffusion_pipe", tmp_path).folder
    found = {stem: mask for stem, (*_, mask) in as_diffusion_pipe_reads(folder / "dataset.toml", folder).items()}
    assert found.keys() == masked.of_part("train").keys()
    assert found["show~e1@00000011"].read_bytes() == masked.data["masks/11.png"]
    assert None not in found.values()
