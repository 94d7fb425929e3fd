"""Frames of a shot small enough to be compared all with all, placed on one grid of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.stitching.alignment import Alignment, FramesAt, frames_of_size
from dataset_pipeline.stitching.canvas import Canvas, canvas_of, corners_of, placed, to_frame, travel_of
from dataset_pipeline.stitching.choosing import near_fixed

MAX_WIDTH_PX = 960
SIDE = 4  # small pixels along a block's side
FRAMES_HELD, FRAMES_MOVED = 48, 60  # of a camera that stands, and of one that moves; 64 bits hold either


@dataclass(frozen=True, eq=False)
class Grid:
    """Blocks over an alignment's canvas: `shrink` full pixels are a small one, `SIDE` small ones a block."""

    shrink: int
    small: Canvas
    shape: tuple[int, int]  # rows, columns


@dataclass(frozen=True, eq=False)
class SmallFrame:
    """A frame on the grid. `image`: uint8 [rows * SIDE, columns * SIDE, 3] from block (row, column) on. `whole`: bool
    [rows, columns], blocks that lie in it and on which nothing is fixed to the screen."""

    frame: int
    row: int
    column: int
    image: np.ndarray
    whole: np.ndarray

    @property
    def area(self) -> tuple[slice, slice]:
        """Its blocks among the grid's."""
        rows, columns = self.whole.shape
        return slice(self.row, self.row + rows), slice(self.column, self.column + columns)


def grid_of(alignment: Alignment) -> Grid:
    shrink = -(-alignment.size_px[0] // MAX_WIDTH_PX)
    canvas = canvas_of(alignment)
    width, height = -(-canvas.width_px // shrink), -(-canvas.height_px // shrink)
    small = Canvas(canvas.left_px / shrink, canvas.top_px / shrink, width, height)
    return Grid(shrink, small, (-(-height // SIDE), -(-width // SIDE)))


def compared_frames(alignment: Alignment) -> np.ndarray:
    """Indices of the frames that are compared: spread half over the way and half over the time."""
    count = len(alignment.pts)
    way = np.concatenate([[0.0], np.cumsum(travel_of(alignment))])
    moves = way[-1] * max(alignment.size_px) > 1
    share = np.linspace(0, 1, count)
    if moves:
        share = (share + way / way[-1]) / 2
    wanted = np.linspace(0, 1, min(count, FRAMES_MOVED if moves else FRAMES_HELD))
    return np.unique(np.abs(share[None] - wanted[:, None]).argmin(1))


def small_frames(alignment: Alignment, grid: Grid, frames: np.ndarray, frames_at: FramesAt) -> Iterator[SmallFrame]:
    """The frames of these indices, in order, with their gains undone; those that cannot be decoded are left out.
    Raises FramesMissing where these are most."""
    at = {int(alignment.pts[frame]): int(frame) for frame in frames}
    for pts, picture in frames_of_size(frames_at, sorted(at), alignment.size_px):
        yield _small(picture, at[pts], alignment, grid)


def blocks_inside(boxes: Sequence[Box], small: SmallFrame, alignment: Alignment, grid: Grid) -> np.ndarray:
    """bool [rows, columns] of a frame's blocks: whether any of these boxes, in the frame's pixels, touches them."""
    rows, columns = small.whole.shape
    full = grid.shrink * SIDE
    x = (grid.small.left_px * grid.shrink) + (small.column + np.arange(columns)[None] + 0.5) * full
    y = (grid.small.top_px * grid.shrink) + (small.row + np.arange(rows)[:, None] + 0.5) * full
    place = alignment.places[small.frame]
    at_x, at_y = to_frame(place, alignment.size_px, x, y)
    reach = full / 2 * np.exp(-place[2])
    inside = np.zeros((rows, columns), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= (at_x > x0 - reach) & (at_x < x1 + reach) & (at_y > y0 - reach) & (at_y < y1 + reach)
    return inside


def _small(picture: np.ndarray, frame: int, alignment: Alignment, grid: Grid) -> SmallFrame:
    place, shrink, size = alignment.places[frame], grid.shrink, alignment.size_px
    width, height = (side // shrink for side in size)
    picture = picture[: height * shrink, : width * shrink]
    if shrink > 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    corner = corners_of(place, size)[0] / shrink
    centre = corner - corners_of(np.array([0, 0, place[2], place[3]]), (width, height))[0]
    patch = placed(picture, np.array([*centre, *place[2:]]), grid.small, float(alignment.gains[frame]))
    covered = patch.covered & ~_fixed_under(patch.row, patch.column, patch.covered.shape, frame, alignment, grid)
    # From whole block to whole block of the grid; what lies outside the canvas asks for nothing.
    row, column = patch.row // SIDE, patch.column // SIDE
    above, before = patch.row - row * SIDE, patch.column - column * SIDE
    rows, columns = (-(-(one + other) // SIDE) for one, other in zip(covered.shape, (above, before), strict=True))
    image = np.zeros((rows * SIDE, columns * SIDE, 3), np.uint8)
    seen = np.zeros(image.shape[:2], bool)
    place_in = np.s_[above : above + covered.shape[0], before : before + covered.shape[1]]
    image[place_in], seen[place_in] = patch.image, covered
    seen[grid.small.height_px - row * SIDE :] = True
    seen[:, grid.small.width_px - column * SIDE :] = True
    whole = seen.reshape(rows, SIDE, columns, SIDE).all((1, 3))
    return SmallFrame(frame, row, column, image, whole)


def _fixed_under(
    row: int, column: int, shape: tuple[int, ...], frame: int, alignment: Alignment, grid: Grid
) -> np.ndarray:
    """bool of a patch's shape: small pixels on which something is fixed to the screen."""
    if not alignment.fixed.any():
        return np.zeros(shape, bool)
    near = near_fixed(alignment, grid.shrink / 2)
    x = (grid.small.left_px + column + np.arange(shape[1])[None] + 0.5) * grid.shrink
    y = (grid.small.top_px + row + np.arange(shape[0])[:, None] + 0.5) * grid.shrink
    at_x, at_y = to_frame(alignment.places[frame], alignment.size_px, x, y)
    at_x, at_y = np.broadcast_to(at_x, shape), np.broadcast_to(at_y, shape)
    width, height = alignment.size_px
    return near[np.rint(at_y).clip(0, height - 1).astype(int), np.rint(at_x).clip(0, width - 1).astype(int)]
