"""Which frames show the background, block by block, where it was seen at all: a plate freed of whoever walks by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np

from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, FramesAt, place_moves
from dataset_pipeline.stitching.averaging import medians_of
from dataset_pipeline.stitching.clusters import bit_count, block_values, distances, slots_of
from dataset_pipeline.stitching.followed import BoxesByPts, Followed
from dataset_pipeline.stitching.labels import best_slots
from dataset_pipeline.stitching.motion import moving_blocks
from dataset_pipeline.stitching.small_frames import (
    SIDE,
    SmallFrame,
    blocks_inside,
    compared_frames,
    grid_of,
    small_frames,
)

LEAST_CLEAN = 2
MOST_MOVING = 0.5  # of the frames in which a look is there
LEAST_AROUND = 6  # of the nine blocks in and around one
LEAST_ISLAND = 16  # blocks that hang together: fewer amid what is unknown are a flat piece of somebody's clothes
LIKE_FRAME = 8.0  # levels, mean of a block
TILE = 32  # blocks to a side that are looked at together


def clean_frames(alignment: Alignment, frames_at: FramesAt, boxes: BoxesByPts | None = None) -> CleanFrames:
    """Compares up to 60 small frames and says which show the background in each block of the canvas.

    A block's background is the look that moves least, is there most often and was seen together with its neighbours'.
    It is known if it is clean for a while, see `_sure`, if it moves in less than half of the frames it is there in,
    and if, where `boxes` say where people were on frames that were looked at, it was once outside all of them. Without
    boxes, where `place_moves`, all frames count, and what looks like one of them is known.
    Raises FramesMissing where most frames cannot be read.
    """
    grid = grid_of(alignment)
    frames = list(small_frames(alignment, grid, compared_frames(alignment), frames_at))
    members, seen = slots_of(frames, grid.shape)
    moving, shown = (_bits(frames, part, grid.shape) for part in zip(*moving_blocks(frames, alignment), strict=True))
    hidden = np.zeros(grid.shape, np.uint64)
    if boxes is not None:
        people = Followed(boxes, alignment)
        inside = [blocks_inside(people.at(int(alignment.pts[small.frame])), small, alignment, grid) for small in frames]
        hidden = _bits(frames, inside, grid.shape)
        moving = shown | (moving & hidden)  # where nobody is, flow alone is somebody's who passes nearby
    slots = best_slots(members, members & ~moving & ~hidden, seen)
    chosen = np.take_along_axis(members, slots[None], 0)[0]
    still, outside = chosen & ~moving, chosen & ~hidden
    clean = np.where(bit_count(still & outside) >= LEAST_CLEAN, still & outside, still)
    clean = np.where(clean > 0, clean, chosen)  # not known then, and the best there is to look at
    known = (bit_count(chosen & moving) < MOST_MOVING * bit_count(chosen)) & (outside > 0)
    calm = (chosen == seen) & (moving & seen == 0)
    known = _sure(known, still, members & ~moving, calm, by_motion_alone=boxes is None)
    share = (bit_count(moving & seen) / np.maximum(bit_count(seen), 1)).astype(np.float32)
    like_frame = _like_frame(frames, grid.shape)
    if boxes is None and place_moves(share, seen):
        clean, known = seen, like_frame
    return CleanFrames(
        block_px=float(SIDE * grid.shrink),
        left_px=grid.small.left_px * grid.shrink,
        top_px=grid.small.top_px * grid.shrink,
        used=np.array([small.frame for small in frames]),
        clean=clean,
        known=known,
        moving=share,
        like_frame=float(like_frame[seen > 0].mean()),
        moved=float((moving & seen)[seen > 0].astype(bool).mean()),
    )


def _run_of(bits: np.ndarray, length: int) -> np.ndarray:
    """uint64 that is not 0 where so many bits one after the other are set: what is alike by chance, in foreground that
    passes, is so now and then."""
    run = bits
    for shift in range(1, length):
        run = run & (bits << np.uint64(shift))
    return run


def _sure(
    known: np.ndarray, still: np.ndarray, slots_still: np.ndarray, calm: np.ndarray, by_motion_alone: bool
) -> np.ndarray:
    """What is clean in two frames one after the other, or where anything ever passes in three, and in half of all
    frames in which some look stands still; and no islands, which pieces of a slow figure's clothes are. By motion alone
    in four, and nothing narrow, which a sleeve is beside the place that is known."""
    every = np.bitwise_or.reduce(slots_still)
    run = LEAST_CLEAN + (2 if by_motion_alone else 1)
    longer = (_run_of(still, run) > 0) & (2 * bit_count(still) >= bit_count(every))
    known = known & (longer | calm & (_run_of(still, LEAST_CLEAN) > 0))
    if by_motion_alone:
        known &= cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    else:
        around = cv2.boxFilter(known.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
        known &= around >= LEAST_AROUND
    return without_islands(known)


def without_islands(known: np.ndarray) -> np.ndarray:
    """bool [rows, columns]: known blocks of which at least `LEAST_ISLAND` hang together, side by side."""
    _, labels = cv2.connectedComponents(known.astype(np.uint8), connectivity=4)
    return known & np.isin(labels, np.flatnonzero(np.bincount(labels.ravel()) >= LEAST_ISLAND))


def _bits(frames: Sequence[SmallFrame], of_frames: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """uint64 [rows, columns] of bool [rows, columns] of each frame's own blocks."""
    bits = np.zeros(shape, np.uint64)
    for number, (small, true) in enumerate(zip(frames, of_frames, strict=True)):
        bits[small.area] |= true.astype(np.uint64) << np.uint64(number)
    return bits


