"""Which images go into the set, and for each one left out, why."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from dataset_pipeline.settings import SelectionSettings

STILL = "still"


def images_of(distinct_frames: Iterable[Mapping[str, Any]], crops: Iterable[Mapping[str, Any]]) -> list[dict]:
    """The images that exist: kept stills and kept crops with image_id, still_id, kind, width_px, height_px,
    still_share (None for stills), path and pixel_sha256, sorted by id."""
    stills = [
        {
            "image_id": row["image_id"],
            "still_id": row["image_id"],
            "kind": STILL,
            "width_px": row["width_px"],
            "height_px": row["height_px"],
            "still_share": None,
            "path": row["path"],
            "pixel_sha256": row["pixel_sha256"],
        }
        for row in distinct_frames
        if row["kept"]
    ]
    columns = ("image_id", "still_id", "kind", "width_px", "height_px", "still_share", "path", "pixel_sha256")
    pieces = [{name: row[name] for name in columns} for row in crops if row["kept"]]
    return sorted(stills + pieces, key=lambda row: row["image_id"])


def select(
    images: Iterable[Mapping[str, Any]],
    quality: Mapping[str, float],
    clusters: Iterable[Mapping[str, Any]],
    settings: SelectionSettings,
    repeated: Collection[str] = (),
) -> list[dict]:
    """Rows of `selection`, one for every image of `images_of`.

    quality: score by image id. Reasons: selected; kind_not_wanted; small; not_scored; low_quality; nobody_known (a
    crop nobody was recognised on, or such a still where stills without characters are not wanted); repeated (of a still
    among `repeated`, of which another episode has the better copy); crop_fills_still (the still goes in and shows the
    same).
    """
    characters = {row["image_id"]: list(row["characters"]) for row in clusters}
    rows = sorted(images, key=lambda row: row["image_id"])
    reasons = {row["image_id"]: _reason(row, quality, characters.get(row["image_id"], []), settings) for row in rows}
    reasons |= {row["image_id"]: "repeated" for row in rows if row["still_id"] in repeated}
    for row in rows:
        if (
            row["kind"] != STILL
            and reasons[row["image_id"]] == "selected"
            and reasons.get(row["still_id"]) == "selected"
            and row["still_share"] > settings.max_crop_share
        ):
            reasons[row["image_id"]] = "crop_fills_still"
    return [
        {
            "image_id": row["image_id"],
            "still_id": row["still_id"],
            "kind": row["kind"],
            "selected": reasons[row["image_id"]] == "selected",
            "reason": reasons[row["image_id"]],
            "quality": quality.get(row["image_id"]),
            "characters": sorted(characters.get(row["image_id"], [])),
            "path": row["path"],
            "pixel_sha256": row["pixel_sha256"],
        }
        for row in rows
    ]


def _reason(
    row: Mapping[str, Any], quality: Mapping[str, float], characters: list[str], settings: SelectionSettings
) -> str:
    still = row["kind"] == STILL
    if not (settings.stills if still else row["kind"] in settings.crops):
        return "kind_not_wanted"
    if min(row["width_px"], row["height_px"]) < settings.min_short_side_px:
        return "small"
    score = quality.get(row["image_id"])
    if score is None or math.isnan(score):
        return "not_scored"
    if score < settings.min_quality:
        return "low_quality"
    if not characters and not (still and settings.without_characters):
        return "nobody_known"
    return "selected"
