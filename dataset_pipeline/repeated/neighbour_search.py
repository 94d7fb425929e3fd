"""Finding, among rows kept so far, those that may be near a row: by bounds that miss nothing, or by cells that may.

A row is known here by its sketch: its first coordinates in a basis where the rows differ most, and the length of what
is left of it. By the inequality of Cauchy and Schwarz the product of two sketches is never below the product of the
rows, so a pair whose sketches stay under a threshold needs no second look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

KEPT_ROWS = 4096  # kept rows per matrix product
SAMPLE_ROWS = 768  # two thirds of them fit the basis, the others judge it
WIDTHS = (32, 64), (128, 256)  # of a sketch, whichever is estimated to cost least; the wide ones if the narrow fail
CHECK_COST = 20_000  # a pair looked at by itself costs as much as so many products within a matrix product
RESIDUAL_SLACK = 2e-6  # what rounding to float32 may take off a squared length
SLACK = 1e-5  # and off a product

Pairs = tuple[np.ndarray, np.ndarray]  # (row of the block, slot among the kept)


@dataclass(frozen=True)
class Sketcher:
    """basis: float32 [dimensions, width - 1] with orthonormal columns."""

    basis: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """float32 [rows, width]; its products are upper bounds of those of the rows."""
        along = rows @ self.basis
        left = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", along, along)
        return np.column_stack([along, np.sqrt(np.maximum(left, 0) + RESIDUAL_SLACK)])


def fitted_sketcher(rows: np.ndarray, limit: float) -> Sketcher | None:
    """The cheapest sketch for telling pairs above `limit`, estimated on rows that it is not fitted to; None if nothing
    is cheaper than the rows themselves.

    The basis spans the directions of largest spread, found by one step of subspace iteration (Halko et al. 2011).
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE_ROWS)).astype(np.int64)]
    one, other = sample[::6], sample[3::6]
    fit = np.concatenate([sample[1::3], sample[2::3]])
    far = one @ other.T <= limit
    if not far.size:
        return None
    cheapest, cheapest_cost = None, float(rows.shape[1])
    for widths in WIDTHS:
        start = fit[np.linspace(0, len(fit) - 1, min(len(fit), rows.shape[1], widths[-1] - 1)).astype(np.int64)]
        basis = np.linalg.qr(fit.T @ (fit @ start.T))[0]
        for width in widths:
            sketch = Sketcher(np.ascontiguousarray(basis[:, : width - 1]))
            passing = np.count_nonzero((sketch(one) @ sketch(other).T > limit) & far)
            cost = width + CHECK_COST * passing / far.size
            if cost < cheapest_cost:
                cheapest, cheapest_cost = sketch, cost
        if cheapest_cost < 2 * widths[-1]:
            break
    return cheapest


class Kept(Protocol):
    """The sketches of the rows kept so far, by slot: 0 for the first one kept."""

    def add(self, sketches: np.ndarray) -> None: ...

    def near(self, sketches: np.ndarray, limit: float) -> Iterator[tuple[Pairs, int]]:
        """Pairs that may be above `limit`, in portions, and how many pairs the portion was taken from."""
        ...


class EveryRow:
    """Compares with every kept row: misses none."""

    def __init__(self, width: int) -> None:
        self._rows = Growing(width)

    def add(self, sketches: np.ndarray) -> None:
        self._rows.add(sketches)

    def near(self, sketches: np.ndarray, limit: float) -> Iterator[tuple[Pairs, int]]:
        kept = self._rows.rows
        for start in range(0, len(kept), KEPT_ROWS):
            bounds = sketches @ kept[start : start + KEPT_ROWS].T
            row, slot = above(bounds, limit)
            yield (row, slot + start), bounds.size


class Cells:
    """Compares with the kept rows of the nearest cells only (an inverted file, Sivic and Zisserman 2003).

    A kept row lies in the cell of its nearest centre; a row looks into `probes` cells. Centres come from k-means on a
    sample, so neighbours that fall on two sides of a border are still found unless many borders lie between them.
    """

    def __init__(self, sample: np.ndarray, cells: int, probes: int, rounds: int = 4) -> None:
        """sample: sketches [rows, width] that centres are fitted to."""
        self._centres = _k_means(sample, cells, rounds)
        self._half_squares = 0.5 * np.einsum("ij,ij->i", self._centres, self._centres)
        self._probes = min(probes, len(self._centres))
        self._cells = [(Growing(sample.shape[1]), Growing(1, np.int64)) for _ in self._centres]
        self._count = 0

    def add(self, sketches: np.ndarray) -> None:
        slots = np.arange(self._count, self._count + len(sketches))[:, None]
        self._count += len(sketches)
        for cell, members in _by_value(self._closeness(sketches).argmax(axis=1)):
            rows, ids = self._cells[cell]
            rows.add(sketches[members])
            ids.add(slots[members])

    def near(self, sketches: np.ndarray, limit: float) -> Iterator[tuple[Pairs, int]]:
        closeness = self._closeness(sketches)
        probed = np.argpartition(closeness, -self._probes, axis=1)[:, -self._probes :]
        for cell, places in _by_value(probed.ravel()):
            rows, ids = self._cells[cell]
            if not len(rows.rows):
                continue
            members = places // self._probes
            bounds = sketches[members] @ rows.rows.T
            row, place = above(bounds, limit)
            yield (members[row], ids.rows[place, 0]), bounds.size

    def _closeness(self, sketches: np.ndarray) -> np.ndarray:
        return sketches @ self._centres.T - self._half_squares


class Growing:
    """Rows appended to one array that doubles when it is full."""

    def __init__(self, width: int, dtype: type = np.float32) -> None:
        self._store = np.empty((0, width), dtype=dtype)
        self._count = 0

    @property
    def rows(self) -> np.ndarray:
        return self._store[: self._count]

    def add(self, rows: np.ndarray) -> None:
        wanted = self._count + len(rows)
        if wanted > len(self._store):
            larger = np.empty((max(wanted, 2 * len(self._store)), self._store.shape[1]), dtype=self._store.dtype)
            larger[: self._count] = self.rows
            self._store = larger
        self._store[self._count : wanted] = rows
        self._count = wanted


def above(products: np.ndarray, limit: float) -> Pairs:
    """Where a matrix is above `limit`; NumPy finds few places among many in one dimension much faster than in two."""
    return np.divmod(np.flatnonzero(products.ravel() > limit), products.shape[1])  # type: ignore[return-value]


def _by_value(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each value with the places where it stands, both ascending."""
    order = np.argsort(values, kind="stable")
    borders = np.flatnonzero(np.diff(values[order])) + 1
    for places in np.split(order, borders) if len(order) else ():
        yield int(values[places[0]]), places


def _k_means(sample: np.ndarray, cells: int, rounds: int) -> np.ndarray:
    """Centres float32 [cells, width] by Lloyd's rounds from evenly spaced rows; an empty cell keeps its old centre."""
    centres = sample[np.linspace(0, len(sample) - 1, min(cells, len(sample))).astype(np.int64)].copy()
    for _ in range(rounds):
        nearest = np.concatenate(
            [
                (part @ centres.T - 0.5 * np.einsum("ij,ij->i", centres, centres)).argmax(axis=1)
                for part in np.array_split(sample, max(1, len(sample) // KEPT_ROWS))
            ]
        )
        for cell, members in _by_value(nearest):
            centres[cell] = sample[members].mean(axis=0)
    return centres
