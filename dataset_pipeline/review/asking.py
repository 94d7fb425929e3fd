"""About whom the page asks next: where an answer settles most of what is in doubt."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.characters.exemplars import DifferencesTo

# Both are chosen on casts 20 to 49 of the harder season, which no test measures: by the mean share of random's answers.
ELSEWHERE = 0.2  # of the limit: somebody whom nobody spoke of yet may lie as near as this to anybody
UNKNOWN = 0.3  # of the doubt of others that of nobody known counts for: few of those come again
ASKABLE = 512  # of whom one is asked about
COUNTED = 2000  # whose doubt an answer may settle


def ask_next(
    vectors: np.ndarray,
    known: np.ndarray,
    from_own: np.ndarray,
    from_others: np.ndarray,
    is_open: np.ndarray,
    limit: float,
    differences_to: DifferencesTo,
    count: int,
) -> list[tuple[int, float]]:
    """At most `count` of n appearances to ask about, and how much of all doubt an answer to each would settle.

    Who lies near the most typical of their character, or near answers, is settled, unless answers for somebody else are
    as near: doubt is how far one's own are, as a share of that and of how far others are. An answer lies as near to
    those around it as it is to them, and who is asked about are those whose answer takes away most doubt in all
    (greedy medoids). So of two people found as one the half without the most typical is asked about, in its middle, the
    larger and clearer halves first; then what lies between the answers for two. Odd pictures alone settle little.

    known: bool [n], who is somebody's. from_own, from_others: as of `people.Answer`, inf without any. is_open: bool
    [n], who may be asked about.
    """
    others = np.minimum(from_others / limit, ELSEWHERE)
    own = np.minimum(from_own / limit, 1)
    doubt = _doubt(own, others)
    weight = np.where(known, 1, UNKNOWN) * doubt
    askable = np.flatnonzero(is_open)
    if not len(askable):
        return []
    askable = askable[_spread(weight[askable], ASKABLE)]
    counted = _spread(weight, COUNTED)
    each = np.where(known[counted], 1, UNKNOWN) if len(counted) == len(weight) else 1 / np.maximum(doubt[counted], 1e-9)
    between = np.asarray(differences_to(vectors[askable], vectors[counted]), np.float64) / limit
    own, others = own[counted], others[counted]
    chosen: list[tuple[int, float]] = []
    left = np.ones(len(askable), bool)
    while len(chosen) < min(count, len(askable)):
        settled = _doubt(own, others) - _doubt(np.minimum(own, between), others)
        gain = np.where(left, settled @ each, -1)
        best = int(gain.argmax())
        chosen.append((int(askable[best]), float(gain[best])))
        own, left[best] = np.minimum(own, between[best]), False
    return chosen


def _doubt(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From 0 to 1, by how far one's own and others are."""
    return own / np.maximum(own + others, 1e-9)


def _spread(weight: np.ndarray, most: int) -> np.ndarray:
    """Ascending numbers of at most so many: all, or those met at even steps along the running sum of the weights."""
    if len(weight) <= most:
        return np.arange(len(weight))
    sums = np.cumsum(np.maximum(weight, 1e-9))
    return np.unique(np.searchsorted(sums, (np.arange(most) + 0.5) / most * sums[-1]))
