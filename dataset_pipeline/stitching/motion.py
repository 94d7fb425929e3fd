"""What moves over the background between frames of a shot that lie on one canvas."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import Alignment
from dataset_pipeline.stitching.canvas import travel_of
from dataset_pipeline.stitching.small_frames import SIDE, SmallFrame

APART_PX = 12  # of the camera's way: a layer at another distance shows by then
APART_S, LONG_S = 0.15, 0.5  # somebody who walks shows after the one, and after the other the frames are too unlike
ALIKE, BETTER = 6.0, 0.7  # levels, mean of a block
EDGE = 3  # blocks
LEAST_SIDE_PX = 32  # of what two small frames share: flow needs as much
MOVES_PX = 0.55  # of a small frame: below it flow is a codec's noise


def moving_blocks(frames: Sequence[SmallFrame], alignment: Alignment) -> list[tuple[np.ndarray, np.ndarray]]:
    """bool [rows, columns] of each frame's blocks: whether something moves there otherwise than the canvas, and whether
    the pictures themselves show it. On flat paint they do not, and flow goes along with whoever passes nearby.

    Flow by dense inverse search (Kroeger et al., ECCV 2016) to an earlier and to a later frame; the smaller of both
    counts, since what is hidden in one of them seems to move. What neither shows moves nowhere.
    """
    way_px = np.concatenate([[0.0], np.cumsum(travel_of(alignment))]) * max(alignment.size_px)
    at = np.array([[way_px[small.frame], alignment.pts_s[small.frame]] for small in frames])
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grays = [cv2.cvtColor(small.image, cv2.COLOR_RGB2GRAY) for small in frames]
    found = []
    for number, small in enumerate(frames):
        lengths = np.full((2, *small.whole.shape), np.inf, np.float32)
        for other in _others(number, at):
            there = _lengths(flow, (small, grays[number]), (frames[other], grays[other]))
            lengths = np.minimum(lengths, there)
        moves, shown = np.isfinite(lengths) & (lengths > MOVES_PX)
        found.append((moves, shown))
    return found


def _others(number: int, at: np.ndarray) -> list[int]:
    """The nearest frame before and after that lies far enough apart."""
    way, time = np.abs(at - at[number]).T
    stands = np.ptp(at[:, 0]) <= 1
    apart = (time >= APART_S) if stands else ((way >= APART_PX) & (time >= APART_S)) | (time >= LONG_S)
    before, after = np.flatnonzero(apart[:number]), np.flatnonzero(apart[number + 1 :])
    return [*before[-1:].tolist(), *(after[:1] + number + 1).tolist()]


def _lengths(
    flow: cv2.DISOpticalFlow, one: tuple[SmallFrame, np.ndarray], other: tuple[SmallFrame, np.ndarray]
) -> np.ndarray:
    """float32 [2, rows, columns] of the first frame's blocks: how far they move, and how far where the pictures show
    it; infinite where the other has none."""
    (small, gray), (beside, gray_beside) = one, other
    lengths = np.full((2, *small.whole.shape), np.inf, np.float32)
    rows, columns = (_shared(*spans) for spans in zip(small.area, beside.area, strict=True))
    if min(rows.stop - rows.start, columns.stop - columns.start) * SIDE < LEAST_SIDE_PX:
        return lengths
    here, there = _part(small, gray, rows, columns), _part(beside, gray_beside, rows, columns)
    moved = flow.calc(here, there, np.zeros((*here.shape, 2), np.float32))
    long = _block_means(cv2.magnitude(moved[..., 0], moved[..., 1]))
    same, led = _unlike(here, there, moved)
    stands, shown = (same < ALIKE) & (same + BETTER < led), led + BETTER < same
    both = np.stack([np.where(stands, 0, long), np.where(shown, long, 0)])
    both[:, ~_inner(long.shape, (rows, columns), small)] = np.inf
    both[:, ~beside.whole[_within(rows, beside.row), _within(columns, beside.column)]] = np.inf
    lengths[:, _within(rows, small.row), _within(columns, small.column)] = both
    return lengths


def _shared(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _within(span: slice, begin: int, scale: int = 1) -> slice:
    return slice((span.start - begin) * scale, (span.stop - begin) * scale)


def _part(small: SmallFrame, gray: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return np.ascontiguousarray(gray[_within(rows, small.row, SIDE), _within(columns, small.column, SIDE)])


def _inner(shape: tuple[int, ...], spans: tuple[slice, slice], small: SmallFrame) -> np.ndarray:
    """bool [rows, columns]: where flow has something to hold on to, for the other frame does not end nearby."""
    inner = np.ones(shape, bool)
    for axis, (span, whole) in enumerate(zip(spans, small.area, strict=True)):
        along = np.moveaxis(inner, axis, 0)
        along[: EDGE * (span.start > whole.start)] = False
        along[len(along) - EDGE * (span.stop < whole.stop) :] = False
    return inner


def _unlike(one: np.ndarray, other: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [rows, columns] each: mean differences in levels to the same place of another picture, and to the place
    that flow leads to. Flow is smooth, so that what lies beside somebody seems to go along."""
    y, x = np.indices(one.shape, np.float32)
    led = cv2.remap(other, x + moved[..., 0], y + moved[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    same, there = (_block_means(cv2.absdiff(one, picture).astype(np.float32)) for picture in (other, led))
    return same, there


def _block_means(values: np.ndarray) -> np.ndarray:
    """[rows, columns] of [rows * SIDE, columns * SIDE]."""
    return cv2.resize(values, (values.shape[1] // SIDE, values.shape[0] // SIDE), interpolation=cv2.INTER_AREA)
