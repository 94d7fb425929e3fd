"""Which shot an image is from: a column of strata."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

from dataset_pipeline.base.ids import episode_of, pts_ms_of

SLACK_S = 0.0005  # ids tell times in whole ms


def shots_of(image_ids: Iterable[str], shots: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By image its shot as `<episode>/<number>`, that of a panorama or a plate by its first frame; pictures of folders
    are of none and absent.

    shots: episode, number and start_s of `shots`.
    """
    starts: dict[str, list[tuple[float, int]]] = {}
    for shot in shots:
        starts.setdefault(shot["episode"], []).append((shot["start_s"], shot["number"]))
    for its in starts.values():
        its.sort()
    found = {}
    for image_id in image_ids:
        episode, pts_ms = episode_of(image_id), pts_ms_of(image_id)
        if pts_ms is not None and episode in starts:
            at = bisect_right(starts[episode], (pts_ms / 1000 + SLACK_S, len(starts[episode]))) - 1
            found[image_id] = f"{episode}/{starts[episode][max(at, 0)][1]}"
    return found
