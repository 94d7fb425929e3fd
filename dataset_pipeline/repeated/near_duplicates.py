"""Near-duplicates: of pictures that look alike the best one stays and stands for the others.

Greedy and never chained: candidates are walked from best to worst; one stays unless a picture that already stays is
above the threshold. A dropped picture drops nobody else. Rows are compared block by block, so memory grows with the
number of pictures and not with its square, and only pairs that a bound cannot rule out are compared in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.corrections.answers import CHOSEN, EXCLUDED, KEPT, NOTHING_SAID, FrameAnswers
from dataset_pipeline.repeated.neighbour_search import SLACK, Cells, EveryRow, Kept, above, fitted_sketcher
from dataset_pipeline.settings import DistinctFramesSettings, FrameDefectsSettings

BLOCK_ROWS = 256  # candidates per matrix product
SKETCHED_ROWS = 2048  # rows sketched at once
INDEXED_BLOCK_ROWS = 4096  # the same for an index, which costs a product for each cell
PROBES = 16  # cells of an index that a row looks into
PAIRS_AT_ONCE = 8192  # pairs compared in full per step
DENSE = 32  # if one pair in so many passes the bound, the block is compared as a whole
DEFECTS = ("combing", "ghost", "blockiness")  # columns of keyframes that decide who stands for a group, worst first
NOT_MEASURED = "not_measured"  # the reason of a frame that cannot be compared
UNIT_TOLERANCE = 1e-2  # by which the length of an embedding may differ from 1
SHARPNESS_STEP = 1.1  # sharpness within a tenth counts as equal


@dataclass(frozen=True)
class Groups:
    """kept: rows that stay, in the order they were walked. survivor[i]: the row that stands for i (i itself if kept).
    similarity[i]: cosine of i and its survivor, 1 if kept."""

    kept: list[int]
    survivor: np.ndarray
    similarity: np.ndarray


def distinct(
    embeddings: np.ndarray,
    order: Sequence[int],
    similarity: float,
    *,
    exact: bool = True,
    also_near: np.ndarray | None = None,
) -> Groups:
    """Group rows whose cosine is strictly above `similarity`.

    embeddings: float32 [n, d], rows of length 1. order: a permutation of 0..n-1, best first. A row that does not stay
    belongs to its nearest row among those kept before it, the earlier one if two are equally near. A cosine is summed
    pair by pair, close to the threshold in double precision, so the size of blocks changes nothing.
    exact: False looks only into the likely cells of an index, for a million rows and more; what it misses stays.
    also_near: int [m, 2], pairs of rows that count as near whatever their cosine.
    Raises ValueError for rows that are not of length 1 and for an order that is no permutation.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    walk = np.asarray(order, dtype=np.int64)
    _check(rows, walk)
    return _Walk(rows, walk, np.float32(similarity), exact, also_near).groups()


