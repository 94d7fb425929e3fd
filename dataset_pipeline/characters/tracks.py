"""Which track a crop belongs to. A track is one person over the frames of a shot: a row of `tracks`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.boxes import Box, box_of, iou
from dataset_pipeline.base.ids import box_of_crop, kind_of_span, pts_ms_of

KINDS = ("person", "head")  # of the boxes that are looked for, and of the vectors
MIN_IOU = 0.5  # of a crop's box and a track's at that time
ROUNDED_S = 0.0015  # times in ids are whole milliseconds

Track = Mapping[str, Any]


def box_at(track: Track, pts_s: float, kind: str = "person") -> Box | None:
    """Where a track's person or head is at a time, in pixels: between samples by straight lines, beyond them as in the
    nearest, and as long as a picture is held, where it was. None outside of its time and without a box of that kind."""
    if not track["start_s"] - ROUNDED_S <= pts_s <= track["end_s"] + ROUNDED_S:
        return None
    known = [(sample, box) for sample in track["samples"] if (box := _box(sample, kind)) is not None]
    before = [(sample, box) for sample, box in known if sample["pts_s"] <= pts_s + ROUNDED_S]
    after = next(((sample, box) for sample, box in known if sample["pts_s"] > pts_s + ROUNDED_S), None)
    if not before or after is None:
        return (before[-1] if before else after or (None, None))[1]
    (sample, box), (later, there) = before[-1], after
    since_s, way_s = pts_s - sample["held_until_s"], later["pts_s"] - sample["held_until_s"]
    share = min(1.0, max(0.0, since_s / way_s)) if way_s > 0 else 1.0
    x0, y0, x1, y1 = (a + share * (b - a) for a, b in zip(box, there, strict=True))
    return x0, y0, x1, y1


def boxes_on(pts: Sequence[int], pts_s: Sequence[float], tracks: Iterable[Track]) -> dict[int, list[Box]]:
    """Where people are on frames of one shot, by their pts: an empty list where nobody is. Tracks that end where the
    first frame begins are of the shot before."""
    here = [row for row in tracks if row["start_s"] <= pts_s[-1] + ROUNDED_S and row["end_s"] > pts_s[0] + ROUNDED_S]
    return {
        at: [box for row in here if (box := box_at(row, at_s)) is not None] for at, at_s in zip(pts, pts_s, strict=True)
    }


def track_of(crop: str, tracks: Iterable[Track]) -> str | None:
    """The id of the track that a crop of a frame, a person's or a head's, belongs to by its id alone: that whose box at
    that time overlaps most, with an IoU of at least `MIN_IOU`. None for other crops, and where there is none.

    tracks: rows of `tracks` of the crop's episode.
    """
    best = max(_overlaps(crop, tracks), default=(0.0, ""))
    return best[1] if best[0] >= MIN_IOU else None


def tracks_of(crops: Sequence[str], tracks: Sequence[Track]) -> dict[str, str]:
    """The track of each crop that has one, by the crop's id. Of one kind of crops of one frame no two have one track:
    that which overlaps most has it."""
    pairs = [
        (overlap, track, crop) for crop in crops for overlap, track in _overlaps(crop, tracks) if overlap >= MIN_IOU
    ]
    found: dict[str, str] = {}
    taken: set[tuple[str, str, str]] = set()
    for _, track, crop in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        place = (crop.partition("#")[0], box_of_crop(crop)[0], track)
        if crop not in found and place not in taken:
            found[crop] = track
            taken.add(place)
    return found


def _overlaps(crop: str, tracks: Iterable[Track]) -> list[tuple[float, str]]:
    pts_ms, (kind, shares) = pts_ms_of(crop), box_of_crop(crop)
    if pts_ms is None or kind not in KINDS or kind_of_span(crop):  # of a panorama boxes lie elsewhere than on frames
        return []
    found = []
    for track in tracks:
        box = box_at(track, pts_ms / 1000, kind)
        if box is not None:
            width, height = track["width_px"], track["height_px"]
            x0, y0, x1, y1 = shares
            found.append((iou(box, (x0 * width, y0 * height, x1 * width, y1 * height)), track["track_id"]))
    return found


def _box(sample: Mapping[str, Any], kind: str) -> Box | None:
    place = sample if kind == "person" else sample["head"]
    return None if place is None else box_of(place)
