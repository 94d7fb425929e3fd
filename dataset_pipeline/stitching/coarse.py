"""How far two frames lie apart, to a pixel or two: peaks of the phase correlation, judged by area.

A correlation's highest peak may be a subtitle's or a walker's. So each peak is tried out: the one under which most of
the textured blocks look alike is chosen. C. D. Kuglin and D. C. Hines, The phase correlation image alignment method,
1975; the vote by area is this project's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np
from scipy import fft

from dataset_pipeline.stitching.preparing import BLOCK_PX, DETAIL_STEPS, Look

_PEAKS = 8
_MIN_OVERLAP = 0.12  # of the picture's area
_MIN_TEXTURE = 1.2  # grey levels, mean of a block
_ALIKE_SHARE, _ALIKE_LEVELS = 0.75, 0.4
_HINT_BONUS, _HINT_WITHIN_PX = 0.12, 6.0
_BEST_SHARE, _BEST_LEVELS = 1.1, 0.1
_RIVAL_FROM_PX = 1.5
_DOUBTED_BLOCKS = 6  # so many unlike ones are added to each vote, so that few blocks prove little


@dataclass(frozen=True, eq=False)
class Likeness:
    """Of the blocks of a coarse picture: which have texture and are seen in the other one, and which look alike."""

    textured: np.ndarray  # bool [rows, columns]
    alike: np.ndarray
    apart: np.ndarray  # float32, mean difference in grey levels

    @property
    def agreement(self) -> float:
        """Share of textured blocks that are alike; 0 where there are none."""
        return float(self.alike.sum() / max(1, self.textured.sum()))


def likeness(one: Look, other: Look, matrix: np.ndarray, gain: float = 1.0) -> Likeness:
    """How alike two frames are where `matrix` [2, 3] takes points of the one's coarse picture to the other's.

    `gain`: how bright the other is by the one.
    """
    rows, columns = (side // BLOCK_PX for side in one.detail.shape)
    size = (columns * BLOCK_PX, rows * BLOCK_PX)
    a = one.detail[: size[1], : size[0]].astype(np.float32)
    b = _seen_from(other.detail, matrix, size) * np.float32(1 / gain)
    own, others, apart = (_block_levels(part) for part in (a, b, a - b))
    detail = (own + others) / 2
    textured = _inside(matrix, (rows, columns), other.detail.shape) & (detail > _MIN_TEXTURE)
    return Likeness(textured, textured & (apart < _ALIKE_SHARE * detail + _ALIKE_LEVELS), apart)


def _seen_from(detail: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 of `size` (width, height): the other picture where `matrix` says, zeros beside it."""
    way = matrix[:, 2].astype(int)
    if not np.array_equal(matrix, shifted(*way)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(detail, matrix, size, flags=flags).astype(np.float32)
    out = np.zeros(size[::-1], np.float32)
    x0, y0 = (max(0, -int(side)) for side in way)
    seen = detail[max(0, way[1]) : size[1] + way[1], max(0, way[0]) : size[0] + way[0]]
    seen = seen[: max(0, size[1] - y0), : max(0, size[0] - x0)]
    out[y0 : y0 + seen.shape[0], x0 : x0 + seen.shape[1]] = seen
    return out


def _block_levels(part: np.ndarray) -> np.ndarray:
    """Mean of the absolute detail of each block, in grey levels."""
    blocks = (part.shape[1] // BLOCK_PX, part.shape[0] // BLOCK_PX)
    return cv2.resize(np.abs(part), blocks, interpolation=cv2.INTER_AREA) / DETAIL_STEPS


def _inside(matrix: np.ndarray, blocks: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """bool [rows, columns]: whether the whole block lies in the other picture."""
    x, y = np.arange(blocks[1] + 1) * BLOCK_PX, np.arange(blocks[0] + 1)[:, None] * BLOCK_PX
    to_x, to_y = (row[0] * x + row[1] * y + row[2] for row in matrix)
    corner = (to_x >= 0) & (to_x <= shape[1] - 1) & (to_y >= 0) & (to_y <= shape[0] - 1)
    return corner[:-1, :-1] & corner[1:, 1:] & corner[:-1, 1:] & corner[1:, :-1]


def shifted(x_px: float, y_px: float) -> np.ndarray:
    """The matrix [2, 3] of a shift."""
    return np.array([[1, 0, x_px], [0, 1, y_px]], float)


def coarse_shift(
    one: Look, other: Look, hint_px: tuple[float, float], gain: float = 1.0
) -> tuple[tuple[float, float], Likeness]:
    """Where points of `one` lie in `other`, as a shift in coarse pixels, and how alike they are there.

    `hint_px`: where they are expected; likely rather than sure. What looks more alike under another shift is not alike
    here: smooth blocks are like their surroundings.
    """
    shifts = list(dict.fromkeys([hint_px, (0.0, 0.0), *_peaks(one, other)]))
    tried = [likeness(one, other, shifted(*shift), gain) for shift in shifts]
    apart = np.stack([np.where(alike.textured, alike.apart, np.inf) for alike in tried])
    best = apart.min(0)
    best_alike = np.stack([alike.alike for alike in tried]) & (apart <= _BEST_SHARE * best + _BEST_LEVELS)
    votes = best_alike.sum((1, 2)) / (np.array([alike.textured.sum() for alike in tried]) + _DOUBTED_BLOCKS)
    away = np.abs(np.array(shifts) - hint_px).max(1)
    winner = int(np.argmax(votes + _HINT_BONUS * (away <= _HINT_WITHIN_PX)))
    rivals = np.abs(np.array(shifts) - shifts[winner]).max(1) > _RIVAL_FROM_PX
    best_rival = apart[rivals].min(0, initial=np.inf)
    won = tried[winner]
    return shifts[winner], replace(won, alike=won.alike & (won.apart <= _BEST_SHARE * best_rival + _BEST_LEVELS))


def _peaks(one: Look, other: Look) -> list[tuple[float, float]]:
    """Shifts at the peaks of the phase correlation, each with its wraps that leave enough overlap."""
    height, width = one.detail.shape
    correlation = cv2.GaussianBlur(_correlation(one.spectrum, other.spectrum), (0, 0), 1.0)
    is_peak = correlation == cv2.dilate(correlation, np.ones((5, 5), np.uint8))
    at = np.flatnonzero(is_peak.ravel())
    best = at[np.argsort(-correlation.ravel()[at], kind="stable")[:_PEAKS]]
    found = []
    for y, x in zip(*np.divmod(best, correlation.shape[1]), strict=True):
        wraps = product((x, x - correlation.shape[1]), (y, y - correlation.shape[0]))
        for dx, dy in wraps:
            overlap = max(0, width - abs(dx)) * max(0, height - abs(dy))
            if overlap >= _MIN_OVERLAP * width * height:
                found.append((float(dx), float(dy)))
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The phase correlation of two spectra: high where a shift takes the one's points to the other's."""
    cross = other * one.conj()
    cross /= np.abs(cross) + 1e-6 * np.abs(cross).max() + np.float32(1e-12)
    return np.asarray(fft.irfft2(cross, (cross.shape[0], 2 * cross.shape[1] - 2)))
