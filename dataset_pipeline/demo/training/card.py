"""The page that says what the demo pack is, how it was made and how well it does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from dataset_pipeline.demo.training.boxes import LARGE_CLASSES, SMALL_CLASSES
from dataset_pipeline.demo.training.layout import (
    CCIP_REPO,
    DETECTORS,
    EMBEDDER_REPO,
    POSE_REPO,
    QUALITY_REPO,
    TAGGER_REPO,
    sha256_of_files,
)
from dataset_pipeline.demo.training.plans import Plan
from dataset_pipeline.demo.training.worlds import CALIBRATION, MEASURED, TRAINING

TEXT = """# Demo model pack

Tiny networks trained on drawn scenes, in the file layout and input/output contract of the real models, so that the
whole pipeline runs with no download. **They know nothing of real pictures**; results made with them say so.

The folder is a hub cache: with `HF_HOME` set to it and `HF_HUB_OFFLINE=1`, the loaders of imgutils, open_clip and
pyiqa read it unmodified. Repositories carry the real models' names because the loaders ask for them; no weight in
here was taken from a real model.

Licence: Apache-2.0, as the project.

## What is in it

| role | repository | what it is |
| --- | --- | --- |
| detectors | {large} | one anchor-free net at 320 x 320, exported once per kind of box (YOLO contract) |
| detectors of small things | {small} | the same at 640 x 640, narrower and with a finer stem |
| identity | {ccip} | 128 x 128 crops, supervised contrastive loss (CCIP contract); 126 of the 768 numbers carry it |
| tagger | {tagger} | the same net's tags (WD14 contract) |
| embedder | {embedder} | a ResNet tower of open_clip at 96 x 96; its text tower is untrained |
| quality | {quality} | CNNIQA as pyiqa builds it; the weights are trained on damaged drawings |
| pose | {pose} | 133 points of one person at 384 x 288, by heat maps at stride 16 (contract of DWPose) |

Weights are stored in half precision and computed with in single precision. Size of all files: {size_mb:.1f} MB.

## How it was made

`python -m dataset_pipeline.demo.training --out resources/demo_models --seed {seed}`, on two cores:

{plan}

Training, calibration and measuring draw from worlds of their own: people and scenes from seeds {training},
{calibration} and {measured_seeds} on, places from backdrop seeds {training_places}, {calibration_places} and
{measured_places}. The people of the demo episodes, of the tests' episodes and of the harder season are never drawn in
training, in any outfit: one combination of hair colour, hair style and eye colour in four is kept from it, and so are
those of the fixed casts. People change their outfits from scene to scene; families of two who differ in one trait and
wear the same teach the identity net what to look at. Calibration sets the detectors' score shifts and the scale of the
identity differences. A rerun on one machine gives the same weights; another version of torch or another processor may
round differently. `--parts` trains some of the nets alone and leaves the others as they lie in the pack.

## How well it does

On scenes never seen, with the casts of the demo and of the tests and with random people, through the libraries' public
functions at their default thresholds; two scenes in five are out of shots as episodes have them, every third is dark,
every fourth blurred, all are compressed; boxes count at IoU 0.5. Of things to be found at least 40 % is seen: a hand
that a sleeve, a body or the picture's edge hides by more is not asked for, and the box of a hand holds what is seen of
it. The harder season is told as the median over its casts, on drawn boxes: the median difference of one person in two
outfits and of twins, and clusters without references. Points lie off by shares of the face's width.

{measured}
"""


def write_card(pack: Path, *, plan: Plan, seed: int, measured: dict[str, dict[str, float]]) -> None:
    """Write ``CARD.md`` into a complete pack."""
    size = sum((pack / path).stat().st_size for path in sha256_of_files(pack))
    rows = ["| what | measured |", "| --- | --- |"]
    for name, values in measured.items():
        rows.append(f"| {name} | {', '.join(f'{key} {value:g}' for key, value in values.items())} |")

    def span(world_range: range) -> str:
        return f"{world_range[0]} to {world_range[-1]}"

    (pack / "CARD.md").write_text(
        TEXT.format(
            large=", ".join(DETECTORS[name].repo for name in LARGE_CLASSES),
            small=", ".join(DETECTORS[name].repo for name in SMALL_CLASSES),
            ccip=CCIP_REPO,
            tagger=TAGGER_REPO,
            embedder=EMBEDDER_REPO,
            quality=QUALITY_REPO,
            pose=POSE_REPO,
            size_mb=size / 1e6,
            seed=seed,
            plan="\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in asdict(plan).items()),
            training=TRAINING.first,
            calibration=CALIBRATION.first,
            measured_seeds=MEASURED.first,
            training_places=span(TRAINING.backdrops),
            calibration_places=span(CALIBRATION.backdrops),
            measured_places=span(MEASURED.backdrops),
            measured="\n".join(rows) if measured else "Not measured.",
        )
    )
