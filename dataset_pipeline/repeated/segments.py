"""What several episodes of a show have in common: openings, endings, eyecatches, recaps, and one copy of each frame.

Episodes are compared by fingerprints taken a few times a second. Frames of two episodes that match vote for an offset
between them; along an offset with votes the fingerprints are compared one by one, and what matches without long gaps is
a run. Runs that overlap in an episode belong together and give it a segment, whose kind follows from the names of
chapters, else from its place and length. Candidate frames that lie on one another in a run, and all that look alike
anyway, are copies, of which the best stays; an earlier choice stays unless a copy is clearly better.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from dataset_pipeline.repeated.index import SLACK, above, fitted_sketcher
from dataset_pipeline.repeated.near_duplicates import defect_rank, distinct

PER_SECOND = 4  # fingerprints
THUMB = 16, 9  # columns and rows of a fingerprint's picture
STEPS = (1, 16 * 8), (2, 15 * 9)  # axis and number of the steps between neighbours in a stack of them
MIN_SPREAD = 4.0  # levels of 255: a picture that varies less looks like any other flat one
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
MIN_OTHER_S = 5.0  # what has neither the place nor the length of anything known is worth naming from here
MIN_STATES = 3  # different pictures in a run; a single held picture is no segment
OVERLAP = 0.5  # of the shorter of two runs that are one segment
EYECATCH_S, EYECATCH_SHARE = 20.0, 0.04  # at most so long, and at most this share of the episode
THIRD = 1 / 3
MOVED_SHARE = 0.1  # of the episode: copies further apart than this are not in the same place
PIECES_APART_S = 1.5  # between the pieces of one recap
SAME_INSTANT_S = 0.6  # between frames that lie on one another in a run
EXACT_FRAMES = 300_000  # of a show; more are looked for in an index
STEADY_STEPS = 5  # steps of sharpness by which a copy must beat an earlier choice

CHAPTERS = (  # ordered: the first that fits counts
    (
        "opening",
        r"op\s*\d*|(nc)?op\d*|opening.*|intro(duction)?|avant ?title|オープニング.*|主題歌|片头.*|片頭.*|오프닝.*",
    ),
    ("ending", r"ed\s*\d*|(nc)?ed\d*|ending.*|outro|(end |closing )?credits.*|エンディング.*|片尾.*|엔딩.*"),
    ("eyecatch", r"eye ?-?catch.*|bumper.*|アイキャッチ.*"),
    ("recap", r"recap.*|previously.*|last time.*|あらすじ.*|前回.*|总集.*"),
    ("preview", r"(next )?(episode )?preview.*|next episode.*|next time.*|yokoku.*|予告.*|次回.*|预告.*|예고.*"),
)


@dataclass(frozen=True)
class Chapter:
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, eq=False)
class Track:
    """An episode as its fingerprints see it.

    times_s: float64 [n], ascending. signatures: float32 [n, d], rows of length 1 whose products say how alike two
    frames are, 0 where the frame says nothing. step_s: the usual time between two.
    """

    episode: str
    duration_s: float
    times_s: np.ndarray
    signatures: np.ndarray
    informative: np.ndarray
    step_s: float
    chapters: tuple[Chapter, ...] = ()


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
    def is_segment(self) -> bool:
        return self.end_s - self.start_s >= MIN_RUN_S and self.states >= MIN_STATES

    def at(self, episode: str) -> tuple[float, float]:
        """Start and end in one of its episodes, in seconds."""
        shift = 0.0 if episode == self.one else self.offset_s
        return self.start_s + shift, self.end_s + shift


@dataclass(frozen=True)
class Segment:
    """kind: opening, ending, eyecatch, recap, preview or other. matched: the other episodes that have it.
    found: `chapter`, `frames`, or `chapter+frames` where the chapter says the kind and the frames the borders."""

    episode: str
    start_s: float
    end_s: float
    kind: str
    matched: tuple[str, ...]
    found: str


def fingerprints(frames: Iterable[tuple[float, np.ndarray]], per_second: float = PER_SECOND) -> pa.Table:
    """A table of `pts_s` and `thumb`, list of 9 x 16 luma values row by row, `per_second` times a second.

    frames: (seconds, picture uint8 [h, w, 3] RGB or [h, w] luma) in their order, upright and without bars. The first
    frame in each interval is taken, so any frame rate will do and frames that are not taken cost nothing.
    """
    times, thumbs, due = [], [], -np.inf
    for pts_s, picture in frames:
        if pts_s < due:
            continue
        due = (np.floor(pts_s * per_second + 1e-6) + 1) / per_second - 1e-6
        small = cv2.resize(picture, THUMB, interpolation=cv2.INTER_AREA)
        times.append(pts_s)
        thumbs.append((small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)).ravel())
    values = pa.array(np.concatenate(thumbs) if thumbs else np.zeros(0, np.uint8))
    offsets = pa.array(np.arange(len(thumbs) + 1, dtype=np.int32) * THUMB[0] * THUMB[1])
    return pa.table({"pts_s": pa.array(times, pa.float64()), "thumb": pa.ListArray.from_arrays(offsets, values)})


def track_of_fingerprints(
    episode: str, table: pa.Table, duration_s: float, chapters: Iterable[Mapping[str, Any]] = ()
) -> Track:
    """The track of a table that `fingerprints` gave. chapters: mappings of start_s, end_s, title.

    Its signatures are the steps between neighbours in the picture, as in a difference hash but not cut down to signs:
    unlike the levels themselves they hardly agree between scenes that merely have the sky at the top.
    """
    thumbs = table["thumb"].combine_chunks().flatten().to_numpy().astype(np.float32)
    thumbs = thumbs.reshape(-1, THUMB[1], THUMB[0])
    informative = thumbs.std(axis=(1, 2)) >= MIN_SPREAD
    steps = np.concatenate([np.diff(thumbs, axis=axis).reshape(len(thumbs), size) for axis, size in STEPS], axis=1)
    steps -= steps.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(steps, axis=1)
    signatures = (steps / np.maximum(lengths, 1e-6)[:, None] * informative[:, None]).astype(np.float32)
    times_s = table["pts_s"].to_numpy()
    order = np.argsort(times_s, kind="stable")
    step_s = float(np.median(np.diff(times_s[order]))) if len(order) > 1 else 1 / PER_SECOND
    named = tuple(Chapter(chapter["start_s"], chapter["end_s"], chapter["title"]) for chapter in chapters)
    return Track(episode, duration_s, times_s[order], signatures[order], informative[order], step_s, named)


def find_runs(tracks: Sequence[Track]) -> list[Run]:
    """The runs of every two episodes, in the order of the tracks, which is that of the show.

    Different pictures of both vote; between neighbours, where recaps show parts of shots, every picture of the earlier.
    """
    states = [_states(track) for track in tracks]
    times = [track.times_s[chosen] for track, chosen in zip(tracks, states, strict=True)]
    signatures = [track.signatures[chosen] for track, chosen in zip(tracks, states, strict=True)]
    if not sum(map(len, times)):
        return []
    sketcher = fitted_sketcher(np.concatenate(signatures), VOTE - SLACK)
    sketches = [sketcher(rows) if sketcher else rows for rows in signatures]
    runs = []
    for i, one in enumerate(tracks):
        others = range(i + 1, len(tracks))
        if not others or not len(times[i]):
            continue
        bounds = sketches[i] @ np.concatenate([sketches[j] for j in others]).T
        row, column = above(bounds, VOTE - SLACK)
        borders = np.cumsum([0, *(len(times[j]) for j in others)])
        owner = np.searchsorted(borders, column, side="right") - 1
        order = np.argsort(owner, kind="stable")
        ends = np.searchsorted(owner[order], np.arange(len(others) + 1))
        for place, j in enumerate(others):
            part = order[ends[place] : ends[place + 1]]
            mine, its = row[part], column[part] - borders[place]
            alike = np.einsum("ij,ij->i", signatures[i][mine], signatures[j][its]) > VOTE
            at_s, its_s = times[i][mine[alike]], times[j][its[alike]]
            if neighbours := j == i + 1:
                best = signatures[j] @ one.signatures.T
                voting = best.max(axis=1) > VOTE
                at_s = np.concatenate([at_s, one.times_s[best.argmax(axis=1)[voting]]])
                its_s = np.concatenate([its_s, times[j][voting]])
            if len(at_s):
                runs += _runs_between(one, tracks[j], times[i], at_s, its_s - at_s, 1 if neighbours else MIN_VOTES)
    return runs


def _states(track: Track) -> np.ndarray:
    """Places of the fingerprints that differ from the last one taken."""
    places = np.flatnonzero(track.informative)
    told = track.signatures[places]
    chosen, at = [], 0
    while at < len(places):
        chosen.append(at)
        ahead = at
        while True:  # through a held picture in strides
            part = told[ahead + 1 : ahead + 17]
            changed = np.flatnonzero(part @ told[at] < NEW_STATE)
            if len(changed) or not len(part):
                at = ahead + 1 + (int(changed[0]) if len(changed) else 0)
                break
            ahead += len(part)
    return places[chosen]


def _runs_between(
    one: Track, other: Track, states_s: np.ndarray, at_s: np.ndarray, offsets_s: np.ndarray, min_votes: int
) -> list[Run]:
    """Runs at the offsets that matching states vote for, the most voted first.

    states_s: when the states of `one` begin. at_s: which of them voted, offsets_s: for what. A vote inside a run that
    was found is spent.
    """
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
    likeness = _compare(one, other, np.repeat(tried, len(places)), np.tile(places, len(tried)))[3]
    return float(tried[likeness.reshape(len(tried), -1).sum(axis=1).argmax()])


def _covers(known: Run, run: Run) -> bool:
    """A run is the shadow of a known one if most of it lies there in both episodes."""
    return all(
        _shared(known.at(episode), run.at(episode)) > OVERLAP * (run.end_s - run.start_s)
        for episode in (run.one, run.other)
    )


def _shared(a: tuple[float, float], b: tuple[float, float]) -> float:
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def _along(one: Track, other: Track, offset_s: float, votes_s: np.ndarray, states_s: np.ndarray) -> Iterator[Run]:
    """The runs through the votes at an offset."""
    max_gap_s = max(MAX_GAP_S, 3 * max(one.step_s, other.step_s))
    done_s = -np.inf
    for vote_s in np.sort(votes_s).tolist():
        if vote_s <= done_s:
            continue
        reach = LOOK_AROUND_S
        while True:
            first, end = np.searchsorted(one.times_s, [vote_s - reach, vote_s + reach])
            matches, overlaid, compared, likeness = _compare(one, other, offset_s, np.arange(first, end))
            vote = int(np.searchsorted(one.times_s, vote_s)) - first
            low, high = _run_through(one.times_s[first:end], matches | overlaid, vote, max_gap_s)
            cut = (first > 0 and one.times_s[first + low] - max_gap_s <= one.times_s[first]) or (
                end < len(one.times_s) and one.times_s[first + high] + max_gap_s >= one.times_s[end - 1]
            )
            if not cut:
                break
            reach *= 2
        clear = np.flatnonzero(matches[low : high + 1]) + low  # borders are where no allowance is needed
        if not len(clear):
            continue
        low, high = int(clear[0]), int(clear[-1])
        inside = slice(low, high + 1)
        start_s = float(one.times_s[first + low] - one.step_s / 2)
        end_s = float(one.times_s[first + high] + one.step_s / 2)
        done_s = end_s
        told, fitting = (np.count_nonzero(part[inside]) for part in (compared, matches | overlaid))
        if end_s - start_s < MIN_PIECE_S or fitting < MIN_MATCHING * told or len(clear) < MIN_CLEAR * told:
            continue
        sure = float(likeness[clear].mean())
        if sure >= SURE:
            states = int(np.diff(np.searchsorted(states_s, [start_s, end_s]))[0])
            yield Run(one.episode, other.episode, start_s, end_s, offset_s, max(1, states), sure)


def _compare(
    one: Track, other: Track, offset_s: float | np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(match, may match under lettering, could be compared, correlation or 0) of fingerprints of one episode with those
    of the other: with the nearest, or with a mix of the two around, as both episodes are sampled at their own moments.
    """
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
    return likeness > SAME, overlaid, compared, likeness


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


