"""A frame as registration looks at it: grey, cut, small, and as what stands out of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy import fft

BORDER_PX = 2  # edges of frames are often dirty
_REDUCTIONS = ((900, 1), (2600, 2))  # frames with a longer side below so much are looked at reduced so many times
_REDUCTION_OF_OTHERS = 4
DETAIL_STEPS = 8  # of one grey level
_SURROUNDINGS_PX = 31
_BLUR_PX = 0.7
BLOCK_PX = 8  # of the coarse picture, which is half as wide as the working one
_SIGMA_PX = 0.9
_CELL_PX = 16
_POINTS_PER_CELL = 7
_MIN_GRADIENT = 1.5  # levels per px
_TAPS = 4  # to each side


@dataclass(frozen=True)
class Scale:
    """How the working picture lies in a frame of `size_px` (width, height)."""

    size_px: tuple[int, int]
    reduction: int

    @classmethod
    def of(cls, frame: np.ndarray) -> Scale:
        height, width = frame.shape[:2]
        longer = max(width, height)
        reduction = next((times for below, times in _REDUCTIONS if longer < below), _REDUCTION_OF_OTHERS)
        return cls((width, height), reduction)

    @property
    def working_px(self) -> tuple[int, int]:
        """(width, height) of the working picture; both even, so that the coarse one is exactly half of it."""
        width, height = ((side - 2 * BORDER_PX) // (2 * self.reduction) * 2 for side in self.size_px)
        return width, height

    @property
    def centre_off_px(self) -> tuple[float, float]:
        """From the frame's centre to that of the part of it that is looked at, in pixels of the frame."""
        x, y = (
            BORDER_PX + side * self.reduction / 2 - whole / 2
            for side, whole in zip(self.working_px, self.size_px, strict=True)
        )
        return x, y

    def working(self, frame: np.ndarray) -> np.ndarray:
        """Grey uint8 of an RGB frame."""
        width, height = self.working_px
        part = frame[BORDER_PX:, BORDER_PX:][: height * self.reduction, : width * self.reduction]
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        return grey if self.reduction == 1 else cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, eq=False)
class Points:
    """The pixels of a working picture with the strongest gradients, some of each cell."""

    x: np.ndarray  # int32 [n]
    y: np.ndarray
    value: np.ndarray  # float32 [n], of the softened picture
    gradient: np.ndarray  # float32 [n, 2], levels per px


@dataclass(frozen=True, eq=False)
class Look:
    """A frame as registration keeps it: `grey` uint8 [height, width], the working picture."""

    number: int
    grey: np.ndarray

    @cached_property
    def detail(self) -> np.ndarray:
        """int16 [height / 2, width / 2]: what stands out of its surroundings, `DETAIL_STEPS` to a grey level."""
        height, width = self.grey.shape
        small = cv2.resize(self.grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA).astype(np.float32)
        small = cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
        out = (small - cv2.blur(small, (_SURROUNDINGS_PX, _SURROUNDINGS_PX))) * DETAIL_STEPS
        return np.rint(out).astype(np.int16)

    def reduced(self, times: int) -> Look:
        """The same frame so many times smaller; itself for 1."""
        if times == 1:
            return self
        if times not in self._reduced:
            height, width = self.grey.shape
            small = cv2.resize(self.grey, (width // times, height // times), interpolation=cv2.INTER_AREA)
            self._reduced[times] = Look(self.number, small)
        return self._reduced[times]

    @cached_property
    def _reduced(self) -> dict[int, Look]:
        return {}

    @cached_property
    def spectrum(self) -> np.ndarray:
        """complex64 [rows, columns / 2 + 1] of the detail behind a Hann window, both sides even."""
        height, width = self.detail.shape
        window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
        size = [2 * cv2.getOptimalDFTSize((side + 1) // 2) for side in (height, width)]
        return np.asarray(fft.rfft2(self.detail * window, size))

    @cached_property
    def points(self) -> Points:
        """What fine registration holds on to."""
        soft = softened(self.grey, 0.0, 0.0)
        gx = cv2.filter2D(soft, cv2.CV_32F, np.array([[-0.5, 0, 0.5]], np.float32))
        gy = cv2.filter2D(soft, cv2.CV_32F, np.array([[-0.5], [0], [0.5]], np.float32))
        strength = gx * gx + gy * gy
        strength[:_TAPS] = strength[-_TAPS:] = 0
        strength[:, :_TAPS] = strength[:, -_TAPS:] = 0
        at = _strongest(strength)
        y, x = np.divmod(at, soft.shape[1])
        gradient = np.stack([gx.ravel()[at], gy.ravel()[at]], 1)
        return Points(x.astype(np.int32), y.astype(np.int32), soft.ravel()[at], gradient)


def _strongest(strength: np.ndarray) -> np.ndarray:
    """Flat indices of the strongest pixels of each cell, in order."""
    height, width = strength.shape
    rows, columns = height // _CELL_PX, width // _CELL_PX
    inner = strength[: rows * _CELL_PX, : columns * _CELL_PX].reshape(rows, _CELL_PX, columns, _CELL_PX)
    cells = inner.transpose(0, 2, 1, 3).reshape(rows * columns, _CELL_PX**2)
    best = np.argpartition(cells, -_POINTS_PER_CELL, axis=1)[:, -_POINTS_PER_CELL:]
    cell = np.arange(rows * columns)[:, None]
    y = cell // columns * _CELL_PX + best // _CELL_PX
    x = cell % columns * _CELL_PX + best % _CELL_PX
    is_strong = np.take_along_axis(cells, best, 1) >= _MIN_GRADIENT**2
    return np.sort((y * width + x)[is_strong])


def softened(grey: np.ndarray, right_px: float, down_px: float) -> np.ndarray:
    """float32 of the same shape: the Gaussian-softened picture at points (x + right_px, y + down_px), 0 <= both < 1.

    The continuous Gaussian sampled at the pixels, so it interpolates exactly and no coordinate is rounded.
    """
    return cv2.sepFilter2D(grey, cv2.CV_32F, _kernel(right_px), _kernel(down_px), borderType=cv2.BORDER_REPLICATE)


def _kernel(fraction: float) -> np.ndarray:
    away = np.arange(-_TAPS, _TAPS + 1) - fraction
    weights = np.exp(-(away**2) / (2 * _SIGMA_PX**2))
    return (weights / weights.sum()).astype(np.float32)
