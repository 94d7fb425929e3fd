"""Runs: stretches of two episodes that show the same pictures.

Frames of two episodes that match vote for an offset between them. Along an offset with votes the fingerprints are
compared one by one, and what matches without long gaps is a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dataset_pipeline.repeated.neighbour_search import SLACK, above, fitted_sketcher
from dataset_pipeline.repeated.spans import OVERLAP, shared_s
from dataset_pipeline.repeated.tracks import PER_SECOND, Track

SAME = 0.85  # correlation from which two fingerprints may show the same
VOTE = 0.75  # and from which they vote for an offset
HALF_SAME = 0.5  # from which they may under different lettering
OVERLAID_SHARE = 0.25  # of the picture that lettering may cover
SURE = 0.95  # mean correlation of the matches of a run
NEW_STATE = 0.8  # correlation below which a fingerprint differs from the last that was remembered
OFFSET_BIN_S = 0.25
MIN_VOTES = 2  # for an offset; one is enough between neighbouring episodes, where recaps come from
AROUND_VOTE_S = 0.75  # compared to find the exact offset, which is so far away at most
LOOK_AROUND_S = 30.0  # before and after the votes, and again while a run goes on
MAX_GAP_S = 1.5  # without a match inside a run, or the time between three fingerprints if that is longer
MIN_MATCHING = 0.7  # share of a run's fingerprints that match
MIN_CLEAR = 0.25  # of them without making allowance for lettering
MIN_RUN_S, MIN_PIECE_S = 2.5, 0.9
MIN_STATES = 3  # different pictures in a run; a single held picture is no segment


@dataclass(frozen=True)
class Run:
    """The same pictures in two episodes: from `start_s` to `end_s` in the earlier one, `offset_s` later in the other.

    states: how many different pictures it shows. likeness: mean correlation of its matches.
    """

    one: str
    other: str
    start_s: float
    end_s: float
    offset_s: float
    states: int
    likeness: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def is_segment(self) -> bool:
        """Whether it is long and varied enough to be one by itself."""
        return self.length_s >= MIN_RUN_S and self.states >= MIN_STATES

    def at(self, episode: str) -> tuple[float, float]:
        """Start and end in one of its episodes, in seconds."""
        shift = 0.0 if episode == self.one else self.offset_s
        return self.start_s + shift, self.end_s + shift


def find_runs(tracks: Sequence[Track]) -> list[Run]:
    """The runs of every two episodes, in the order of the tracks, which is that of the show.

    The states of both vote; between neighbours, where recaps show parts of shots, every picture of the earlier.
    """
    states = [_states(track) for track in tracks]
    if not any(len(its.times_s) for its in states):
        return []
    sketcher = fitted_sketcher(np.concatenate([its.signatures for its in states]), VOTE - SLACK)
    sketches = [sketcher(its.signatures) if sketcher else its.signatures for its in states]
    runs = []
    for i, one in enumerate(tracks[:-1]):
        for j, (at_s, its_s) in enumerate(_votes(one, states[i:], sketches[i:]), i + 1):
            min_votes = 1 if j == i + 1 else MIN_VOTES
            runs += _runs_between(one, tracks[j], states[i].times_s, at_s, its_s - at_s, min_votes)
    return runs


class _States(NamedTuple):
    """The different pictures of an episode: when each begins, float64 [n], and its signature, float32 [n, d]."""

    times_s: np.ndarray
    signatures: np.ndarray


def _states(track: Track) -> _States:
    """The fingerprints that differ from the last one taken."""
    places = np.flatnonzero(track.informative)
    signatures = track.signatures[places]
    chosen, at = [], 0
    while at < len(places):
        chosen.append(at)
        ahead = at
        while True:  # through a held picture in strides
            part = signatures[ahead + 1 : ahead + 17]
            changed = np.flatnonzero(part @ signatures[at] < NEW_STATE)
            if len(changed) or not len(part):
                at = ahead + 1 + (int(changed[0]) if len(changed) else 0)
                break
            ahead += len(part)
    return _States(track.times_s[places[chosen]], track.signatures[places[chosen]])


def _votes(
    one: Track, states: Sequence[_States], sketches: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of an episode with each later one: when the pictures begin that they share, in the one and in the other.

    states, sketches: of the episode itself and the later ones.
    """
    own, others = states[0], states[1:]
    if not len(own.times_s):
        return
    row, column = above(sketches[0] @ np.concatenate(sketches[1:]).T, VOTE - SLACK)
    borders = np.cumsum([0, *(len(other.times_s) for other in others)])
    owner = np.searchsorted(borders, column, side="right") - 1
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(len(others) + 1))
    for number, other in enumerate(others):
        part = order[ends[number] : ends[number + 1]]
        mine, its = row[part], column[part] - borders[number]
        alike = np.einsum("ij,ij->i", own.signatures[mine], other.signatures[its]) > VOTE
        at_s, its_s = own.times_s[mine[alike]], other.times_s[its[alike]]
        if number == 0:
            more_s, more_its_s = _votes_of_every_picture(one, other)
            at_s, its_s = np.concatenate([at_s, more_s]), np.concatenate([its_s, more_its_s])
        yield at_s, its_s


