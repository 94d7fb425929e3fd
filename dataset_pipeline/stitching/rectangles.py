"""Rectangles of a mask: the largest one of what is known, and the one that is worth most."""

from __future__ import annotations

import numpy as np


def largest_known(known: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the largest rectangle of true cells of bool [h, w]; of equals the one that ends first.

    Exact, in one pass: under each row the heights of what is known above, and a stack of heights that rise. A mask
    without a true cell gives (0, 0, 0, 0).
    """
    heights = np.zeros(known.shape[1] + 1, np.int64)  # one more, of height 0, closes all that is open
    best, area = (0, 0, 0, 0), 0
    for bottom, row in enumerate(known):
        heights[:-1] = (heights[:-1] + 1) * row
        # Inside a run of equal heights nothing opens or closes.
        changes = np.flatnonzero(np.diff(heights, prepend=-1)).tolist()
        opened: list[tuple[int, int]] = []  # (where it begins, height), heights rising
        for column, height in zip(changes, heights[changes].tolist(), strict=True):
            begins = column
            while opened and opened[-1][1] >= height:
                begins, above = opened.pop()
                if (column - begins) * above > area:
                    area = (column - begins) * above
                    best = (begins, bottom - above + 1, column - begins, above)
            opened.append((begins, height))
    return best


def most_worth(worth: np.ndarray, cell_px: int = 8) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the rectangle whose sum of int [h, w] is largest; (0, 0, 0, 0) where none is above 0.

    Exact over cells of `cell_px`; then each side in turn moves by up to a cell to where it is best. Between two rows
    the best stretch of column sums is Kadane's (J. Bentley, Programming pearls, 1984).
    """
    rows, columns = (np.arange(0, side, cell_px) for side in worth.shape)
    cells = np.add.reduceat(np.add.reduceat(worth.astype(np.int64), rows, axis=0), columns, axis=1)
    best, found = 0, (0, 0, 0, 0)
    for top in range(len(rows)):
        below = np.cumsum(cells[top:], axis=0)
        sums = np.pad(np.cumsum(below, axis=1), ((0, 0), (1, 0)))
        ends = sums[:, 1:] - np.minimum.accumulate(sums, axis=1)[:, :-1]
        bottom, right = np.unravel_index(int(ends.argmax()), ends.shape)
        if ends[bottom, right] > best:
            best = ends[bottom, right]
            found = int(sums[bottom, : right + 1].argmin()), top, int(right) + 1, top + int(bottom) + 1
    return _fitted(worth, [min(side * cell_px, worth.shape[1 - k % 2]) for k, side in enumerate(found)], cell_px)


def _fitted(worth: np.ndarray, sides: list[int], reach_px: int) -> tuple[int, int, int, int]:
    """A rectangle (x0, y0, x1, y1) with each side moved by up to `reach_px` to where it is worth most, as (x, y, width,
    height)."""
    sums = np.pad(worth.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    for k in range(4) if sides[0] < sides[2] else ():
        opposite, lowest = sides[(k + 2) % 4], max(0, sides[k] - reach_px)
        tried = np.arange(lowest, min(sides[k] + reach_px, worth.shape[1 - k % 2]) + 1)
        tried = tried[tried < opposite] if k < 2 else tried[tried > opposite]
        x0, y0, x1, y1 = (tried if k == j else side for j, side in enumerate(sides))
        values = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
        sides[k] = int(tried[values.argmax()])
    return sides[0], sides[1], sides[2] - sides[0], sides[3] - sides[1]
