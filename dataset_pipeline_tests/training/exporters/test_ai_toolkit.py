from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

# Of DatasetConfig, what a set says; the rest is the user's.
KEYS = {"folder_path": str, "caption_ext": str, "num_repeats": int, "mask_path": str, "is_reg": bool}
READ = (".jpg", ".jpeg", ".png", ".webp")


def as_ai_toolkit_reads(path: Path, cwd: Path) -> list[dict[str, Any]]:
    """Every picture as often as a dataset finds it: stem, prompt, repeats, is_reg, mask."""
    datasets = yaml.safe_load(path.read_text("utf-8"))
    assert datasets.keys() == {"datasets"}
    found = []
    for dataset in datasets["datasets"]:
        for key, value in dataset.items():
            assert type(value) is KEYS[key], key
        assert dataset["num_repeats"] >= 1
        assert not dataset["caption_ext"].startswith(".")
        before = len(found)
        for folder, folders, names in os.walk(cwd / dataset["folder_path"]):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() not in READ:
                    assert suffix == ".txt"
                    continue
                masks = [
                    cwd / dataset["mask_path"] / (stem + end)
                    for end in READ
                    if "mask_path" in dataset and (cwd / dataset["mask_path"] / (stem + end)).exists()
                ]
                assert len(masks) == ("mask_path" in dataset)
                found.append(
                    {
                        "stem": stem,
                        "prompt": prompt_of((Path(folder) / f"{stem}.{dataset['caption_ext']}").read_text("utf-8")),
                        "repeats": dataset["num_repeats"],
                        "is_reg": dataset.get("is_reg", False),
                        "mask": masks[0] if masks else None,
                    }
                )
        assert len(found) > before
    return found


def prompt_of(text: str) -> str:
    """As `get_caption` of toolkit/dataloader_mixins.py makes it of a caption's file, without shuffling."""
    return ", ".join(text.split(","))


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_once_with_its_prompt_and_repeats(parted, tmp_path: Path, where: str):
    # A concept below another must not be found twice, as folders are walked through.
    parted.add(20, "1_character/fern/winter", 2.0)
    folder = parted.export("ai_toolkit", tmp_path).folder
    found = as_ai_toolkit_reads(folder / where / "datasets.yaml", folder if where == "." else tmp_path)
    repeats = {"2_characters/fern+フリーレン": 4, "1_character/fern/winter": 2}
    assert sorted(found, key=lambda entry: entry["stem"]) == [
        {
            "stem": stem,
            "prompt": row["caption"],
            "repeats": repeats.get(row["concept"], 1),
            "is_reg": part == "reg",
            "mask": None,
        }
        for stem, row, part in sorted(
            (stem, row, part) for part in ("train", "reg") for stem, row in parted.of_part(part).items()
        )
    ]


def test_every_picture_has_a_mask_in_the_folder_for_masks(masked, tmp_path: Path):
    folder = masked.export("ai_toolkit", tmp_path).folder
    found = {entry["stem"]: entry["mask"] for entry in as_ai_toolkit_reads(folder / "datasets.yaml", folder)}
    assert found.keys() == masked.of_part("train").keys()
    assert found["show~e1@00000011"].read_bytes() == masked.data["masks/11.png"]
    assert None not in found.values()


def test_any_name_of_a_concept_is_read_back(sample, tmp_path: Path):
    for number, name in enumerate(["1_character/yes: no # x", "1_character/'q' \"d\"", "1_character/ünï★𝕏"]):
        sample.add(30 + number, name, 2.0)
    folder = sample.export("ai_toolkit", tmp_path).folder
    found = {entry["stem"] for entry in as_ai_toolkit_reads(folder / "datasets.yaml", folder)}
    assert found == sample.of_part("train").keys()
