"""Which frames of a shot are compared, and what the comparison says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.stitching.coarse import Likeness, coarse_shift, likeness, shifted
from dataset_pipeline.stitching.fine import fine_shift
from dataset_pipeline.stitching.preparing import Look
from dataset_pipeline.stitching.similar import Similarity, fit_similarity, reach

MIN_AGREEMENT = 0.25  # of a pair's textured blocks, or it proves nothing
_MIN_BLOCKS = 8
_FAR_SHARES = (0.08, 0.25, 0.5)  # of the view
_STILL_PARTS = (6, 2)  # without travel: that many times the frames between two go into the shot
_OFF_CHAIN_PX, _OFF_CHAIN_SHARE = 1.5, 0.004  # working px, share of the width


@dataclass(frozen=True, eq=False)
class Match:
    """Two frames that were found to show the same: `by` takes working points of the one to the other's."""

    one: int
    other: int
    by: Similarity
    log_gain: float
    alike: Likeness


def match(
    one: Look, other: Look, hint_px: tuple[float, float], log_gain: float = 0.0, is_far: bool = False
) -> Match | None:
    """Two frames compared. A far pair is looked for at the hint alone, which its chain of neighbours gives."""
    gain = math.exp(log_gain)
    hint = (hint_px[0] / 2, hint_px[1] / 2)
    if is_far:
        shift, alike = hint, likeness(one, other, shifted(*hint), gain)
    else:
        shift, alike = coarse_shift(one, other, hint, gain)
    if alike.alike.sum() < _MIN_BLOCKS or alike.agreement < MIN_AGREEMENT:
        return None
    fit = fine_shift(one, other, (shift[0] * 2, shift[1] * 2), alike.alike, gain)
    if fit is None:
        return None
    by = Similarity(1, complex(*fit.shift_px))
    return _proven(one, other, by, fit.gain)


def similar_match(one: Look, other: Look, hint: Similarity, log_gain: float = 0.0) -> Match | None:
    """Two frames compared that may differ in scale and angle."""
    fit = fit_similarity(one, other, hint, math.exp(log_gain))
    return fit and _proven(one, other, *fit)


def _proven(one: Look, other: Look, by: Similarity, gain: float) -> Match | None:
    alike = likeness(one, other, by.matrix(one.detail.shape), gain)
    if alike.alike.sum() < _MIN_BLOCKS or alike.agreement < MIN_AGREEMENT:
        return None
    return Match(one.number, other.number, by, math.log(gain), alike)


def far_matches(looks: Sequence[Look], places: Sequence[Similarity], log_gains: np.ndarray, turns: bool) -> list[Match]:
    """Pairs of frames far apart, looked for where the chain has them. `turns`: they may differ in scale and angle."""
    shape = looks[0].grey.shape
    limit = max(_OFF_CHAIN_PX, _OFF_CHAIN_SHARE * shape[1])
    found = []
    for one, other in far_pairs(places, shape):
        hint = places[other].inverse().after(places[one])
        brighter = float(log_gains[other] - log_gains[one])
        if turns:
            pair = similar_match(looks[one], looks[other], hint, brighter)
        else:
            pair = match(looks[one], looks[other], (hint.shift.real, hint.shift.imag), brighter, is_far=True)
        if pair is not None and abs(pair.by.shift - hint.shift) <= limit * (1 + turns):
            found.append(pair)
    return found


def far_pairs(places: Sequence[Similarity], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """From each frame to the first ones a share of the view away; where a shot does not travel, so by time."""
    count = len(places)
    share = _shares(places, shape)
    if share.max() < _FAR_SHARES[0]:
        spans = [max(2, count // part) for part in _STILL_PARTS]
        return sorted({(k, k + span) for span in spans for k in range(count - span)})
    found = set()
    for one in range(count):
        for far in _FAR_SHARES:
            reached = np.flatnonzero(share[one, one + 2 :] >= far)
            if len(reached) and share[one, one + 2 + reached[0]] < 2 * far:
                found.add((one, int(one + 2 + reached[0])))
    return sorted(found)


def travels(places: Sequence[Similarity], shape: tuple[int, ...]) -> bool:
    """Whether any two frames lie so far apart that they should be a far pair."""
    return bool(_shares(places, shape).max() >= _FAR_SHARES[0])


def _shares(places: Sequence[Similarity], shape: tuple[int, ...]) -> np.ndarray:
    """How far apart frames lie, [n, n], as a share of the view."""
    turns, shifts = np.array([p.turn for p in places]), np.array([p.shift for p in places])
    return reach(turns[:, None] / turns, (shifts[:, None] - shifts) / turns, shape)
