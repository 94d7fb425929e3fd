"""Sets for musubi-tuner: a dataset file in TOML, one dataset for each concept.

As it reads them (`dataset/config_utils.py: ConfigSanitizer`, `dataset/image_video_dataset.py: ImageDataset`): a folder
is not walked into; the caption is the file of the same stem with `caption_extension`; `num_repeats` is whole; an
unknown key is an error. Each dataset has a `cache_directory` of its own, which is searched by a pattern without
escaping, so that a `[` in its name would match nothing. There are no regularization images, masks or validation.

Clips (`VideoDataset`): of a video the first `target_frames` frames are taken; where `source_fps` is given, frames are
dropped to come to the model's rate, and a video that is too short after that is passed over without a word. It is left
out here: clips are taken at the rate they have. Videos are scaled to a bucket of the area of `resolution` even if they
are smaller (`BucketSelector` without `bucket_no_upscale`), so that each dataset has the size of its clips.
"""

from __future__ import annotations

from typing import Any

from dataset_pipeline.training.exporters.documents import Profile, as_toml, below, clip_folders, places_in_flat_folders
from dataset_pipeline.training.exporters.image_set import TRAIN, ImageSet
from dataset_pipeline.training.exporters.regularization import Regularization

DATASET = "dataset.toml"
GENERAL = {
    "resolution": [1024, 1024],
    "caption_extension": ".txt",
    "batch_size": 1,
    "enable_bucket": True,
    "bucket_no_upscale": True,
}


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    datasets: list[dict[str, Any]] = [
        {
            "image_directory": below(folder, concept.flat_folder),
            "cache_directory": below(folder, f"cache/{number:04d}"),
            "num_repeats": concept.repeats,
        }
        for number, concept in enumerate(images.concepts_of(TRAIN), start=1)
    ]
    for concept, path, clips in clip_folders(images, TRAIN):
        largest = max(clips, key=lambda clip: (clip.width_px * clip.height_px, clip.width_px))
        datasets.append(
            {
                "video_directory": below(folder, path),
                "cache_directory": below(folder, f"cache/{len(datasets) + 1:04d}"),
                "num_repeats": concept.repeats,
                "resolution": [largest.width_px, largest.height_px],
                "frame_extraction": "head",
                "target_frames": [clips[0].frames],
            }
        )
    return {DATASET: as_toml([("[general]", GENERAL), *(("[[datasets]]", dataset) for dataset in datasets)])}


def instructions(images: ImageSet) -> str:
    text = (
        f"`--dataset_config absolute/{DATASET}` for the scripts that cache and for training; write your `resolution` "
        "and `batch_size` into it. Held-out images, if any, are in `validation` and in no file; regularization images "
        "are left out: musubi-tuner knows neither. After `recaption`, cache the text encoder's outputs anew."
    )
    if images.clips:
        rates = " and ".join(str(rate) for rate in sorted({clip.fps for clip in images.clips}))
        text += (
            f" Clips are taken whole, at their {rates} frames per second: train a model of that rate on them. Held-out "
            "ones are in `clips_validation`. To train on clips alone, remove the datasets with `image_directory`."
        )
    return text


PROFILE = Profile(
    title="musubi-tuner",
    instructions=instructions,
    places=places_in_flat_folders,
    configs=configs,
    whole_repeats=True,
    reads_clips=True,
    regularization=Regularization(known=False),
    format=2,
)
