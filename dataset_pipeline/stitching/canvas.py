"""The canvas as a grid of pixels, and a frame drawn onto it: what an alignment's places mean for pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import Alignment

SEAM_PX = 2  # cut from the edges of a frame that moves: codecs and scalers leave dirt there
SHARP_SHIFT = 1 / 64  # of a pixel; below it a frame is not resampled
SHRUNK = 0.95  # a frame drawn smaller than that is averaged over areas first
LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class Canvas:
    """Pixel (row, column) begins at canvas point (left_px + column, top_px + row), in step with the widest frame's."""

    left_px: float
    top_px: float
    width_px: int
    height_px: int


@dataclass(frozen=True, eq=False)
class Patch:
    """A frame as it lies on the canvas: uint8 [h, w, 3] from pixel (row, column) on, and where it is in sight."""

    row: int
    column: int
    image: np.ndarray
    covered: np.ndarray  # bool [h, w]


def canvas_of(alignment: Alignment) -> Canvas:
    """The smallest canvas that holds all of an alignment's frames."""
    width, height = alignment.size_px
    corners = np.concatenate([corners_of(place, alignment.size_px) for place in alignment.places])
    first = np.array([-width / 2, -height / 2])
    low = first + np.floor(corners.min(0) - first + 1e-6)
    high = first + np.ceil(corners.max(0) - first - 1e-6)
    across, down = (int(side) for side in np.rint(high - low))
    return Canvas(float(low[0]), float(low[1]), across, down)


def corners_of(place: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """float64 [4, 2]: where on the canvas a frame's corners lie."""
    x, y = size_px[0] / 2, size_px[1] / 2
    return np.array([[-x, -y], [x, -y], [-x, y], [x, y]]) @ _turn(place).T + place[:2]


def to_frame(
    place: np.ndarray, size_px: tuple[int, int], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Canvas points (x, y) as pixels (column, row) of a frame: whole numbers are the pixels' centres."""
    back = np.linalg.inv(_turn(place))
    x, y = x - place[0], y - place[1]
    return back[0, 0] * x + back[0, 1] * y + (size_px[0] - 1) / 2, back[1, 0] * x + back[1, 1] * y + (
        size_px[1] - 1
    ) / 2


def seam_px(alignment: Alignment) -> int:
    """How much of a frame's edges is left out: nothing where the camera is locked off."""
    return SEAM_PX if travel_of(alignment).sum() * max(alignment.size_px) > 1 else 0


def travel_of(alignment: Alignment) -> np.ndarray:
    """float64 [n - 1]: how far the view goes from each frame to the next, in views: the corner that goes farthest."""
    corners = np.stack([corners_of(place, alignment.size_px) for place in alignment.places])
    return (np.abs(np.diff(corners, axis=0)) / alignment.size_px).max((1, 2))


def placed(frame: np.ndarray, place: np.ndarray, canvas: Canvas, gain: float = 1.0, seam: int = 0) -> Patch:
    """A frame, uint8 [height, width, 3], drawn onto the canvas with its gain undone.

    Lanczos over eight pixels (Duchon 1979); one that is drawn smaller is averaged over areas first. `seam`: pixels at
    its edges that do not count.
    """
    if abs(gain - 1) > 1e-3:
        frame = cv2.LUT(frame, np.clip(np.rint(LEVELS / gain), 0, 255).astype(np.uint8))
    if place[2] == 0 and place[3] == 0:
        return _shifted(frame, place, canvas, seam)
    return _warped(frame, place, canvas, seam)


def _shifted(frame: np.ndarray, place: np.ndarray, canvas: Canvas, seam: int) -> Patch:
    height, width = frame.shape[:2]
    begins = place[0] - width / 2 - canvas.left_px, place[1] - height / 2 - canvas.top_px
    (column, across), (row, down) = (_whole_and_rest(begin) for begin in begins)
    if max(across, down) > 0:
        frame = cv2.sepFilter2D(frame, -1, _taps(across), _taps(down), anchor=(3, 3), borderType=cv2.BORDER_REFLECT_101)
    covered = np.zeros((height, width), bool)
    covered[seam : height - seam - (down > 0), seam : width - seam - (across > 0)] = True
    return _inside(Patch(row, column, frame, covered), canvas)


def _whole_and_rest(begin: float) -> tuple[int, float]:
    """The first canvas pixel inside the frame, and how far inside it lies: 0 to 1."""
    nearest = round(begin)
    if abs(begin - nearest) < SHARP_SHIFT:
        return nearest, 0.0
    whole = math.ceil(begin)
    return whole, whole - begin


def _taps(rest: float) -> np.ndarray:
    """The eight weights of Lanczos for a place `rest` after the fourth pixel."""
    at = np.arange(-3, 5) - rest
    weights = np.sinc(at) * np.sinc(at / 4)
    return weights / weights.sum()


def _warped(frame: np.ndarray, place: np.ndarray, canvas: Canvas, seam: int) -> Patch:
    height, width = frame.shape[:2]
    corners = corners_of(place, (width, height)) - (canvas.left_px, canvas.top_px)
    column, row = (int(side) for side in np.floor(corners.min(0)))
    size = tuple(int(side) for side in np.ceil(corners.max(0)) - (column, row))
    x = canvas.left_px + column + np.arange(size[0])[None] + 0.5
    y = canvas.top_px + row + np.arange(size[1])[:, None] + 0.5
    at_x, at_y = to_frame(place, (width, height), x, y)
    covered = (at_x >= seam) & (at_x <= width - 1 - seam) & (at_y >= seam) & (at_y <= height - 1 - seam)
    scale = math.exp(place[2])
    if scale < SHRUNK:
        frame = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    by = frame.shape[1] / width, frame.shape[0] / height
    # From patch pixels to the pixels of the shrunk frame; both count from the centre of the first pixel.
    origin = [(at[0, 0] + 0.5) * b - 0.5 for at, b in zip((at_x, at_y), by, strict=True)]
    matrix = np.array(
        [
            [(at_x[0, 1] - at_x[0, 0]) * by[0], (at_x[1, 0] - at_x[0, 0]) * by[0], origin[0]],
            [(at_y[0, 1] - at_y[0, 0]) * by[1], (at_y[1, 0] - at_y[0, 0]) * by[1], origin[1]],
        ]
    )
    image = cv2.warpAffine(
        frame, matrix, size, flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101
    )
    return _inside(Patch(row, column, image, covered), canvas)


def _inside(patch: Patch, canvas: Canvas) -> Patch:
    """What of a patch lies on the canvas."""
    height, width = patch.covered.shape
    top, left = max(0, -patch.row), max(0, -patch.column)
    bottom, right = min(height, canvas.height_px - patch.row), min(width, canvas.width_px - patch.column)
    area = np.s_[top : max(top, bottom), left : max(left, right)]
    return Patch(patch.row + top, patch.column + left, patch.image[area], patch.covered[area])


def _turn(place: np.ndarray) -> np.ndarray:
    cos, sin = math.cos(place[3]), math.sin(place[3])
    return math.exp(place[2]) * np.array([[cos, -sin], [sin, cos]])