class _Walk:
    """One greedy walk. A place is a row's position in the walk, a slot its position among the kept."""

    def __init__(
        self, rows: np.ndarray, walk: np.ndarray, limit: np.float32, exact: bool, also_near: np.ndarray | None
    ) -> None:
        self.rows, self.walk, self.limit = rows, walk, limit
        self.bound = float(limit) - SLACK
        self.sketcher = fitted_sketcher(rows, self.bound)
        self.block_rows = BLOCK_ROWS if exact else INDEXED_BLOCK_ROWS
        self.kept: Kept = EveryRow(self._width()) if exact else self._cells()
        self.kept_rows = np.empty(len(rows), dtype=np.int64)  # row of each slot
        self.slots = np.full(len(rows), -1, dtype=np.int64)  # slot of each row, -1 if not kept
        self.count = 0
        place = np.empty(len(rows), dtype=np.int64)
        place[walk] = np.arange(len(rows))
        pairs = np.zeros((0, 2), np.int64) if also_near is None else np.asarray(also_near, np.int64).reshape(-1, 2)
        places = np.sort(place[pairs], axis=1)
        places = places[places[:, 0] != places[:, 1]]
        self.given = places[np.argsort(places[:, 1], kind="stable")]  # (earlier, later place), by the later one

    def _sketches(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.sketcher is None else self.sketcher(rows)

    def _width(self) -> int:
        return self.rows.shape[1] if self.sketcher is None else self.sketcher.basis.shape[1] + 1

    def _cells(self) -> Cells:
        cells = max(1, round(len(self.rows) ** 0.5))
        sample = np.linspace(0, len(self.rows) - 1, min(len(self.rows), 50 * cells)).astype(np.int64)
        parts = np.array_split(sample, max(1, len(sample) // INDEXED_BLOCK_ROWS))
        return Cells(np.concatenate([self._sketches(self.rows[part]) for part in parts]), cells, PROBES)

    def groups(self) -> Groups:
        n = len(self.rows)
        survivor, nearness = np.arange(n), np.ones(n, dtype=np.float32)
        for start, members, block, sketches in self._blocks():
            later, earlier, cosine = self._near_kept(start, block, sketches)
            best = _best(later, self.kept_rows[earlier], earlier, cosine)
            after, before, among = self._near_each_other(start, members, block, sketches)
            stays = np.ones(len(members), dtype=bool)
            stays[best[0]] = False
            for row, first, end in _runs(after):
                stays[row] = stays[row] and not stays[before[first:end]].any()
            chosen = np.flatnonzero(stays)
            self._keep(members[chosen], sketches[chosen])
            inside = stays[before] & ~stays[after]
            first_kept = members[before[inside]]
            best = _best(
                np.concatenate([best[0], after[inside]]),
                np.concatenate([best[1], first_kept]),
                np.concatenate([self.slots[best[1]], self.slots[first_kept]]),
                np.concatenate([best[2], among[inside]]),
            )
            survivor[members[best[0]]], nearness[members[best[0]]] = best[1], best[2]
        return Groups(self.kept_rows[: self.count].tolist(), survivor, nearness)

    def _blocks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """(place of its first row, members, their rows, their sketches) of each block in turn."""
        several = self.block_rows * max(1, SKETCHED_ROWS // self.block_rows)
        for first in range(0, len(self.walk), several):
            members = self.walk[first : first + several]
            rows = self.rows[members]
            sketches = self._sketches(rows)
            for start in range(0, len(members), self.block_rows):
                part = slice(start, start + self.block_rows)
                yield first + start, members[part], rows[part], sketches[part]

    def _keep(self, rows: np.ndarray, sketches: np.ndarray) -> None:
        self.slots[rows] = np.arange(self.count, self.count + len(rows))
        self.kept_rows[self.count : self.count + len(rows)] = rows
        self.count += len(rows)
        self.kept.add(sketches)

    def _near_kept(
        self, start: int, block: np.ndarray, sketches: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(place in the block, slot, cosine) of every pair of the block and the kept that is near."""
        found = [self._given(start, len(block), inside=False)]
        for (row, slot), pairs in self.kept.near(sketches, self.bound):
            found.append(self._truly_near(block, row, slot, self.kept_rows, pairs))
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]

    def _near_each_other(
        self, start: int, members: np.ndarray, block: np.ndarray, sketches: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(later, earlier place in the block, cosine) of every near pair inside it, sorted by the later place."""
        row, slot = above(sketches @ sketches.T, self.bound)
        later = row > slot
        row, slot = row[later], slot[later]
        near = self._truly_near(block, row, slot, members, len(block) ** 2)
        after, before, cosine = (
            np.concatenate(part) for part in zip(near, self._given(start, len(block), inside=True), strict=True)
        )
        order = np.argsort(after, kind="stable")
        return after[order], before[order], cosine[order]

    def _truly_near(
        self, block: np.ndarray, row: np.ndarray, slot: np.ndarray, others: np.ndarray, pairs: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of pairs (row of the block, place in `others`) those whose cosine is above the limit, with the cosine."""
        if len(row) * DENSE > pairs:
            wanted, place = np.unique(slot, return_inverse=True)
            chunk = max(1, PAIRS_AT_ONCE * 64 // max(1, len(block)))
            estimate = np.empty(len(row), dtype=np.float32)
            for first in range(0, len(wanted), chunk):
                inside = (place >= first) & (place < first + chunk)
                products = block @ self.rows[others[wanted[first : first + chunk]]].T
                estimate[inside] = products[row[inside], place[inside] - first]
            likely = estimate > self.bound
            row, slot = row[likely], slot[likely]
        cosine = self._cosines(block, row, others[slot])
        near = cosine > self.limit
        return row[near], slot[near], cosine[near]

    def _cosines(self, block: np.ndarray, row: np.ndarray, other: np.ndarray) -> np.ndarray:
        """float32, at most 1; where rounding could decide, summed in double precision."""
        cosine = np.empty(len(row), dtype=np.float32)
        for first in range(0, len(row), PAIRS_AT_ONCE):
            part = slice(first, first + PAIRS_AT_ONCE)
            one, two = block[row[part]], self.rows[other[part]]
            cosine[part] = np.einsum("ij,ij->i", one, two)
            close = np.flatnonzero(np.abs(cosine[part] - self.limit) < SLACK)
            cosine[first + close] = np.einsum("ij,ij->i", one[close].astype(np.float64), two[close])
        return np.minimum(cosine, np.float32(1))

    def _given(self, start: int, count: int, inside: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs given as near whose later row lies in the block: the earlier one inside it, or kept before it."""
        first, end = np.searchsorted(self.given[:, 1], [start, start + count])
        earlier, later = self.given[first:end].T
        chosen = (earlier >= start) if inside else (earlier < start) & (self.slots[self.walk[earlier]] >= 0)
        earlier, later = earlier[chosen], later[chosen]
        one, two = self.walk[later], self.walk[earlier]
        cosine = np.empty(len(one), dtype=np.float32)
        for begin in range(0, len(one), PAIRS_AT_ONCE):
            part = slice(begin, begin + PAIRS_AT_ONCE)
            cosine[part] = np.einsum("ij,ij->i", self.rows[one[part]].astype(np.float64), self.rows[two[part]])
        return later - start, (earlier - start) if inside else self.slots[two], np.minimum(cosine, np.float32(1))


def _best(
    row: np.ndarray, other: np.ndarray, slot: np.ndarray, cosine: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row that occurs, the other of highest cosine, the one kept first if two are equal."""
    order = np.lexsort((slot, -cosine, row))
    first = np.flatnonzero(np.diff(row[order], prepend=-1))
    chosen = order[first]
    return row[chosen], other[chosen], cosine[chosen]


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """(value, first, end) of each run of a sorted array."""
    borders = [*np.flatnonzero(np.diff(values, prepend=-1)).tolist(), len(values)]
    return [(int(values[first]), first, end) for first, end in pairwise(borders)]


def _check(rows: np.ndarray, walk: np.ndarray) -> None:
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be [rows, dimensions], not {rows.shape}")
    if len(walk) != len(rows) or not np.array_equal(np.sort(walk), np.arange(len(rows))):
        raise ValueError(f"order must name each of the {len(rows)} rows once")
    lengths = _lengths(rows)
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) < UNIT_TOLERANCE))
    if len(wrong):
        raise ValueError(f"embedding row {wrong[0]} has length {lengths[wrong[0]]:.4g}, not 1 ({len(wrong)} such rows)")


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def decide_distinct(
    keyframes: pa.Table,
    embeddings: pa.Table,
    settings: DistinctFramesSettings,
    defects: FrameDefectsSettings,
    said: FrameAnswers = NOTHING_SAID,
) -> list[dict]:
    """Which keyframes stay: one row each with image_id, episode, pts_s, kept, group, similarity and reason
    (kept, kept_by_hand, chosen_by_hand, duplicate, blank, not_measured without an embedding that compares, or the
    defect that dropped it: combing, ghost, blockiness).

    A frame whose contrast is below `min_contrast` is blank; it groups with nobody, nor does one with a defect that
    `defects.drop` names. A defect counts above `max_combing`, `max_ghost`, `max_blockiness`.
    Of a group the one without combing stays, then the one with neither ghost nor blockiness, then the sharpest;
    sharpness counts in steps of a tenth, so that noise decides nothing, and of equals the first by id stays.
    said: what a person said of frames, which goes before all that. Raises ValueError if frames need an embedding and
    none has one.
    """
    columns = ["image_id", "episode", "pts_s", "sharpness", "contrast", *DEFECTS]
    frames = keyframes.select(columns).to_pylist()
    limits = {name: getattr(defects, f"max_{name}") for name in DEFECTS}
    matrix = as_matrix(embeddings)
    comparable = np.abs(_lengths(matrix) - 1.0) < UNIT_TOLERANCE
    row_of = {image_id: i for i, image_id in enumerate(embeddings.column("image_id").to_pylist()) if comparable[i]}
    reasons = {frame["image_id"]: _why_dropped(frame, settings, defects, limits, said) for frame in frames}
    reasons |= {image_id: NOT_MEASURED for image_id, why in reasons.items() if not why and image_id not in row_of}
    missing = [image_id for image_id, reason in reasons.items() if reason == NOT_MEASURED]
    if missing and not comparable.any():
        raise ValueError(f"{len(missing)} keyframes have no embedding, the first is {missing[0]}")
    visible = [frame for frame in frames if not reasons[frame["image_id"]]]
    visible.sort(
        key=lambda frame: (frame["image_id"] not in said.first, *defect_rank(frame, limits), frame["image_id"])
    )
    vectors = matrix[np.array([row_of[frame["image_id"]] for frame in visible], dtype=np.int64)]
    groups = distinct(vectors, range(len(visible)), settings.similarity)
    dropped = {"kept": False, "group": "", "similarity": None}
    decisions = {image_id: {**dropped, "reason": reason} for image_id, reason in reasons.items() if reason}
    for i, (frame, stands_for_it) in enumerate(zip(visible, groups.survivor.tolist(), strict=True)):
        if frame["image_id"] in said.stay:
            stands_for_it = i
        decisions[frame["image_id"]] = {
            "kept": stands_for_it == i,
            "group": visible[stands_for_it]["image_id"],
            "similarity": 1.0 if stands_for_it == i else float(groups.similarity[i]),
            "reason": _why_kept(frame["image_id"], said) if stands_for_it == i else "duplicate",
        }
    return [
        {name: frame[name] for name in ("image_id", "episode", "pts_s")} | decisions[frame["image_id"]]
        for frame in sorted(frames, key=lambda frame: frame["image_id"])
    ]


def _why_kept(frame: str, said: FrameAnswers) -> str:
    if frame in said.first:
        return CHOSEN
    return KEPT if frame in said.stay else "kept"


def _why_dropped(
    frame: Mapping[str, Any],
    settings: DistinctFramesSettings,
    defects: FrameDefectsSettings,
    limits: Mapping[str, float],
    said: FrameAnswers,
) -> str:
    """excluded_by_hand, blank, or the worst defect that drops a frame; empty if it may stay."""
    if said.is_out(frame["pts_s"]):
        return EXCLUDED
    if frame["image_id"] in said.stay | said.first:
        return ""
    if frame["contrast"] < settings.min_contrast:
        return "blank"
    return next((name for name in DEFECTS if name in defects.drop and frame[name] > limits[name]), "")


def defect_rank(frame: Mapping[str, Any], limits: Mapping[str, float]) -> tuple[bool, bool, int]:
    """Sorts frames best first: without combing, without other defects, sharp.

    limits: above which value a measured defect counts; the frame has those columns and `sharpness`.
    """
    defects = {name for name, limit in limits.items() if frame[name] > limit}
    return "combing" in defects, bool(defects - {"combing"}), -sharpness_step(frame["sharpness"])


def sharpness_step(sharpness: float) -> int:
    """Sharpness in steps of a tenth."""
    return int(np.floor(np.log(max(sharpness, 1e-12)) / np.log(SHARPNESS_STEP)))


def as_matrix(embeddings: pa.Table) -> np.ndarray:
    """float32 [rows, dimensions] of the column `embedding`."""
    vectors = embeddings["embedding"].combine_chunks()
    return vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1 if len(vectors) else 1)
