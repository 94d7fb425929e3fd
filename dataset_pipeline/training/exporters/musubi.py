"""Sets for musubi-tuner: a dataset file in TOML, one dataset for each concept.

As it reads them (`dataset/config_utils.py: ConfigSanitizer`, `dataset/image_video_dataset.py: ImageDataset`): a folder
is not walked into; the caption is the file of the same stem with `caption_extension`; `num_repeats` is whole; an
unknown key is an error. Each dataset has a `cache_directory` of its own, which is searched by a pattern without
escaping, so that a `[` in its name would match nothing. There are no regularization images, masks or validation.
"""

from __future__ import annotations

from dataset_pipeline.training.exporters.documents import Profile, as_toml, below, places_by_concept
from dataset_pipeline.training.exporters.image_set import TRAIN, ImageSet

DATASET = "dataset.toml"
GENERAL = {
    "resolution": [1024, 1024],
    "caption_extension": ".txt",
    "batch_size": 1,
    "enable_bucket": True,
    "bucket_no_upscale": True,
}


def places(images: ImageSet) -> dict[str, str]:
    return places_by_concept(images, lambda concept: concept.flat_folder)


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    datasets = [
        {
            "image_directory": below(folder, concept.flat_folder),
            "cache_directory": below(folder, f"cache/{number:04d}"),
            "num_repeats": concept.repeats,
        }
        for number, concept in enumerate(images.concepts_of(TRAIN), start=1)
    ]
    return {DATASET: as_toml([("[general]", GENERAL), *(("[[datasets]]", dataset) for dataset in datasets)])}


PROFILE = Profile(
    title="musubi-tuner",
    instructions=lambda images: (
        f"`--dataset_config absolute/{DATASET}` for the scripts that cache and for training; write your `resolution` "
        "and `batch_size` into it. Held-out and regularization images, if any, are in `validation` and `reg` and in no "
        "file: musubi-tuner knows neither. After `recaption`, cache the text encoder's outputs anew."
    ),
    places=places,
    configs=configs,
    whole_repeats=True,
)
