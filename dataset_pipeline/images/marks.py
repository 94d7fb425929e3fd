"""What stays at its place of the screen while the picture changes: logos of stations, watermarks.

The median of gradients over many different pictures keeps what they share and loses all else, however faintly it is
laid over them (Dekel et al., On the Effectiveness of Visible Watermarks, 2017). What stays because the place behind
stays is told by its surroundings: around a mark they look different again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box, iou

WINDOW, STEP = 24, 12  # pictures that a mark is looked for in at once, of those that look different
MAX_WINDOWS = 16  # of longer episodes fewer pictures are looked at
SAME_MARK = 0.2  # intersection over union of two boxes that are one mark
MIN_LOOKS = 8  # pictures and surroundings that have to be different
LOOK_LEVELS = 8.0  # mean difference of two pictures, or surroundings, that look different
LOOK_PX = 16, 9  # at which they are compared
EDGE_LEVELS = 3.5  # of the shared gradient, a pixel
EDGE_SHARE = 0.65  # of pictures in which an edge of a mark runs its way
REACH = 0.025, 0.035  # of the height: up and down, to either side; parts of a mark lie so near to one another
RING = 0.03  # of the height, around a mark
MAX_WIDE, MAX_HIGH = 0.35, 0.2  # of the picture
MIN_SIDE = 0.02  # of the height
MIN_EDGES = 24  # pixels
SHOWN = 0.35  # correlation of a picture's gradient with the mark's, from which it shows it
MIN_SCORE = 0.55  # the mean of those
MARK_SIDES = ("x0_share", "y0_share", "x1_share", "y1_share")
BORNE_SHARE = 0.6  # of the pictures of a stretch that show a mark, from which all of them count as bearing it


@dataclass(frozen=True)
class Mark:
    """A box in shares of the picture's width and height, the numbers of the pictures that bear it, and the mean
    correlation of those that show it, 0..1."""

    box: Box
    pictures: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class _Found:
    box: tuple[int, int, int, int]
    size_px: tuple[int, int]
    edges: np.ndarray  # bool, in the box
    gradient: np.ndarray  # float32 [height, width, 6], shared


def marked_frames(
    frames: Sequence[Mapping[str, Any]], readable: Callable[[Iterable[str]], Iterable[np.ndarray | Exception]]
) -> tuple[list[dict[str, Any]], dict[str, Exception]]:
    """The marks that the frames of a video bear, and the errors of those that cannot be read, by image_id.

    frames: rows with image_id, path, width_px, height_px, pts_s; a mark is looked for among those of one size.
    readable: gives the pictures of these paths in order, RGB uint8 [height, width, 3], or what reading one raised.
    The rows that come back have image_id, MARK_SIDES and score, one for each mark and frame that bears it.
    """
    rows: list[dict[str, Any]] = []
    lost: dict[str, Exception] = {}
    for _, alike in groupby(sorted(frames, key=_size_and_time), key=lambda row: _size_and_time(row)[:2]):
        of_size = list(alike)

        def read(numbers: Sequence[int], of_size: list[Mapping[str, Any]] = of_size) -> Iterator[np.ndarray | None]:
            pictures = readable(of_size[number]["path"] for number in numbers)
            for number, picture in zip(numbers, pictures, strict=True):
                if isinstance(picture, Exception):
                    lost[of_size[number]["image_id"]] = picture
                yield None if isinstance(picture, Exception) else picture

        rows += [
            {
                "image_id": of_size[number]["image_id"],
                **dict(zip(MARK_SIDES, mark.box, strict=True)),
                "score": mark.score,
            }
            for mark in marks(len(of_size), read)
            for number in mark.pictures
        ]
    return rows, lost


def _size_and_time(frame: Mapping[str, Any]) -> tuple[int, int, float, str]:
    return frame["width_px"], frame["height_px"], frame["pts_s"] or 0.0, frame["image_id"]


def marks(count: int, read: Callable[[Sequence[int]], Iterable[np.ndarray | None]]) -> list[Mark]:
    """The marks on `count` pictures of one size and video, in order of time. None without at least MIN_LOOKS that look
    different.

    read: gives the pictures of these numbers, RGB uint8 [height, width, 3], or None for one that cannot be read. It is
    asked a few times, so that no more than a window of pictures is held at once.
    """
    picked = _different([None if it is None else _small(it) for it in read(range(count))])
    if len(picked) < MIN_LOOKS:
        return []
    most = MAX_WINDOWS * STEP
    picked = [picked[number * len(picked) // most] for number in range(most)] if len(picked) > most else picked
    found: list[_Found] = []
    for start in range(0, max(1, len(picked) - WINDOW + STEP), STEP):
        for one in _fixed([it for it in read(picked[start : start + WINDOW]) if it is not None]):
            same = next((at for at, it in enumerate(found) if iou(it.box, one.box) > SAME_MARK), None)
            if same is None:
                found.append(one)
            elif one.edges.sum() > found[same].edges.sum():
                found[same] = one
    if not found:
        return []
    alike: list[list[float | None]] = [[] for _ in found]
    for picture in read(range(count)):
        for values, one in zip(alike, found, strict=True):
            values.append(None if picture is None else _likeness(one, picture))
    return [it for it in (_mark(one, values) for one, values in zip(found, alike, strict=True)) if it is not None]


def _small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, LOOK_PX, interpolation=cv2.INTER_AREA)


def _gradient(picture: np.ndarray) -> np.ndarray:
    """float32 [height, width, 6], in levels a pixel, of each colour: a red mark has hardly any edges of luma."""
    levels = cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32)
    return np.concatenate([cv2.Sobel(levels, -1, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1))], axis=-1)


def _different(small: Sequence[np.ndarray | None]) -> list[int]:
    """The numbers of those that look different from all picked before them."""
    picked: list[int] = []
    kept: list[np.ndarray] = []
    for number, picture in enumerate(small):
        if picture is None:
            continue
        levels = picture.ravel().astype(np.float32)
        if not kept or np.abs(np.stack(kept) - levels).mean(axis=1).min() > LOOK_LEVELS:
            picked.append(number)
            kept.append(levels)
    return picked


def _fixed(pictures: Sequence[np.ndarray]) -> list[_Found]:
    """What edges the pictures share, in boxes."""
    stack = np.stack([_gradient(it) for it in pictures])
    shared = np.median(stack, axis=0)
    strength = np.linalg.norm(shared, axis=-1)
    strong = strength > EDGE_LEVELS
    along = (stack[:, strong] * (shared[strong] / strength[strong][:, None])).sum(axis=-1)
    edges = np.zeros(strong.shape, bool)
    edges[strong] = (along > 0.4 * strength[strong]).mean(axis=0) >= EDGE_SHARE
    height, width = edges.shape
    up, aside = (2 * round(height * it) + 1 for it in REACH)
    joined = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((up, aside), np.uint8))
    found = []
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for label, (x, y, wide, high, _) in enumerate(boxes.tolist()):
        inside = slice(y, y + high), slice(x, x + wide)
        ours = edges[inside] & (labels[inside] == label)
        if label == 0 or ours.sum() < MIN_EDGES or min(wide, high) < MIN_SIDE * height:
            continue
        if wide > MAX_WIDE * width or high > MAX_HIGH * height:
            continue
        box = (x, y, x + wide, y + high)
        if len(_different(_surroundings(box, pictures))) >= MIN_LOOKS:
            found.append(_Found(box, (width, height), ours, shared[inside]))
    return found


def _surroundings(box: tuple[int, int, int, int], pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What lies around a box in each picture, at few pixels; neither its inside counts nor how bright it all is, since
    a fade is no other place."""
    height, width = pictures[0].shape[:2]
    reach = max(4, round(RING * height))
    x0, y0, x1, y1 = box
    left, top, right, bottom = max(0, x0 - reach), max(0, y0 - reach), min(width, x1 + reach), min(height, y1 + reach)
    ring = np.ones((bottom - top, right - left), bool)
    ring[y0 - top : y1 - top, x0 - left : x1 - left] = False
    rings = (cv2.blur(picture[top:bottom, left:right], (5, 5))[ring][::5].astype(np.float32) for picture in pictures)
    return [it - it.mean(axis=0) for it in rings]


