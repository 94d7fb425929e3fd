"""Sets for ai-toolkit: `datasets:` of a job's YAML, one entry for each concept.

As it reads them (`toolkit/config_modules.py`, `toolkit/data_loader.py`): folders are walked through, hidden ones left
out, so that no concept lies inside another; the caption is the file of the same stem with `caption_ext`, split at
commas and joined by a comma and a space (`get_caption`, `toolkit/dataloader_mixins.py`); a mask is the picture of the
same stem in `mask_path`; `num_repeats` is whole. It writes caches into the folders it is given.
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
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, VALIDATION, Concept, ImageSet

DATASETS = "datasets.yaml"


def text_of(caption: str) -> str:
    """What the trainer makes the caption of: it adds the space after each comma by itself, to any that is there."""
    return caption.replace(", ", ",")


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    trained = [concept for concept in images.concepts if concept.part != VALIDATION]
    return {DATASETS: "datasets:\n" + "".join(_dataset(images, concept, folder) for concept in trained)}


def _dataset(images: ImageSet, concept: Concept, folder: str) -> str:
    values = {
        "folder_path": quoted(below(folder, concept.flat_folder)),
        "caption_ext": quoted("txt"),
        "num_repeats": str(concept.repeats),
    }
    if images.has_masks:
        values["mask_path"] = quoted(below(folder, f"masks/{concept.flat_folder}"))
    if concept.part == REGULARIZATION:
        values["is_reg"] = "true"
    lines = [f"{key}: {value}" for key, value in values.items()]
    return "  - " + "\n    ".join(lines) + "\n"


PROFILE = Profile(
    title="ai-toolkit",
    instructions=lambda images: (
        f"Put the `datasets:` of `absolute/{DATASETS}` into your job's `process:` and add `resolution` to each. "
        "Held-out pictures, if any, are in `validation` and in no file."
    ),
    places=places_in_flat_folders,
    files=partial(captioned_and_masked, masks_apart, text_of=text_of),
    configs=configs,
    masks=masks_apart,
    whole_repeats=True,
    format=2,
)
