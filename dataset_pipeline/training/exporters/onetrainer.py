"""Sets for OneTrainer: a list of concepts in JSON, each a folder with pictures and captions.

As it reads them (`modules/util/config/ConceptConfig.py`): keys that are missing keep their defaults; `__version` says
which of its migrations to skip; `balancing` is a float, with REPEATS the times a concept's images are seen in an epoch,
of which the total is rounded down, with SAMPLES the number of images that an epoch takes, in turn, so that the next
goes on where it stopped (`VariationSorting` and `DiskCache` of mgds). The prompt is the text file of the same stem, a
mask `<stem>-masklabel.png`, which is never taken for a picture. Regularization is a concept of the type
PRIOR_PREDICTION, whose target is the prediction of the model before training (`GenericTrainer`; for LoRA alone);
concepts of the type VALIDATION are read where `validation` is on in the preset. The file is opened in the locale's
encoding (`DataLoaderMgdsMixin`), so that it holds ASCII alone. Paths are taken from where OneTrainer runs, so that in
practice they must be absolute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial

from dataset_pipeline.training.exporters.documents import (
    Profile,
    below,
    captioned_and_masked,
    places_in_flat_folders,
)
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, Concept, ImageSet
from dataset_pipeline.training.exporters.regularization import Regularization, shown_classes
from dataset_pipeline.training.num_repeats import least_factor

CONCEPTS = "concepts.json"
REGULARIZES = Regularization()
TYPES = {TRAIN: "STANDARD", VALIDATION: "VALIDATION", REGULARIZATION: "PRIOR_PREDICTION"}


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {
        picture.image_id: f"{places[picture.image_id].removesuffix(picture.suffix)}-masklabel.png"
        for picture in images.pictures
    }


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    shares = {shown.concept.name: shown.share.slots for shown in shown_classes(images, REGULARIZES, False)}
    concepts = [
        _concept(concept, folder) | _count(concept, shares)
        for concept in images.concepts
        if concept.part != REGULARIZATION or shares[concept.name]
    ]
    return {CONCEPTS: json.dumps(concepts, indent=1, sort_keys=True, ensure_ascii=True) + "\n"}


def _concept(concept: Concept, folder: str) -> dict[str, object]:
    # Its own default seed is a random number; ours is of the name, so that the file is the same each time.
    seed = int(hashlib.sha256(f"{concept.part}/{concept.name}".encode()).hexdigest()[:7], 16)
    return {
        "__version": 2,
        "name": concept.name,
        "path": below(folder, concept.flat_folder),
        "seed": seed,
        "enabled": True,
        "type": TYPES[concept.part],
        "include_subdirectories": False,
        "loss_weight": 1.0,
        "text": {"__version": 0, "prompt_source": "sample"},
    }


def _count(concept: Concept, shares: Mapping[str, int]) -> dict[str, object]:
    """How many of its images an epoch takes; shares: by regularization class."""
    if concept.part == REGULARIZATION:
        return {"balancing": float(shares[concept.name]), "balancing_strategy": "SAMPLES"}
    return {"balancing": balancing(len(concept.pictures), concept.multiply), "balancing_strategy": "REPEATS"}


def balancing(images: int, multiply: float) -> float:
    """The multiply, so raised or lowered that `floor(images * balancing)` is their product rounded, and 1 at least."""
    return least_factor(images, max(1, round(images * multiply)))


def instructions(images: ImageSet) -> str:
    text = (
        f"Copy `absolute/{CONCEPTS}` to OneTrainer's `training_concepts/`, or name it as `concept_file_name` in your "
        "training preset. With masks, switch on masked training."
    )
    if VALIDATION in images.parts:
        text += " Held-out pictures are read only with `validation` switched on in the preset: it is off by default."
    if REGULARIZATION in images.parts:
        text += (
            " Regularization classes are concepts of the type PRIOR_PREDICTION, which only LoRA training knows; of "
            "each an epoch takes its number of pictures, the next epoch others."
        )
    return text


PROFILE = Profile(
    title="OneTrainer",
    instructions=instructions,
    places=places_in_flat_folders,
    files=partial(captioned_and_masked, masks),
    configs=configs,
    masks=masks,
    regularization=REGULARIZES,
    format=3,
)
