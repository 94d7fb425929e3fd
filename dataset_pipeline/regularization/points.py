"""Where the eyes, mouth, nose, brows and hands of a person are, by the points of a face and of hands: for realistic
pictures, whose faces no detector of drawings knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import Box, box_of
from dataset_pipeline.base.ids import box_of_crop, crop_id
from dataset_pipeline.regularization.regions import Region
from dataset_pipeline.settings.regularization import Region as RegionName

POINTS = 133
FACE = 23  # where the 68 points of a face begin, as iBUG numbers them
# Which of COCO-WholeBody's points a region holds; hands are two.
OF_REGION: dict[RegionName, tuple[range, ...]] = {
    "brows": (range(FACE + 17, FACE + 27),),
    "nose": (range(FACE + 27, FACE + 36),),
    "eyes": (range(FACE + 36, FACE + 48),),
    "mouth": (range(FACE + 48, FACE + 68),),
    "hands": (range(91, 112), range(112, 133)),
}
LEAST_SURE = 0.5  # of a region's points: fewer, and it is not there
MARGIN = 0.15  # of the region's longer side, as points lie on the edge of what they are of
PADDING = 1.25  # of a person's box, that the network was trained on
ASPECT = 3 / 4  # width by height of what it looks at


def regions_by_points(people: Iterable[np.ndarray], wanted: Sequence[RegionName], min_score: float) -> list[Region]:
    """The wanted regions of all people. people: the points of each, [133, 3] of x and y in pixels of the picture and
    score; those below min_score do not count.

    A region is there if half of its points count; its box is around these, a little larger.
    """
    found = []
    for points in people:
        for name in wanted:
            for of_region in OF_REGION[name]:
                own = points[list(of_region)]
                sure = own[own[:, 2] >= min_score, :2]
                if len(sure) >= LEAST_SURE * len(own):
                    found.append(Region(name, _around(sure)))
    return found


def people_of(
    pictures: Iterable[Mapping[str, Any]], boxes: Iterable[Mapping[str, Any]], min_score: float
) -> list[dict[str, Any]]:
    """The rows of pictures once for each person on them, whose crop's id is the `image_id`; a picture without a person
    counts as one from edge to edge.

    pictures: rows with image_id, width_px and height_px. boxes: rows of detections, of which persons with `min_score`
    or more count.
    """
    found: dict[str, list[Box]] = {}
    for row in boxes:
        if row["kind"] == "person" and row["score"] >= min_score:
            found.setdefault(row["image_id"], []).append(box_of(row))
    people: dict[str, dict[str, Any]] = {}  # by the crop's id, as two boxes may round to one
    for row in pictures:
        size_px = row["width_px"], row["height_px"]
        for box in found.get(row["image_id"], [(0.0, 0.0, float(size_px[0]), float(size_px[1]))]):
            person = crop_id(row["image_id"], "person", box, size_px)
            people[person] = {**row, "image_id": person}
    return list(people.values())


def window_of(box: Box) -> tuple[int, int, int, int]:
    """What a network for points is shown of a person's box: a quarter more of it, in 3:4, in whole pixels; it may reach
    beyond the picture."""
    x0, y0, x1, y1 = box
    width, height = PADDING * max(x1 - x0, 1.0), PADDING * max(y1 - y0, 1.0)
    width, height = max(width, ASPECT * height), max(height, width / ASPECT)
    left, top = round((x0 + x1 - width) / 2), round((y0 + y1 - height) / 2)
    return left, top, left + round(width), top + round(height)


def window_of_id(person: str, size_px: tuple[int, int]) -> tuple[int, int, int, int]:
    """`window_of` the box that the id of a person on a picture of this width and height tells."""
    _, (x0, y0, x1, y1) = box_of_crop(person)
    return window_of((x0 * size_px[0], y0 * size_px[1], x1 * size_px[0], y1 * size_px[1]))


def cut_window(picture: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """The window of a picture [height, width, 3], black beyond it."""
    x0, y0, x1, y1 = window
    height, width = picture.shape[:2]
    cut = np.zeros((y1 - y0, x1 - x0, *picture.shape[2:]), picture.dtype)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left < right and top < bottom:
        cut[top - y0 : bottom - y0, left - x0 : right - x0] = picture[top:bottom, left:right]
    return cut


def on_picture(points: Sequence[float], window: tuple[int, int, int, int]) -> np.ndarray:
    """The points [133, 3] of a window, as rows of `regularization_points` hold them, in pixels of its picture."""
    return np.asarray(points, np.float64).reshape(POINTS, 3) + np.array([window[0], window[1], 0])


def _around(points: np.ndarray) -> Box:
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    more = MARGIN * max(x1 - x0, y1 - y0)
    return x0 - more, y0 - more, x1 + more, y1 + more
