"""Who is cut off by a side of the picture: of whom little is seen, their shot tells who it may be."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import box_of_crop, episode_of, kind_of_span, pts_ms_of
from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.cut_off import AT_SIDE

SHOT_COLUMNS = ("episode", "start_s")  # of `shots`, that are read here
ROUNDED_MS = 0.6  # times in ids are whole milliseconds
OF_SHOT_SHARE = 0.5  # what a difference to somebody counts for who is well seen elsewhere in the shot

ShotOf = Mapping[str, tuple[str, int]]  # episode and place among its shots, by id of a frame


def shots_of(stills: Iterable[str], shots: Iterable[Mapping[str, Any]]) -> ShotOf:
    """The shot of each still that is a frame of one. shots: rows of `shots`, of any episodes."""
    starts_s: dict[str, list[float]] = defaultdict(list)
    for shot in shots:
        starts_s[shot["episode"]].append(shot["start_s"])
    for them in starts_s.values():
        them.sort()
    found = {}
    for still in stills:
        pts_ms, episode = pts_ms_of(still), episode_of(still)
        if pts_ms is not None and not kind_of_span(still) and starts_s[episode]:
            found[still] = episode, bisect_right(starts_s[episode], (pts_ms + ROUNDED_MS) / 1000)
    return found


def is_cut_off(crops: Sequence[str]) -> bool:
    """Whether each of the crops of an appearance ends at a side of the picture, by their ids."""
    boxes = (box_of_crop(crop)[1] for crop in crops)
    return all(first <= AT_SIDE or last >= 1 - AT_SIDE for first, _, last, _ in boxes)


def by_shots(
    table: np.ndarray,
    appearances: Appearances,
    characters: Sequence[str],
    seen: Iterable[tuple[Sequence[str], Sequence[str], str | None]],
    shot_of: ShotOf,
) -> np.ndarray:
    """The differences of appearances to characters, float [n, characters], as they count: of those that are cut off to
    a character who is well seen on other stills of the shot, and not on theirs, `OF_SHOT_SHARE`.

    seen: crops, stills and character of everybody, whoever is named too. A vote and not a wall: who is far stays so.
    """
    stills_of: dict[tuple[str, int], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for crops, stills, character in seen:
        if character is not None and not is_cut_off(crops):
            for still in filter(shot_of.__contains__, stills):
                stills_of[shot_of[still]][character].add(still)
    counted, column_of = table.copy(), {character: column for column, character in enumerate(characters)}
    for i, (crops, stills) in enumerate(zip(appearances.crops, appearances.stills, strict=True)):
        if is_cut_off(crops):
            beside = [stills_of[shot_of[still]] for still in stills if still in shot_of]
            those = {who for shot in beside for who, there in shot.items() if there.isdisjoint(stills)}
            counted[i, [column_of[who] for who in those if who in column_of]] *= OF_SHOT_SHARE
    return counted
