"""Boxes: their geometry, and the pictures with boxes that the detectors learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson
from dataset_pipeline.demo.shapes import Box

DETECTION_SIZE_PX = 320
SMALL_THINGS_SIZE_PX = 640  # hands and eyes are looked for at twice that size, and learnt in windows of it
SMALL_THINGS_WINDOW_PX = 192
LARGE_CLASSES: tuple[str, ...] = ("person", "halfbody", "head", "face")
SMALL_CLASSES: tuple[str, ...] = ("hand", "eye")
CLASSES = LARGE_CLASSES + SMALL_CLASSES
WINDOWS_PER_SCENE = (3, 3)  # around a hand or an eye, and anywhere


def area_px(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared_px(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return area_px((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def window(box: Box, margins: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box widened on each side by a share of its own size and cut to whole pixels of a picture of (width, height)."""
    width, height = box[2] - box[0], box[3] - box[1]
    x0 = max(0, int(box[0] - margins[0] * width))
    y0 = max(0, int(box[1] - margins[1] * height))
    x1 = min(size[0], int(np.ceil(box[2] + margins[2] * width)))
    y1 = min(size[1], int(np.ceil(box[3] + margins[3] * height)))
    return x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resized to exactly (width, height), averaging when it shrinks."""
    shrinks = image.shape[0] > height or image.shape[1] > width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def padded_square(image: np.ndarray) -> np.ndarray:
    """White borders make it square, as the tagger's preprocessing does."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = image
    return square


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairwise intersection over union of boxes [n, 4] and [m, 4] -> [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (high - low).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return overlap / np.maximum(areas[0][:, None] + areas[1][None] - overlap, 1e-9)


def matches(found: np.ndarray, truth: np.ndarray, least_iou: float = 0.5) -> list[bool]:
    """For each found box, best first, whether it takes a true box that no earlier one has taken."""
    free = np.ones(len(truth), bool)
    hits = []
    overlaps = iou(found.reshape(-1, 4), truth.reshape(-1, 4))
    for row in overlaps:
        best = int(np.argmax(np.where(free, row, -1))) if free.any() else -1
        hit = best >= 0 and bool(row[best] >= least_iou)
        if hit:
            free[best] = False
        hits.append(hit)
    return hits


def boxes_of(people: Iterable[DrawnPerson]) -> np.ndarray:
    """All true boxes as rows of the index in `CLASSES`, x0, y0, x1, y1 in pixels: [n, 5]."""
    rows: list[tuple[float, ...]] = []
    for p in people:
        found = ((p.person,), (p.halfbody,), (p.head,), (p.face,), p.hands, p.eyes)
        rows += [(c, *box) for c, boxes in enumerate(found) for box in boxes if box != NO_BOX]
    return np.array(rows, np.float32).reshape(-1, 5)


def zoomed(image: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window of a picture with the boxes that are still at least 40 % inside it."""
    height, width = image.shape[:2]
    w, h = (max(32, int(side * rng.uniform(0.4, 0.95))) for side in (width, height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return cut_out(image, rows, (x, y, x + w, y + h))


def cut_out(image: np.ndarray, rows: np.ndarray, at: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part x0, y0, x1, y1 of a picture with the boxes that are at least 40 % inside it, cut to it."""
    x0, y0, x1, y1 = at
    moved = rows - np.array([0, x0, y0, x0, y0], np.float32)
    inside = moved.copy()
    inside[:, 1::2] = moved[:, 1::2].clip(0, x1 - x0)
    inside[:, 2::2] = moved[:, 2::2].clip(0, y1 - y0)
    share = (inside[:, 3:] - inside[:, 1:3]).prod(1) / (moved[:, 3:] - moved[:, 1:3]).prod(1).clip(1e-6)
    return image[y0:y1, x0:x1], inside[share >= 0.4]


def detection_sample(
    image: np.ndarray, people: Sequence[DrawnPerson], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture squashed to the detector's size, uint8 [320, 320, 3], and its boxes in pixels of that size [n, 5]."""
    rows = boxes_of(people)
    if rng.random() < 0.2:
        image, rows = zoomed(image, rows, rng)
    return squashed(image, rows, DETECTION_SIZE_PX)


def squashed(image: np.ndarray, rows: np.ndarray, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its boxes resized to a square, whatever their shape, as imgutils does."""
    height, width = image.shape[:2]
    scale = np.array([1, *(side_px / np.array([width, height, width, height]))], np.float32)
    return resized(image, side_px, side_px), rows * scale


def small_things_windows(
    image: np.ndarray, people: Sequence[DrawnPerson], rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Windows of a picture at about the size at which hands and eyes are looked for: three around one, three anywhere.

    uint8 [6, 192, 192, 3] and, for each, the boxes of hands and eyes [n, 5] whose class indices are those of
    `SMALL_CLASSES`; boxes that are less than 40 % inside are left out. Flowers, fences and letters, which fill most of
    a picture, are what a net that has only ever looked around hands takes for hands.
    """
    rows = boxes_of(people)
    rows = rows[rows[:, 0] >= len(LARGE_CLASSES)] - np.array([len(LARGE_CLASSES), 0, 0, 0, 0], np.float32)
    aimed = [k < WINDOWS_PER_SCENE[0] for k in range(sum(WINDOWS_PER_SCENE))]
    pictures, boxes = zip(*(_window_at(image, rows, rng, aimed=a) for a in aimed), strict=True)
    return np.stack(pictures), list(boxes)


def _window_at(
    image: np.ndarray, rows: np.ndarray, rng: np.random.Generator, *, aimed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A window of a picture and its boxes, mostly around one of the `rows`, preferably a hand, if it is `aimed`."""
    height, width = image.shape[:2]
    share = min(1.0, SMALL_THINGS_WINDOW_PX / SMALL_THINGS_SIZE_PX / rng.uniform(0.7, 1.3))
    w, h = max(32, round(width * share)), max(32, round(height * share))
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    hands = rows[rows[:, 0] == 0]
    if aimed:
        among = hands if len(hands) and rng.random() < 0.8 else rows
        if len(among) and rng.random() < 0.85:
            box = among[int(rng.integers(len(among)))]
            x = (box[1] + box[3]) / 2 - w * rng.uniform(0.15, 0.85)
            y = (box[2] + box[4]) / 2 - h * rng.uniform(0.15, 0.85)
    left, top = int(np.clip(x, 0, width - w)), int(np.clip(y, 0, height - h))
    picture, inside = cut_out(image, rows, (left, top, left + w, top + h))
    return squashed(picture, inside, SMALL_THINGS_WINDOW_PX)
