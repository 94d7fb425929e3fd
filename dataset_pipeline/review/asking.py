"""About whom the page asks next: where an answer settles most of what is uncertain."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.characters.exemplars import DifferencesTo

# Both are chosen on casts 20 to 24 of the harder season, which no test measures: by the mean share of random's answers.
REACH = 0.15  # of the limit: as far as an answer settles others, less the farther they are
SCALE = 2.0  # of the limit: who is so much nearer to their own character than to any other counts for 1 / e
ASKABLE = 256  # of the least certain, of whom one is asked about
COUNTED = 2000  # of the least certain, whom an answer may settle


def ask_next(
    vectors: np.ndarray,
    certainty: np.ndarray,
    from_answers: np.ndarray,
    is_open: np.ndarray,
    limit: float,
    differences_to: DifferencesTo,
    count: int,
) -> list[tuple[int, float]]:
    """At most `count` of n appearances to ask about, and how much an answer to each would settle.

    Who is uncertain alone is worth less than who is uncertain among many alike: how uncertain they are, times the sum
    over all of how uncertain those are and how near, beyond what answers settle already (weighted coverage, chosen
    greedily). Margins alone pick odd pictures that teach nothing.

    certainty: float64 [n], as of `people.Answer`. from_answers: how far each is from the nearest answer, inf without
    any. is_open: bool [n], who may be asked about.
    """
    order = np.argsort(certainty, kind="stable")
    order = order[is_open[order] & np.isfinite(certainty[order])]
    askable, counted = order[:ASKABLE], order[:COUNTED]
    if not len(askable):
        return []
    uncertain = np.exp(-np.maximum(certainty[counted], 0) / (SCALE * limit))
    between = np.asarray(differences_to(vectors[askable], vectors[counted]), np.float64)
    near = np.maximum(0, 1 - between / (REACH * limit))
    settled = np.maximum(0, 1 - from_answers[counted] / (REACH * limit))
    chosen: list[tuple[int, float]] = []
    left = np.ones(len(askable), bool)
    while len(chosen) < min(count, len(askable)):
        gain = np.where(left, np.maximum(near - settled, 0) @ uncertain * uncertain[: len(askable)], -1)
        best = int(gain.argmax())
        chosen.append((int(askable[best]), float(gain[best])))
        settled, left[best] = np.maximum(settled, near[best]), False
    return chosen
