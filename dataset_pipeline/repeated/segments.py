"""Segments: what repeats in an episode, from when to when, and its kind.

Runs that overlap in an episode belong together and give it a segment. Its kind follows from the names of chapters, else
from its position and length: openings, endings and eyecatches have the same position in many episodes; recaps and
previews are pieces of one other episode, close together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from dataset_pipeline.repeated.chapters import kind_by_chapters
from dataset_pipeline.repeated.runs import MIN_RUN_S, MIN_STATES, Run
from dataset_pipeline.repeated.spans import OVERLAP, overlapping, shared_s
from dataset_pipeline.repeated.tracks import Track

MIN_OTHER_S = 5.0  # what has neither the position nor the length of anything known is worth naming from here
EYECATCH_S, EYECATCH_SHARE = 20.0, 0.04  # at most so long, and at most this share of the episode
THIRD = 1 / 3
IN_PLACE_SHARE = 0.75  # more than this share of the episodes have it in one third
MOVED_SHARE = 0.1  # of the episode: copies further apart than this are not in the same position
PIECES_APART_S = 1.5  # between the pieces of one recap

Span = tuple[str, float, float]  # episode, start and end in seconds


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


def segments(tracks: Sequence[Track], runs: Sequence[Run]) -> list[Segment]:
    """What repeats in each episode, by episode and start. tracks: in the order of the show."""
    by_episode = {track.episode: track for track in tracks}
    order = {track.episode: i for i, track in enumerate(tracks)}
    found: list[Segment] = []
    loose = [run for run in runs if not run.is_segment]
    for group in _groups([run for run in runs if run.is_segment]):
        spans = _spans(group)
        kind = _kind(spans, by_episode)
        if kind is None:
            loose += group
        else:
            found += _segments_of(spans, kind, order)
    found = [one for one in found if one.kind != "other" or one.end_s - one.start_s >= MIN_OTHER_S]
    loose = _outside(loose, found)
    found += _montages(loose, by_episode)
    found += _others(loose, by_episode, order)
    found = [segment for track in tracks for segment in _with_chapters(track, found)]
    return sorted(found, key=lambda segment: (order[segment.episode], segment.start_s, segment.end_s))


def _segments_of(spans: Sequence[Span], kind: str, order: Mapping[str, int]) -> Iterator[Segment]:
    """One segment for each span of a group."""
    for episode, start_s, end_s in spans:
        matched = tuple(sorted({other for other, *_ in spans} - {episode}, key=order.__getitem__))
        yield Segment(episode, start_s, end_s, kind, matched, "frames")


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
        for cluster in overlapping(spans):
            for one, other in pairwise(cluster):
                parent[root(other[2])] = root(one[2])
    grouped: dict[int, list[Run]] = defaultdict(list)
    for i, run in enumerate(runs):
        grouped[root(i)].append(run)
    return list(grouped.values())


def _spans(group: Sequence[Run]) -> list[Span]:
    """The spans of a group: for each of its positions in an episode the median over the runs."""
    places: dict[str, list[tuple[float, float, None]]] = defaultdict(list)
    for run in group:
        for episode in (run.one, run.other):
            places[episode].append((*run.at(episode), None))
    return [
        (episode, float(np.median([span[0] for span in cluster])), float(np.median([span[1] for span in cluster])))
        for episode, spans in places.items()
        for cluster in overlapping(spans)
    ]


def _kind(spans: Sequence[Span], tracks: Mapping[str, Track]) -> str | None:
    """The kind of a group by chapters, position and length; None if it may be the pieces of a recap or preview."""
    named = [kind for episode, *span in spans if (kind := kind_by_chapters(tracks[episode].chapters, *span))]
    if named:
        return max(sorted(set(named)), key=named.count)
    episodes = {episode for episode, *_ in spans}
    middles = [0.5 * (start_s + end_s) / tracks[episode].duration_s for episode, start_s, end_s in spans]
    if _is_short(spans, tracks):
        if len(episodes) >= min(3, max(2, len(tracks))):
            return "eyecatch"
    elif len(episodes) > 1 and (kind := _kind_by_position(middles)):
        return kind
    moved = len(episodes) > 1 and max(middles) - min(middles) > MOVED_SHARE
    return None if moved else "other"


def _kind_by_position(middles: Sequence[float]) -> str:
    """opening or ending if most lie in the first or the last third, else empty. middles: as shares of the episodes."""
    if np.mean([middle <= THIRD for middle in middles]) > IN_PLACE_SHARE:
        return "opening"
    return "ending" if np.mean([middle >= 1 - THIRD for middle in middles]) > IN_PLACE_SHARE else ""


def _is_short(spans: Sequence[Span], tracks: Mapping[str, Track]) -> bool:
    """Whether spans are no longer than eyecatches."""
    duration_s = float(np.median([tracks[episode].duration_s for episode in {episode for episode, *_ in spans}]))
    length_s = float(np.median([end_s - start_s for _, start_s, end_s in spans]))
    return length_s <= min(EYECATCH_S, EYECATCH_SHARE * duration_s)


def _outside(runs: Sequence[Run], found: Sequence[Segment]) -> list[Run]:
    """Runs of which neither episode has most in a segment."""
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for segment in found:
        taken[segment.episode].append((segment.start_s, segment.end_s))
    return [
        run
        for run in runs
        if not any(
            shared_s(run.at(episode), span) > OVERLAP * run.length_s
            for episode in (run.one, run.other)
            for span in taken[episode]
        )
    ]


def _montages(loose: Sequence[Run], tracks: Mapping[str, Track]) -> Iterator[Segment]:
    """Recaps and previews: pieces close together that all come from one other episode."""
    pieces: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in loose:
        if montage := _montage_of(run, tracks):
            pieces[montage].append(run)
    for (episode, source, kind), runs in sorted(pieces.items()):
        for chain in _chains(runs, episode):
            start_s, end_s = chain[0].at(episode)[0], max(run.at(episode)[1] for run in chain)
            if sum(run.states for run in chain) >= MIN_STATES and end_s - start_s >= MIN_RUN_S:
                yield Segment(episode, start_s, end_s, kind, (source,), "frames")


def _montage_of(run: Run, tracks: Mapping[str, Track]) -> tuple[str, str, str] | None:
    """(episode, where its pictures come from, kind) of the montage that a run is a piece of; None if of none.

    A recap stands in the first third of the later episode, a preview in the last third of the earlier one, and what
    they show lies elsewhere in the other.
    """
    in_later = sum(run.at(run.other)) / 2 / tracks[run.other].duration_s
    in_earlier = sum(run.at(run.one)) / 2 / tracks[run.one].duration_s
    if abs(in_later - in_earlier) <= MOVED_SHARE:
        return None
    if in_later <= THIRD:
        return run.other, run.one, "recap"
    return (run.one, run.other, "preview") if in_earlier >= 1 - THIRD else None


def _chains(runs: Sequence[Run], episode: str) -> list[list[Run]]:
    """Runs in the order they have in an episode, those in one list that follow one another closely."""
    chains: list[list[Run]] = []
    end_s = -np.inf
    for run in sorted(runs, key=lambda run: run.at(episode)):
        start_s, run_end_s = run.at(episode)
        if start_s - end_s > PIECES_APART_S:
            chains.append([])
        chains[-1].append(run)
        end_s = max(end_s, run_end_s)
    return chains


def _others(loose: Sequence[Run], tracks: Mapping[str, Track], order: Mapping[str, int]) -> Iterator[Segment]:
    """Runs that are no piece of a recap or preview, if each is long enough to be a segment by itself."""
    alone = [
        run for run in loose if run.is_segment and run.length_s >= MIN_OTHER_S and _montage_of(run, tracks) is None
    ]
    for group in _groups(alone):
        yield from _segments_of(_spans(group), "other", order)


def _with_chapters(track: Track, found: Sequence[Segment]) -> Iterator[Segment]:
    """An episode's segments, those named that a chapter names, and named chapters in which nothing was found."""
    spans = []
    for segment in found:
        if segment.episode != track.episode:
            continue
        spans.append((segment.start_s, segment.end_s))
        kind = kind_by_chapters(track.chapters, segment.start_s, segment.end_s)
        yield replace(segment, kind=kind, found="chapter+frames") if kind else segment
    for chapter in track.chapters:
        span = chapter.start_s, chapter.end_s
        least_s = OVERLAP * (chapter.end_s - chapter.start_s)
        if chapter.kind and not any(shared_s(known, span) >= least_s for known in spans):
            yield Segment(track.episode, *span, chapter.kind, (), "chapter")
