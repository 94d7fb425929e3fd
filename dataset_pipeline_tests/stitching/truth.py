"""What the drawn truth says of alignments and mosaics: the alignment itself, and how good a picture is against it."""

from __future__ import annotations

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import Alignment, Mosaic
from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot

CELL_PX = 8
LEAST_GAIN = 0.1  # what is darker is aligned with nothing


def true_alignment(shot: DrawnShot, fixed: bool = True) -> Alignment:
    """A drawn shot's frames where they truly lie; `fixed`: with the cells in which something is burnt in."""
    kept = np.flatnonzero(shot.gains >= LEAST_GAIN)
    height, width = shot.letters.shape
    cells = np.zeros((-(-height // CELL_PX) * CELL_PX, -(-width // CELL_PX) * CELL_PX), bool)
    cells[:height, :width] = shot.letters & fixed
    cells = cells.reshape(cells.shape[0] // CELL_PX, CELL_PX, -1, CELL_PX).any((1, 3))
    return Alignment(
        pts=shot.pts[kept], pts_s=shot.pts_s[kept], size_px=shot.size_px, places=shot.places[kept],
        gains=shot.gains[kept], is_similarity=bool(shot.places[:, 2:].any()), layers=(), fixed=cells, agreement=1.0,
        residual_px=0.0, texture=1.0,
    )  # fmt: skip


def painting_under(shot: DrawnShot, mosaic: Mosaic) -> np.ndarray:
    """uint8 [height, width, 3]: the painting where a mosaic lies, pixel by pixel."""
    height, width = mosaic.known.shape
    matrix = np.array([[1, 0, mosaic.left_px - shot.left_px], [0, 1, mosaic.top_px - shot.top_px]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(shot.canvas, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def decibels(picture: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio over RGB; `where`: bool [height, width]."""
    off = (picture.astype(np.float64) - truth) ** 2
    off = off if where is None else off[where]
    return float(10 * np.log10(255**2 / max(off.mean(), 1e-9)))


def visible_shares(shot: DrawnShot, mosaic: Mosaic) -> np.ndarray:
    """float [height, width]: in how many of the frames that a place of a mosaic lies in, nothing stands before it."""
    seen, free = np.zeros(mosaic.known.shape), np.zeros(mosaic.known.shape)
    for number in np.flatnonzero(shot.gains >= LEAST_GAIN):
        x, y = (
            (shot.places[number, :2] - np.array(shot.size_px) / 2 - (mosaic.left_px, mosaic.top_px)).round().astype(int)
        )
        open_there = ~shot.covered(int(number))[: seen.shape[0] - y, : seen.shape[1] - x]
        area = np.s_[y : y + open_there.shape[0], x : x + open_there.shape[1]]
        seen[area] += 1
        free[area] += open_there
    return free / np.maximum(seen, 1)


def wrong_share(picture: np.ndarray, truth: np.ndarray, known: np.ndarray, off_levels: float = 20.0) -> float:
    """Of the blocks of 4 px in which anything is known, how many are farther off than so many levels, by their mean."""
    rows, columns = (side // 4 for side in known.shape)

    def by_block(values: np.ndarray) -> np.ndarray:
        return values[: rows * 4, : columns * 4].reshape(rows, 4, columns, 4).sum((1, 3))

    off = by_block(np.abs(picture.astype(float) - truth).mean(2) * known)
    count = by_block(known.astype(float))
    return float((off > off_levels * count)[count > 0].mean())
