"""What of a reference picture is looked at: the largest person and their head, cut as crops of stills are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import place_of
from dataset_pipeline.base.pairing import owners_of
from dataset_pipeline.characters.tracks import KINDS
from dataset_pipeline.images.crops import cut, plan_crops
from dataset_pipeline.settings import CropsSettings

STILL = "references.picture/00000000"  # any id of a still: that of a crop is made of it, and is not kept
WHOLE = "picture"  # the view of a picture on which nobody was found


def reference_views(
    picture: np.ndarray, boxes: Iterable[Mapping[str, Any]], settings: CropsSettings
) -> list[tuple[str, np.ndarray]]:
    """Kind and pixels of each view: the largest person and their head, one of the two, or the whole picture.

    picture: uint8 [height, width, 3]. boxes: rows of `detections`; `[crops]` says which count, of any size.
    """
    height, width = picture.shape[:2]
    any_size = {f"{kind}_min_side_px": 1 for kind in KINDS}
    planned = plan_crops(STILL, (width, height), boxes, settings.model_copy(update={"kinds": list(KINDS), **any_size}))
    people, heads = ([row for row in planned if row["kind"] == kind] for kind in KINDS)
    person = _largest(people)
    owners = owners_of([place_of(row) for row in heads], [place_of(row) for row in people])
    theirs = [heads[head] for head, owner in owners.items() if people[owner] is person]
    head = _largest(theirs if people else heads)
    found = [row for row in (person, head) if row is not None]
    return [(row["kind"], cut(picture, row)) for row in found] or [(WHOLE, picture)]


def _largest(rows: Iterable[dict]) -> dict | None:
    return max(rows, key=lambda row: (row["width_px"] * row["height_px"], row["image_id"]), default=None)
