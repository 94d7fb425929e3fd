"""Which images go into the training set, and the reason for each one left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.images.stills import is_still
from dataset_pipeline.settings import SelectionSettings
from dataset_pipeline.training.contents import Faces

STILL = "still"
NO_FACES = Faces()


def select(
    images: Iterable[Mapping[str, Any]],
    quality: Mapping[str, float],
    characters: Mapping[str, Sequence[str]],
    settings: SelectionSettings,
    repeated: Collection[str] = (),
    faces: Mapping[str, Faces] | None = None,
    people: Mapping[str, int] | None = None,
    unseen: Collection[str] = (),
) -> list[dict]:
    """Rows of `selection`, one for every row of `images`; all stills are of one kind, `still`.

    quality, characters, faces, people: by image id; an image that is missing there shows nobody. repeated: stills of
    which another episode has the better copy. unseen: stills on which no detector looked for faces.

    Reasons: selected; kind_not_wanted; small; not_scored; not_tagged (missing in people, if that is given);
    low_quality; faces_not_counted (unseen, while the number of faces matters); too_few_faces; too_many_faces;
    nobody_known (no known character, on a crop or on a still while `without_characters` is off); character_not_wanted
    (none of `[selection] characters`); repeated; crop_fills_still (the still is selected and shows the same).
    """
    faces, tagged = faces or {}, people
    people = people or {}
    rows = sorted(images, key=lambda row: row["image_id"])
    reasons = {
        row["image_id"]: "repeated"
        if row["still_id"] in repeated
        else _reason(
            row,
            quality.get(row["image_id"]),
            tagged is None or row["image_id"] in tagged,
            characters.get(row["image_id"], ()),
            None if row["still_id"] in unseen else faces.get(row["image_id"], NO_FACES).count,
            settings,
        )
        for row in rows
    }
    for row in rows:
        if (
            not is_still(row)
            and reasons[row["image_id"]] == "selected"
            and reasons.get(row["still_id"]) == "selected"
            and row["still_share"] > settings.max_crop_share
        ):
            reasons[row["image_id"]] = "crop_fills_still"
    return [
        {
            "image_id": row["image_id"],
            "still_id": row["still_id"],
            "kind": STILL if is_still(row) else row["kind"],
            "selected": reasons[row["image_id"]] == "selected",
            "reason": reasons[row["image_id"]],
            "quality": quality.get(row["image_id"]),
            "characters": sorted(characters.get(row["image_id"], ())),
            "n_faces": faces.get(row["image_id"], NO_FACES).count,
            "face_height_share": faces.get(row["image_id"], NO_FACES).height_share,
            "n_people": people.get(row["image_id"], 0),
            "path": row["path"],
            "pixel_sha256": row["pixel_sha256"],
        }
        for row in rows
    ]


def _reason(
    row: Mapping[str, Any],
    score: float | None,
    is_tagged: bool,
    characters: Sequence[str],
    n_faces: int | None,
    settings: SelectionSettings,
) -> str:
    still = is_still(row)
    if not (settings.stills if still else row["kind"] in settings.crops):
        return "kind_not_wanted"
    if min(row["width_px"], row["height_px"]) < settings.min_short_side_px:
        return "small"
    if score is None or math.isnan(score):
        return "not_scored"
    if not is_tagged:
        return "not_tagged"
    if score < settings.min_quality:
        return "low_quality"
    if reason := _reason_by_faces(n_faces, settings):
        return reason
    if not characters and not (still and settings.without_characters):
        return "nobody_known"
    if settings.characters and not any(
        name in settings.characters or parse_character(name).name in settings.characters for name in characters
    ):
        return "character_not_wanted"
    return "selected"


def _reason_by_faces(n_faces: int | None, settings: SelectionSettings) -> str:
    """Why the number of faces, None if not counted, leaves an image out; empty if it does not."""
    if n_faces is None:
        return "faces_not_counted" if settings.min_faces > 0 or settings.max_faces >= 0 else ""
    if n_faces < settings.min_faces:
        return "too_few_faces"
    return "too_many_faces" if 0 <= settings.max_faces < n_faces else ""
