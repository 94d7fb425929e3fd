"""The frames of a shot on one canvas: what `align` does, from the frames to the places."""

from __future__ import annotations

import cmath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.stitching.alignment import TURNED_RAD, Alignment, FramesAt, ensure_most
from dataset_pipeline.stitching.chaining import Chain
from dataset_pipeline.stitching.coarse import likeness, shifted
from dataset_pipeline.stitching.layers import fixed_cells, layers_of, pairs_apart
from dataset_pipeline.stitching.pairing import Match, far_matches, travels
from dataset_pipeline.stitching.preparing import Look, Scale
from dataset_pipeline.stitching.similar import Similarity, fit_similarity
from dataset_pipeline.stitching.solving import Pair, largest_component, solve_steps

MOST_FRAMES = 240
_MIN_PLACED = 0.6  # of the frames that were looked at
_MIN_TEXTURE = 0.04
_EVEN_GAIN = 0.02
_LEAST_GAIN = 0.25  # darker frames of a fade show too little to be placed, and nothing that others do not
_HELD, _LEAST_HELD = 0.1, 3  # of the frames, and at least so many: the light that these reach is full light, no flash
_SIMILARITY_EARNS = 0.1  # agreement
_PLAUSIBLE = 0.5  # agreement
_HOLDS_PX = 0.5  # working px: similarities between frames of a flat picture lie closer to one another
_TRIED_TURNS = 12
_TURN_FROM_PX = 0.4  # at the picture's side, between two frames near one another


def align(pts: Sequence[int], pts_s: Sequence[float], frames_at: FramesAt) -> Alignment | str:
    """Place the frames of one shot, `pts` at `pts_s` seconds, or say why that is not possible.

    At most `MOST_FRAMES` of them are looked at, evenly in time. Of several sizes the most usual one counts. Reasons:
    `no_texture`, also of a side below about 50 px, `rotation`, `content_moves`. Raises FramesMissing if most cannot be
    read.
    """
    chosen = spread(len(pts), MOST_FRAMES)
    chain = _chain_of([int(pts[k]) for k in chosen], frames_at)
    if chain.scale is None or not chain.looks:
        return "no_texture"
    texture = float(np.median([_texture(look) for look in chain.looks]))
    if texture < _MIN_TEXTURE:
        return "no_texture"
    solution = _best_solution(chain)
    if isinstance(solution, str):
        return solution
    kept_pts = np.array([chain.pts[k] for k in solution.numbers], np.int64)
    times = dict(zip((int(p) for p in pts), (float(s) for s in pts_s), strict=True))
    return _alignment(solution, chain, kept_pts, np.array([times[int(p)] for p in kept_pts]), texture)