def _votes_of_every_picture(one: Track, other: _States) -> tuple[np.ndarray, np.ndarray]:
    """As `_votes`, each state of the other with the picture that is most like it."""
    likeness = other.signatures @ one.signatures.T
    voting = likeness.max(axis=1) > VOTE
    return one.times_s[likeness.argmax(axis=1)[voting]], other.times_s[voting]


def _runs_between(
    one: Track, other: Track, states_s: np.ndarray, at_s: np.ndarray, offsets_s: np.ndarray, min_votes: int
) -> list[Run]:
    """Runs at the offsets that matching states vote for, the most voted first.

    states_s: when the states of `one` begin. at_s: which of them voted, offsets_s: for what. A vote inside a run that
    was found is spent.
    """
    if not len(at_s):
        return []
    left = np.ones(len(at_s), dtype=bool)
    bins = np.floor(offsets_s / OFFSET_BIN_S).astype(np.int64)
    bins -= bins.min()
    runs: list[Run] = []
    while True:
        window = np.convolve(np.bincount(bins[left], minlength=3), [1, 1, 1], mode="same")
        peak = int(window.argmax())
        if window[peak] < min_votes:
            return runs
        voters = left & (np.abs(bins - peak) <= 1)
        left &= ~voters
        offset_s = _refined(one, other, float(np.median(offsets_s[voters])), at_s[voters])
        for run in _along(one, other, offset_s, at_s[voters], states_s):
            if not any(_covers(known, run) for known in runs):
                runs.append(run)
                spent = (at_s >= run.start_s) & (at_s < run.end_s) & (np.abs(offsets_s - offset_s) <= AROUND_VOTE_S)
                left &= ~spent


def _refined(one: Track, other: Track, offset_s: float, votes_s: np.ndarray) -> float:
    """The offset nearby at which the frames around the votes are most alike.

    The states of a part of a shot need not be those of the whole, so what they vote for may be off.
    """
    ends = np.searchsorted(one.times_s, [votes_s[:8] - AROUND_VOTE_S, votes_s[:8] + AROUND_VOTE_S])
    places = np.unique(np.concatenate([np.arange(*span) for span in ends.T]))
    step_s = min(one.step_s, other.step_s) / 2
    reach = int(AROUND_VOTE_S / step_s)
    if not reach:
        return offset_s
    tried = offset_s + step_s * np.array(sorted(range(-reach, reach + 1), key=abs))
    likeness = _compare(one, other, np.repeat(tried, len(places)), np.tile(places, len(tried))).correlation
    return float(tried[likeness.reshape(len(tried), -1).sum(axis=1).argmax()])


def _covers(known: Run, run: Run) -> bool:
    """A run is the shadow of a known one if most of it lies there in both episodes."""
    return all(
        shared_s(known.at(episode), run.at(episode)) > OVERLAP * run.length_s for episode in (run.one, run.other)
    )


class _Likeness(NamedTuple):
    """Of fingerprints with those of another episode, each [n]: whether they match, whether they may under lettering,
    whether they could be compared, and their correlation, 0 where they could not."""

    matches: np.ndarray
    overlaid: np.ndarray
    compared: np.ndarray
    correlation: np.ndarray


class _Stretch(NamedTuple):
    """Matches without long gaps. matching, clear and compared: how many fingerprints match, do so without allowance for
    lettering, could be compared. likeness: mean correlation of the clear ones."""

    start_s: float
    end_s: float
    matching: int
    clear: int
    compared: int
    likeness: float

    @property
    def is_run(self) -> bool:
        return (
            self.end_s - self.start_s >= MIN_PIECE_S
            and self.matching >= MIN_MATCHING * self.compared
            and self.clear >= MIN_CLEAR * self.compared
            and self.likeness >= SURE
        )


def _along(one: Track, other: Track, offset_s: float, votes_s: np.ndarray, states_s: np.ndarray) -> Iterator[Run]:
    """The runs through the votes at an offset."""
    done_s = -np.inf
    for vote_s in np.sort(votes_s).tolist():
        if vote_s <= done_s:
            continue
        stretch = _stretch_around(one, other, offset_s, vote_s)
        if stretch is None:
            continue
        done_s = stretch.end_s
        if stretch.is_run:
            span = stretch.start_s, stretch.end_s
            states = int(np.diff(np.searchsorted(states_s, span))[0])
            yield Run(one.episode, other.episode, *span, offset_s, max(1, states), stretch.likeness)