def segments(tracks: Sequence[Track], runs: Sequence[Run]) -> list[Segment]:
    """What repeats in each episode, by episode and start. tracks: in the order of the show."""
    by_episode = {track.episode: track for track in tracks}
    order = {track.episode: i for i, track in enumerate(tracks)}
    found: list[Segment] = []
    loose = [run for run in runs if not run.is_segment]
    for group in _groups([run for run in runs if run.is_segment]):
        spans = _spans(group)
        kinds = _kinds(spans, by_episode)
        if kinds is None:
            loose += group
            continue
        for (episode, start_s, end_s), kind in zip(spans, kinds, strict=True):
            if kind == "other" and end_s - start_s < MIN_OTHER_S:
                continue
            matched = tuple(sorted({other for other, *_ in spans} - {episode}, key=order.__getitem__))
            found.append(Segment(episode, start_s, end_s, kind, matched, "frames"))
    found += _montages(loose, by_episode, found)
    found = [segment for track in tracks for segment in _with_chapters(track, found)]
    return sorted(found, key=lambda segment: (order[segment.episode], segment.start_s, segment.end_s))


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that overlap in an episode, directly or through others."""
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    places: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for i, run in enumerate(runs):
        for episode in (run.one, run.other):
            places[episode].append((*run.at(episode), i))
    for spans in places.values():
        for cluster in _overlapping(spans):
            for one, other in pairwise(cluster):
                parent[root(other[2])] = root(one[2])
    grouped: dict[int, list[Run]] = defaultdict(list)
    for i, run in enumerate(runs):
        grouped[root(i)].append(run)
    return list(grouped.values())


def _overlapping(spans: list[tuple[float, float, Any]]) -> list[list[tuple[float, float, Any]]]:
    """Spans in clusters, each of which overlaps the middle of its cluster by OVERLAP of the shorter."""
    clusters: list[list[tuple[float, float, Any]]] = []
    for span in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):  # the longest first
        for cluster in clusters:
            shorter = min(span[1] - span[0], cluster[0][1] - cluster[0][0])
            if _shared(span[:2], cluster[0][:2]) >= OVERLAP * shorter:
                cluster.append(span)
                break
        else:
            clusters.append([span])
    return clusters


def _spans(group: Sequence[Run]) -> list[tuple[str, float, float]]:
    """(episode, start, end) of a group: in each of its places the median over the runs."""
    places: dict[str, list[tuple[float, float, None]]] = defaultdict(list)
    for run in group:
        for episode in (run.one, run.other):
            places[episode].append((*run.at(episode), None))
    return [
        (episode, float(np.median([span[0] for span in cluster])), float(np.median([span[1] for span in cluster])))
        for episode, spans in places.items()
        for cluster in _overlapping(spans)
    ]


def _kinds(spans: Sequence[tuple[str, float, float]], tracks: Mapping[str, Track]) -> list[str] | None:
    """The kind of each span by chapters, place and length; None if they may be the pieces of a recap or preview."""
    named = [kind for episode, start_s, end_s in spans if (kind := _chapter_kind(tracks[episode], start_s, end_s))]
    if named:
        return [max(sorted(set(named)), key=named.count)] * len(spans)
    lengths = [end_s - start_s for _, start_s, end_s in spans]
    middles = [0.5 * (start_s + end_s) / tracks[episode].duration_s for episode, start_s, end_s in spans]
    episodes = {episode for episode, *_ in spans}
    many = len(episodes) >= min(3, max(2, len(tracks)))
    duration_s = float(np.median([tracks[episode].duration_s for episode in episodes]))
    short = float(np.median(lengths)) <= min(EYECATCH_S, EYECATCH_SHARE * duration_s)
    several = len(episodes) > 1 and not short
    if many and short:
        return ["eyecatch"] * len(spans)
    if several and np.mean([middle <= THIRD for middle in middles]) > 0.75:
        return ["opening"] * len(spans)
    if several and np.mean([middle >= 1 - THIRD for middle in middles]) > 0.75:
        return ["ending"] * len(spans)
    if len(episodes) > 1 and max(middles) - min(middles) > MOVED_SHARE:
        return None
    return ["other"] * len(spans)


def _montages(loose: Sequence[Run], tracks: Mapping[str, Track], found: Sequence[Segment]) -> list[Segment]:
    """Recaps and previews: pieces close together, from one other episode and from elsewhere in it.

    A recap stands in the first third of the later episode, a preview in the last third of the earlier one. What stands
    in neither place is `other` in both if it is long enough to be a segment by itself.
    """
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for segment in found:
        taken[segment.episode].append((segment.start_s, segment.end_s))
    pieces: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    rest: list[Run] = []
    for run in loose:
        length = run.end_s - run.start_s
        if any(_shared(run.at(e), span) > OVERLAP * length for e in (run.one, run.other) for span in taken[e]):
            continue
        early = sum(run.at(run.other)) / 2 / tracks[run.other].duration_s
        late = sum(run.at(run.one)) / 2 / tracks[run.one].duration_s
        if early <= THIRD and abs(early - late) > MOVED_SHARE:
            pieces[run.other, run.one, "recap"].append(run)
        elif late >= 1 - THIRD and abs(early - late) > MOVED_SHARE:
            pieces[run.one, run.other, "preview"].append(run)
        elif run.is_segment and run.end_s - run.start_s >= MIN_OTHER_S:
            rest.append(run)
    segments = []
    for (episode, source, kind), runs in sorted(pieces.items()):
        runs.sort(key=lambda run: run.at(episode))
        chains: list[list[Run]] = []
        end_s = -np.inf
        for run in runs:
            start_s, run_end_s = run.at(episode)
            if start_s - end_s > PIECES_APART_S:
                chains.append([])
            chains[-1].append(run)
            end_s = max(end_s, run_end_s) if len(chains[-1]) > 1 else run_end_s
        for chain in chains:
            start_s, end_s = chain[0].at(episode)[0], max(run.at(episode)[1] for run in chain)
            if sum(run.states for run in chain) >= MIN_STATES and end_s - start_s >= MIN_RUN_S:
                segments.append(Segment(episode, start_s, end_s, kind, (source,), "frames"))
    for group in _groups(rest):
        spans = _spans(group)
        for episode, start_s, end_s in spans:
            matched = tuple(sorted({other for other, *_ in spans} - {episode}, key=list(tracks).index))
            segments.append(Segment(episode, start_s, end_s, "other", matched, "frames"))
    return segments


def chapter_kind(title: str) -> str:
    """opening, ending, eyecatch, recap, preview, or empty for a title that says none of them."""
    plain = re.sub(r"^[\W_\d]*(chapter\s*\d+\W*)?|[\W_]*$", "", title.strip().lower())
    return next((kind for kind, pattern in CHAPTERS if re.fullmatch(pattern, plain)), "")


def _chapter_kind(track: Track, start_s: float, end_s: float) -> str:
    """The kind of the chapter that a span and itself cover by half."""
    for chapter in track.chapters:
        shared = _shared((start_s, end_s), (chapter.start_s, chapter.end_s))
        if shared >= OVERLAP * max(end_s - start_s, chapter.end_s - chapter.start_s) and chapter_kind(chapter.title):
            return chapter_kind(chapter.title)
    return ""


def _with_chapters(track: Track, found: Sequence[Segment]) -> Iterator[Segment]:
    """An episode's segments; those a chapter names as it does, and named chapters that nothing was found in."""
    own = [segment for segment in found if segment.episode == track.episode]
    used = []
    for segment in own:
        kind = _chapter_kind(track, segment.start_s, segment.end_s)
        used.append((segment.start_s, segment.end_s))
        if kind:
            segment = Segment(segment.episode, segment.start_s, segment.end_s, kind, segment.matched, "chapter+frames")
        yield segment
    for chapter in track.chapters:
        kind = chapter_kind(chapter.title)
        length = chapter.end_s - chapter.start_s
        if kind and not any(_shared(span, (chapter.start_s, chapter.end_s)) >= OVERLAP * length for span in used):
            yield Segment(track.episode, chapter.start_s, chapter.end_s, kind, (), "chapter")


