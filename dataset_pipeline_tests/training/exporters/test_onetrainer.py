from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset_pipeline.training.exporters.onetrainer import balancing

# ConceptConfig of version 2: types of the keys, with the defaults of those a concept may leave out.
KEYS = {
    **dict.fromkeys(["name", "path", "type", "balancing_strategy"], str),
    **dict.fromkeys(["enabled", "include_subdirectories"], bool),
    **dict.fromkeys(["seed", "image_variations", "text_variations", "__version"], int),
    **dict.fromkeys(["balancing", "loss_weight"], float),
    **dict.fromkeys(["image", "text", "concept_stats"], dict),
}
TEXT_KEYS = {"__version", "prompt_source", "prompt_path", "enable_tag_shuffling", "tag_delimiter", "keep_tags_count"}
READ = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif"}


def as_onetrainer_reads(path: Path, cwd: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Concept type -> stem -> prompt, balancing and mask, of a trainer started in `cwd`."""
    concepts = json.loads(path.read_text("ascii"))  # it is opened in the locale's encoding
    assert isinstance(concepts, list)
    found: dict[str, dict[str, dict[str, Any]]] = {"STANDARD": {}, "VALIDATION": {}, "PRIOR_PREDICTION": {}}
    seen = set()
    for concept in concepts:
        assert concept["__version"] == 2
        for key, value in concept.items():
            assert type(value) is KEYS[key], key
        assert concept["text"].keys() <= TEXT_KEYS
        assert concept["text"]["prompt_source"] == "sample"
        assert concept["balancing_strategy"] in ("REPEATS", "SAMPLES")
        assert concept["enabled"]
        assert not concept["include_subdirectories"]
        folder = cwd / concept["path"]
        assert folder.is_dir()
        assert folder not in seen
        seen.add(folder)
        pictures = [
            picture
            for picture in folder.glob("*")
            if picture.suffix.lower() in READ and not picture.name.endswith(("-masklabel.png", "-condlabel.png"))
        ]
        assert pictures
        # By REPEATS so many times all pictures of the concept, by SAMPLES so many of them, in an epoch.
        of_one = len(pictures) if concept["balancing_strategy"] == "REPEATS" else 1
        assert of_one == 1 or concept["type"] != "PRIOR_PREDICTION"
        for picture in pictures:
            mask = picture.with_name(f"{picture.stem}-masklabel.png")
            found[concept["type"]][picture.stem] = {
                "prompt": picture.with_suffix(".txt").read_text("utf-8"),
                "seen": math.floor(of_one * concept["balancing"]),
                "mask": mask if mask.exists() else None,
            }
        stray = {path.name for path in folder.iterdir()} - {picture.name for picture in pictures}
        stray -= {f"{picture.stem}{end}" for picture in pictures for end in (".txt", "-masklabel.png")}
        assert not stray
    return found


@pytest.mark.parametrize("where", [".", "absolute"])
def test_the_trainer_finds_every_picture_with_its_prompt_and_balancing(parted, tmp_path: Path, where: str):
    folder = parted.export("onetrainer", tmp_path).folder
    # An absolute path is found from anywhere, a relative one only from the set's folder.
    found = as_onetrainer_reads(folder / where / "concepts.json", folder if where == "." else tmp_path)
    for kind, part in (("STANDARD", "train"), ("VALIDATION", "validation"), ("PRIOR_PREDICTION", "reg")):
        rows = parted.of_part(part)
        images = Counter(row["concept"] for row in rows.values())
        slots = round(3 * 1.361 + 2 * 3.7 + 1)
        assert found[kind] == {
            stem: {
                "prompt": row["caption"],
                "seen": slots if part == "reg" else round(images[row["concept"]] * parted.multiply_of(row)),
                "mask": None,
            }
            for stem, row in rows.items()
        }


def test_rounded_down_an_epoch_has_the_rounded_number_of_pictures():
    rng = random.Random(1)
    cases = [(47, 1.42553), (54, 1.24074), (53, 1.26415), (5, 1.361), (5, 3.7), (1, 0.004), (3, 1.0), (200_000, 1.0)]
    cases += [(rng.randint(1, 5000), round(10 ** rng.uniform(-2, 2), 4)) for _ in range(2000)]
    for images, multiply in cases:
        written = json.loads(json.dumps(balancing(images, multiply)))
        assert math.floor(images * written) == max(1, round(images * multiply))
        assert written == pytest.approx(multiply, abs=1 / images)


def test_the_card_says_to_switch_validation_on_where_pictures_are_held_out(parted, tmp_path: Path):
    told = "only with `validation` switched on"
    assert told in (parted.export("onetrainer", tmp_path).folder / "README.md").read_text("utf-8")
    parted.rows = [row for row in parted.rows if row.get("split") != "validation"]
    assert told not in (parted.export("onetrainer", tmp_path).folder / "README.md").read_text("utf-8")


def test_seeds_are_the_same_each_time_and_differ_between_concepts(parted, tmp_path: Path):
    seeds = [
        [concept["seed"] for concept in json.loads((root / "concepts.json").read_text("utf-8"))]
        for root in (parted.export("onetrainer", tmp_path / name).folder for name in "ab")
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 5
    assert all(0 <= seed < 2**30 for seed in seeds[0])


def test_masks_lie_beside_the_pictures_and_are_not_taken_for_pictures(masked, tmp_path: Path):
    folder = masked.export("onetrainer", tmp_path).folder
    found = as_onetrainer_reads(folder / "concepts.json", folder)["STANDARD"]
    assert found.keys() == masked.of_part("train").keys()
    assert found["show~e1@00000012"]["mask"].read_bytes() == masked.data["masks/12.png"]
    with Image.open(found["show~e1@00000000"]["mask"]) as white:
        assert (white.mode, white.size, white.getextrema()) == ("L", (64, 48), (255, 255))
