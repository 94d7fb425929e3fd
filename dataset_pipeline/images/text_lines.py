"""Lines of lettering on a picture, read off the map of a text detector."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

MAP_THRESHOLD = 0.3  # of the map, above which a pixel belongs to a line
UNCLIP_RATIO = 1.6  # the map shows lines shrunk; they are grown by area * ratio / perimeter
MIN_SIDE_PX = 3  # of a line in the map


class TextLine(NamedTuple):
    """A line of lettering in pixels of the picture: left, top, right, bottom.

    score: the detector's mean within it, 0..1. fill: the share of its shrunk box that the map covers, low for what is
    no line. contrast: between its bright and its dark parts, in levels of 255.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float
    fill: float
    contrast: float


def text_lines(
    probability: np.ndarray, luma: np.ndarray, size_px: tuple[int, int], score_floor: float
) -> list[TextLine]:
    """The lines that score at least so much, from top to bottom.

    probability: float32 [height, width], of the detector; luma: uint8 [height, width], the picture that it saw;
    size_px: width and height of the picture that boxes shall lie in. Boxes from a thresholded and grown map: Liao et
    al., Real-time Scene Text Detection with Differentiable Binarization (2020), here with upright boxes, since what is
    laid over video is level.
    """
    high, wide = probability.shape
    scale_x, scale_y = size_px[0] / wide, size_px[1] / high
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(
        (probability > MAP_THRESHOLD).astype(np.uint8), connectivity=8
    )
    found = []
    for label, (x, y, width, height, covered) in enumerate(boxes.tolist()):
        if label == 0 or min(width, height) < MIN_SIDE_PX:
            continue
        inside = slice(y, y + height), slice(x, x + width)
        score = float(probability[inside][labels[inside] == label].mean())
        if score < score_floor:
            continue
        dark, bright = np.percentile(luma[inside], (10, 90))
        grown = width * height * UNCLIP_RATIO / (2 * (width + height))
        found.append(
            TextLine(
                max(0.0, x - grown) * scale_x,
                max(0.0, y - grown) * scale_y,
                min(float(wide), x + width + grown) * scale_x,
                min(float(high), y + height + grown) * scale_y,
                score,
                covered / (width * height),
                float(bright - dark),
            )
        )
    return sorted(found, key=lambda line: (line.y0, line.x0))
