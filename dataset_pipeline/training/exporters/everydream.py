"""Sets for EveryDream2: folders of pictures, each with its caption beside it and a multiply for the folder.

As its loader reads them (`data/dataset.py`): folders are walked through, hidden ones left out; a picture's caption is
the text file of the same stem, split at commas; `multiply.txt` is one float for the pictures of its own folder, where 0
counts as 1, and of a fraction as many pictures are drawn anew for each epoch; `loss_scale.txt` is by how much those of
its own folder count; zip files are unpacked. It knows no regularization images: those are trained on like the others,
with a multiply by which an epoch shows as many as their share and a `loss_scale.txt` to weigh them by. Held-out
pictures are read only where `val_split_mode` is `manual` (`data/every_dream_validation.py`); by default a share of
those to train on is held out instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataset_pipeline.training.exporters.documents import Profile, captioned_pictures
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, ImageSet
from dataset_pipeline.training.exporters.regularization import Regularization, ShownClass, shown_classes

LOSS_SCALE = "loss_scale.txt"
REGULARIZES = Regularization()


def folder_of(part: str, concept: str) -> str:
    return f"{TRAIN}/{REGULARIZATION}/{concept}" if part == REGULARIZATION else f"{part}/{concept}"


def places(images: ImageSet) -> dict[str, str]:
    spare = {
        picture.image_id: f"{shown.spare_folder}/{picture.name}"
        for shown in _classes(images)
        for picture in shown.spare
    }
    return {
        picture.image_id: f"{folder_of(picture.part, picture.concept)}/{picture.name}" for picture in images.pictures
    } | spare


def _classes(images: ImageSet) -> list[ShownClass]:
    return shown_classes(images, REGULARIZES, whole_repeats=False)


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    multiplies = {
        folder_of(concept.part, concept.name): concept.multiply
        for concept in images.concepts
        if concept.part != REGULARIZATION
    }
    for shown in _classes(images):
        if shown.used:
            folder = folder_of(REGULARIZATION, shown.concept.name)
            multiplies[folder] = shown.share.slots / shown.share.used
            yield File(f"{folder}/{LOSS_SCALE}", b"1.0\n")
    for folder, multiply in multiplies.items():
        yield File(f"{folder}/multiply.txt", f"{multiply_text(multiply)}\n".encode())
    yield from captioned_pictures(images, places)


def multiply_text(multiply: float) -> str:
    """Two decimals, more where it would otherwise lose its meaning: 0.004 must not become 0, which is read as 1."""
    return f"{multiply:.2f}" if multiply >= 0.1 else f"{multiply:.3g}"


def instructions(images: ImageSet) -> str:
    text = "`data_root` is the folder `train`."
    if VALIDATION in images.parts:
        text += (
            " Held-out pictures are in `validation`: in the file that `validation_config` names, write "
            '`"val_split_mode": "manual", "manual_data_root": "<this folder>/validation"`; by default the trainer '
            "takes a share of `train` away instead."
        )
    if REGULARIZATION in images.parts:
        text += (
            f" Regularization pictures are in `{TRAIN}/{REGULARIZATION}` and trained on like the others: "
            f"`{LOSS_SCALE}` beside them says how much they count, 1.0 as much as others."
        )
    return text


PROFILE = Profile(
    title="EveryDream2",
    instructions=instructions,
    places=places,
    files=files,
    regularization=REGULARIZES,
    format=4,
)
