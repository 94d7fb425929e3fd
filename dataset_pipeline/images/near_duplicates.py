"""Near-duplicates: of pictures that look alike the best one stays and stands for the others.

Greedy and never chained: candidates are walked from best to worst; one stays unless a picture that already stays is
above the threshold. A dropped picture drops nobody else. Rows are compared block by block, so memory grows with the
number of pictures and not with its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dataset_pipeline.settings import DistinctFramesSettings

BLOCK_ROWS = 512  # candidates per matrix product
KEPT_ROWS = 4096  # kept rows per matrix product
SHARPNESS_STEP = 1.1  # sharpness within a tenth counts as equal


@dataclass(frozen=True)
class Groups:
    """kept: rows that stay, in the order they were walked. survivor[i]: the row that stands for i (i itself if kept).
    similarity[i]: cosine of i and its survivor, 1 if kept."""

    kept: list[int]
    survivor: np.ndarray
    similarity: np.ndarray


def distinct(embeddings: np.ndarray, order: Sequence[int], similarity: float) -> Groups:
    """Group rows whose cosine is strictly above `similarity`.

    embeddings: float32 [n, d], rows of length 1. order: a permutation of 0..n-1, best first. A row that does not stay
    belongs to its nearest row among those kept before it, the earlier one if two are equally near.
    Raises ValueError for rows that are not of length 1 and for an order that is no permutation.
    """
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    walk = np.asarray(order, dtype=np.int64)
    n = len(rows)
    _check(rows, walk)
    survivor = np.arange(n, dtype=np.int64)
    nearness = np.ones(n, dtype=np.float32)
    limit = np.float32(similarity)  # a cosine that rounds to the threshold is at it, not above
    kept = np.empty(n, dtype=np.int64)
    kept_rows = np.empty((min(n, KEPT_ROWS), rows.shape[1]), dtype=np.float32)
    count = 0
    for start in range(0, n, BLOCK_ROWS):
        members = walk[start : start + BLOCK_ROWS]
        block = rows[members]
        best, owner = _nearest(block, kept_rows[:count])
        within = block @ block.T
        for i, member in enumerate(members):
            if min(best[i], np.float32(1)) > limit:
                survivor[member], nearness[member] = kept[owner[i]], min(best[i], np.float32(1))
                continue
            if count == len(kept_rows):
                kept_rows = np.concatenate([kept_rows, np.empty_like(kept_rows)])
            kept[count], kept_rows[count] = member, block[i]
            nearer = within[i] > best
            best[nearer], owner[nearer] = within[i][nearer], count
            count += 1
    return Groups(kept[:count].tolist(), survivor, nearness)


def _check(rows: np.ndarray, walk: np.ndarray) -> None:
    if rows.ndim != 2:
        raise ValueError(f"embeddings must be [rows, dimensions], not {rows.shape}")
    if len(walk) != len(rows) or not np.array_equal(np.sort(walk), np.arange(len(rows))):
        raise ValueError(f"order must name each of the {len(rows)} rows once")
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-2))
    if len(wrong):
        raise ValueError(f"embedding row {wrong[0]} has length {lengths[wrong[0]]:.4g}, not 1 ({len(wrong)} such rows)")


def _nearest(block: np.ndarray, kept_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Highest cosine of each row of the block to a kept row, and which."""
    best = np.full(len(block), -np.inf, dtype=np.float32)
    owner = np.zeros(len(block), dtype=np.int64)
    for start in range(0, len(kept_rows), KEPT_ROWS):
        cosines = block @ kept_rows[start : start + KEPT_ROWS].T
        nearest = cosines.argmax(axis=1)
        value = cosines[np.arange(len(block)), nearest]
        nearer = value > best
        best[nearer], owner[nearer] = value[nearer], start + nearest[nearer]
    return best, owner


def decide_distinct(keyframes: pa.Table, embeddings: pa.Table, settings: DistinctFramesSettings) -> list[dict]:
    """Which keyframes stay: one row each with image_id, episode, pts_s, kept, group, similarity and reason
    (kept, duplicate, blank).

    A frame whose contrast is below `min_contrast` is blank and groups with nobody. Of a group the sharpest stays;
    sharpness counts in steps of a tenth, so that noise decides nothing, and of equals the first by id stays.
    Raises ValueError for a frame without an embedding.
    """
    frames = keyframes.select(["image_id", "episode", "pts_s", "sharpness", "contrast"]).to_pylist()
    place = {image_id: i for i, image_id in enumerate(embeddings.column("image_id").to_pylist())}
    visible = [frame for frame in frames if frame["contrast"] >= settings.min_contrast]
    if missing := [frame["image_id"] for frame in visible if frame["image_id"] not in place]:
        raise ValueError(f"{len(missing)} keyframes have no embedding, the first is {missing[0]}")
    visible.sort(key=lambda frame: (-_sharpness_step(frame["sharpness"]), frame["image_id"]))
    vectors = _matrix(embeddings)[np.array([place[frame["image_id"]] for frame in visible], dtype=np.int64)]
    groups = distinct(vectors, range(len(visible)), settings.similarity)
    decided = {
        frame["image_id"]: {
            "kept": int(groups.survivor[i]) == i,
            "group": visible[int(groups.survivor[i])]["image_id"],
            "similarity": float(groups.similarity[i]),
            "reason": "kept" if int(groups.survivor[i]) == i else "duplicate",
        }
        for i, frame in enumerate(visible)
    }
    blank = {"kept": False, "group": "", "similarity": None, "reason": "blank"}
    return [
        {
            "image_id": frame["image_id"],
            "episode": frame["episode"],
            "pts_s": frame["pts_s"],
            **decided.get(frame["image_id"], blank),
        }
        for frame in sorted(frames, key=lambda frame: frame["image_id"])
    ]


def _sharpness_step(sharpness: float) -> int:
    return int(np.floor(np.log(max(sharpness, 1e-12)) / np.log(SHARPNESS_STEP)))


def _matrix(embeddings: pa.Table) -> np.ndarray:
    """float32 [rows, dimensions] of the column `embedding`."""
    vectors = embeddings["embedding"].combine_chunks()
    return vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1 if len(vectors) else 1)
