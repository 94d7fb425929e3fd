"""A plate with the main person of the shot put back, taken from one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box, area, clipped, shared_area
from dataset_pipeline.characters.linking import Linked
from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, FramesAt, Mosaic, frames_of_size
from dataset_pipeline.stitching.canvas import Canvas, Patch, canvas_of, placed, seam_px, to_frame
from dataset_pipeline.stitching.clusters import bit_count
from dataset_pipeline.stitching.followed import BoxesByPts, Followed

GROWN, LEAST_GROWN_PX = 0.06, 8  # of a box's sides: hair and hands reach out of it
WHOLE = 0.6  # of the largest area in which the person is seen: smaller is cut off or far away
FOREIGN = 14.0  # levels off the plate, the most of the three colours
CLOSED_PX, SPREAD_PX, FEATHER_PX = 7, 4, 2
RING_PX = 16  # around the box: what has to be known there
MOST_UNKNOWN = 0.02


LEAST_BESIDE = 0.01  # of what is known in a frame: less foreground beside somebody is none
PLACE_KNOWN = 0.9  # of the blocks in their box: it is known what they hide
LEAST_HIDDEN = 0.02  # of the blocks in their box: less of what is known behind somebody is nobody there
MOST_UNLIKE = 0.02  # more than half of the frames do, of the known place that nobody hides: out of focus, faded
SURROUNDINGS_UNKNOWN, FRAME_SHOWS_IT = "surroundings_unknown", "frame_shows_it"


@dataclass(frozen=True)
class Subject:
    """Who is put back. `frame`: index into the alignment's frames of that from which they are taken; `box` on it.
    `refusal`: why that is not worth it, empty if it is: the plate does not know what lies around them, or next
    to nothing of what they hide, and is the same with them, or too little while nobody else is on that frame, which
    then shows all of it."""

    frame: int
    box: Box
    refusal: str


def subject_of(alignment: Alignment, clean: CleanFrames, boxes: BoxesByPts) -> Subject | None:
    """The person who is largest over the shot, on the compared frame with the least foreground beside them. None where
    nobody is on any of these frames.

    Of frames on which they fill nearly as much as on any, and that are not out of focus: the place that nobody hides
    looks there as on most of these. If the plate is known around them on some, of these.
    """
    found = _bases(Followed(boxes, alignment), alignment, clean)
    refusals = {order: _refusal(order, box, beside, alignment, clean) for order, (box, beside) in found.items()}
    order = min(found, key=lambda it: (refusals[it] == SURROUNDINGS_UNKNOWN, found[it][1], it), default=None)
    return None if order is None else Subject(int(clean.used[order]), found[order][0], refusals[order])


def with_subject(plate: Mosaic, alignment: Alignment, frames_at: FramesAt, subject: Subject) -> Mosaic:
    """A plate with somebody put back.

    What differs from the plate in the person's box is pasted, with an edge of 2 px, and so is what the plate does not
    know there, where it adjoins that; it is known then. Raises FramesMissing where their frame cannot be read.
    """
    pts = int(alignment.pts[subject.frame])
    ((_, picture),) = frames_of_size(frames_at, [pts], alignment.size_px)
    canvas = _canvas(plate)
    place, gain = alignment.places[subject.frame], float(alignment.gains[subject.frame])
    patch = placed(picture, place, canvas, gain, seam_px(alignment))
    rows, columns = patch.covered.shape
    area_there = np.s_[patch.row : patch.row + rows, patch.column : patch.column + columns]
    image, known = plate.image.copy(), plate.known.copy()
    box = _grown(subject.box)
    pasted = _silhouette(patch, image[area_there], known[area_there], box, alignment, subject.frame, canvas)
    known[area_there] |= pasted > 0
    share = cv2.blur(pasted.astype(np.float32), (2 * FEATHER_PX + 1,) * 2)[..., None]
    share[~plate.known[area_there] & (pasted > 0)] = 1  # nothing to blend with
    share[~patch.covered] = 0
    image[area_there] = np.rint(share * patch.image + (1 - share) * image[area_there]).astype(np.uint8)
    return Mosaic(image, known, plate.left_px, plate.top_px)


def shown_of(subject: Subject, alignment: Alignment, cut_px: tuple[int, int, int, int]) -> float:
    """Share of a person's box that a rectangle (x, y, width, height) of the mosaic shows."""
    canvas = canvas_of(alignment)
    inside, _ = _in_frame(clipped(subject.box, alignment.size_px), alignment, subject.frame, canvas)
    x, y, width, height = cut_px
    return float(inside[y : y + height, x : x + width].sum() / max(1, inside.sum()))


def main_subject(people: Followed, alignment: Alignment) -> Linked | None:
    """Whoever fills most of the picture over the shot."""
    size = alignment.size_px
    areas = [sum(area(clipped(found.box, size)) for found in track.found) for track in people.tracks]
    return people.tracks[int(np.argmax(areas))] if any(areas) else None


def _bases(people: Followed, alignment: Alignment, clean: CleanFrames) -> dict[int, tuple[Box, float]]:
    """By the order of the compared frames, the subject's box and how much foreground there is outside of it and of
    others before it."""
    subject = main_subject(people, alignment)
    if subject is None:
        return {}
    size, all_pts = alignment.size_px, alignment.pts
    boxes = {order: people.of(subject, int(all_pts[frame])) for order, frame in enumerate(clean.used)}
    boxes = {order: clipped(box, size) for order, box in boxes.items() if box is not None}
    largest = max((area(box) for box in boxes.values()), default=0.0)
    found, unlike = {}, {}
    for order, box in boxes.items():
        if area(box) < WHOLE * largest or not area(box):
            continue
        of_others = (
            people.of(track, int(all_pts[clean.used[order]])) for track in people.tracks if track is not subject
        )
        others = [other for other in of_others if other is not None]
        crossed = sum(shared_area(box, other) for other in others) / area(box)
        found[order] = box, _foreground(order, [_grown(box)], alignment, clean) + crossed
        unlike[order] = _foreground(order, [_grown(it) for it in (box, *others)], alignment, clean)
    most = MOST_UNLIKE + float(np.median(list(unlike.values()))) if unlike else 0.0
    return {order: base for order, base in found.items() if unlike[order] <= most}


