"""Which frames of a show are copies of one another, and which copy stays.

Candidate frames at the same instant of a run, and all that look alike anyway, are copies, of which the best stays; an
earlier choice stays unless a copy is clearly better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.repeated.near_duplicates import defect_rank, distinct
from dataset_pipeline.repeated.runs import Run
from dataset_pipeline.repeated.segments import Segment

SAME_INSTANT_S = 0.6  # between frames at the same instant of a run
EXACT_FRAMES = 300_000  # of a show; more are looked for in an index
STEADY_STEPS = 5  # steps of sharpness by which a copy must beat an earlier choice


def aligned_pairs(
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
    1, one for each. Frames are copies if their cosine is above `similarity`, or above `aligned_similarity` at the same
    instant of a run. Of copies the best stays (see `near_duplicates.defect_rank`); one of `earlier_choice` counts as
    STEADY_STEPS of sharpness better than it is: what comes later drops it only if clearly better. group: the image
    that stays for it. segment: the kind of segment it lies in, else empty.
    """
    episodes = [frame["episode"] for frame in frames]
    times_s = np.array([frame["pts_s"] for frame in frames], dtype=np.float64)

    def rank(i: int) -> tuple[bool, bool, int, str]:
        combed, spoilt, blur = defect_rank(frames[i], limits)
        chosen = frames[i]["image_id"] in earlier_choice
        return combed, spoilt, blur - STEADY_STEPS * chosen, frames[i]["image_id"]

    also_near = aligned_pairs(runs, episodes, times_s, embeddings, aligned_similarity)
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