def lying_on_one_another(
    runs: Iterable[Run], episodes: Sequence[str], times_s: np.ndarray, embeddings: np.ndarray, similarity: float
) -> np.ndarray:
    """int64 [m, 2]: pairs of frames at the same instant of a run whose cosine is above `similarity`.

    episodes, times_s, embeddings: of each frame.
    """
    names = np.asarray(episodes)
    places = {name: np.flatnonzero(names == name) for name in dict.fromkeys(episodes)}
    places = {name: found[np.argsort(times_s[found], kind="stable")] for name, found in places.items()}
    pairs = [np.zeros((0, 2), np.int64)]
    for run in runs:
        if run.one not in places or run.other not in places:
            continue
        one, other = places[run.one], places[run.other]
        first, end = np.searchsorted(times_s[one], [run.start_s - 1e-6, run.end_s + 1e-6])
        wanted = times_s[one[first:end]] + run.offset_s
        low, high = (np.searchsorted(times_s[other], wanted + s) for s in (-SAME_INSTANT_S, SAME_INSTANT_S))
        count = high - low
        left = np.repeat(one[first:end], count)
        right = other[np.repeat(low - np.cumsum(count) + count, count) + np.arange(count.sum())]
        near = np.einsum("ij,ij->i", embeddings[left], embeddings[right]) > similarity
        pairs.append(np.stack([left[near], right[near]], axis=1))
    return np.concatenate(pairs)


