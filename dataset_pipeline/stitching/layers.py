"""What does not move with the anchor: other layers by their ratio to it, and what is fixed to the screen."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import FIXED_CELL_PX, Layer
from dataset_pipeline.stitching.coarse import likeness, shifted
from dataset_pipeline.stitching.preparing import Look

_APART_SHARE = 0.2  # of the view
_MOST_PAIRS = 12
_RATIOS = np.round(np.arange(-0.5, 3.0001, 0.025), 3)
_RATIO_WIDTH_PX = 480  # pictures about so wide are looked at, so that a step of the ratio is about a pixel
_OWN_WITHIN = 0.09  # of 1: the anchor itself
_MIN_LAYER, _MIN_EXPLAINED = 0.01, 0.3  # of the blocks in sight; of those that are not the anchor's
_MOST_LAYERS = 3
_CLEARLY_BETTER = 0.6
_NO_WAY = 0.06  # the ratio of what is fixed to the screen is less

_SAME_LEVELS, _OTHER_LEVELS = 8.0, 14.0
_EDGE_LEVELS = 12.0  # per px
_FIRM_SHARE, _FAINT_SHARE = 0.08, 0.3  # of a cell's pixels
_OFTEN = 0.3  # of the pairs
_MIN_FIRM_CELLS = 3
_SIGMA_PX = 0.8


def pairs_apart(places: np.ndarray, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Evenly chosen pairs of frames about a fifth of the view apart. places: [n, 2], working px."""
    share = (np.abs(places[None] - places[:, None]) / (shape[1], shape[0])).max(2)
    found = []
    for one in range(len(places)):
        reached = np.flatnonzero(share[one, one + 1 :] >= _APART_SHARE)
        if len(reached) and share[one, one + 1 + reached[0]] < 2 * _APART_SHARE:
            found.append((one, int(one + 1 + reached[0])))
    picked = np.unique(np.linspace(0, len(found) - 1, min(_MOST_PAIRS, len(found))).round().astype(int))
    return [found[k] for k in picked]


def layers_of(
    looks: Sequence[Look], places: np.ndarray, pairs: Sequence[tuple[int, int]], fixed: np.ndarray
) -> tuple[Layer, ...]:
    """Layers besides the anchor, the largest first: under which ratio to the anchor's way do unlike blocks get alike?

    `fixed`: as of `fixed_cells`; what lies there is a layer however small it is.
    """
    if not pairs:
        return ()
    explained, unlike, in_sight = [], [], 0
    times = max(1, round(looks[0].grey.shape[1] / _RATIO_WIDTH_PX))
    for one, other in pairs:
        here, there = looks[one].reduced(times), looks[other].reduced(times)
        way = (places[one] - places[other]) / (2 * times)
        anchor = likeness(here, there, shifted(*np.rint(way)))
        left = anchor.textured & ~anchor.alike
        by_ratio = (likeness(here, there, shifted(*np.rint(way * ratio))) for ratio in _RATIOS)
        explained.append([left & x.alike & (x.apart < _CLEARLY_BETTER * anchor.apart) for x in by_ratio])
        unlike.append(left)
        in_sight += int(anchor.textured.sum())
    by_block = np.array(explained).swapaxes(0, 1)  # [ratios, pairs, rows, columns]
    found = _peaks(by_block.reshape(len(_RATIOS), -1), np.ravel(unlike), max(1, in_sight))
    if fixed.any() and not any(abs(layer.ratio) < _NO_WAY for layer in found):
        rows, columns = by_block.shape[2:]
        burnt_in = cv2.resize(fixed.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) > 0
        counts = by_block[:, :, burnt_in].sum((1, 2)).astype(float)
        if counts.any():
            found.append(_layer(counts, int(np.argmax(counts)), in_sight))
    return tuple(sorted(found, key=lambda layer: -layer.share))


def _peaks(explained: np.ndarray, unlike: np.ndarray, in_sight: int) -> list[Layer]:
    """Layers from bool [ratios, blocks]: each takes the blocks that it explains from those after it."""
    found: list[Layer] = []
    candidate = np.abs(_RATIOS - 1) > _OWN_WITHIN
    for _ in range(_MOST_LAYERS):
        counts = explained.sum(1).astype(float)
        best = int(np.argmax(np.where(candidate, counts, -1)))
        share = (counts[best] - np.median(counts)) / in_sight
        if share < _MIN_LAYER or counts[best] < _MIN_EXPLAINED * unlike.sum():
            break
        found.append(_layer(counts, best, in_sight))
        taken = explained[max(0, best - 2) : best + 3].any(0)
        explained, unlike = explained & ~taken, unlike & ~taken
    return found


def _layer(counts: np.ndarray, best: int, in_sight: int) -> Layer:
    near = slice(max(0, best - 2), best + 3)
    return Layer(float(np.average(_RATIOS[near], weights=counts[near] ** 2)), float(counts[best] / in_sight))


def fixed_cells(
    looks: Sequence[Look], places: np.ndarray, pairs: Sequence[tuple[int, int]], size_px: tuple[int, int]
) -> np.ndarray:
    """bool [height / 8, width / 8] rounded up: cells of the screen that stay as they are while the anchor moves.

    Edges that stay make a cell sure; the flat inside of letters and logos counts beside such cells alone, since that
    of a large moving figure stays for a while too.
    """
    shape = tuple(-(-side // FIXED_CELL_PX) for side in size_px[::-1])
    if not pairs:
        return np.zeros(shape, bool)
    firm, faint = [], []
    for one, other in pairs:
        stays, edge = _staying(looks[one].grey, looks[other].grey, places[one] - places[other])
        faint.append(_cells(stays, size_px) > _FAINT_SHARE)
        firm.append(_cells(stays & edge, size_px) > _FIRM_SHARE)
    is_firm, is_faint = (np.mean(part, axis=0) >= _OFTEN for part in (firm, faint))
    _, labels = cv2.connectedComponents((is_firm | is_faint).astype(np.uint8))
    firm_cells = np.bincount(labels[is_firm], minlength=labels.max() + 1)
    sure = (firm_cells >= _MIN_FIRM_CELLS)[labels] & (labels > 0)
    return cv2.dilate(sure.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def _staying(one: np.ndarray, other: np.ndarray, way: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where two frames are the same on the screen and not what the anchor would show; where both have edges."""
    a, b = (cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _SIGMA_PX) for grey in (one, other))
    far = np.full(a.shape, np.inf, np.float32)
    for here, there, sign in ((a, b, 1), (b, a, -1)):
        size = (a.shape[1], a.shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(there, shifted(*(sign * way)), size, flags=flags, borderValue=(-1000.0,))
        off = np.abs(here - expected)
        far = np.minimum(far, np.where(expected < 0, np.inf, off))
    same = np.abs(a - b)
    stays = (same < _SAME_LEVELS) & (same < far / 2) & (far > _OTHER_LEVELS) & np.isfinite(far)
    edges = [
        np.hypot(cv2.Sobel(x, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(x, cv2.CV_32F, 0, 1, scale=0.125))
        for x in (a, b)
    ]
    return stays, np.minimum(*edges) > _EDGE_LEVELS


def _cells(marked: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Share of each cell of the screen that a bool picture of working size marks."""
    whole = cv2.resize(marked.astype(np.float32), size_px, interpolation=cv2.INTER_LINEAR)
    below, right = (-side % FIXED_CELL_PX for side in whole.shape)
    padded = np.pad(whole, ((0, below), (0, right)), mode="edge")
    rows, columns = (side // FIXED_CELL_PX for side in padded.shape)
    return cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
