"""Sets for SimpleTuner: `multidatabackend.json`, a list with one dataset for each concept.

As it reads them (`data_backend/factory.py`, `data_backend/config/image.py: ImageBackendConfig.from_dict`): each dataset
has an id of its own and a cache of its own; its folder is walked into; the caption is the text of the same stem with
`caption_strategy` `textfile`; `repeats` are whole and come on top of the first time. Held-out pictures are of the type
`eval`, regularization has `is_regularisation_data`: its target is the prediction of the model without the LyCORIS
(`training/trainer.py`). An epoch shows all pictures of a dataset, so that a class has no more here than its share.
Masks are a dataset of the type `conditioning`, without captions; a mask has the picture's whole file name, suffix and
all. Pictures are decoded by what they hold (`image_manipulation/load.py`), so that a mask is a PNG under any suffix.
Once there is a dataset `text_embeds`. It writes `aspect_ratio_bucket_*.json` into the folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dataset_pipeline.training.exporters.documents import (
    Profile,
    as_json,
    below,
    captioned_and_masked,
    places_in_flat_folders,
)
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, Concept, ImageSet
from dataset_pipeline.training.exporters.regularization import SPARE, Regularization, ShownClass, shown_classes

DATASETS = "multidatabackend.json"
REGULARIZES = Regularization(cut=True)
COMMON = {
    "type": "local",
    "metadata_backend": "discovery",
    "crop": False,
    "resolution": 1024,
    "resolution_type": "pixel_area",
    "minimum_image_size": 0,
}


def places(images: ImageSet) -> dict[str, str]:
    spare = {
        picture.image_id: f"{shown.spare_folder}/{picture.name}"
        for shown in shown_classes(images, REGULARIZES, whole_repeats=True)
        for picture in shown.spare
    }
    return places_in_flat_folders(images) | spare


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {picture.image_id: f"masks/{places[picture.image_id]}" for picture in images.pictures_of(TRAIN)}


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    datasets: list[dict[str, Any]] = []
    classes = {shown.concept.name: shown for shown in shown_classes(images, REGULARIZES, whole_repeats=True)}
    for part in images.parts:
        for number, concept in enumerate(images.concepts_of(part), start=1):
            repeats = repeats_of(classes[concept.name]) if part == REGULARIZATION else concept.repeats
            if repeats:
                datasets += _datasets(images, concept, repeats, f"{part}-{number:04d}", folder)
    texts = {
        "id": "text-embeds",
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": below(folder, "cache/text"),
    }
    return {DATASETS: as_json([*datasets, texts])}


def repeats_of(shown: ShownClass) -> int:
    """The whole repeats by which a class comes nearest to its share; 0 if it has none."""
    return max(1, round(shown.share.slots / shown.share.used)) if shown.share.used else 0


def _datasets(images: ImageSet, concept: Concept, repeats: int, name: str, folder: str) -> list[dict[str, Any]]:
    """The concept's dataset, and where it has masks theirs."""
    dataset = COMMON | {
        "id": name,
        "dataset_type": "eval" if concept.part == VALIDATION else "image",
        "instance_data_dir": below(folder, concept.flat_folder),
        "caption_strategy": "textfile",
        "cache_dir_vae": below(folder, f"cache/vae/{name}"),
        "repeats": repeats - 1,
    }
    if concept.part == REGULARIZATION:
        dataset["is_regularisation_data"] = True
    if concept.part != TRAIN or not images.has_masks:
        return [dataset]
    masks = COMMON | {
        "id": f"{name}-mask",
        "dataset_type": "conditioning",
        "conditioning_type": "mask",
        "source_dataset_id": name,
        "instance_data_dir": below(folder, f"masks/{concept.flat_folder}"),
        "caption_strategy": None,
        "cache_dir_vae": below(folder, f"cache/vae/{name}-mask"),
    }
    return [dataset | {"conditioning_data": f"{name}-mask"}, masks]


def instructions(images: ImageSet) -> str:
    text = (
        f"`data_backend_config` is `absolute/{DATASETS}`; write your `resolution` into it. With a batch size above 1 "
        "it stops at a concept that has too few pictures of one shape: train with 1, or set `crop` to true and "
        '`crop_aspect` to `"square"`; `--allow_dataset_oversubscription` is refused where there are repeats.'
    )
    if REGULARIZATION in images.parts:
        text += (
            " Regularization classes (`is_regularisation_data`) are for LyCORIS; pictures in "
            f"`{SPARE}`, if any, are more than their share."
        )
    return text


PROFILE = Profile(
    title="SimpleTuner",
    instructions=instructions,
    places=places,
    files=partial(captioned_and_masked, masks),
    configs=configs,
    masks=masks,
    whole_repeats=True,
    regularization=REGULARIZES,
    format=2,
)
