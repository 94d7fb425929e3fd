from __future__ import annotations

import glob
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

# What ConfigSanitizer of dataset/config_utils.py allows of the keys that a set writes; any other key is an error.
GENERAL = {"caption_extension": str, "batch_size": int, "enable_bucket": bool, "bucket_no_upscale": bool}
DATASET = {"image_directory": str, "cache_directory": str, "num_repeats": int}
READ = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif")


def as_musubi_reads(path: Path, cwd: Path) -> dict[str, tuple[int, str]]:
    """Stem -> (repeats, prompt), of a trainer started in `cwd`."""
    config = tomllib.loads(path.read_text("utf-8"))
    assert config.keys() == {"general", "datasets"}
    general: dict[str, Any] = config["general"]
    assert general.pop("resolution") == [1024, 1024]
    assert {key: type(value) for key, value in general.items()} == GENERAL
    found: dict[str, tuple[int, str]] = {}
    caches = set()
    for dataset in config["datasets"]:
        assert {key: type(value) for key, value in dataset.items()} == DATASET
        assert dataset["num_repeats"] >= 1
        cache = os.path.normpath(cwd / dataset["cache_directory"])
        assert glob.escape(os.path.basename(cache)) == os.path.basename(cache)  # it is searched by a pattern
        assert cache not in caches
        caches.add(cache)
        pictures = [
            name for name in glob.glob(os.path.join(glob.escape(str(cwd / dataset["image_directory"])), "*.*"))
            if os.path.splitext(name)[1].lower() in READ
        ]  # fmt: skip
        assert pictures
        for picture in pictures:
            stem, _ = os.path.splitext(picture)
            assert Path(stem).name not in found
            prompt = Path(stem + general["caption_extension"]).read_text("utf-8").strip()
            found[Path(stem).name] = (dataset["num_repeats"], prompt)
    return found


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_with_its_repeats_and_caption(parted, tmp_path: Path, where: str):
    parted.add(20, "1_character/[brackets] {braces} 100% #x", 2.0)
    parted.add(21, "1_character/fern/winter", 2.0)
    folder = parted.export("musubi", tmp_path).folder
    repeats = {"2_characters/fern+フリーレン": 4} | {row["concept"]: 2 for row in parted.rows[-2:]}
    assert as_musubi_reads(folder / where / "dataset.toml", folder if where == "." else tmp_path) == {
        stem: (repeats.get(row["concept"], 1), row["caption"]) for stem, row in parted.of_part("train").items()
    }


def test_the_mark_of_kept_words_is_a_comma(sample, tmp_path: Path):
    sample.rows[0]["caption"] = "1girl, fern ||| long hair, dress"
    folder = sample.export("musubi", tmp_path).folder
    assert as_musubi_reads(folder / "dataset.toml", folder)["show~e1@00000000"][1] == "1girl, fern, long hair, dress"
