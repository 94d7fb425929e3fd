"""Sets for EveryDream2: folders of pictures, each with its caption beside it and a multiply for the folder.

As its loader reads them (`data/dataset.py`): folders are walked through, hidden ones left out; a picture's caption is
the text file of the same stem, split at commas; `multiply.txt` is one float for the pictures of its own folder, where 0
counts as 1; zip files are unpacked. It knows no regularization images: those are trained on like the others. Held-out
pictures are read only where `val_split_mode` is `manual` (`data/every_dream_validation.py`); by default a share of
those to train on is held out instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataset_pipeline.training.exporters.documents import Profile, captioned_pictures
from dataset_pipeline.training.exporters.folder import File
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, VALIDATION, ImageSet


def folder_of(part: str, concept: str) -> str:
    return f"{TRAIN}/{REGULARIZATION}/{concept}" if part == REGULARIZATION else f"{part}/{concept}"


def places(images: ImageSet) -> dict[str, str]:
    return {
        picture.image_id: f"{folder_of(picture.part, picture.concept)}/{picture.name}" for picture in images.pictures
    }


def files(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    for concept in images.concepts:
        text = f"{multiply_text(concept.multiply)}\n"
        yield File(f"{folder_of(concept.part, concept.name)}/multiply.txt", text.encode())
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
    return text


PROFILE = Profile(
    title="EveryDream2",
    instructions=instructions,
    places=places,
    files=files,
    format=3,
)
