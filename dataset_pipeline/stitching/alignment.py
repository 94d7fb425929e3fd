"""What is known of a shot once its frames lie on one canvas: the words that registration, solver and fusion share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FIXED_CELL_PX = 8  # of the screen: a cell of `Alignment.fixed`
TURNED_RAD = np.radians(10.0)  # frames of 16:9 turned by more share an upright rectangle of less than .6 of one
# Gives for timestamps, in rising order, (pts, RGB uint8 [height, width, 3]) of each frame that can be decoded.
FramesAt = Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray]]]


class FramesMissing(ValueError):
    """Fewer than half of the frames that were asked for could be read: nothing can be said of the shot."""


def frames_of_size(
    frames_at: FramesAt, pts: Sequence[int], size_px: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Those of these frames that are (width, height) large: where a subtitle lies in a black bar, less is cut off.

    Raises FramesMissing once all are given if they are fewer than half.
    """
    came = 0
    for at, frame in frames_at(pts):
        if (frame.shape[1], frame.shape[0]) == tuple(size_px):
            came += 1
            yield at, frame
    ensure_most(came, len(pts))


def ensure_most(came: int, asked: int) -> None:
    """Raises FramesMissing if fewer than half of the frames that were asked for came, or none."""
    if not came or 2 * came < asked:
        raise FramesMissing(f"{came} of {asked} frames could be read")


@dataclass(frozen=True)
class Layer:
    """What moves otherwise than the anchor, the layer that the frames are placed by.

    `ratio`: its way over the screen by the anchor's; 0 is fixed to the screen: burnt-in text, a logo. `share`: of the
    area in sight.
    """

    ratio: float
    share: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """Frames of one shot placed on one canvas, in pixels of the full upright picture.

    `pts`, `pts_s`: [n], of the frames that could be placed, in order; repeats of a held picture are not among them.
    `size_px`: (width, height) of a frame.
    `places`: float64 [n, 4], of each frame x_px, y_px, log_scale, angle_rad: a point p of it, counted from the frame's
    centre, lies at exp(log_scale) * R(angle_rad) @ p + (x_px, y_px), counted from the centre of the widest frame.
    `gains`: float64 [n], how bright each frame is by the widest one: levels of a frame / gain are those of the canvas.
    `is_similarity`: whether scale and angle were solved; else they are 0.
    `layers`: besides the anchor, the largest first.
    `fixed`: bool [height / 8, width / 8] rounded up: cells of the screen on which something fixed to it lies.
    """

    pts: np.ndarray
    pts_s: np.ndarray
    size_px: tuple[int, int]
    places: np.ndarray
    gains: np.ndarray
    is_similarity: bool
    layers: tuple[Layer, ...]
    fixed: np.ndarray
    agreement: float  # median over far pairs: share of textured blocks that are alike
    residual_px: float  # 95th percentile of the pairs' distances to the solution, without the layers' outliers
    texture: float  # share of blocks with anything to hold on to, median of the frames


@dataclass(frozen=True, eq=False)
class CleanFrames:
    """By block of the canvas, which frames show the background there.

    Blocks are `block_px` full pixels wide; block (row, column) begins at canvas point (left_px + column * block_px,
    top_px + row * block_px). `used`: [m], m <= 64, indices into the alignment's frames. `clean`: uint64
    [rows, columns], bit k says that frame used[k] is clean there. `known`: bool [rows, columns], whether the background
    was seen for sure; elsewhere the bits are a guess. `moving`: float32 [rows, columns], share of the frames in which
    something moves. `like_frame`: share of blocks whose median looks like a single frame somewhere; `moved`: share of
    blocks in which anything moved.
    """

    block_px: float
    left_px: float
    top_px: float
    used: np.ndarray
    clean: np.ndarray
    known: np.ndarray
    moving: np.ndarray
    like_frame: float
    moved: float

    @property
    def place_moves(self) -> bool:
        """Whether most of what was seen moves in most of the frames: leaves in the wind, waves, a camera that goes
        through the place. Nothing stands still behind it then, and a block is known that looks like a frame."""
        return place_moves(self.moving, self.clean)


def place_moves(moving: np.ndarray, seen: np.ndarray) -> bool:
    """`CleanFrames.place_moves` of its `moving` and bits that are set in each block that was seen, of one shape."""
    return bool(np.count_nonzero((moving > 0.5) & (seen > 0)) > 0.5 * np.count_nonzero(seen))


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A fused picture: `image` RGB uint8 [height, width, 3], `known` bool [height, width]; (left_px, top_px) is where
    its first pixel begins on the canvas."""

    image: np.ndarray
    known: np.ndarray
    left_px: float
    top_px: float
