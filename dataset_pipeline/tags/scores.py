"""From a tagger's matrix to the rows of `tag_scores`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def scored_tags(
    tags: Sequence[str], categories: Sequence[str], scores: np.ndarray, score_floor: float
) -> Iterator[list[dict]]:
    """For each row of scores [n, tags] the tags from the floor on and all ratings, the most probable first."""
    always = np.array([category == "rating" for category in categories], dtype=bool)
    for row in np.round(np.asarray(scores, dtype=np.float64), 4):
        wanted = np.flatnonzero((row >= score_floor) | always)
        ordered = sorted(wanted, key=lambda i: (-row[i], tags[i]))
        yield [{"tag": tags[i], "category": categories[i], "score": float(row[i])} for i in ordered]
