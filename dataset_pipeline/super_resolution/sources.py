"""Which pictures are fit to be tiled, and for each one left out, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.images.pictures import PictureError, list_pictures, open_picture
from dataset_pipeline.images.resize import pixel_sha256
from dataset_pipeline.repeated.near_duplicates import DEFECTS, defect_rank, distinct
from dataset_pipeline.settings import FrameDefectsSettings, SrSourcesSettings
from dataset_pipeline.super_resolution.native_height import Upscale
from dataset_pipeline.super_resolution.signatures import as_vectors, signature
from dataset_pipeline.video.letterbox import FRAMES_THAT_AGREE, Bars, find_bars

KEPT, BLANK, TEXT, BARS, EXCLUDED, DUPLICATE = "kept", "blank", "text", "bars", "excluded", "duplicate"
UNREADABLE, UPSCALED, UNLIKE, BLURRED = "unreadable", "upscaled", "unlike", "blurred"
SOFT_SIDE_PX = 288  # short side of the copy that softness is measured on
SOFT_REACH_PX = 8  # over which an edge has all of its contrast, if it is no smear
SOFT_PERCENTILE = 99.9  # of all differences: those at the hardest edges
SOFT_LEAST_LEVELS = 10  # of contrast, below which a direction has no edges to tell by

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Look:
    """What a picture looks like, by a small copy of it. vector: as of `as_vectors`. softness: as of `softness`."""

    signature: bytes
    vector: np.ndarray
    has_bars: bool
    softness: float = 0.0


@dataclass(frozen=True)
class Excluded:
    """Pictures that must not be in a set, by name. unread: why some could not be read, by name."""

    names: list[str] = field(default_factory=list)
    vectors: np.ndarray = field(default_factory=lambda: as_vectors([]))
    name_of_pixels: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def looked_at(picture: np.ndarray) -> Look:
    """A picture or its working copy, uint8 [height, width, 3] RGB."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    # A bar is where several frames agree; of a picture there is but one.
    bars = find_bars([luma] * FRAMES_THAT_AGREE, black=0, chroma_px=1)
    small = signature(picture)
    return Look(small, as_vectors([small])[0], bars != Bars(), softness(luma))


def softness(luma: np.ndarray) -> float:
    """How soft the hardest edges of a picture uint8 [height, width] are, in its softer direction, from 0 to 1: what of
    their contrast the step from one pixel to the next lacks. By a copy of 288 px, so that it says how large the blur is
    in the picture.

    A camera that flies by smears all that is upright and leaves level lines as hard as they were. What stands sharp
    before a soft background is what counts; a whole picture out of focus is soft however it was drawn.
    """
    shrink = SOFT_SIDE_PX / min(luma.shape)
    small = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else luma
    found = 0.0
    for levels in (small.astype(np.int16), small.T.astype(np.int16)):
        if levels.shape[1] <= SOFT_REACH_PX:
            continue
        whole = np.percentile(np.abs(levels[:, SOFT_REACH_PX:] - levels[:, :-SOFT_REACH_PX]), SOFT_PERCENTILE)
        step = np.percentile(np.abs(levels[:, 1:] - levels[:, :-1]), SOFT_PERCENTILE)
        if whole >= SOFT_LEAST_LEVELS:
            found = max(found, 1 - float(step / whole))
    return found


def excluded_in(folder: Path | None) -> Excluded:
    """The pictures of a folder and those below it; none without a folder."""
    found = Excluded()
    signatures = []
    for file in list_pictures(folder) if folder else ():
        try:
            picture = open_picture(file.path)
        except (PictureError, OSError) as error:
            found.unread[file.relative] = str(error)
            continue
        found.names.append(file.relative)
        found.name_of_pixels[pixel_sha256(picture)] = file.relative
        signatures.append(signature(picture))
    return Excluded(found.names, as_vectors(signatures), found.name_of_pixels, found.unread)


def decide_sources(
    frames: Iterable[Mapping[str, Any]],
    looks: Mapping[str, Look],
    excluded: Excluded,
    settings: SrSourcesSettings,
    defects: FrameDefectsSettings,
    with_text: Collection[str] = (),
    are_distinct: bool = False,
) -> Rows:
    """Rows of `sr_sources` without pictures, by image id.

    frames: rows of `keyframes`. looks: of those whose working copy could be read. with_text: ids of those on which text
    was found. are_distinct: near-duplicates are gone already. The first of these reasons counts: unreadable, blank, a
    defect that `defects.drop` names, bars, text, blurred, excluded, duplicate. Of near-duplicates one
    without defects stays, of those the largest, of those the sharpest: what was shrunk always looks sharper.
    """
    limits = {name: float(getattr(defects, f"max_{name}")) for name in DEFECTS}
    dropped = {name: limits[name] for name in DEFECTS if name in defects.drop}
    ordered = sorted(frames, key=lambda frame: _rank(frame, limits))
    rows = {}
    for frame in ordered:
        look = looks.get(frame["image_id"])
        reason, of, similarity = _why_unfit(frame, look, settings, dropped, with_text), "", None
        if not reason and look is not None:
            of, similarity = _like_excluded(look, excluded, settings.similarity)
            reason = EXCLUDED if of else ""
        rows[frame["image_id"]] = {
            **{name: frame[name] for name in ("image_id", "episode", "width_px", "height_px")},
            "kept": not reason,
            "reason": reason or KEPT,
            "of": of,
            "similarity": similarity,
            "signature": look.signature if look else b"",
            "native_px": None,
            "kernel": None,
        }
    if not are_distinct:
        _drop_duplicates([row for row in rows.values() if row["kept"]], looks, settings.similarity)
    return sorted(rows.values(), key=lambda row: row["image_id"])


