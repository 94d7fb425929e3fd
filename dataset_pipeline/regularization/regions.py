"""Where the eyes, mouth, nose, brows and hands of a drawing are, by the boxes of its faces, eyes and hands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import Box, area, box_of, clipped, holds, middle
from dataset_pipeline.settings.regularization import Region as RegionName

# Of a drawn face's box (x0, y0, x1, y1), which reaches from the forehead to the chin. A choice of ours: they hold the
# features of the faces that `demo` draws, however they turn, and the points in the README of anime-face-detector 0.0.3.
SHARES: dict[RegionName, Box] = {
    "brows": (0.05, 0.14, 0.95, 0.42),
    "eyes": (0.04, 0.34, 0.96, 0.70),
    "nose": (0.30, 0.56, 0.70, 0.78),
    "mouth": (0.22, 0.68, 0.78, 0.98),
}


@dataclass(frozen=True)
class Region:
    """A piece of a picture that is drawn again; box: as it was found, in pixels."""

    name: RegionName
    box: Box


def regions_by_boxes(
    boxes: Iterable[Mapping[str, Any]], wanted: Sequence[RegionName], min_score: float
) -> list[Region]:
    """The wanted regions of all faces of a drawing, the most certain face first, and then its hands. boxes: its rows of
    detections; those below min_score do not count.

    Eyes are where the boxes of both are, as one region, so that both are of one version. Without such boxes, and for
    mouth, nose and brows, a region is a share of the face's box.
    """
    rows = sorted((row for row in boxes if row["score"] >= min_score), key=lambda row: (-row["score"], box_of(row)))
    of_kind = {kind: [box_of(row) for row in rows if row["kind"] == kind] for kind in ("face", "eye", "hand")}
    regions = []
    for face in of_kind["face"]:
        eyes = [eye for eye in of_kind["eye"] if holds(face, middle(eye))]
        for name in wanted:
            if name in SHARES:
                is_found = name == "eyes" and len(eyes) > 1
                regions.append(Region(name, _around(eyes[:2]) if is_found else _share_of(face, SHARES[name])))
    return regions + [Region("hands", hand) for hand in of_kind["hand"] if "hands" in wanted]


def grown(box: Box, grow: float, size_px: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box that is wider and higher by the share `grow`, in whole pixels, held inside a picture of this width and
    height; empty where nothing of it lies there."""
    x0, y0, x1, y1 = box
    aside, above = grow * (x1 - x0) / 2, grow * (y1 - y0) / 2
    inside = clipped((x0 - aside, y0 - above, x1 + aside, y1 + above), size_px)
    if not area(inside):
        return 0, 0, 0, 0
    return int(np.floor(inside[0])), int(np.floor(inside[1])), int(np.ceil(inside[2])), int(np.ceil(inside[3]))


def mask_of(box: Box, size_px: tuple[int, int], grow: float, feather_px: int) -> np.ndarray:
    """float32 [height, width]: 1 in the grown box, less and less around it, and 0 from `feather_px` pixels away on."""
    width, height = size_px
    x0, y0, x1, y1 = grown(box, grow, size_px)
    if x1 <= x0:
        return np.zeros((height, width), np.float32)
    across, down = np.arange(width), np.arange(height)
    beside = np.maximum(np.maximum(x0 - across, across - (x1 - 1)), 0)
    above = np.maximum(np.maximum(y0 - down, down - (y1 - 1)), 0)
    distance = np.hypot(beside[None], above[:, None])
    return np.maximum(0.0, 1.0 - distance / max(feather_px, 1)).astype(np.float32)


def mask_of_all(regions: Iterable[Region], size_px: tuple[int, int], grow: float, feather_px: int) -> np.ndarray:
    """As `mask_of`, of what is to be drawn again at once."""
    mask = np.zeros((size_px[1], size_px[0]), np.float32)
    for region in regions:
        mask = np.maximum(mask, mask_of(region.box, size_px, grow, feather_px))
    return mask


def _around(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _share_of(face: Box, share: Box) -> Box:
    width, height = face[2] - face[0], face[3] - face[1]
    return (
        face[0] + share[0] * width,
        face[1] + share[1] * height,
        face[0] + share[2] * width,
        face[1] + share[3] * height,
    )
