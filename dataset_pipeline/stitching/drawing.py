"""From frames on a canvas to the picture that is kept, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.images.stills import UNKNOWN_SHRUNK
from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, Mosaic
from dataset_pipeline.stitching.canvas import canvas_of, corners_of
from dataset_pipeline.stitching.choosing import choice_of
from dataset_pipeline.stitching.rectangles import largest_known, most_worth

EDGE_PX = 3
LEAST_SHOWN = 0.6  # of the largest rectangle that was seen, by the largest known one
LEAST_COVERED = 0.98  # of a frame's area, by a picture that shows it whole
MOST_UNKNOWN = 0.01  # of a picture that is kept: unknown places too small to be worth cutting it
UNKNOWN_COSTS = (12, 25, 60)  # of an unknown pixel in the picture, in known ones that are given up instead; in turn
NEVER_COSTS = 1_000_000  # of one that no frame showed


@dataclass(frozen=True)
class Shares:
    """Of all that was seen of a place: what is known for sure. Of the largest rectangle that was seen: what one that is
    known shows. size_px: width and height of the picture."""

    known: float = 1.0
    shown: float = 1.0
    size_px: tuple[float, float] = (np.inf, np.inf)

    @classmethod
    def told(cls, row: Mapping[str, Any]) -> Shares:
        """Of a row of `panoramas` or `backdrops` with a picture."""
        return cls(row["known_share"], row["shown_share"], (row["width_px"], row["height_px"]))


@dataclass(frozen=True, eq=False)
class Drawn:
    """image: uint8 [height, width, 3], cut out of a mosaic. told: the columns of `panoramas` and `backdrops` that are
    known once it is drawn."""

    image: np.ndarray
    told: dict[str, Any]


def drawn_of(mosaic: Mosaic, alignment: Alignment) -> Drawn:
    """The picture of a mosaic: see `cut_of`. `unknown_share` says how much of it is not known for sure, `unknown`
    where."""
    seen = seen_in(mosaic, alignment)
    (x, y, across, down), shown = cut_of(mosaic.known, seen)
    unknown = ~mosaic.known[y : y + down, x : x + across]
    told = {
        "width_px": across,
        "height_px": down,
        "known_share": float((mosaic.known & seen).sum() / max(1, seen.sum())),
        "shown_share": shown,
        "unknown_share": float(unknown.mean()) if unknown.size else 0.0,
        "whole_px": [seen.shape[1], seen.shape[0], x, y],
        "unknown": _small_mask(~mosaic.known),
    }
    return Drawn(mosaic.image[y : y + down, x : x + across], told)


def cut_of(known: np.ndarray, seen: np.ndarray) -> tuple[tuple[int, int, int, int], float]:
    """(x, y, width, height) of what is cut out of a mosaic, and how large what is fit to be kept is by the largest
    rectangle that was seen. known, seen: bool [height, width].

    Fit to be kept is a rectangle of which at most MOST_UNKNOWN is unknown: one that shows most for what it hides, or
    else the largest without anything unknown. Below LEAST_SHOWN the picture is for a person to judge: what shows most
    for what it hides, or what was seen without edges that are mostly unknown, or else all of it.
    """
    whole = largest_known(known | seen)
    worth = (np.where(known, 1, np.where(seen, -costs, -NEVER_COSTS)) for costs in UNKNOWN_COSTS)
    most = [most_worth(each) for each in worth]
    clear = next((cut for cut in most if _hidden(known, cut) <= MOST_UNKNOWN), largest_known(known))
    shown = min(1.0, _area(clear) / max(1, _area(whole)))
    if shown >= LEAST_SHOWN:
        return clear, shown
    even = most_worth(
        np.where(known, 1, np.where(seen, -1, -NEVER_COSTS))
    )  # gives up what is mostly unknown at the edges
    return next(cut for cut in (most[0], even, whole) if _area(cut) >= LEAST_SHOWN * _area(whole)), shown


def _area(cut: tuple[int, int, int, int]) -> int:
    return cut[2] * cut[3]


def _hidden(known: np.ndarray, cut: tuple[int, int, int, int]) -> float:
    """Share of a rectangle that is unknown; 1 of none."""
    x, y, width, height = cut
    return 1 - np.count_nonzero(known[y : y + height, x : x + width]) / (width * height) if width and height else 1.0


def covered_s(alignment: Alignment, told: Mapping[str, Any]) -> list[float]:
    """From when to when a picture shows the frames whole, in seconds, one such time after another: from, to, from, to.

    told: its columns, as of `Drawn`. Whole is a frame of whose area LEAST_COVERED lies in the picture, but for the
    outermost pixels, which no mosaic trusts. Between two frames that are placed next to each other the camera goes a
    small share of a view, so that what lies between two whole ones is whole. Nothing is said of frames after the last
    one that is placed.
    """
    canvas, (x, y) = canvas_of(alignment), told["whole_px"][2:]
    begins = np.array([canvas.left_px + x, canvas.top_px + y])
    sides = np.array([told["width_px"], told["height_px"]])
    picture = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides
    width, height = (side - 2 * EDGE_PX for side in alignment.size_px)
    spans: list[float] = []
    before = False
    for place, at_s in zip(alignment.places, alignment.pts_s.tolist(), strict=True):
        frame = corners_of(place, (width, height))[[0, 1, 3, 2]] - begins
        area_px, _ = cv2.intersectConvexConvex(frame.astype(np.float32), picture.astype(np.float32))
        whole = area_px >= LEAST_COVERED * width * height * np.exp(2 * place[2])
        if whole and before:
            spans[-1] = at_s
        elif whole:
            spans += [at_s, at_s]
        before = whole
    return spans


def seen_in(mosaic: Mosaic, alignment: Alignment) -> np.ndarray:
    """bool [height, width] of a mosaic: what any frame showed, but for the outermost pixels, which no mosaic trusts."""
    return _inside(_shown(mosaic.known.shape, (mosaic.left_px, mosaic.top_px), alignment), EDGE_PX)


def shares_by_blocks(alignment: Alignment, clean: CleanFrames | None) -> Shares:
    """What will be told of a picture, without drawing it: by the blocks that lie wholly in what frames showed."""
    canvas = canvas_of(alignment)
    choice = choice_of(alignment, canvas, clean)
    corner = canvas.left_px, canvas.top_px
    seen = _inside(_shown(choice.known.shape, corner, alignment, choice.block_px), 1)
    known = choice.known & seen
    (_, _, across, down), shown = cut_of(known, seen)
    size_px = (across + 2) * choice.block_px, (down + 2) * choice.block_px  # pixels of blocks around it are in it too
    return Shares(float(known.sum() / max(1, seen.sum())), shown, size_px)


def _shown(shape: tuple[int, ...], corner: tuple[float, float], alignment: Alignment, cell_px: int = 1) -> np.ndarray:
    """uint8 of a canvas that begins at `corner`, 1 in cells that any frame shows."""
    shown = np.zeros(shape, np.uint8)
    for place in alignment.places:
        corners = (corners_of(place, alignment.size_px) - corner) / cell_px
        cv2.fillConvexPoly(shown, np.rint(corners[[0, 1, 3, 2]]).astype(np.int32), (1,))
    return shown


def _inside(shown: np.ndarray, edge: int) -> np.ndarray:
    kernel = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    return cv2.erode(shown, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)).astype(bool)


def _small_mask(unknown: np.ndarray) -> bytes:
    """A PNG, an eighth as large, in which any unknown pixel shows."""
    height, width = (-(-side // UNKNOWN_SHRUNK) for side in unknown.shape)
    padded = np.zeros((height * UNKNOWN_SHRUNK, width * UNKNOWN_SHRUNK), bool)
    padded[: unknown.shape[0], : unknown.shape[1]] = unknown
    small = padded.reshape(height, UNKNOWN_SHRUNK, width, UNKNOWN_SHRUNK).any((1, 3))
    return cv2.imencode(".png", small.astype(np.uint8) * 255)[1].tobytes()