def decide_repeated(
    frames: Sequence[Mapping[str, Any]],
    embeddings: np.ndarray,
    runs: Sequence[Run],
    found: Sequence[Segment],
    *,
    similarity: float,
    aligned_similarity: float,
    limits: Mapping[str, float],
    earlier_choice: Collection[str] = (),
) -> list[dict]:
    """Which frames of all episodes stay: one row each with image_id, episode, kept, group, similarity and segment.

    frames: image_id, episode, pts_s, sharpness and the defects that `limits` names; embeddings: float32 [n, d], length
    1, one for each. Frames are copies if their cosine is above `similarity`, or above `aligned_similarity` where a run
    lays them on one another. Of copies the best stays (see `near_duplicates.defect_rank`); one of `earlier_choice`
    counts as STEADY_STEPS of sharpness better than it is: what comes later drops it only if clearly better. group:
    the image that stays for it. segment: the kind of segment it lies in, else empty.
    """
    episodes = [frame["episode"] for frame in frames]
    times_s = np.array([frame["pts_s"] for frame in frames], dtype=np.float64)

    def rank(i: int) -> tuple[bool, bool, int, str]:
        combed, spoilt, blur = defect_rank(frames[i], limits)
        chosen = frames[i]["image_id"] in earlier_choice
        return combed, spoilt, blur - STEADY_STEPS * chosen, frames[i]["image_id"]

    also_near = lying_on_one_another(runs, episodes, times_s, embeddings, aligned_similarity)
    order, exact = sorted(range(len(frames)), key=rank), len(frames) <= EXACT_FRAMES
    groups = distinct(embeddings, order, similarity, exact=exact, also_near=also_near)
    kinds = segment_of(found, episodes, times_s)
    return [
        {
            "image_id": frame["image_id"],
            "episode": frame["episode"],
            "kept": int(groups.survivor[i]) == i,
            "group": frames[int(groups.survivor[i])]["image_id"],
            "similarity": float(groups.similarity[i]),
            "segment": kinds[i],
        }
        for i, frame in enumerate(frames)
    ]


def segment_of(found: Iterable[Segment], episodes: Sequence[str], times_s: np.ndarray) -> list[str]:
    """The kind of segment that each frame lies in, the shortest one if several; empty outside all."""
    kinds = np.full(len(episodes), "", dtype=object)
    frames: dict[str, list[int]] = defaultdict(list)
    for number in np.argsort(times_s, kind="stable").tolist():
        frames[episodes[int(number)]].append(number)
    in_order = {episode: (np.array(numbers), times_s[numbers]) for episode, numbers in frames.items()}
    for segment in sorted(found, key=lambda segment: segment.start_s - segment.end_s):
        if segment.episode in in_order:
            numbers, mine_s = in_order[segment.episode]
            first, end = np.searchsorted(mine_s, (segment.start_s, segment.end_s))
            kinds[numbers[first:end]] = segment.kind
    return kinds.tolist()
