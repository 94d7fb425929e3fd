"""Sets for kohya's sd-scripts, in its three forms: folders named by their repeats, dataset files, and metadata.

As it reads them (`library/config_util.py`, `library/*dataset*.py`):

- Folders (`train_data_dir`, `reg_data_dir`): each subfolder is a concept, its name split at `_`, the first part a whole
  number of repeats; pictures are looked for in that folder alone, the caption is the text of the same stem.
- Dataset file (`--dataset_config`): TOML; an unknown key anywhere is an error. Subsets of one folder are taken once.
  `keep_tokens_separator` is taken out of captions only where they are shuffled, so the two come together.
- Masks: with `conditioning_data_dir` in every subset; every picture needs a mask of its stem there, every mask a
  picture. Such subsets cannot be regularization images, so they have a file of their own.
- Metadata: JSON by picture; a key without a suffix is found below `image_dir` by old and new versions alike. The prompt
  is the caption, a separator, and the tags, so that a tag must not stand in both. Repeats belong to a subset, so each
  concept has a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dataset_pipeline.training.exporters.documents import (
    Profile,
    as_json,
    below,
    captioned_pictures,
    places_by_concept,
    quoted,
)
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import (
    KEEP_MARK,
    REGULARIZATION,
    TRAIN,
    Concept,
    ImageSet,
    Picture,
)

# Held-out pictures are kept out of both, so that no data directory of the trainer takes them.
DATASET, MASKED, FINETUNE = "dataset.toml", "dataset-masked.toml", "finetune.toml"
# The pictures of a set have many shapes and sizes; without these all are cropped to one, and small ones blown up. Where
# nothing is enlarged every side is cut to whole steps; those of 32 px, which every model takes, cut half as much as 64.
BUCKETS = {"enable_bucket": True, "bucket_no_upscale": True, "bucket_reso_steps": 32}


def folder_of(concept: Concept) -> str:
    return f"{concept.repeats}_{concept.flat_name}"


def places(images: ImageSet) -> dict[str, str]:
    return places_by_concept(images, lambda concept: f"{concept.part}/{folder_of(concept)}")


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    yield from captioned_pictures(images, places)
    for concept in images.concepts_of(TRAIN):
        metadata = {picture.stem: _metadata(picture) for picture in concept.pictures}
        yield File(f"metadata/{folder_of(concept)}.json", as_json(metadata).encode())
        if images.has_masks:
            for picture in concept.pictures:
                yield images.mask_file(_mask(concept, picture), picture)


def masks(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    return {
        picture.image_id: _mask(concept, picture)
        for concept in images.concepts_of(TRAIN)
        for picture in concept.pictures
    }


def _mask(concept: Concept, picture: Picture) -> str:
    return f"masks/{folder_of(concept)}/{picture.stem}.png"


def configs(images: ImageSet, folder: str) -> dict[str, str]:
    general: dict[str, Any] = {"caption_extension": ".txt"}
    if any(KEEP_MARK in picture.caption for picture in images.pictures):
        general |= {"shuffle_caption": True, "keep_tokens_separator": KEEP_MARK}

    def subset(concept: Concept) -> dict[str, Any]:
        return {
            "image_dir": below(folder, f"{concept.part}/{folder_of(concept)}"),
            "num_repeats": concept.repeats,
        }

    train = images.concepts_of(TRAIN)
    regularization = [subset(concept) | {"is_reg": True} for concept in images.concepts_of(REGULARIZATION)]
    metadata = [{"metadata_file": below(folder, f"metadata/{folder_of(concept)}.json")} for concept in train]
    texts = {
        DATASET: _toml(general, [subset(concept) for concept in train] + regularization),
        FINETUNE: _toml(
            {key: value for key, value in general.items() if key != "caption_extension"},
            [subset(concept) | source for concept, source in zip(train, metadata, strict=True)],
        ),
    }
    if images.has_masks:
        masks = [{"conditioning_data_dir": below(folder, f"masks/{folder_of(concept)}")} for concept in train]
        texts[MASKED] = _toml(general, [subset(concept) | source for concept, source in zip(train, masks, strict=True)])
    return texts


def _metadata(picture: Picture) -> dict[str, Any]:
    """The caption's parts that are tags of the image apart from the rest; their order within each is kept."""
    entry: dict[str, Any] = {"image_size": [picture.width_px, picture.height_px]}
    known = {_plain(tag) for tag in picture.tags}
    parts = [part.strip() for part in picture.caption.split(",")]
    tags = [part for part in parts if _plain(part) in known]
    if KEEP_MARK in picture.caption or not tags:
        return entry | {"caption": picture.caption}
    return entry | {
        "caption": ", ".join(part for part in parts if _plain(part) not in known),
        "tags": ", ".join(tags),
    }


def _plain(tag: str) -> str:
    return tag.replace("_", " ").casefold()


def _toml(general: Mapping[str, Any], subsets: list[dict[str, Any]]) -> str:
    blocks = [("[general]", general), ("[[datasets]]", BUCKETS)]
    blocks += [("[[datasets.subsets]]", subset) for subset in subsets]
    return "\n".join(_toml_block(heading, values) for heading, values in blocks if values)


def _toml_block(heading: str, values: Mapping[str, Any]) -> str:
    lines = [
        f"{key} = {quoted(value) if isinstance(value, str) else str(value).lower()}" for key, value in values.items()
    ]
    return "\n".join([heading, *lines]) + "\n"


PROFILE = Profile(
    title="kohya sd-scripts",
    instructions=(
        f"`--dataset_config {DATASET}` with `--resolution`, or `--train_data_dir train` (and `--reg_data_dir reg` if "
        f"there is one) with `--caption_extension .txt --enable_bucket`. `{FINETUNE}` is the same set by metadata "
        f"instead of text files. Where there are masks, `{MASKED}` is for `--masked_loss`; regularization images "
        "cannot be part of that. Held-out pictures, if any, are in `validation` and in no file: sd-scripts holds out "
        "by a share of its own."
    ),
    places=places,
    files=files,
    configs=configs,
    masks=masks,
    whole_repeats=True,
    keeps_mark=True,
)