def _chain_of(pts: Sequence[int], frames_at: FramesAt) -> Chain:
    """The frames of the most usual size; of equals the one that came first."""
    chains: dict[tuple[int, ...], Chain] = {}
    came: Counter[tuple[int, ...]] = Counter()
    for at, frame in frames_at(pts):
        size = frame.shape[:2]
        came[size] += 1
        chains.setdefault(size, Chain()).add(at, frame)
    ensure_most(came.total(), len(pts))
    return chains[came.most_common(1)[0][0]]


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` indices, evenly apart, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


@dataclass(frozen=True, eq=False)
class _Solution:
    """`places`, `log_gains`: of the frames `numbers`, by working px; `off_px`: by match, how far it lies off them."""

    numbers: np.ndarray
    places: list[Similarity]
    log_gains: np.ndarray
    off_px: np.ndarray
    agreement: float

    @property
    def residual_px(self) -> float:
        return float(np.percentile(self.off_px, 95)) if len(self.off_px) else 0.0


def _best_solution(chain: Chain) -> _Solution | str:
    """By shifts alone, unless scale and angle make the frames agree so much better; or the reason why there is none."""
    by_shifts = _solution(chain, turns=False)
    earned = 0.0 if by_shifts is None else by_shifts.agreement
    if earned + _SIMILARITY_EARNS > 1 or not _turns(chain):
        return by_shifts or "content_moves"
    by_turns = _solution(Chain.of_turns(chain.looks), turns=True)
    if by_turns is None or by_turns.agreement < earned + _SIMILARITY_EARNS:
        return by_shifts or by_turns or "content_moves"
    if by_turns.residual_px <= _HOLDS_PX:
        return by_turns
    if np.ptp([cmath.log(place.turn).imag for place in by_turns.places]) > TURNED_RAD:
        return "rotation"
    # A camera that tilts bends the picture: similarities agree better there, and the whole leans over.
    return by_shifts if by_shifts is not None and earned >= _PLAUSIBLE else by_turns


def _turns(chain: Chain) -> bool:
    """Whether frames near one another differ in scale or angle, as far as that can be said."""
    picked = np.unique(np.linspace(0, len(chain.matches) - 1, _TRIED_TURNS).round().astype(int))
    turned = []
    for match in (chain.matches[k] for k in picked if chain.matches):
        fit = fit_similarity(chain.looks[match.one], chain.looks[match.other], match.by, np.exp(match.log_gain))
        if fit is not None:
            turned.append(abs(cmath.log(fit[0].turn)) * chain.looks[0].grey.shape[1] / 2)
    return not turned or float(np.percentile(turned, 75)) > _TURN_FROM_PX


def _solution(chain: Chain, turns: bool) -> _Solution | None:
    """None where too few of the frames hang together."""
    numbers = largest_component(len(chain.looks), [Pair(m.one, m.other, ()) for m in chain.matches])
    if len(numbers) < _MIN_PLACED * len(chain.looks):
        return None
    looks = [chain.looks[k] for k in numbers]
    near = [m for m in chain.matches if m.one in numbers and m.other in numbers]
    places, log_gains, _ = _solve(numbers, near)
    far = far_matches(looks, places, log_gains, turns)
    if not far and travels(places, looks[0].grey.shape):
        return None  # neighbours alone prove nothing
    places, log_gains, off = _solve(numbers, near + far)
    agreement = float(np.median([m.alike.agreement for m in far or near])) if near else 1.0
    lit = np.flatnonzero(_gains(log_gains) >= _LEAST_GAIN)
    return _Solution(numbers[lit], _by_widest([places[k] for k in lit]), log_gains[lit], off, agreement)


def _solve(numbers: np.ndarray, matches: list[Match]) -> tuple[list[Similarity], np.ndarray, np.ndarray]:
    """Places of the frames by the widest one, logarithms of their gains [n], how far each match lies off them [m]."""
    count = len(numbers)
    if not matches:
        return [Similarity()] * count, np.zeros(count), np.zeros(0)
    ends = [(int(a), int(b)) for a, b in (np.searchsorted(numbers, (m.one, m.other)) for m in matches)]
    log_turns, _ = _solve_complex(count, ends, [-cmath.log(m.by.turn) for m in matches])
    turns = np.exp(log_turns)
    ways = [-turns[b] * m.by.shift for (_, b), m in zip(ends, matches, strict=True)]
    shifts, off = _solve_complex(count, ends, ways)
    log_gains, _ = _solve_complex(count, ends, [complex(m.log_gain) for m in matches])
    found = [Similarity(complex(turn), complex(shift)) for turn, shift in zip(turns, shifts, strict=True)]
    return _by_widest(found), log_gains.real, off


def _by_widest(places: list[Similarity]) -> list[Similarity]:
    widest = max(places, key=lambda place: abs(place.turn)).inverse()
    return [widest.after(place) for place in places]


def _solve_complex(count: int, ends: list[tuple[int, int]], steps: list[complex]) -> tuple[np.ndarray, np.ndarray]:
    values, off = solve_steps(
        count, [Pair(*end, (step.real, step.imag)) for end, step in zip(ends, steps, strict=True)]
    )
    return values @ (1, 1j), off


def _alignment(solution: _Solution, chain: Chain, pts: np.ndarray, pts_s: np.ndarray, texture: float) -> Alignment:
    scale = chain.scale
    assert scale is not None
    looks = [chain.looks[k] for k in solution.numbers]
    is_similarity = any(place.turn != 1 for place in solution.places)
    shifts = np.array([(place.shift.real, place.shift.imag) for place in solution.places])
    apart = [] if is_similarity else pairs_apart(shifts, looks[0].grey.shape)
    fixed = fixed_cells(looks, shifts, apart, scale.size_px)
    return Alignment(
        pts=pts,
        pts_s=pts_s,
        size_px=scale.size_px,
        places=_full_places(solution.places, scale),
        gains=_gains(solution.log_gains),
        is_similarity=is_similarity,
        layers=layers_of(looks, shifts, apart, fixed),
        fixed=fixed,
        agreement=solution.agreement,
        residual_px=solution.residual_px * scale.reduction,
        texture=texture,
    )


def _texture(look: Look) -> float:
    """Share of a frame's blocks with anything to hold on to."""
    return float(likeness(look, look, shifted(0, 0)).textured.mean())


def _full_places(places: list[Similarity], scale: Scale) -> np.ndarray:
    """[n, 4] as of `Alignment`, from places of working pictures."""
    off = complex(*scale.centre_off_px)
    rows = []
    for place in places:
        shift = place.shift * scale.reduction + off - place.turn * off
        log_turn = cmath.log(place.turn)
        rows.append((shift.real, shift.imag, log_turn.real, log_turn.imag))
    return np.array(rows, float)


def _gains(log_gains: np.ndarray) -> np.ndarray:
    """By how bright the frames are in full light, the highest that is held; all ones where nothing fades."""
    if np.ptp(log_gains) < _EVEN_GAIN:
        return np.ones(len(log_gains))
    held = min(len(log_gains), max(_LEAST_HELD, round(_HELD * len(log_gains))))
    return np.exp(log_gains - np.sort(log_gains)[-held])
