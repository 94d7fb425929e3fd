"""Frames fused into one picture: each place the robust mean of about a dozen frames that show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, FramesAt, Mosaic, frames_of_size
from dataset_pipeline.stitching.averaging import EMPTY, robust_mean
from dataset_pipeline.stitching.canvas import Canvas, Patch, canvas_of, placed, seam_px
from dataset_pipeline.stitching.choosing import NONE, Choice, choice_of

TILE_PX = 256


def fuse(alignment: Alignment, frames_at: FramesAt, clean: CleanFrames | None = None) -> Mosaic:
    """Panorama and plate alike: gains undone, Lanczos, Tukey's biweight about the median of a dozen frames a pixel.

    What is fixed to the screen is left out of every frame. With `clean`, only frames that are clean in a block count
    there. Where nothing counts the picture shows what most frames do, for the eye, and `known` says no. Frames
    are asked for once, in order, and what no later frame touches is finished and forgotten, so that memory is bounded
    by a dozen samples of what lies in sight. Raises FramesMissing
    where most of them cannot be read.
    """
    canvas = canvas_of(alignment)
    choice = choice_of(alignment, canvas, clean)
    fused = _Fused(canvas, choice)
    seam = seam_px(alignment)
    at = {int(alignment.pts[frame]): order for order, frame in enumerate(choice.frames)}
    for pts, picture in frames_of_size(frames_at, sorted(at), alignment.size_px):
        order = at[pts]
        frame = choice.frames[order]
        fused.add(order, placed(picture, alignment.places[frame], canvas, float(alignment.gains[frame]), seam))
    fused.finish_all()
    return Mosaic(fused.image, fused.known, canvas.left_px, canvas.top_px)


@dataclass(eq=False)
class _Tile:
    """Samples of a piece of the canvas, block by block: uint8 [k, blocks, block_px ** 2, 3]."""

    samples: np.ndarray
    counts: np.ndarray  # uint8 [blocks, block_px ** 2]


class _Fused:
    """The picture that comes about, tile by tile."""

    def __init__(self, canvas: Canvas, choice: Choice) -> None:
        self.image = np.zeros((canvas.height_px, canvas.width_px, 3), np.uint8)
        self.known = np.zeros((canvas.height_px, canvas.width_px), bool)
        self._choice = choice
        self._blocks = max(1, TILE_PX // choice.block_px)  # along a tile's side
        self._side = self._blocks * choice.block_px
        rows, columns = choice.known.shape
        self._slots = {
            (row, column): choice.slots[:, row : row + self._blocks, column : column + self._blocks]
            for row in range(0, rows, self._blocks)
            for column in range(0, columns, self._blocks)
        }
        counts = {at: (slots != NONE).any((1, 2)) for at, slots in self._slots.items()}
        self._last = {at: int(np.flatnonzero(frames)[-1]) for at, frames in counts.items() if frames.any()}
        self._open: dict[tuple[int, int], _Tile] = {}

    def add(self, order: int, patch: Patch) -> None:
        """What a frame gives to each tile; `order` counts the choice's frames."""
        for at in self._touched(patch):
            slots = self._slots[at][order]
            if (slots != NONE).any():
                self._add_to(at, slots, patch)
        for at in [at for at in self._open if self._last[at] <= order]:
            self._finish(at)

    def finish_all(self) -> None:
        for at in list(self._open):
            self._finish(at)

    def _touched(self, patch: Patch) -> Iterator[tuple[int, int]]:
        height, width = patch.covered.shape
        first, last = patch.row // self._side, (patch.row + height - 1) // self._side
        left, right = patch.column // self._side, (patch.column + width - 1) // self._side
        for row in range(first, last + 1):
            for column in range(left, right + 1):
                if (at := (row * self._blocks, column * self._blocks)) in self._last:
                    yield at

    def _add_to(self, at: tuple[int, int], slots: np.ndarray, patch: Patch) -> None:
        tile = self._open.get(at) or self._opened(at)
        rows, columns = slots.shape
        block = self._choice.block_px
        size = rows * block, columns * block
        top, left = at[0] * block - patch.row, at[1] * block - patch.column
        values, covered = np.full((*size, 3), EMPTY, np.uint8), np.zeros(size, bool)
        theirs = tuple(
            slice(max(0, begin), max(0, min(begin + side, whole)))
            for begin, side, whole in zip((top, left), size, patch.covered.shape, strict=True)
        )
        ours = tuple(slice(one.start - begin, one.stop - begin) for one, begin in zip(theirs, (top, left), strict=True))
        covered[ours] = patch.covered[theirs]
        values[ours] = patch.image[theirs]
        values[~covered] = EMPTY
        counted = np.flatnonzero(slots.ravel() != NONE)
        tile.samples[slots.ravel()[counted], counted] = _by_block(values, block)[counted]
        tile.counts[counted] += _by_block(covered[..., None], block)[counted, :, 0]

    def _opened(self, at: tuple[int, int]) -> _Tile:
        slots = self._slots[at]
        blocks, area = slots[0].size, self._choice.block_px**2
        samples = np.full((int(slots.max()) + 1, blocks, area, 3), EMPTY, np.uint8)
        self._open[at] = tile = _Tile(samples, np.zeros((blocks, area), np.uint8))
        return tile

    def _finish(self, at: tuple[int, int]) -> None:
        tile = self._open.pop(at)
        shape = self._slots[at].shape[1:]
        block = self._choice.block_px
        mean = robust_mean(tile.samples.reshape(len(tile.samples), -1), tile.counts.ravel().repeat(3))
        pixels = np.rint(mean).clip(0, 255).astype(np.uint8).reshape(*tile.counts.shape, 3)
        top, left = at[0] * block, at[1] * block
        area = self.image[top : top + self._side, left : left + self._side]
        area[:] = _by_row(pixels, shape, block)[: area.shape[0], : area.shape[1]]
        known = self._choice.known[at[0] : at[0] + shape[0], at[1] : at[1] + shape[1]].ravel()
        seen = ((tile.counts > 0) & known[:, None])[..., None]
        self.known[top : top + self._side, left : left + self._side] = _by_row(seen, shape, block)[
            : area.shape[0], : area.shape[1], 0
        ]


def _by_block(pixels: np.ndarray, block: int) -> np.ndarray:
    """[height, width, c] as [blocks, block ** 2, c]."""
    rows, columns = pixels.shape[0] // block, pixels.shape[1] // block
    apart = pixels.reshape(rows, block, columns, block, -1).swapaxes(1, 2)
    return apart.reshape(rows * columns, block * block, -1)


def _by_row(blocks: np.ndarray, shape: tuple[int, ...], block: int) -> np.ndarray:
    """[blocks, block ** 2, c] as [height, width, c]."""
    together = blocks.reshape(shape[0], shape[1], block, block, -1).swapaxes(1, 2)
    return together.reshape(shape[0] * block, shape[1] * block, -1)
