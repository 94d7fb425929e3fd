"""Which tiles are held out for validation: unlike one another, and unlike everything that is trained on."""

from __future__ import annotations

import numpy as np

NEXT_RANKS = 100  # behind those that are trained on, as makers of sets take them by hand


def validation_picks(candidates: np.ndarray, trained: np.ndarray, count: int, most_alike: float) -> list[int]:
    """Up to `count` of the candidates, by number, the best ranked first and then each time the one least like those
    taken; of equally unlike ones the better ranked.

    candidates, trained: embeddings of length 1, float [tiles, dimensions], candidates by rank. None is taken whose
    cosine to a trained tile, or to one taken, is above `most_alike`; so there may be fewer than asked for.
    """
    likeness = np.full(len(candidates), -1.0)
    if len(trained) and len(candidates):
        likeness = (candidates @ trained.T).max(axis=1)
    free = likeness <= most_alike
    taken: list[int] = []
    to_taken = np.full(len(candidates), -1.0)
    while len(taken) < count and free.any():
        pick = int(np.argmin(np.where(free, to_taken, np.inf)))
        taken.append(pick)
        to_taken = np.maximum(to_taken, candidates @ candidates[pick])
        free &= to_taken <= most_alike
        free[pick] = False
    return taken
