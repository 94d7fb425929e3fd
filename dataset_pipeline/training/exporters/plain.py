"""Pictures with a text file beside each and nothing else, in one folder for each part of the set."""

from __future__ import annotations

from dataset_pipeline.training.exporters.documents import Profile
from dataset_pipeline.training.exporters.image_set import ImageSet


def places(images: ImageSet) -> dict[str, str]:
    return {picture.image_id: f"{picture.part}/{picture.name}" for picture in images.pictures}


PROFILE = Profile(
    title="any trainer that reads pictures with text files beside them",
    instructions=lambda images: (
        "Give it the folder `train`. All pictures lie right in it, so that the multiplies below are not applied."
    ),
    places=places,
)
