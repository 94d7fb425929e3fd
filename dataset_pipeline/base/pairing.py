"""Who belongs to whom among boxes: pairs that fit best together, and whose a head is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataset_pipeline.base.boxes import Box, middle, share_inside

CORE = 0.5  # of a part's sides: what must lie in a person; crops of heads are cut with a margin
CORE_INSIDE = 0.6  # of a part's core, that lies in its person
LOWEST_TOP = 0.5  # a part begins above this share of its person's height
CLOSENESS = 3  # decimals; of fits that are equal so far the first counts


def matched(likeness: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of which none is in two, of the greatest likeness together, each of `least` or more.

    likeness: float [n, m].
    """
    from scipy.optimize import linear_sum_assignment

    if not likeness.size:
        return []
    table = np.where(likeness < least, -1e3, likeness)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return [(int(row), int(col)) for row, col in zip(rows, columns, strict=True) if likeness[row, col] >= least]


def owners_of(parts: Sequence[Box], people: Sequence[Box]) -> dict[int, int]:
    """The number of the person whose each part is, for those that have one; one part a person.

    parts: boxes of one kind, heads as a rule, or faces or half bodies. A part may be a person's if its core lies in
    their box: the core and not all of it, for hair and hats stick out, and a crop has a margin; and not its middle
    alone, for that of a neighbour's head crosses an edge sooner. It begins in the upper half, or it is the head of
    somebody smaller who stands in front. All parts are shared out together, since in a crowd each head lies in the
    boxes of several: so that as many as can be have a person, and theirs lies near the middle of the person's upper
    edge. Of parts and of people that fit equally well the first has it, so the most certain are best given first.
    """
    fits = np.array([[_fit(part, person) for person in people] for part in parts]).reshape(len(parts), len(people))
    first = 1e-6 * (np.arange(len(parts))[:, None] + np.arange(len(people))[None])
    return dict(matched(np.where(fits > 0, fits.round(CLOSENESS) - first, -1.0), 0.0))


def _fit(part: Box, person: Box) -> float:
    """0 if the part is not the person's, else 1 to 3: more the nearer it lies to the middle of their upper edge."""
    x, y = middle(part)
    aside, below = CORE * (part[2] - part[0]) / 2, CORE * (part[3] - part[1]) / 2
    if share_inside((x - aside, y - below, x + aside, y + below), person) < CORE_INSIDE:
        return 0.0
    begins = (part[1] - person[1]) / (person[3] - person[1])
    if begins > LOWEST_TOP:
        return 0.0
    away = 2 * abs(x - middle(person)[0]) / (person[2] - person[0])
    return 3.0 - min(1.0, away) - min(1.0, abs(begins))
