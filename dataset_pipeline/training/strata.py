"""Who is chosen where groups have floors and quotas: a character, a concept, a scale, the tiles of one picture.

Rows come best first. Each is in any number of groups and takes a place in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CHOSEN, CUT, ENOUGH = -1, -2, -3  # outcomes that name no group


def choose(
    groups: Sequence[Sequence[int]],
    least: Sequence[float],
    most: Sequence[float],
    total: float = math.inf,
    passes: Sequence[bool] | None = None,
    by_hand: int = 0,
) -> list[int]:
    """What becomes of each row: CHOSEN, CUT (it does not pass), ENOUGH (`total` are chosen), or the group that is full.

    groups: of each row, by number. least, most: of each group. passes: by row; all do if it is not given. by_hand: so
    many of the first rows a person chose, which need not pass and do not end at the total.

    First the best of each group are chosen until it has its least, whether they pass or not and however many that
    are; then the best of those that pass, up to the total. A group that is full takes none in either round.
    """
    outcomes = [CUT] * len(groups)
    taken = [0] * len(most)
    chosen = 0
    for floors in (True, False) if any(least) else (False,):
        for row, its in enumerate(groups):
            if outcomes[row] == CHOSEN:
                continue
            if row < by_hand:
                pass
            elif floors:
                if not any(taken[group] < least[group] for group in its):
                    continue
            elif passes is not None and not passes[row]:
                outcomes[row] = CUT
                continue
            elif chosen >= total:
                outcomes[row] = ENOUGH
                continue
            outcomes[row] = next((group for group in its if taken[group] >= most[group]), CHOSEN)
            if outcomes[row] == CHOSEN:
                chosen += 1
                for group in its:
                    taken[group] += 1
    return outcomes


def proportional(sizes: Sequence[int], total: int, least: float = 0, most: float = math.inf) -> list[int]:
    """`total` places for groups of these sizes, to each its share, within `least` and `most` and what it has.

    Whole places go by the largest remainders (Hamilton's method), of equal ones to the first group. What the bounds
    forbid goes to the others or away from them; where they leave no way, the sum is another than `total`.
    """
    low = [min(least, most, size) for size in sizes]
    high = [min(most, size) for size in sizes]
    goal = min(max(total, sum(low)), sum(high))
    under, over = 0.0, 1.0  # every share at a rate of 1 is the whole of its group
    for _ in range(64):
        rate = (under + over) / 2
        filled = sum(min(max(rate * size, lo), hi) for size, lo, hi in zip(sizes, low, high, strict=True))
        under, over = (rate, over) if filled <= goal else (under, rate)
    exact = [min(max(under * size, lo), hi) for size, lo, hi in zip(sizes, low, high, strict=True)]
    places = [math.floor(share + 1e-9) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda group: (round(places[group] - exact[group], 9), group))
    for group in by_remainder[: round(goal) - sum(places)]:
        places[group] += 1
    return places
