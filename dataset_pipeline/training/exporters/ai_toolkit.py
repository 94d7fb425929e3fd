"""Sets for ai-toolkit: `datasets:` of a job's YAML, one entry for each concept.

As it reads them (`toolkit/config_modules.py`, `toolkit/data_loader.py`): folders are walked through, hidden ones left
out, so that no concept lies inside another; the caption is the file of the same stem with `caption_ext`, split at
commas and joined by a comma and a space (`get_caption`, `toolkit/dataloader_mixins.py`); a mask is the picture of the
same stem in `mask_path`; `num_repeats` is whole. Datasets with `is_reg` are drawn from at every second step, by chance
and without regard to how many pictures they have (`BaseSDTrainProcess`), so that repeats only divide those steps among
the classes. It writes caches into the folders it is given.
"""

from __future__ import annotations

from functools import partial

from dataset_pipeline.training.exporters.documents import (
    Profile,
    below,
    captioned_and_masked,
    masks_apart,
    places_in_flat_folders,
    quoted,
)
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, Concept, ImageSet
from dataset_pipeline.training.exporters.regularization import Regularization, shown_classes
from dataset_pipeline.training.num_repeats import num_repeats

DATASETS = "datasets.yaml"
REGULARIZES = Regularization()


def text_of(caption: str) -> str:
    """What the trainer makes the caption of: it adds the space after each comma by itself, to any that is there."""
    return caption.replace(", ", ",")


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    repeated = [(concept, concept.repeats) for concept in images.concepts_of(TRAIN)] + class_repeats(images)
    return {DATASETS: "datasets:\n" + "".join(_dataset(images, *entry, folder) for entry in repeated)}


def class_repeats(images: ImageSet) -> list[tuple[Concept, int]]:
    """Whole repeats by which regularization classes have about their shares of all that is drawn."""
    classes = [shown for shown in shown_classes(images, REGULARIZES, whole_repeats=True) if shown.share.slots]
    times = {shown.concept.name: shown.share.slots / shown.share.pictures for shown in classes}
    multiplies = {name: value / min(times.values()) for name, value in times.items()}
    repeats = num_repeats({shown.concept.name: shown.share.pictures for shown in classes}, multiplies)
    return [(shown.concept, repeats[shown.concept.name]) for shown in classes]


def _dataset(images: ImageSet, concept: Concept, repeats: int, folder: str) -> str:
    values = {
        "folder_path": quoted(below(folder, concept.flat_folder)),
        "caption_ext": quoted("txt"),
        "num_repeats": str(repeats),
    }
    if images.has_masks:
        values["mask_path"] = quoted(below(folder, f"masks/{concept.flat_folder}"))
    if concept.part == REGULARIZATION:
        values["is_reg"] = "true"
    lines = [f"{key}: {value}" for key, value in values.items()]
    return "  - " + "\n    ".join(lines) + "\n"


def instructions(images: ImageSet) -> str:
    text = (
        f"Put the `datasets:` of `absolute/{DATASETS}` into your job's `process:` and add `resolution` to each. "
        "Held-out pictures, if any, are in `validation` and in no file."
    )
    if REGULARIZATION in images.parts:
        text += (
            " Regularization pictures (`is_reg: true`) take every second step, however many there are: train twice the "
            "steps. `reg_weight` under `train` says how much they count; no trigger word is put before their captions."
        )
    return text


PROFILE = Profile(
    title="ai-toolkit",
    instructions=instructions,
    places=places_in_flat_folders,
    files=partial(captioned_and_masked, masks_apart, text_of=text_of),
    configs=configs,
    masks=masks_apart,
    whole_repeats=True,
    regularization=REGULARIZES,
    format=3,
)
