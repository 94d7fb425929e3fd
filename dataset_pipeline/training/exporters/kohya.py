"""Sets for kohya's sd-scripts, in its three forms: folders named by their repeats, dataset files, and metadata.

As it reads them (`library/config_util.py`, `library/*dataset*.py`):

- Folders (`train_data_dir`, `reg_data_dir`): each subfolder is a concept, its name split at `_`, the first part a whole
  number of repeats; pictures are looked for in that folder alone, the caption is the text of the same stem.
- Dataset file (`--dataset_config`): TOML; an unknown key anywhere is an error. Subsets of one folder are taken once.
  `keep_tokens_separator` is taken out of captions only where they are shuffled, so the two come together; where
  captions are shuffled, `--cache_text_encoder_outputs` is refused. A dataset with the float `validation_split = 1.0` is
  held out whole, each picture once, from v0.10 on; older versions refuse the key, so it has a file of its own.
- Buckets: `bucket_reso_steps` must be a multiple of 64 for SD 1 and 2, and in v0.9 for SDXL too
  (`verify_bucket_reso_steps`). With `bucket_no_upscale` a side below a step is cut to nothing, which fails in training.
- Masks: with `conditioning_data_dir` in every subset; every picture needs a mask of its stem there, every mask a
  picture. Such subsets cannot be regularization images, so they have a file of their own.
- Regularization (`DreamBoothDataset.__init__`): there are as many slots as images to train on with their repeats. Each
  subset's pictures are taken in turn, sorted by file name and `num_repeats` times, until the slots are full; what
  follows is never used. Slots that are left are filled by all of them once more, in the same order, which for folders
  is as the disk lists them. So a class has no more pictures here than slots, and folders by the times that each is
  shown, which fill the slots whatever their order; one class alone is spread evenly by the trainer itself.
- Metadata: JSON by picture. A key is a path below `image_dir` with its suffix; v0.9 takes it from where the trainer was
  started. Both find a key below the set's folder, where `image_dir` is that folder and the trainer is started in it.
  Caption and tags would be joined by a comma without a space, so the whole caption stands in `caption`. Repeats belong
  to a subset, so each concept has a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_pipeline.tags.templates import KEEP_MARK
from dataset_pipeline.training.exporters.documents import (
    Profile,
    as_json,
    as_toml,
    below,
    captioned_pictures,
    places_by_concept,
)
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import (
    REGULARIZATION,
    TRAIN,
    VALIDATION,
    Concept,
    ImageSet,
    Picture,
)
from dataset_pipeline.training.exporters.regularization import SPARE, Regularization, shown_classes

DATASET, MASKED, FINETUNE = "dataset.toml", "dataset-masked.toml", "finetune.toml"
HOLDING_OUT = "dataset-validation.toml"
STEP_PX = 64
# The pictures of a set have many shapes and sizes; without these all are cropped to one, and small ones blown up.
BUCKETS = {"enable_bucket": True, "bucket_no_upscale": True, "bucket_reso_steps": STEP_PX}
REGULARIZES = Regularization(cut=True, fills=True)
NAMED = 20  # pictures that the card names, of those too small


def folder_of(concept: Concept) -> str:
    return f"{concept.repeats}_{concept.flat_name}"


def places(images: ImageSet) -> dict[str, str]:
    found = places_by_concept(images, lambda concept: f"{concept.part}/{folder_of(concept)}")
    for folder, (_, pictures) in class_folders(images).items():
        for picture in pictures:
            found[picture.image_id] = f"{folder}/{picture.place:05d}-{picture.name}"
    return found


def class_folders(images: ImageSet) -> dict[str, tuple[int, list[Picture]]]:
    """The folders of regularization pictures, with their `num_repeats` and pictures; 0 repeats where no trainer is to
    look."""
    classes = shown_classes(images, REGULARIZES, whole_repeats=True)
    found: dict[str, tuple[int, list[Picture]]] = {}
    for shown in classes:
        for picture, shown_times in zip(shown.pictures, shown.share.times, strict=True):
            times = min(shown_times, 1) if len(classes) == 1 else shown_times
            folder = f"{REGULARIZATION}/{times}_{shown.concept.flat_name}" if times else shown.spare_folder
            found.setdefault(folder, (times, []))[1].append(picture)
    return found


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    yield from captioned_pictures(images, places)
    for concept in images.concepts_of(TRAIN):
        metadata = {places[picture.image_id]: _metadata(picture) for picture in concept.pictures}
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
    if _has_mark(images):
        general |= {"shuffle_caption": True, "keep_tokens_separator": KEEP_MARK}

    def subset(concept: Concept) -> dict[str, Any]:
        return {
            "image_dir": below(folder, f"{concept.part}/{folder_of(concept)}"),
            "num_repeats": concept.repeats,
        }

    train = images.concepts_of(TRAIN)
    trained = [subset(concept) for concept in train]
    trained += [
        {"image_dir": below(folder, path), "num_repeats": times, "is_reg": True}
        for path, (times, _) in class_folders(images).items()
        if times
    ]
    metadata = [
        {
            "image_dir": folder or ".",
            "num_repeats": concept.repeats,
            "metadata_file": below(folder, f"metadata/{folder_of(concept)}.json"),
        }
        for concept in train
    ]
    texts = {
        DATASET: _toml(general, [(BUCKETS, trained)]),
        FINETUNE: _toml(
            {key: value for key, value in general.items() if key != "caption_extension"}, [(BUCKETS, metadata)]
        ),
    }
    if held_out := [subset(concept) for concept in images.concepts_of(VALIDATION)]:
        validation = BUCKETS | {"validation_split": 1.0}
        texts[HOLDING_OUT] = _toml(general, [(BUCKETS, trained), (validation, held_out)])
    if images.has_masks:
        masks = [{"conditioning_data_dir": below(folder, f"masks/{folder_of(concept)}")} for concept in train]
        masked = [subset(concept) | source for concept, source in zip(train, masks, strict=True)]
        texts[MASKED] = _toml(general, [(BUCKETS, masked)])
    return texts


def _has_mark(images: ImageSet) -> bool:
    return any(KEEP_MARK in picture.caption for picture in images.pictures)


def _metadata(picture: Picture) -> dict[str, Any]:
    return {"caption": picture.caption, "image_size": [picture.width_px, picture.height_px]}


def _toml(general: Mapping[str, Any], datasets: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]) -> str:
    """A dataset file: what holds for all, and each dataset with its subsets."""
    blocks: list[tuple[str, Mapping[str, Any]]] = [("[general]", general)]
    for values, subsets in datasets:
        blocks += [("[[datasets]]", values), *(("[[datasets.subsets]]", subset) for subset in subsets)]
    return as_toml(blocks)


def instructions(images: ImageSet) -> str:
    flags = "--caption_extension .txt --enable_bucket"
    if _has_mark(images):
        flags += f' --shuffle_caption --keep_tokens_separator "{KEEP_MARK}"'
    text = (
        f"`--dataset_config {DATASET}` with `--resolution`, or `--train_data_dir train` (and `--reg_data_dir reg`, the "
        f"folder above those of the classes, if there is one) with `{flags}`. `{FINETUNE}` is the same "
        "set by metadata instead of text files; sd-scripts v0.9 and older find its pictures only when started in this "
        f"folder. Where there are masks, `{MASKED}` is for `--masked_loss`; regularization images cannot be part "
        f"of that. Held-out pictures, if any, are in `validation`: `{HOLDING_OUT}` is `{DATASET}` with them as "
        "validation set, for sd-scripts v0.10 and newer; older ones refuse it."
    )
    if _has_mark(images):
        text += (
            f"\n\nCaptions hold the mark `{KEEP_MARK}`: only what follows it is shuffled. A mark cannot be used with "
            "`--cache_text_encoder_outputs`: sd-scripts caches no captions that are shuffled."
        )
    if images.concepts_of(REGULARIZATION):
        text += (
            "\n\nRegularization pictures fill as many slots as there are images to train on with their repeats, each "
            "class its share and each picture used. Where you change repeats or take images out, run "
            "`dataset-pipeline rebalance` on this folder, with `--drop-missing` for those taken out: by itself the "
            f"trainer starves a class. Pictures in `{SPARE}`, if any, are too many for the slots. "
            "`--prior_loss_weight` says how much they count."
        )
    return text + _too_small_text(images)


def _too_small_text(images: ImageSet) -> str:
    small = [picture.image_id for picture in images.pictures if min(picture.width_px, picture.height_px) < STEP_PX]
    if not small:
        return ""
    listed = ", ".join(f"`{image_id}`" for image_id in small[:NAMED])
    more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
    return (
        f"\n\n**Pictures with a side below {STEP_PX} px: {len(small)}. The files give them buckets of no pixels, at "
        f"which training stops.** Leave them out, or take `bucket_no_upscale` out of the files: {listed}{more}."
    )


PROFILE = Profile(
    title="kohya sd-scripts",
    instructions=instructions,
    places=places,
    files=files,
    configs=configs,
    masks=masks,
    whole_repeats=True,
    keeps_mark=True,
    regularization=REGULARIZES,
    format=3,
)
