from __future__ import annotations

import os
import random
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.training.exporters.diffusion_pipe import num_repeats

NO_PICTURES = {".txt", ".npz", ".json", ".parquet", ".bak", ".db"}  # any other file is taken for one
KEYS = {"path": str, "num_repeats": float, "mask_path": str}


def as_diffusion_pipe_reads(path: Path, cwd: Path) -> tuple[dict[str, tuple[str, Path | None]], dict[str, int]]:
    """Stem -> (prompt, mask), and how many pictures an epoch has of each folder, of a trainer started in `cwd`."""
    config = tomllib.loads(path.read_text("utf-8"))
    directories = config.pop("directory")
    assert config == {
        "resolutions": [1024], "enable_ar_bucket": True, "min_ar": 0.4, "max_ar": 2.5, "num_ar_buckets": 9,
        "frame_buckets": [1],
    }  # fmt: skip
    found: dict[str, tuple[str, Path | None]] = {}
    seen: dict[str, int] = {}
    aspects = np.log(np.geomspace(0.4, 2.5, num=9))
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
        of_aspect: Counter[int] = Counter()
        for picture in pictures:
            assert picture.stem not in found
            prompt = picture.with_suffix(".txt").read_text("utf-8").strip()
            found[picture.stem] = (prompt, masks.get(picture.stem))
            with Image.open(picture) as opened:
                size = opened.size
            of_aspect[int(np.abs(np.log(size[0] / size[1]) - aspects).argmin())] += 1
            if picture.stem in masks:
                with Image.open(masks[picture.stem]) as mask:
                    assert size == mask.size
        seen[folder.name] = sum(int(images * directory["num_repeats"]) for images in of_aspect.values())
    return found, seen


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_with_its_repeats_and_caption(parted, tmp_path: Path, where: str):
    parted.add(20, "1_character/[brackets] {braces} 100% #x", 2.0)
    folder = parted.export("diffusion_pipe", tmp_path).folder
    cwd = folder if where == "." else tmp_path
    for name, part in (("dataset.toml", "train"), ("eval.toml", "validation")):
        rows = parted.of_part(part)
        found, seen = as_diffusion_pipe_reads(folder / where / name, cwd)
        assert found == {stem: (row["caption"], None) for stem, row in rows.items()}
        wanted: Counter[str] = Counter()
        for row in rows.values():
            wanted[row["concept"].replace("/", "~")] += parted.multiply_of(row)
        assert seen.keys() == wanted.keys()
        # One more where a concept's two pictures are of two aspects.
        assert all(0 <= seen[name] - round(images) <= 1 for name, images in wanted.items())
    assert "eval_datasets = [{name = 'validation'" in (folder / "README.md").read_text("utf-8")


def test_where_nothing_is_held_out_there_is_no_file_for_evaluation(sample, tmp_path: Path):
    folder = sample.export("diffusion_pipe", tmp_path).folder
    assert not list(folder.rglob("eval.toml"))
    assert "eval_datasets" not in (folder / "README.md").read_text("utf-8")


def test_every_picture_has_a_mask_of_its_size(masked, tmp_path: Path):
    folder = masked.export("diffusion_pipe", tmp_path).folder
    found = {stem: mask for stem, (_, mask) in as_diffusion_pipe_reads(folder / "dataset.toml", folder)[0].items()}
    assert found.keys() == masked.of_part("train").keys()
    assert found["show~e1@00000011"].read_bytes() == masked.data["masks/11.png"]
    assert None not in found.values()


@pytest.mark.parametrize(
    ("counts", "multiply", "repeats"),
    [
        ([5], 1.361, 1.4),  # 7 of 6.8
        ([5], 1.0, 1.0),
        ([5], 0.4, 1.0),  # below 1 the same three would never be seen
        ([1, 1, 1, 1, 1], 2.6, 3.0),  # each is rounded down by itself
        ([3, 2], 2.0, 2.0),
        ([30, 17], 1.42553, 1.433334),  # 43 and 24; with the multiply 42 and 24
    ],
)
def test_repeats_make_up_for_what_is_rounded_down_in_each_bucket(counts: list[int], multiply: float, repeats: float):
    assert num_repeats(counts, multiply) == repeats


def test_an_epoch_has_the_wanted_pictures_and_few_more():
    rng = random.Random(1)
    for _ in range(300):
        counts = [rng.randint(1, 60) for _ in range(rng.randint(1, 4))]
        multiply = round(10 ** rng.uniform(0, 1.5), 4)
        repeats = num_repeats(counts, multiply)
        seen = sum(int(images * repeats) for images in counts)
        assert 0 <= seen - round(sum(counts) * multiply) < len(counts)
