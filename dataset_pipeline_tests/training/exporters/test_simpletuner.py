from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

KEYS = {
    **dict.fromkeys(["id", "type", "dataset_type", "instance_data_dir", "caption_strategy", "metadata_backend"], str),
    **dict.fromkeys(["resolution_type", "cache_dir_vae", "conditioning_data", "conditioning_type"], str),
    **dict.fromkeys(["source_dataset_id"], str),
    **dict.fromkeys(["resolution", "minimum_image_size", "repeats"], int),
    **dict.fromkeys(["crop", "is_regularisation_data"], bool),
}
READ = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def as_simpletuner_reads(path: Path, cwd: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Part -> stem -> prompt, times seen and mask, of a trainer started in `cwd`."""
    *datasets, texts = json.loads(path.read_text("utf-8"))
    assert (texts["dataset_type"], texts["default"], texts["type"]) == ("text_embeds", True, "local")
    by_id = {dataset["id"]: dataset for dataset in datasets}
    assert len({*by_id, texts["id"]}) == len(datasets) + 1
    caches = [texts["cache_dir"], *(dataset["cache_dir_vae"] for dataset in datasets)]
    assert len(set(caches)) == len(caches)
    found: dict[str, dict[str, dict[str, Any]]] = {"train": {}, "validation": {}, "reg": {}}
    for dataset in datasets:
        for key, value in dataset.items():
            if (key, value) != ("caption_strategy", None):
                assert type(value) is KEYS[key], key
        if dataset["dataset_type"] == "conditioning":
            assert by_id[dataset["source_dataset_id"]]["conditioning_data"] == dataset["id"]
            assert dataset["caption_strategy"] is None  # else it looks for captions of masks
            continue
        part = {"image": "train", "eval": "validation"}[dataset["dataset_type"]]
        part = "reg" if dataset.get("is_regularisation_data") else part
        pictures = [path for path in (cwd / dataset["instance_data_dir"]).rglob("*") if path.suffix in READ]
        assert pictures
        for picture in pictures:
            mask = None
            if "conditioning_data" in dataset:
                mask = cwd / by_id[dataset["conditioning_data"]]["instance_data_dir"] / picture.name
            assert picture.stem not in found[part]
            found[part][picture.stem] = {
                "prompt": picture.with_suffix(".txt").read_text("utf-8"),
                "seen": dataset["repeats"] + 1,
                "mask": mask,
            }
    return found


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_with_its_caption_and_repeats(parted, tmp_path: Path, where: str):
    parted.add(20, "1_character/fern/winter", 2.0)
    folder = parted.export("simpletuner", tmp_path).folder
    # 3 x 1 + 2 x 4 + 1 x 1 + 1 x 2 slots for two pictures of one class
    repeats = {"2_characters/fern+フリーレン": 4, "1_character/fern/winter": 2, "1girl": 7}
    assert as_simpletuner_reads(folder / where / "multidatabackend.json", folder if where == "." else tmp_path) == {
        part: {
            stem: {"prompt": row["caption"], "seen": repeats.get(row["concept"], 1), "mask": None}
            for stem, row in parted.of_part(part).items()
        }
        for part in ("train", "validation", "reg")
    }


def test_every_picture_to_train_on_has_a_mask_of_its_very_name(masked, tmp_path: Path):
    folder = masked.export("simpletuner", tmp_path).folder
    found = as_simpletuner_reads(folder / "multidatabackend.json", folder)["train"]
    assert found.keys() == masked.of_part("train").keys()
    assert found["show~e1@00000011"]["mask"].read_bytes() == masked.data["masks/11.png"]
    with Image.open(found["show~e1@00000003"]["mask"]) as white:
        assert (white.size, white.getextrema()) == ((67, 48), (255, 255))