def decide_pairs(
    pairs: Iterable[Mapping[str, Any]],
    looks: Mapping[str, Look],
    excluded: Excluded,
    settings: SrSourcesSettings,
    defects: FrameDefectsSettings,
) -> Rows:
    """As `decide_sources`, of the high pictures of pairs, rows of `release_pairs`: those that correlate too little with
    their low ones are left out first."""
    alike, unlike = list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    for pair in pairs:
        (alike if pair["correlation"] >= settings.min_correlation else unlike).append(pair)
    lost = {"kept": False, "reason": UNLIKE, "of": "", "similarity": None, "native_px": None, "kernel": None}
    lost["signature"] = b""
    rows = decide_sources(alike, looks, excluded, settings, defects)
    rows += [{name: it[name] for name in ("image_id", "episode", "width_px", "height_px")} | lost for it in unlike]
    return sorted(rows, key=lambda row: row["image_id"])


def with_pictures(rows: Iterable[Mapping[str, Any]], pictures: Iterable[Mapping[str, Any]]) -> Rows:
    """The rows, kept ones with the path and the pixels of the picture of their id, which is there already."""
    whole = {row["image_id"]: {name: row[name] for name in ("path", "pixel_sha256")} for row in pictures}
    nowhere = {"path": "", "pixel_sha256": ""}
    return [{**row, **(whole[row["image_id"]] if row["kept"] else nowhere)} for row in rows]


def _rank(frame: Mapping[str, Any], limits: Mapping[str, float]) -> tuple[bool, bool, int, int, str]:
    """Sorts frames best first."""
    combed, faulty, soft = defect_rank(frame, limits)
    return combed, faulty, -frame["width_px"] * frame["height_px"], soft, frame["image_id"]


def _why_unfit(
    frame: Mapping[str, Any],
    look: Look | None,
    settings: SrSourcesSettings,
    limits: Mapping[str, float],
    with_text: Collection[str],
) -> str:
    if look is None:
        return UNREADABLE
    if frame["contrast"] < settings.min_contrast or not look.vector.any():
        return BLANK
    if defect := next((name for name, limit in limits.items() if frame[name] > limit), ""):
        return defect
    if look.has_bars:  # whose edges may look like lettering
        return BARS
    if frame["text"] > settings.max_text or frame["image_id"] in with_text:
        return TEXT
    return BLURRED if look.softness > settings.max_blur else ""


def _like_excluded(look: Look, excluded: Excluded, similarity: float) -> tuple[str, float | None]:
    """(name of the excluded picture that it is most like, how much), if that is above the limit."""
    if not excluded.names:
        return "", None
    likeness = excluded.vectors @ look.vector
    best = int(likeness.argmax())
    return (excluded.names[best], float(likeness[best])) if likeness[best] > similarity else ("", None)


def _drop_duplicates(best_first: Sequence[dict[str, Any]], looks: Mapping[str, Look], similarity: float) -> None:
    if not best_first:
        return
    groups = distinct(
        np.stack([looks[row["image_id"]].vector for row in best_first]), range(len(best_first)), similarity
    )
    for at, (row, stands_for_it) in enumerate(zip(best_first, groups.survivor.tolist(), strict=True)):
        if stands_for_it != at:
            of = best_first[stands_for_it]["image_id"]
            row |= {"kept": False, "reason": DUPLICATE, "of": of, "similarity": float(groups.similarity[at])}


def with_upscale(rows: Iterable[Mapping[str, Any]], upscale: Upscale | None, on_upscaled: str) -> Rows:
    """The rows of an episode that was upscaled: kept ones of its frames' size are dropped, or have the size that they
    are brought back to, with the rows of the whole frame (`native_px`) and the kernel; by `on_upscaled`. upscale: None
    where that is not certain."""
    found = [dict(row) for row in rows]
    for row in found:
        of_it = upscale.of(row["width_px"], row["height_px"]) if upscale and row["kept"] else None
        if of_it and on_upscaled == "drop":
            row |= {"kept": False, "reason": UPSCALED}
        elif of_it and on_upscaled == "descale":
            size = dict(zip(("width_px", "height_px"), of_it.size_px, strict=True))
            row |= size | {"native_px": of_it.height_px, "kernel": of_it.kernel}
    return found


def repeated_among(sources: Iterable[Mapping[str, Any]], similarity: float) -> set[str]:
    """Ids of pictures that look like one of another episode: an opening, an ending, a recap. Of those that are alike
    the largest stays, of those the first by id. sources: rows of `sr_sources` that are kept, of all episodes."""
    rows = sorted(sources, key=lambda row: (-row["width_px"] * row["height_px"], row["image_id"]))
    vectors = as_vectors([row["signature"] for row in rows])
    seen = np.flatnonzero(vectors.any(axis=1)).tolist()  # of one colour nothing is told
    groups = distinct(vectors[seen], range(len(seen)), similarity)
    pairs = ((rows[at], rows[seen[of]]) for at, of in zip(seen, groups.survivor.tolist(), strict=True))
    return {row["image_id"] for row, of in pairs if row["episode"] != of["episode"]}


def without_excluded_pixels(rows: Iterable[Mapping[str, Any]], excluded: Excluded) -> Rows:
    """Rows with their pictures drawn; those with the very pixels of an excluded one are left out too."""
    lost = {"kept": False, "reason": EXCLUDED, "similarity": 1.0, "path": "", "pixel_sha256": ""}
    names = excluded.name_of_pixels
    return [{**row, **lost, "of": it} if (it := names.get(row["pixel_sha256"])) else dict(row) for row in rows]
