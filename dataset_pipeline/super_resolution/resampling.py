"""Linear resampling of one axis as a sparse matrix, for what has to know exactly what a resize does.

Pixel i of n covers [i, i + 1]; its value stands at i + 0.5. Kernels: D. P. Mitchell and A. N. Netravali, Reconstruction
Filters in Computer Graphics, 1988; C. E. Duchon, Lanczos Filtering in One and Two Dimensions, 1979.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.linalg import solveh_banded
from scipy.sparse import coo_array, csr_array

Kernel = Literal["bilinear", "mitchell", "catmull_rom", "lanczos3"]
_RIDGE = 1e-12


def resampling_matrix(
    source_px: int, target_px: int, kernel: Kernel, step: float | None = None, start: float = 0.0
) -> csr_array:
    """float64 [target_px, source_px], rows summing to 1, that takes source values to target values.

    Target pixel i lies at `start + (i + 0.5) * step` of the source, in source pixels; by default the whole source is
    covered. Where it shrinks (step > 1) the kernel widens with the step, so that nothing aliases. What lies beyond the
    source's edge counts as the pixel at the edge.
    """
    step = source_px / target_px if step is None else step
    weigh, radius = KERNELS[kernel]
    stretch = max(step, 1.0)
    centre = start + (np.arange(target_px) + 0.5) * step - 0.5
    taps = int(2 * radius * stretch) + 1
    columns = np.ceil(centre - radius * stretch).astype(int)[:, None] + np.arange(taps)
    weights = weigh(np.abs(columns - centre[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(target_px), taps)
    within = columns.clip(0, source_px - 1).ravel()
    return coo_array((weights.ravel(), (rows, within)), shape=(target_px, source_px)).tocsr()


def least_squares_source(matrix: csr_array, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an upscale by `matrix` [n, m], n > m, was made of, as far as `values`, float64 [n, k], tell: the source's
    columns of least squares, [m, k], and of each column of values the squared residual, [k]."""
    transposed = matrix.T.tocsr()
    normal, target = transposed @ matrix, transposed @ values
    reach = int(np.diff(matrix.indptr).max())
    banded = np.zeros((reach, normal.shape[0]))
    for lower in range(reach):
        banded[lower, : normal.shape[0] - lower] = normal.diagonal(lower)
    banded[0] += _RIDGE  # for source pixels that no row of the matrix takes
    source = solveh_banded(banded, target, lower=True)
    return source, np.maximum(np.square(values).sum(axis=0) - (target * source).sum(axis=0), 0.0)


def _cubic(b: float, c: float) -> Callable[[np.ndarray], np.ndarray]:
    def weigh(x: np.ndarray) -> np.ndarray:
        near = ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
        far = ((-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    return weigh


def _lanczos3(x: np.ndarray) -> np.ndarray:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0.0)


KERNELS: dict[Kernel, tuple[Callable[[np.ndarray], np.ndarray], float]] = {  # of distances >= 0, and their reach
    "bilinear": (_triangle, 1.0),
    "mitchell": (_cubic(1 / 3, 1 / 3), 2.0),
    "catmull_rom": (_cubic(0.0, 0.5), 2.0),
    "lanczos3": (_lanczos3, 3.0),
}