def _foreground(order: int, boxes: Sequence[Box], alignment: Alignment, clean: CleanFrames) -> float:
    """Share of the known blocks outside boxes that a frame does not show clean."""
    rows, columns = clean.clean.shape
    canvas = Canvas(clean.left_px, clean.top_px, columns, rows)
    at, sees = _cells_in_frame(alignment, int(clean.used[order]), canvas, clean.block_px)
    beside = sees & clean.known & (bit_count(clean.clean) > 0)
    for box in boxes:
        beside &= ~_in_box(at, box)
    is_clean = (clean.clean >> np.uint64(order)) & np.uint64(1)
    return float((is_clean[beside] == 0).mean()) if beside.any() else 0.0


def _in_frame(
    box: Box, alignment: Alignment, frame: int, canvas: Canvas, step_px: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """bool [height, width] each, of cells of the canvas: whether they lie in a box of a frame, and in the frame."""
    at, sees = _cells_in_frame(alignment, frame, canvas, step_px)
    return _in_box(at, box), sees


def _cells_in_frame(
    alignment: Alignment, frame: int, canvas: Canvas, step_px: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Of cells of the canvas: x and y on a frame, in pixels, and whether they lie in it. [height, width] each."""
    shape = canvas.height_px, canvas.width_px
    x = canvas.left_px + (np.arange(shape[1])[None] + 0.5) * step_px
    y = canvas.top_px + (np.arange(shape[0])[:, None] + 0.5) * step_px
    at_x, at_y = to_frame(alignment.places[frame], alignment.size_px, x, y)
    at = np.broadcast_to(at_x, shape) + 0.5, np.broadcast_to(at_y, shape) + 0.5
    return at, _in_box(at, (0.0, 0.0, *alignment.size_px))


def _in_box(at: tuple[np.ndarray, np.ndarray], box: Box) -> np.ndarray:
    return (at[0] >= box[0]) & (at[0] < box[2]) & (at[1] >= box[1]) & (at[1] < box[3])


def _silhouette(
    patch: Patch, image: np.ndarray, known: np.ndarray, box: Box, alignment: Alignment, frame: int, canvas: Canvas
) -> np.ndarray:
    """uint8 [h, w] of a patch, 1 where it is pasted."""
    height, width = patch.covered.shape
    here = Canvas(canvas.left_px + patch.column, canvas.top_px + patch.row, width, height)
    inside, _ = _in_frame(box, alignment, frame, here)
    off = cv2.GaussianBlur(cv2.absdiff(patch.image, image), (0, 0), 1).max(2)
    foreign = ((off > FOREIGN) & inside).astype(np.uint8)
    foreign = cv2.morphologyEx(foreign, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    foreign = cv2.morphologyEx(foreign, cv2.MORPH_CLOSE, np.ones((CLOSED_PX, CLOSED_PX), np.uint8))
    foreign = cv2.dilate(foreign, np.ones((2 * SPREAD_PX + 1,) * 2, np.uint8))
    pasted = (foreign > 0) | _touched(~known & inside & patch.covered, foreign > 0)
    return pasted.astype(np.uint8) * (inside & patch.covered)


def _touched(mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    """bool [h, w]: the connected pieces of a mask that share a pixel with another."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return mask & np.isin(labels, np.unique(labels[mask & by]))


def _refusal(order: int, box: Box, beside: float, alignment: Alignment, clean: CleanFrames) -> str:
    """Why somebody is not put back from a frame. beside: the foreground there."""
    rows, columns = clean.known.shape
    canvas, frame = Canvas(clean.left_px, clean.top_px, columns, rows), int(clean.used[order])
    at, sees = _cells_in_frame(alignment, frame, canvas, clean.block_px)
    x0, y0, x1, y1 = grown = _grown(box)
    wider = x0 - RING_PX, y0 - RING_PX, x1 + RING_PX, y1 + RING_PX
    inside, place, near = (_in_box(at, it) for it in (grown, box, wider))
    ring = near & sees & ~inside
    if ring.any() and float((~clean.known[ring]).mean()) > MOST_UNKNOWN:
        return SURROUNDINGS_UNKNOWN
    if not place.any():
        return FRAME_SHOWS_IT
    is_clean = (clean.clean >> np.uint64(order)) & np.uint64(1)
    hidden = float((clean.known & (is_clean == 0))[place].mean())
    is_known = float(clean.known[place].mean()) >= PLACE_KNOWN
    return "" if hidden >= LEAST_HIDDEN and (is_known or beside >= LEAST_BESIDE) else FRAME_SHOWS_IT


def _canvas(plate: Mosaic) -> Canvas:
    height, width = plate.known.shape
    return Canvas(plate.left_px, plate.top_px, width, height)


def _grown(box: Box) -> Box:
    x, y = (max(LEAST_GROWN_PX, GROWN * side) for side in (box[2] - box[0], box[3] - box[1]))
    return box[0] - x, box[1] - y, box[2] + x, box[3] + y
