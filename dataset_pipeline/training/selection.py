"""Which images go into the training set, and the reason for each one left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.base.boxes import Box, area, place_of
from dataset_pipeline.base.ids import PANORAMA, PLATE_WITH_SUBJECT, episode_of, is_detail, kind_of_span
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.corrections.answers import KEPT, REJECTED
from dataset_pipeline.images.burnt_in_text import cut_of
from dataset_pipeline.images.stills import FRAME, is_still
from dataset_pipeline.settings import SelectionSettings
from dataset_pipeline.training.contents import Faces

STILL = "still"
OF_PLATE = "of_plate"
HALF_MS_S = 0.0005  # times of two tables may differ by what a float rounds
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
    by_hand: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    text: Mapping[str, Sequence[Box]] | None = None,
    covered_s: Mapping[str, Sequence[float]] | None = None,
) -> list[dict]:
    """Rows of `selection`, one for every row of `images`; all stills are of one kind, `still`. Details are wanted
    wherever they are made.

    quality, characters, faces, people: by image id; an image that is missing there shows nobody. repeated: stills of
    which another episode has the better copy. unseen: stills on which no detector looked for faces. by_hand: what a
    person chose, REJECTED or KEPT, which goes before all else. names: of characters as typed, by id. text: the boxes of
    burnt-in text, by still. covered_s: of panoramas, by id, as the table `panoramas` tells it.

    Reasons: selected; rejected_by_hand; kind_not_wanted; small; not_scored; not_tagged (missing in people, if that is
    given); low_quality; faces_not_counted (unseen, while the number of faces matters); too_few_faces; too_many_faces;
    nobody_known (no known character, on a crop, or on a still or detail while `without_characters` is off);
    character_not_wanted (none of `[selection] characters`); burnt_in_text (it shall not be in, or too little is left
    without it); repeated; in_panorama (a frame without a known character that a selected panorama shows whole, while
    `frames_of_panoramas` is thin); of_plate (the crop of somebody put back on a plate: one of the frame that they are
    from has the same pixels); crop_fills_still (the still is selected and shows the same).
    """
    faces, tagged = faces or {}, people
    people = people or {}
    rows = sorted(images, key=lambda row: row["image_id"])
    left = _without_text(rows, text or {}, settings) if text and settings.text != "keep" else {}
    reasons = {
        row["image_id"]: "repeated"
        if row["still_id"] in repeated
        else _reason(
            row,
            quality.get(row["image_id"]),
            tagged is None or row["image_id"] in tagged,
            [(it, (names or {}).get(it, it)) for it in characters.get(row["image_id"], ())],
            None if row["still_id"] in unseen else faces.get(row["image_id"], NO_FACES).count,
            settings,
            left.get(row["image_id"]),
        )
        for row in rows
    }
    chosen = by_hand or {}
    for image_id in chosen.keys() & reasons.keys():
        reasons[image_id] = "selected" if chosen[image_id] == KEPT else REJECTED
    if settings.frames_of_panoramas == "thin":
        reasons |= dict.fromkeys(
            _in_panoramas(rows, reasons, characters, covered_s or {}) - chosen.keys(), "in_panorama"
        )
    reasons |= {
        row["image_id"]: OF_PLATE
        for row in rows
        if reasons[row["image_id"]] == "selected" and row["image_id"] not in chosen and _is_of_plate(row)
    }
    for row in rows:
        if (
            not is_still(row)
            and chosen.get(row["image_id"]) != KEPT
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
            "cut_px": _cut_px(row, left.get(row["image_id"])) if reasons[row["image_id"]] == "selected" else None,
            "by_hand": chosen.get(row["image_id"]) == KEPT,
            "path": row["path"],
            "pixel_sha256": row["pixel_sha256"],
        }
        for row in rows
    ]


@dataclass(frozen=True)
class Left:
    """What of an image is without text, in pixels of its still; None if that is too little. All of it where `box` is
    its whole place."""

    box: Box | None


def _without_text(
    rows: Sequence[Mapping[str, Any]], text: Mapping[str, Sequence[Box]], settings: SelectionSettings
) -> dict[str, Left]:
    """By image what is left of it, for each image that text lies on. rows: of `images`."""
    heights = {row["image_id"]: row["height_px"] for row in rows if is_still(row)}
    found = {}
    for row in rows:
        if (boxes := text.get(row["still_id"])) and row["still_id"] in heights:
            place = place_of(row)
            box = cut_of(row, boxes, heights[row["still_id"]])
            if box != place:
                may_cut = settings.text == "crop" and not is_detail(row["kind"])  # a detail stays a square
                enough = may_cut and box and area(box) >= settings.min_share_without_text * area(place)
                found[row["image_id"]] = Left(box if enough else None)
    return found


def _cut_px(row: Mapping[str, Any], left: Left | None) -> list[int] | None:
    """What of an image goes in, in its own pixels."""
    if left is None or left.box is None:
        return None
    x, y = row["x_px"], row["y_px"]
    return [round(side - origin) for side, origin in zip(left.box, (x, y, x, y), strict=True)]


def _is_of_plate(row: Mapping[str, Any]) -> bool:
    """Details are none of those: `details` has one of all that look alike."""
    is_crop = not is_still(row) and not is_detail(row["kind"])
    return is_crop and kind_of_span(row["still_id"]) == PLATE_WITH_SUBJECT


def _in_panoramas(
    rows: Sequence[Mapping[str, Any]],
    reasons: Mapping[str, str],
    characters: Mapping[str, Sequence[str]],
    covered_s: Mapping[str, Sequence[float]],
) -> set[str]:
    """The selected frames without a known character that a selected panorama shows whole."""
    selected = [row for row in rows if reasons[row["image_id"]] == "selected" and is_still(row)]
    spans = [
        (episode_of(row["image_id"]), begins_s - HALF_MS_S, ends_s + HALF_MS_S)
        for row in selected
        if row["kind"] == PANORAMA
        for begins_s, ends_s in zip(*[iter(covered_s.get(row["image_id"], ()))] * 2, strict=True)
    ]
    return {
        row["image_id"]
        for row in selected
        if row["kind"] == FRAME
        and not characters.get(row["image_id"])
        and any(
            episode_of(row["image_id"]) == episode and start_s <= row["start_s"] <= end_s
            for episode, start_s, end_s in spans
        )
    }


def _reason(
    row: Mapping[str, Any],
    score: float | None,
    is_tagged: bool,
    characters: Sequence[tuple[str, str]],
    n_faces: int | None,
    settings: SelectionSettings,
    left: Left | None,
) -> str:
    """characters: id and name of each. left: without text, where there is any."""
    still, detail = is_still(row), is_detail(row["kind"])
    if not (settings.stills if still else detail or row["kind"] in settings.crops):
        return "kind_not_wanted"
    if min(row["width_px"], row["height_px"]) < settings.min_short_side_px:
        return "small"
    if score is None or math.isnan(score):
        return "not_scored"
    if not is_tagged:
        return "not_tagged"
    if settings.min_quality and score < settings.min_quality:
        return "low_quality"
    if reason := _reason_by_faces(n_faces, settings):
        return reason
    if not characters and not ((still or detail) and settings.without_characters):
        return "nobody_known"
    wanted = set(settings.characters)
    if wanted and not any({it, name, parse_character(name).name} & wanted for it, name in characters):
        return "character_not_wanted"
    if left is not None and left.box is None:
        return "burnt_in_text"
    if left is not None and left.box and _short_side_px(left.box) < settings.min_short_side_px:
        return "small"
    return "selected"


def _short_side_px(box: Box) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def _reason_by_faces(n_faces: int | None, settings: SelectionSettings) -> str:
    """Why the number of faces, None if not counted, leaves an image out; empty if it does not."""
    if n_faces is None:
        return "faces_not_counted" if settings.min_faces > 0 or settings.max_faces >= 0 else ""
    if n_faces < settings.min_faces:
        return "too_few_faces"
    return "too_many_faces" if 0 <= settings.max_faces < n_faces else ""