def _stretch_around(one: Track, other: Track, offset_s: float, vote_s: float) -> _Stretch | None:
    """The matches around a vote, looked at further out while they go on; None if none is clear."""
    max_gap_s = max(MAX_GAP_S, 3 * max(one.step_s, other.step_s))
    reach_s = LOOK_AROUND_S
    while True:
        first, end = np.searchsorted(one.times_s, [vote_s - reach_s, vote_s + reach_s])
        times_s, found = one.times_s[first:end], _compare(one, other, offset_s, np.arange(first, end))
        vote = int(np.searchsorted(one.times_s, vote_s)) - first
        low, high = _run_through(times_s, found.matches | found.overlaid, vote, max_gap_s)
        is_whole_before = first == 0 or times_s[low] - max_gap_s > times_s[0]
        is_whole_after = end == len(one.times_s) or times_s[high] + max_gap_s < times_s[-1]
        if is_whole_before and is_whole_after:
            break
        reach_s *= 2
    clear = np.flatnonzero(found.matches[low : high + 1]) + low  # borders are where no allowance is needed
    if not len(clear):
        return None
    inside = slice(int(clear[0]), int(clear[-1]) + 1)
    return _Stretch(
        start_s=float(times_s[clear[0]] - one.step_s / 2),
        end_s=float(times_s[clear[-1]] + one.step_s / 2),
        matching=np.count_nonzero((found.matches | found.overlaid)[inside]),
        clear=len(clear),
        compared=np.count_nonzero(found.compared[inside]),
        likeness=float(found.correlation[clear].mean()),
    )


def _compare(one: Track, other: Track, offset_s: float | np.ndarray, places: np.ndarray) -> _Likeness:
    """How like the other episode's the fingerprints at `places` are: the nearest, or a mix of the two around, as both
    episodes are sampled at their own moments."""
    wanted = one.times_s[places] + offset_s
    after = np.clip(np.searchsorted(other.times_s, wanted), 1, max(1, len(other.times_s) - 1))
    before = after - 1
    after = np.minimum(after, len(other.times_s) - 1)
    nearest = np.where(wanted - other.times_s[before] <= other.times_s[after] - wanted, before, after)
    there = np.abs(other.times_s[nearest] - wanted) <= max(0.6 * other.step_s, 0.5 / PER_SECOND)
    compared = there & one.informative[places] & other.informative[nearest]
    mine, ahead, behind = one.signatures[places], other.signatures[before], other.signatures[after]
    passed = (wanted - other.times_s[before]) / np.maximum(other.times_s[after] - other.times_s[before], 1e-9)
    passed = np.clip(passed, 0, 1).astype(np.float32)
    to_ahead, to_behind, between = (
        np.einsum("ij,ij->i", *pair) for pair in ((mine, ahead), (mine, behind), (ahead, behind))
    )
    length = np.sqrt(np.maximum((1 - passed) ** 2 + passed**2 + 2 * passed * (1 - passed) * between, 1e-6))
    mixed = ((1 - passed) * to_ahead + passed * to_behind) / length
    likeness = compared * np.maximum(mixed, np.where(nearest == before, to_ahead, to_behind))
    unsure = np.flatnonzero((likeness > HALF_SAME) & (likeness <= SAME))
    overlaid = np.zeros(len(places), dtype=bool)
    overlaid[unsure] = _trimmed(one.signatures[places[unsure]], other.signatures[nearest[unsure]]) >= SURE
    return _Likeness(likeness > SAME, overlaid, compared, likeness)


def _trimmed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation without the quarter of each pair of rows that differs most, which credits may cover."""
    differ = np.abs(one - other)
    last = int((1 - OVERLAID_SHARE) * (differ.shape[1] - 1))
    agreeing = differ <= np.partition(differ, last, axis=1)[:, last : last + 1]
    products = (np.einsum("ij,ij,ij->i", agreeing, *pair) for pair in ((one, other), (one, one), (other, other)))
    mixed, own, its = products
    return mixed / np.sqrt(np.maximum(own * its, 1e-12))


def _run_through(times_s: np.ndarray, matches: np.ndarray, vote: int, max_gap_s: float) -> tuple[int, int]:
    """First and last match of the run nearest to the vote; gaps between matches are at most `max_gap_s`."""
    places = np.flatnonzero(matches)
    if not len(places):
        return vote, vote
    nearest = int(np.abs(places - vote).argmin())
    breaks = np.flatnonzero(np.diff(times_s[places]) > max_gap_s) + 1
    run = int(np.searchsorted(breaks, nearest, side="right"))
    first = breaks[run - 1] if run else 0
    end = breaks[run] if run < len(breaks) else len(places)
    return int(places[first]), int(places[end - 1])
