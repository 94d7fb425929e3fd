"""What is done to two frames that show the same before they are a pair: one gets the other's colours, and where they
differ by more than coding is found, be it subtitles, other lettering or a part that was drawn anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.super_resolution.release_matching import correlation

BLOCK_PX = 16  # of the low release
_CELL_PX = 8
_MOST_CELLS = 20_000
_COLOUR_ROUNDS = 6
_SOFTENED_PX = 1.5
_MIN_LEVELS = 5.0  # what is seen
_MIN_RATIO = 16.0  # squared deviations from what the pair's other blocks leave
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class ColourMatch:
    """matrix: float64 [3, 4], from R, G, B and 1 of one release to R, G, B of the other, in levels. `error`: what is
    left of the colours of smooth cells, a standard deviation in levels."""

    matrix: np.ndarray
    error: float

    def applied(self, picture: np.ndarray) -> np.ndarray:
        """The picture [h, w, 3] in the other's colours, of its own type; uint8 is rounded and clipped."""
        changed = picture.astype(np.float32) @ self.matrix[:, :3].T.astype(np.float32) + self.matrix[:, 3].astype(
            np.float32
        )
        return changed.round().clip(0, 255).astype(np.uint8) if picture.dtype == np.uint8 else changed


def fit_colours(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> ColourMatch:
    """The match from the colours of the first to those of the second of each pair, [h, w, 3] of one size, that show the
    same at the same places; robust against parts that differ. A match the other way is fitted with the pairs turned
    round. Matrices, ranges and gains that were mistaken for one another are such a match; curves are not. Raises
    ValueError without pairs."""
    cells = [_cells(one, other) for one, other in pairs]
    one, other = (np.concatenate(part) for part in zip(*cells, strict=True))
    some = slice(None, None, -(-len(one) // _MOST_CELLS))
    one, other = np.column_stack([one[some], np.ones(len(one[some]))]), other[some]
    weight = np.ones(len(one))
    matrix, spread = np.eye(3, 4), 1.0
    towards_none = 1e-3 * len(one) * np.diag([1.0, 1.0, 1.0, 1.0])  # where the colours do not span the space
    for _ in range(_COLOUR_ROUNDS):
        weighted = one * weight[:, None]
        matrix = np.linalg.solve(weighted.T @ one + towards_none, weighted.T @ other + towards_none @ np.eye(3, 4).T).T
        off = np.sqrt(np.square(other - one @ matrix.T).mean(axis=1))
        spread = max(0.25, 1.4826 * float(np.median(off)))
        weight = (1 - np.minimum(off / (3 * spread), 1) ** 2) ** 2
    return ColourMatch(matrix, spread)


@dataclass(frozen=True, eq=False)
class Comparison:
    """`correlation` of the luma. `differs`: bool [rows, columns] of blocks of 16 low pixels, the last ones smaller,
    those that show something else, with their neighbours. `share` of all blocks."""

    correlation: float
    differs: np.ndarray
    share: float

    def differs_in(self, x0: int, y0: int, x1: int, y1: int) -> bool:
        """Whether any of it lies in this box of low pixels, x1 and y1 beyond it."""
        rows, columns = slice(y0 // BLOCK_PX, -(-y1 // BLOCK_PX)), slice(x0 // BLOCK_PX, -(-x1 // BLOCK_PX))
        return bool(self.differs[rows, columns].any())


def compared(high: np.ndarray, low: np.ndarray) -> Comparison:
    """Two frames that should show the same: the high one as `warped` to the low one's size and in its colours, both
    [h, w, 3] in levels 0..255.

    Coding and sharpness leave differences that grow with the slopes of the picture; how much is told by the pair's own
    blocks, most of which are taken to show the same. What differs by far more is not the same picture.
    """
    one, other = (part.astype(np.float32) @ _LUMA for part in (high, low))
    alike = float(correlation(one[None], other[None])[0])
    one, other = (cv2.GaussianBlur(part, (0, 0), _SOFTENED_PX) for part in (one, other))
    slope = np.square(cv2.Sobel(one, cv2.CV_32F, 1, 0, scale=0.125)) + np.square(
        cv2.Sobel(one, cv2.CV_32F, 0, 1, scale=0.125)
    )
    off = one - other
    off -= np.median(off)
    apart, steep = _block_means(np.square(off)), _block_means(slope)
    flat = steep <= np.median(steep)
    noise = max(0.25, float(np.median(apart[flat])))
    at_edges = (
        float(np.median(np.maximum(apart[~flat] - noise, 0) / np.maximum(steep[~flat], 1e-3))) if (~flat).any() else 0.0
    )
    differs = (apart > _MIN_LEVELS**2) & (apart > _MIN_RATIO * (noise + at_edges * steep))
    grown = cv2.dilate(differs.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return Comparison(alike, grown, float(grown.mean()))


def _block_means(values: np.ndarray) -> np.ndarray:
    """float32 [rows, columns]: means of the blocks; what is missing of the last ones repeats the edge."""
    below, beside = (-side % BLOCK_PX for side in values.shape)
    whole = cv2.copyMakeBorder(values, 0, below, 0, beside, cv2.BORDER_REFLECT)
    return cv2.resize(whole, (whole.shape[1] // BLOCK_PX, whole.shape[0] // BLOCK_PX), interpolation=cv2.INTER_AREA)


def _cells(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [n, 3] of both: mean colours of the smoother half of cells of 8 pixels, where edges that lie or look
    a little different change nothing."""
    rows, columns = (side // _CELL_PX for side in one.shape[:2])
    parts = []
    for picture in (one, other):
        inner = picture[: rows * _CELL_PX, : columns * _CELL_PX].astype(np.float64)
        parts.append(
            inner.reshape(rows, _CELL_PX, columns, _CELL_PX, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, -1, 3)
        )
    uneven = parts[0].std(axis=1).mean(axis=1)
    smooth = uneven <= np.median(uneven)
    return parts[0][smooth].mean(axis=1), parts[1][smooth].mean(axis=1)
