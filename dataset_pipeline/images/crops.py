"""Which boxes become crops, and where they are cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np

from dataset_pipeline.base.boxes import Box, box_of, clipped, iou
from dataset_pipeline.base.ids import box_of_crop, crop_id, shows_nobody
from dataset_pipeline.images.parts import Named, Owners, parts_of, wholes_of
from dataset_pipeline.settings import CropKind, CropsSettings

DRAWN, REPLACED = "drawn_by_hand", "replaced_by_hand"
SMALL, NO_HEAD, NO_FACE = "small", "no_head", "no_face"
CROP_KINDS = get_args(CropKind)
BODIES = ("person", "halfbody")
SAME_IOU = 0.5  # of a crop of today with the one that a person replaced


class Drawn(Protocol):
    """A crop that a person drew, box in thousandths of the still: x, y, width, height."""

    @property
    def still_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def box(self) -> tuple[int, int, int, int]: ...
    @property
    def instead_of(self) -> str: ...


def plan_crops(
    still_id: str, size_px: tuple[int, int], boxes: Iterable[Mapping[str, Any]], settings: CropsSettings
) -> list[dict]:
    """Rows of the `crops` table (without path and pixel_sha256) for the boxes of one still, sorted by id.

    size_px: (width, height) of the still. boxes: rows of `detections`. Boxes of other kinds, below the kind's score or
    outside the still count as not found and get no row; a box found but too small keeps a row with reason `small`, and
    a person without the head or the face that `[crops]` requires one with `no_head` or `no_face`. The id comes from the
    box alone; of two boxes with one id the higher score stays.
    """
    width, height = size_px
    found: dict[str, dict] = {}
    there = _boxes(boxes, size_px, settings)
    tree = _Tree.of(still_id, size_px, there)
    for kind, them in there.items():
        for number, (box, score) in enumerate(them if kind in settings.kinds else ()):
            image_id = crop_id(still_id, kind, box, size_px)
            left, top, crop_width, crop_height = _place(box, size_px, settings.scale(kind))
            reason = tree.lacking(Named(kind, number), settings)
            if min(crop_width, crop_height) < settings.min_side_px(kind):
                reason = SMALL
            row = {
                "image_id": image_id,
                "still_id": still_id,
                "kind": kind,
                "x_px": left,
                "y_px": top,
                "width_px": crop_width,
                "height_px": crop_height,
                "score": score,
                "still_share": crop_width * crop_height / (width * height),
                "part_of": tree.part_of(Named(kind, number), settings.kinds),
                "kept": not reason,
                "reason": reason or "kept",
            }
            found.setdefault(image_id, row)
    return [found[image_id] for image_id in sorted(found)]


def _boxes(
    boxes: Iterable[Mapping[str, Any]], size_px: tuple[int, int], settings: CropsSettings
) -> dict[str, list[tuple[Box, float]]]:
    """What counts as found, by kind, the most certain first: boxes cut to the still, and their scores."""
    found: dict[str, list[tuple[Box, float]]] = {}
    for row in boxes:
        kind, score, box = row["kind"], float(row["score"]), clipped(box_of(row), size_px)
        is_certain = kind in CROP_KINDS and score >= settings.min_score(kind)  # not so of one that is no number
        if is_certain and box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
            found.setdefault(kind, []).append((box, score))
    return {kind: sorted(them, key=lambda it: (-it[1], it[0])) for kind, them in found.items()}


@dataclass(frozen=True)
class _Tree:
    """Which box of a still is part of which. ids: of the crops that they give."""

    owners: Owners
    ids: Mapping[Named, str]

    @staticmethod
    def of(still_id: str, size_px: tuple[int, int], there: Mapping[str, Sequence[tuple[Box, float]]]) -> _Tree:
        boxes = {kind: [box for box, _ in them] for kind, them in there.items()}
        ids = {
            Named(kind, number): crop_id(still_id, kind, box, size_px)
            for kind, them in boxes.items()
            for number, box in enumerate(them)
        }
        return _Tree(parts_of(boxes), ids)

    def part_of(self, part: Named, kinds: Collection[str]) -> str:
        """The crop of these kinds that a crop is part of; empty if there is none."""
        return next((self.ids[whole] for whole in wholes_of(part, self.owners) if whole.kind in kinds), "")

    def lacking(self, whole: Named, settings: CropsSettings) -> str:
        """Why a crop of a body is left out: it has no head, or no face; empty where that is not asked for."""
        if whole.kind not in BODIES:
            return ""
        parts = {part.kind for part in self.owners if whole in wholes_of(part, self.owners)}
        if settings.require_head and not parts & {"head", "face"}:
            return NO_HEAD
        return NO_FACE if settings.require_face and "face" not in parts else ""


def plan_all_crops(
    stills: Mapping[str, Mapping[str, Any]],
    boxes: Iterable[Mapping[str, Any]],
    settings: CropsSettings,
    drawn: Iterable[Drawn] = (),
) -> list[dict]:
    """`plan_crops` over an episode: stills by id with width_px, height_px, pixel_sha256; boxes of any of them. Boxes on
    a clean plate count as not found. drawn: boxes that a person drew, which are cut as they are; what they replace
    keeps a row."""
    by_still: dict[str, list[Mapping[str, Any]]] = {}
    for box in boxes:
        by_still.setdefault(box["image_id"], []).append(box)
    rows = [
        row
        for still_id in sorted(by_still.keys() & stills.keys())
        if not shows_nobody(still_id)
        for row in plan_crops(
            still_id, (stills[still_id]["width_px"], stills[still_id]["height_px"]), by_still[still_id], settings
        )
    ]
    found = {row["image_id"]: row for row in rows}
    for one in drawn:
        still = stills[one.still_id]
        new = _drawn_row(one, (still["width_px"], still["height_px"]))
        _replace(found, one, new["image_id"])
        found[new["image_id"]] = new
    return [
        {**row, "still_sha256": stills[row["still_id"]]["pixel_sha256"]}
        for row in sorted(found.values(), key=lambda row: row["image_id"])
    ]


def _drawn_row(drawn: Drawn, size_px: tuple[int, int]) -> dict:
    width, height = size_px
    x, y, w, h = (side / 1000 for side in drawn.box)
    box = (x * width, y * height, (x + w) * width, (y + h) * height)
    left, top, crop_width, crop_height = _place(box, size_px, None)
    return {
        "image_id": f"{drawn.still_id}#{drawn.kind}-" + "-".join(map(str, drawn.box)),
        "still_id": drawn.still_id,
        "kind": drawn.kind,
        "x_px": left,
        "y_px": top,
        "width_px": crop_width,
        "height_px": crop_height,
        "score": 1.0,
        "still_share": crop_width * crop_height / (width * height),
        "part_of": "",
        "kept": True,
        "reason": DRAWN,
    }


def _replace(found: dict[str, dict], drawn: Drawn, by: str) -> None:
    """Drop the crop that a drawn one replaces: the one of that id, or of its kind where it lay."""
    if not drawn.instead_of:
        return
    kind, box = box_of_crop(drawn.instead_of)
    near = {
        image_id: shared
        for image_id, row in found.items()
        if row["still_id"] == drawn.still_id
        and row["kind"] == kind
        and row["reason"] != DRAWN
        and (shared := iou(box_of_crop(image_id)[1], box)) >= SAME_IOU
    }
    if near:
        replaced = found[max(near, key=lambda image_id: (near[image_id], image_id))]
        if replaced["image_id"] != by:
            replaced |= {"kept": False, "reason": REPLACED}


def _place(
    box: tuple[float, float, float, float], size_px: tuple[int, int], scale: float | None
) -> tuple[int, int, int, int]:
    """(x, y, width, height) in whole pixels inside the still: the box as it is, or with a scale the square around it,
    shifted off the still's edges and never larger than its short side."""
    x0, y0, x1, y1 = box
    if scale is None:
        left, top = round(x0), round(y0)
        return left, top, max(1, round(x1) - left), max(1, round(y1) - top)
    side = max(1, min(round(max(x1 - x0, y1 - y0) * scale), *size_px))
    left, top = (
        min(max(round((low + high - side) / 2), 0), limit - side)
        for low, high, limit in ((x0, x1, size_px[0]), (y0, y1, size_px[1]))
    )
    return left, top, side, side


def cut(picture: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """The pixels of a planned crop as a new array. picture: [height, width, 3] of the still.
    Raises ValueError if the crop does not lie inside the picture."""
    x, y, width, height = (int(row[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
    if x < 0 or y < 0 or x + width > picture.shape[1] or y + height > picture.shape[0]:
        raise ValueError(
            f"crop {row['image_id']} ({width}x{height} at {x},{y}) does not lie inside its still of "
            f"{picture.shape[1]}x{picture.shape[0]}"
        )
    return np.ascontiguousarray(picture[y : y + height, x : x + width])