def _like_frame(frames: Sequence[SmallFrame], shape: tuple[int, int]) -> np.ndarray:
    """bool [rows, columns]: blocks whose median over the frames looks like one of them; not so where layers mix."""
    like = np.zeros(shape, bool)
    for top, left in product(range(0, shape[0], TILE), range(0, shape[1], TILE)):
        area = slice(top, min(top + TILE, shape[0])), slice(left, min(left + TILE, shape[1]))
        parts = [part for part in (_part_in(area, small) for small in frames) if part is not None]
        if parts:
            values, whole = (np.stack(part) for part in zip(*parts, strict=True))
            like[area] = _like_rows(values, whole)
    return like


def _part_in(area: tuple[slice, slice], small: SmallFrame) -> tuple[np.ndarray, np.ndarray] | None:
    """What a frame shows of some blocks of the grid: uint8 [rows, columns, k] and which of them lie wholly in it, bool
    [rows, columns]; None of nothing."""
    shared = [
        slice(max(one.start, other.start), min(one.stop, other.stop))
        for one, other in zip(area, small.area, strict=True)
    ]
    if any(span.start >= span.stop for span in shared):
        return None
    into, (rows, columns) = (
        tuple(slice(span.start - at.start, span.stop - at.start) for span, at in zip(shared, of, strict=True))
        for of in (area, small.area)
    )
    shape = area[0].stop - area[0].start, area[1].stop - area[1].start
    values, whole = np.zeros((*shape, SIDE * SIDE * 3), np.uint8), np.zeros(shape, bool)
    image = small.image[rows.start * SIDE : rows.stop * SIDE, columns.start * SIDE : columns.stop * SIDE]
    values[into], whole[into] = block_values(image), small.whole[rows, columns]
    return values, whole


def _like_rows(values: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """bool [rows, columns] of blocks [frames, rows, columns, k] that are in sight and look like a frame."""
    flat, seen = values.reshape(len(values), -1, values.shape[-1]), whole.reshape(len(whole), -1)
    median = medians_of(flat, seen)
    off = np.stack([distances(one, median) for one in flat])
    return (np.where(seen, off, np.inf).min(0) < LIKE_FRAME).reshape(values.shape[1:3])
