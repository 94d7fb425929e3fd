"""How good a picture is, told by its pixels alone: no model, no weights. Each signal is one number, and says which way
is better. They rank pictures of one size; what is plainly wrong with a frame is told by `images.defects`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from dataset_pipeline.images.defects import blur_and_smear
from dataset_pipeline.images.png import encode_png

BLOCK = 8  # pixels of a side of what JPEG and most video codecs code at once
LEAST_CHANGE = 0.01  # levels; what does not change at all divides by this
LOOKED_AT = 3  # the grid is looked for in every third block either way
BAND_PX = 8  # a band is at least so long
BAND_LEVELS = 8  # and its step at most so high; higher ones are edges
GAUSSIAN_MAD = 0.6745  # the median of the absolute values of a normal distribution of deviation 1
NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # of deviation 6 on noise of deviation 1


def blockiness(luma: np.ndarray) -> float:
    """How much more alike neighbouring blocks are on the coder's grid than half a block beside it, from 0 upwards.

    The measure of Bhardwaj and Pankajakshan, A JPEG blocking artifact detector for image forensics (2018), that the BHI
    sets keep below 30: of each of the 64 DCT coefficients the mean second difference over neighbouring blocks, on the
    grid and 4 pixels off it, and the sum of their relative differences. Here the grid is looked for, so that a cropped
    picture is told too. A picture that was never coded has 1 to 6, one of JPEG quality 90 on flat colours 15 to 45.
    """
    if min(luma.shape) < 5 * BLOCK:
        return 0.0
    y, x = grid_of(luma)
    off = BLOCK // 2
    on_grid, beside = (
        _second_differences(_blocks(luma, *at)) for at in ((y, x), ((y + off) % BLOCK, (x + off) % BLOCK))
    )
    return float((np.abs(beside - on_grid) / (on_grid + LEAST_CHANGE)).sum())


def grid_of(luma: np.ndarray) -> tuple[int, int]:
    """Where the first whole block begins (y, x), 0..7: where DCT coefficients vanish most, as that is what coding does.
    In a picture that was never coded it is anywhere."""
    grids = [(y, x) for y in range(BLOCK) for x in range(BLOCK)]
    return min(grids, key=lambda at: _left(_blocks(luma, *at, LOOKED_AT)))


def _left(blocks: np.ndarray) -> float:
    """How much is left of the coefficients, a logarithm; large ones are of edges and say nothing."""
    sizes = np.minimum(np.abs(blocks).reshape(-1, BLOCK * BLOCK)[:, 1:], BLOCK / 2).mean(axis=0)
    return float(np.log(sizes + 0.1).sum())


def _blocks(luma: np.ndarray, y: int, x: int, step: int = 1) -> np.ndarray:
    """DCT coefficients of whole blocks, float32 [rows, columns, 8, 8]; of every `step`th either way."""
    rows, columns = (luma.shape[0] - y) // BLOCK, (luma.shape[1] - x) // BLOCK
    whole = luma[y : y + rows * BLOCK, x : x + columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return _DCT @ whole[::step, :, ::step].transpose(0, 2, 1, 3).astype(np.float32) @ _DCT.T


def _second_differences(blocks: np.ndarray) -> np.ndarray:
    """Of each coefficient the mean over all inner blocks, [8, 8]."""
    twice = 2 * blocks[1:-1, 1:-1]
    across = blocks[1:-1, :-2] + blocks[1:-1, 2:] - twice
    down = blocks[:-2, 1:-1] + blocks[2:, 1:-1] - twice
    return np.sqrt(across**2 + down**2).mean(axis=(0, 1))


def _dct_matrix() -> np.ndarray:
    """The orthonormal DCT-II of 8 values, float32 [8, 8]."""
    order, place = np.mgrid[:BLOCK, :BLOCK]
    waves = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * place + 1) * order / (2 * BLOCK))
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


_DCT = _dct_matrix()


def sharpness(luma: np.ndarray) -> float:
    """1 less the blur of `images.defects` (after Crete et al., The Blur Effect, 2007), 0..1."""
    return 1 - blur_and_smear(luma)[0]


def noise(luma: np.ndarray) -> float:
    """Standard deviation of the noise, in levels of 255.

    The mask of Immerkaer, Fast Noise Variance Estimation (1996), which leaves nothing of flat and evenly rising
    surfaces; taken by the median as Donoho and Johnstone (1994) do, so that lines and texture of less than half of the
    picture do not count. Black and white, which hide noise, are left out.
    """
    if min(luma.shape) < 3:
        return 0.0
    inner = luma[1:-1, 1:-1]
    left = np.abs(cv2.filter2D(luma, cv2.CV_32F, NOISE_MASK)[1:-1, 1:-1][(inner > 0) & (inner < 255)])
    return float(np.median(left)) / (6 * GAUSSIAN_MAD) if left.size else 0.0


def banding(luma: np.ndarray) -> float:
    """How high the steps are that gradients go in, in levels, the mean over the picture in its worse direction.

    Contours between even bands, as in Wang, Kum, Chen and Kokaram, A Perceptual Visibility Metric for Banding Artifacts
    (2016): here along rows and columns, where at least three bands rise or fall by small steps, so that flat areas of
    drawn shadows do not count. A gradient in all 256 levels has up to 1, one in 64 levels up to 4, a dithered one 0.
    """
    return max(_steps(luma), _steps(np.ascontiguousarray(luma.T)))


def _steps(rows: np.ndarray) -> float:
    height, width = rows.shape
    changes = np.ones((height, width), bool)  # a run ends with its row
    np.not_equal(rows[:, 1:], rows[:, :-1], out=changes[:, :-1])
    ends = np.flatnonzero(changes)
    lengths = np.diff(ends, prepend=-1)
    levels = rows.ravel()[ends].astype(np.int16)
    steps = np.diff(levels)
    steps[(ends % width == width - 1)[:-1]] = 0
    small = (np.abs(steps) <= BAND_LEVELS) & (np.minimum(lengths[:-1], lengths[1:]) >= BAND_PX)
    ways = np.sign(steps) * small
    goes_on = (ways[1:] == ways[:-1]) & (ways[1:] != 0)
    stairs = np.zeros(len(steps), bool)
    stairs[1:] |= goes_on
    stairs[:-1] |= goes_on
    covered = (lengths[:-1] + lengths[1:]) / 2
    return float((np.abs(steps) * covered)[stairs].sum() / rows.size)


def complexity(picture: np.ndarray) -> float:
    """Bits a pixel that the picture takes as PNG: what can be told shortly is simple (as in Forsythe, Mulhern and
    Sawey, Confounds in pictorial sets, 2008). Noise counts as detail. picture: uint8 [height, width, 3]."""
    return 8 * len(encode_png(picture)) / (picture.shape[0] * picture.shape[1])


def png_bytes(complexity: float, area_px: int) -> int:
    """How many bytes a picture of that complexity takes as PNG."""
    return round(complexity * area_px / 8)


@dataclass(frozen=True)
class Signal:
    """measure: takes luma, uint8 [height, width], or where `of_colours` RGB, uint8 [height, width, 3]."""

    measure: Callable[[np.ndarray], float]
    higher_is_better: bool
    of_colours: bool = False


SIGNALS: Mapping[str, Signal] = {
    "blockiness": Signal(blockiness, higher_is_better=False),
    "sharpness": Signal(sharpness, higher_is_better=True),
    "noise": Signal(noise, higher_is_better=False),
    "banding": Signal(banding, higher_is_better=False),
    "complexity": Signal(complexity, higher_is_better=True, of_colours=True),
}


def signals_of(picture: np.ndarray) -> dict[str, float]:
    """All signals of a picture by name. Raises ValueError for anything but uint8 [height, width, 3] RGB with pixels."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(
            f"a picture is uint8 [height, width, 3] with pixels in it, not {picture.dtype} {picture.shape}"
        )
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return {name: signal.measure(picture if signal.of_colours else luma) for name, signal in SIGNALS.items()}
