"""Trainers' own loaders on a set, where their code is there: each reads what the manifest lists, caption by caption.

`DATASET_PIPELINE_TRAINERS` names a folder with their checkouts, called as their repositories are; a folder `venv` in a
checkout is its Python, which needs what its loader imports. What the loaders did is restated in the tests of each
profile, which always run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.reports.readiness import buckets
from dataset_pipeline.training.exporters.documents import MANIFEST
from dataset_pipeline_tests.training.exporters import run_loader
from dataset_pipeline_tests.training.exporters.conftest import SampleSet
from dataset_pipeline_tests.training.exporters.test_kohya import reg_by_folders
from dataset_pipeline_tests.training.exporters.test_regularization import CASES, by_class, set_with

TRAINERS = os.environ.get("DATASET_PIPELINE_TRAINERS", "")
CHECKOUTS = {
    "kohya": "sd-scripts",
    "everydream": "EveryDream2trainer",
    "onetrainer": "OneTrainer",
    "ai_toolkit": "ai-toolkit",
    "diffusion_pipe": "diffusion-pipe",
    "musubi": "musubi-tuner",
    "simpletuner": "SimpleTuner",
    "hydrus": "hydrus",
}
FORMS_OF_PARTS = {  # what a way to give the set leaves out
    "folders": {"train", "reg"},
    "dataset.toml": {"train", "reg"},
    "dataset-masked.toml": {"train"},
    "finetune.toml": {"train"},
    "datasets.yaml": {"train", "reg"},
    "eval.toml": {"validation"},
}
BUCKETS = {
    "kohya": partial(buckets.kohya, no_upscale=True),
    "everydream": buckets.everydream,
    "onetrainer": buckets.onetrainer,
    "ai_toolkit": buckets.ai_toolkit,
}
ALL = {"train", "validation", "reg"}
CAPTIONS = [
    "x, \"quoted\", it's here, 'q'",
    "fern \\(sousou no frieren\\), a\\b, c:\\d",
    "フリーレン, 魔法使い",
    "😀, 👩‍👩‍👧, ^_^, :3, >_<",
    "(((bracket))), [x], {y|z}, {{w}}, <lora:x:1>",
    "100%, #hash, a=b; c: d, &amp;, $HOME, `x`, ~",
    "A sentence with a stop. Another, with (parentheses, and a comma) in it.",
    "ünï★𝕏 naïve, combining e\u0301",
    "BREAK, a AND b, (b:1.3)",
]
NAMES = [
    "1_character/fern",
    "1_character/fern/winter",
    "1_character/a \"b\" 'c'",
    "1_character/[brackets] {braces} 100% #x",
    "show/ünï★𝕏 😀 (series), it/face_height_ratio_25-50",
]


@pytest.fixture(params=["plain", "masks", "marks"])
def odd(request: pytest.FixtureRequest) -> SampleSet:
    """A set of odd names and captions, with pictures held out and for regularization."""
    sample, number = SampleSet((320, 256)), 0
    for concept, part in [
        *((name, {}) for name in NAMES),
        (NAMES[0], {"split": "validation"}),
        ("1girl", {"is_reg": True}),
    ]:
        for caption in CAPTIONS:
            masked = request.param == "masks" and number % 3 > 0
            row = sample.add(number, concept, 1.361 + len(concept) % 3, mask=masked, **part)
            row["caption"] = caption.replace(", ", " ||| ", 1) if request.param == "marks" else caption
            number += 1
    return sample


@pytest.mark.thorough
@pytest.mark.parametrize("profile", CHECKOUTS)
def test_the_trainers_own_loader_reads_what_the_manifest_lists(odd: SampleSet, tmp_path: Path, profile: str):
    folder = odd.export(profile, tmp_path).folder
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    for form, entries in read_by(profile, folder, tmp_path / "seen.json").items():
        assert_equal(profile, form, manifest, folder, entries)


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_kohyas_own_dataset_uses_all_class_pictures_and_each_class_has_its_share(case: str, tmp_path: Path):
    classes, wanted, _ = CASES[case]
    folder = set_with(classes, {"1_character/fern": (20, 10.0)}, size_px=(64, 64)).export("kohya", tmp_path).folder
    given = {str(path) for path in folder.glob("reg/*/*.webp")}
    for form, entries in read_by("kohya", folder, tmp_path / "seen.json").items():
        times = {entry["file"]: entry["times"] for entry in entries if entry["part"] == "reg"}
        if form != "finetune.toml":
            assert times.keys() == given, form
            assert by_class(times) == wanted, form
            assert times == reg_by_folders(folder), form


def read_by(profile: str, folder: Path, out: Path) -> dict[str, list[dict[str, Any]]]:
    """What the trainer's own loader saw, by the way of giving it the set; skips the test where it is not there."""
    checkout = Path(TRAINERS) / CHECKOUTS[profile]
    if not TRAINERS or not checkout.is_dir():
        pytest.skip(f"DATASET_PIPELINE_TRAINERS names no folder with {CHECKOUTS[profile]}")
    python = checkout / ("venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python")
    command = [python if python.exists() else sys.executable, run_loader.__file__, profile, checkout, folder]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}  # some look for kernels on the hub when imported
    done = subprocess.run([*map(str, command), str(out)], capture_output=True, text=True, check=False, env=offline)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text("utf-8"))


def assert_equal(
    profile: str, form: str, manifest: Mapping[str, Any], folder: Path, entries: list[dict[str, Any]]
) -> None:
    parts = {"train"} if profile in ("musubi", "diffusion_pipe") else ALL
    parts = FORMS_OF_PARTS.get(form, parts) & (parts | {"validation"})
    concepts = {(entry["part"], entry["concept"]): entry for entry in manifest["concepts"]}
    listed = {entry["file"]: entry for entry in manifest["images"] if entry["part"] in parts}
    read = {Path(entry["file"]).relative_to(folder).as_posix(): entry for entry in entries}
    assert len(read) == len(entries)
    assert read.keys() == listed.keys()
    times: dict[tuple[str, str], float] = defaultdict(float)
    for file, entry in listed.items():
        concept = concepts[entry["part"], entry["concept"]]
        part = "train" if profile == "everydream" and entry["part"] == "reg" else entry["part"]
        assert read[file]["part"] == part
        if profile != "hydrus":
            assert read[file]["caption"] == entry["caption"]
            times[entry["part"], entry["concept"]] += read[file]["times"]
        if "repeats" in concept and entry["part"] != "reg":
            assert read[file]["times"] == concept["repeats"]
        if profile in BUCKETS:
            rule = buckets.kohya if form == "folders" else BUCKETS[profile]
            fit = rule(np.array([entry["width_px"]]), np.array([entry["height_px"]]), run_loader.RESOLUTION)
            assert read[file]["size"] == [fit.width_px[0], fit.height_px[0]]
        has_mask = "mask_file" in entry and (profile != "kohya" or form == "dataset-masked.toml")
        assert read[file]["mask"] == (str(folder / entry["mask_file"]) if has_mask else None)
    for key, seen in times.items():
        concept = concepts[key]
        if "in_an_epoch" in concept and profile != "ai_toolkit":  # which takes every second step for them
            nearest = concept["images"] / 2 if profile == "simpletuner" else 0.5
            assert seen == pytest.approx(concept["in_an_epoch"], abs=nearest), key
        elif "multiply" in concept and "repeats" not in concept:
            assert seen == pytest.approx(concept["images"] * concept["multiply"], abs=0.5), key
