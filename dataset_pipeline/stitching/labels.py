"""One look for each block, so that neighbours are likely to have been seen together."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.stitching.clusters import bit_count

SWEEPS = 50
SEAM = 2.0  # a seam between looks that were never there at once, in units of cost
FEW = 0.05  # of a frame: a look that moves in all of them
SUPPORT = 0.15  # how much a look gains by being there often
NEVER = 1e3


def best_slots(members: np.ndarray, still: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """int [rows, columns]: the slot of least cost by belief propagation, min-sum (Felzenszwalb and Huttenlocher 2006).

    members, still: uint64 [slots, rows, columns], the frames in which a look is there, and in which nothing moves then;
    seen: uint64 [rows, columns].
    """
    there = bit_count(members)
    slots = int((there > 0).sum(0).max(initial=1))
    members, there = members[:slots], there[:slots]
    count = np.maximum(bit_count(seen), 1)
    with np.errstate(divide="ignore"):
        costs = -np.log((bit_count(still[:slots]) + FEW) / count) - SUPPORT * np.log(there / count)
    costs = np.where(there > 0, costs, NEVER).astype(np.float32)
    down = _seams(members[:, :-1], members[:, 1:], there[:, :-1], there[:, 1:])
    right = _seams(members[:, :, :-1], members[:, :, 1:], there[:, :, :-1], there[:, :, 1:])
    heard = {way: np.zeros_like(costs) for way in ("above", "below", "left", "right")}
    for _ in range(SWEEPS):
        total = costs + sum(heard.values())
        heard = {
            "above": _told(total - heard["below"], down, 1, forward=True),
            "below": _told(total - heard["above"], down, 1, forward=False),
            "left": _told(total - heard["right"], right, 2, forward=True),
            "right": _told(total - heard["left"], right, 2, forward=False),
        }
    return (costs + sum(heard.values())).argmin(0)


def _seams(ones: np.ndarray, others: np.ndarray, there: np.ndarray, there_other: np.ndarray) -> np.ndarray:
    """float32 [slots, slots, rows, columns]: 0 for looks of neighbours that are always there at once."""
    slots = len(ones)
    seams = np.zeros((slots, slots, *ones.shape[1:]), np.float32)
    for one in range(slots):
        for other in range(slots):
            least = np.maximum(np.minimum(there[one], there_other[other]), 1)
            seams[one, other] = SEAM * (1 - bit_count(ones[one] & others[other]) / least)
    return seams


def _told(beliefs: np.ndarray, seams: np.ndarray, axis: int, forward: bool) -> np.ndarray:
    """What blocks hear from their neighbours before (or behind) them along an axis, least of all slots 0."""
    giving = [slice(None)] * 3
    taking = [slice(None)] * 3
    giving[axis], taking[axis] = (slice(None, -1), slice(1, None)) if forward else (slice(1, None), slice(None, -1))
    told = np.zeros_like(beliefs)
    of = beliefs[tuple(giving)]
    into = told[tuple(taking)]
    for other in range(len(beliefs)):
        least = of[0] + (seams[0, other] if forward else seams[other, 0])
        for one in range(1, len(beliefs)):
            np.minimum(least, of[one] + (seams[one, other] if forward else seams[other, one]), out=least)
        into[other] = least
    told -= told.min(0)
    return told
