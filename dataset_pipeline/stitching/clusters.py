"""What a block of the canvas looks like over the frames: a few looks, and in which frames each is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataset_pipeline.stitching.small_frames import SIDE, SmallFrame

SLOTS = 8
LIKE = 14.0  # levels, mean of a block: up to it two frames show the same there

_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def bit_count(bits: np.ndarray) -> np.ndarray:
    """int [...] of uint64 [...]: how many are set."""
    return _BITS[np.ascontiguousarray(bits)[..., None].view(np.uint8)].sum(-1)


def slots_of(frames: Sequence[SmallFrame], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Leader clustering (Hartigan 1975) of each block's pictures: uint64 [SLOTS, rows, columns] and [rows, columns].

    Bit k of the one says that frame k shows the slot's look there, of the other that it shows the block at all. A block
    with more looks than there are slots forgets the oldest of those that were there once.
    """
    members = np.zeros((SLOTS, *shape), np.uint64)
    seen = np.zeros(shape, np.uint64)
    leaders = np.zeros((SLOTS, *shape, SIDE * SIDE * 3), np.uint8)
    taken = np.zeros(shape, np.int64)
    for number, small in enumerate(frames):
        bit = np.uint64(1) << np.uint64(number)
        rows, columns = np.nonzero(small.whole)
        values = block_values(small.image)[rows, columns]
        rows, columns = rows + small.row, columns + small.column
        seen[rows, columns] |= bit
        slot = _nearest(values, leaders, taken, rows, columns)
        new = np.flatnonzero(slot < 0)
        slot[new] = _free_slots(members[:, rows[new], columns[new]], taken[rows[new], columns[new]])
        new = new[slot[new] >= 0]
        leaders[slot[new], rows[new], columns[new]] = values[new]
        members[slot[new], rows[new], columns[new]] = 0
        taken[rows[new], columns[new]] = np.maximum(taken[rows[new], columns[new]], slot[new] + 1)
        held = slot >= 0
        members[slot[held], rows[held], columns[held]] |= bit
    return members, seen


def _free_slots(members: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """int [n] of uint64 [SLOTS, n]: the next slot, or that of the oldest look of one frame, or -1."""
    single = np.where((members & (members - np.uint64(1))) == 0, members, np.uint64(2**64 - 1))
    oldest = single.argmin(0)
    oldest[single.min(0) == np.uint64(2**64 - 1)] = -1
    return np.where(taken < SLOTS, taken, oldest)


def block_values(image: np.ndarray) -> np.ndarray:
    """[rows, columns, SIDE * SIDE * 3] of uint8 [rows * SIDE, columns * SIDE, 3]."""
    rows, columns = image.shape[0] // SIDE, image.shape[1] // SIDE
    return image.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(rows, columns, -1)


def _nearest(
    values: np.ndarray, leaders: np.ndarray, taken: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """int [n]: the slot whose leader is nearest to each block and like it, -1 where there is none."""
    best = np.full(len(values), LIKE)
    slot = np.full(len(values), -1)
    for number in range(int(taken.max(initial=0))):
        has = np.flatnonzero(taken[rows, columns] > number)
        off = distances(values[has], leaders[number, rows[has], columns[has]])
        nearer = off < best[has]
        best[has[nearer]] = off[nearer]
        slot[has[nearer]] = number
    return slot


def distances(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float [n]: mean absolute differences of uint8 [n, k]."""
    return (np.maximum(ones, others) - np.minimum(ones, others)).mean(-1, dtype=np.float32)
