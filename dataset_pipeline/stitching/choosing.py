"""Which frames count at which place of the canvas: about a dozen, far apart, and none that hides the place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import FIXED_CELL_PX, Alignment, CleanFrames
from dataset_pipeline.stitching.canvas import Canvas, seam_px, to_frame, travel_of

SAMPLES = 12  # of a place; a codec's errors are alike in neighbours, so that more bring nothing
BLOCK_PX = 8
RINGING_PX = 4  # around what is burnt in, a codec's traces of it
# Of the gain of the FEW brightest that show a place, and of full light: in dimmer frames a codec's errors are that much
# larger, and much of the colour is gone.
DIM = 0.7
FEW = 3
NONE = -1  # of a choice's slots


@dataclass(frozen=True, eq=False)
class Choice:
    """By blocks of the canvas, the frames that count there.

    `frames`: [m], indices into the alignment's. `slots`: int8 [m, rows, columns], the how manieth sample each gives,
    NONE where it does not count. `known`: bool [rows, columns]; elsewhere the samples are for the eye.
    """

    block_px: int
    frames: np.ndarray
    slots: np.ndarray
    known: np.ndarray


def choice_of(alignment: Alignment, canvas: Canvas, clean: CleanFrames | None) -> Choice:
    """With `clean`, its blocks and frames; else frames spread over the way that the view goes. What none but dim frames
    show is not known."""
    frames = spread_frames(alignment) if clean is None else np.asarray(clean.used, int)
    block_px = BLOCK_PX if clean is None else round(clean.block_px)
    sights = [_sight(alignment, canvas, int(frame), block_px) for frame in frames]
    touched, whole, free = (np.stack(each) for each in zip(*sights, strict=True))
    allowed, known = free, np.ones(free.shape[1:], bool)
    if clean is not None:
        rows, columns = known.shape
        bits = np.arange(len(frames), dtype=np.uint64)[:, None, None]
        allowed = free & ((clean.clean[None, :rows, :columns] >> bits) & np.uint64(1)).astype(bool)
        known = clean.known[:rows, :columns].copy()
    counted = _bright(whole & allowed, alignment.gains[frames])
    counted = np.where(counted.any(0), counted, touched & allowed)
    known &= counted[alignment.gains[frames] >= DIM].any(0)
    counted = np.where(counted.any(0), counted, np.where(whole.any(0), whole, touched))
    return Choice(block_px, frames, _slots(counted), known)


def spread_frames(alignment: Alignment, samples: int = SAMPLES) -> np.ndarray:
    """Indices of frames that lie apart by a share 1 / samples of a view, or of the whole way if that is shorter.

    A view that stays where it is gives as many frames, spread over time. Those that reach farthest are among them.
    """
    count = len(alignment.pts)
    way = np.concatenate([[0.0], np.cumsum(travel_of(alignment))])
    if way[-1] * max(alignment.size_px) <= 1:
        return np.unique(np.rint(np.linspace(0, count - 1, min(samples, count))).astype(int))
    samples *= 1 + bool(alignment.fixed.any())  # what one frame hides by something burnt in, the next one shows
    step = min(1.0, way[-1]) / samples
    _, first = np.unique(np.floor(way / step + 1e-9), return_index=True)
    ends = [
        index for axis in range(3) for index in (alignment.places[:, axis].argmin(), alignment.places[:, axis].argmax())
    ]
    return np.unique(np.concatenate([first, ends, [0, count - 1]])).astype(int)


def _sight(
    alignment: Alignment, canvas: Canvas, frame: int, block_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """bool [rows, columns] each: blocks that a frame touches, that lie wholly in it, and on which nothing is fixed."""
    place, (width, height) = alignment.places[frame], alignment.size_px
    rows, columns = -(-canvas.height_px // block_px), -(-canvas.width_px // block_px)
    middle = (block_px - 1) / 2
    x = canvas.left_px + np.arange(columns)[None] * block_px + block_px / 2
    y = canvas.top_px + np.arange(rows)[:, None] * block_px + block_px / 2
    at_x, at_y = (np.broadcast_to(at, (rows, columns)) for at in to_frame(place, (width, height), x, y))
    # A turned block reaches farther; one that is drawn smaller stands for more of the frame.
    turned = abs(np.cos(place[3])) + abs(np.sin(place[3]))
    reach = middle * np.exp(-place[2]) * turned
    edge = seam_px(alignment)
    # What the canvas ends in need not be in sight.
    out_x = np.maximum(0, columns * block_px - canvas.width_px) * (np.arange(columns) == columns - 1)
    out_y = np.maximum(0, rows * block_px - canvas.height_px) * (np.arange(rows) == rows - 1)
    far_x = at_x + reach - out_x[None] * np.exp(-place[2])
    far_y = at_y + reach - out_y[:, None] * np.exp(-place[2])
    low, slack = edge - 1e-6, 1e-6
    whole = (at_x - reach >= low) & (far_x <= width - 1 - edge + slack)
    whole &= (at_y - reach >= low) & (far_y <= height - 1 - edge + slack)
    touched = (at_x + reach >= edge) & (at_x - reach <= width - 1 - edge)
    touched &= (at_y + reach >= edge) & (at_y - reach <= height - 1 - edge)
    if not alignment.fixed.any():
        return touched, whole, np.ones_like(whole)
    near = near_fixed(alignment, reach)
    ix, iy = (np.clip(np.rint(at), 0, side - 1).astype(int) for at, side in ((at_x, width), (at_y, height)))
    return touched, whole, ~near[iy, ix]


def near_fixed(alignment: Alignment, reach_px: float) -> np.ndarray:
    """bool [height, width]: pixels of a frame around which something fixed lies within a block's reach."""
    width, height = alignment.size_px
    cells = alignment.fixed.astype(np.uint8).repeat(FIXED_CELL_PX, 0).repeat(FIXED_CELL_PX, 1)[:height, :width]
    side = 2 * int(np.ceil(reach_px + RINGING_PX)) + 1
    return cv2.dilate(cells, np.ones((side, side), np.uint8)) > 0


def _bright(counted: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """What is left of bool [m, rows, columns] without frames that are much dimmer than others of the place."""
    if len(gains) <= FEW or gains.min() >= DIM * gains.max():
        return counted
    of_place = np.where(counted, gains[:, None, None], 0)
    return counted & (of_place >= DIM * np.partition(of_place, -FEW, axis=0)[-FEW])


def _slots(counted: np.ndarray) -> np.ndarray:
    """int8 of a bool [m, rows, columns]: SAMPLES of a block's frames at most, spread over them, numbered in order."""
    total = counted.sum(0)
    rank = counted.cumsum(0) - 1
    of = np.maximum(total, 1)
    crowded = total > SAMPLES
    slot = np.where(crowded, rank * SAMPLES // of, rank)
    begins = ~crowded | (slot != (rank - 1) * SAMPLES // of) | (rank == 0)
    return np.where(counted & begins, slot, NONE).astype(np.int8)