def _likeness(found: _Found, picture: np.ndarray) -> float:
    """The correlation of a picture's gradient with the mark's, at its edges."""
    x0, y0, x1, y1 = found.box
    left, top = max(0, x0 - 3), max(0, y0 - 3)
    part = _gradient(picture[top : y1 + 3, left : x1 + 3])[y0 - top : y1 - top, x0 - left : x1 - left]
    near = cv2.dilate(found.edges.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    here, shape = part[near], found.gradient[near]
    return float((here * shape).sum() / (np.linalg.norm(here) * np.linalg.norm(shape) + 1e-6))


def _mark(found: _Found, alike: Sequence[float | None]) -> Mark | None:
    """Which pictures bear it, by their likeness to it."""
    shown = {number: value for number, value in enumerate(alike) if value is not None and value >= SHOWN}
    if len(shown) < MIN_LOOKS or np.mean(list(shown.values())) < MIN_SCORE:
        return None
    stretch = range(min(shown), max(shown) + 1)
    borne = stretch if len(shown) >= BORNE_SHARE * len(stretch) else shown
    (x0, y0, x1, y1), (width, height) = found.box, found.size_px
    box = (x0 / width, y0 / height, x1 / width, y1 / height)
    return Mark(box, tuple(borne), float(np.mean(list(shown.values()))))
