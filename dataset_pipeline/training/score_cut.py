"""Which images or tiles stay by their scores: all but the worst, or the best, of all or in each stratum, and what that
costs. It serves the training set and super-resolution sets alike.

Dropping only the worst tiles does more for a trained net than keeping only the best (Phhofm's BHI sets: of DF2K 40.9 %
went, with equal or better results), so that is what a `Cut` does unless it is told otherwise.

Strata are told by columns: `copy`, `show`, `episode`, or any other of the table, of text or of lists of text (the
characters on it, the names of the tag queries that it fits). A row with two characters is in both strata.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.ids import episode_of, show_of
from dataset_pipeline.training.strata import CHOSEN, CUT, ENOUGH, choose, proportional

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

SELECTED, NOT_SCORED, LOW_SCORE, ENOUGH_ROWS, STRATUM_FULL, SOURCE_FULL, SET_FULL = (
    "selected", "not_scored", "low_score", "enough", "stratum_full", "source_full", "set_full",
)  # fmt: skip
OF_CUT = frozenset({LOW_SCORE, ENOUGH_ROWS})  # no limit leaves these out, but the cut
WHOLE = "all"
NONE = "none"  # the stratum of a row without a value
SEPARATOR = " / "  # between the names of a stratum of several columns
_OF_IMAGES = {"episode": episode_of, "show": show_of}


@dataclass(frozen=True)
class Keys:
    """The columns of a table of what is selected: its id, what it was cut from, and its score."""

    row: str
    source: str
    score: str


IMAGES = Keys("image_id", "still_id", "quality")
TILES = Keys("tile_id", "image_id", "score")


class OtherMetric(PermanentError, ValueError):
    """A cut that is meant for another metric than that of the scores; the message says what to do."""


def check_metric(scores: pa.Table, metric: str, section: str) -> None:
    """That scores, of `quality_scores` or `sr_tile_scores`, are those of the metric that a cut is meant for: 0.2 of one
    means nothing of another. A table that does not say passes. Raises OtherMetric."""
    others = set(scores["metric"].drop_null().to_pylist()) - {metric}
    if others:
        raise OtherMetric(metric_fault(min(others), metric, section))


def metric_fault(scores_are_of: str, metric: str, section: str) -> str:
    """What speaks against a cut that is meant for `metric`, and what to do; empty if the scores are its own."""
    if scores_are_of == metric:
        return ""
    return (
        f'[{section}] metric = "{metric}", for which its cut by score is meant, and the scores are those of '
        f'"{scores_are_of}": choose a cut on its scale and set metric = "{scores_are_of}", or set [models] quality = '
        f'"{metric}"'
    )


def schema_of(keys: Keys) -> pa.Schema:
    """Of a selection. place: among those selected, the best is 0; null for others."""
    outcome = {"score": pa.float64(), "selected": pa.bool_(), "reason": pa.string(), "place": pa.int64()}
    return pa.schema({keys.row: pa.string(), **outcome})


@dataclass(frozen=True)
class Cut:
    """How many rows go or stay by their score. amount: how many, which score is still good enough, or percent.

    drop_worst drops so many, whatever else goes; keep_best fills so many places, and what another limit leaves out
    makes room for the next. By score both are the same. in_strata: shares out a count by the strata's sizes, and takes
    the percent of each. Raises ValueError for an amount that is none.
    """

    how: Literal["drop_worst", "keep_best"] = "drop_worst"
    by: Literal["count", "score", "percentile"] = "percentile"
    amount: float = 0.0
    in_strata: bool = False

    def __post_init__(self) -> None:
        most = {"count": math.inf, "percentile": 100.0}.get(self.by)
        if math.isnan(self.amount) or (most is not None and not 0 <= self.amount <= most):
            raise ValueError(f"{self.amount} is no {self.by} to {self.how.replace('_', ' ')} by")

    def places(self, rows: int) -> int:
        """How many of so many rows stay by count or percentile; a part of a row stays."""
        if self.by == "percentile":
            share = round(rows * self.amount / 100, 9)
            return rows - math.floor(share) if self.how == "drop_worst" else math.ceil(share)
        return max(0, rows - int(self.amount)) if self.how == "drop_worst" else min(rows, int(self.amount))


@dataclass(frozen=True)
class Limits:
    """strata: columns whose values together name a stratum; none: all rows are one. floor: each keeps so many of its
    best whatever the cut says. quota, per_source: a stratum, and a picture, has at most so many. at_most: so has each
    value of other columns; of a list each of its values. total: all have. 0: any number."""

    strata: tuple[str, ...] = ()
    floor: int = 0
    quota: int = 0
    per_source: int = 0
    at_most: tuple[tuple[str, int], ...] = ()
    total: int = 0


ALL = Limits()


def select_by_score(
    rows: pa.Table, cut: Cut, limits: Limits = ALL, higher_is_better: bool = True, keys: Keys = IMAGES
) -> pa.Table:
    """What becomes of each row, the best first, of equal ones by id: as `schema_of` the keys.

    rows: the columns of the keys and of the strata; where there is `by_hand`, rows of which it is true come first and
    are not cut: what goes, and the strata's shares, are counted of the others. Only full strata, sources and values
    leave one out. Reasons: selected; not_scored; low_score (the cut);
    enough (so many are kept already as keep_best keeps); stratum_full; source_full; <column>_full of one in `at_most`;
    set_full.
    """
    ranked = _ranked(rows, higher_is_better, keys)
    scored = len(ranked) - int(pc.sum(pc.is_null(ranked[keys.score], nan_is_null=True)).as_py() or 0)
    members, names = strata_of(ranked, limits.strata, keys)
    by_hand = int(pc.sum(ranked["by_hand"][:scored]).as_py() or 0) if "by_hand" in ranked.column_names else 0
    groups = [list(its) for its in members[:scored]]
    least, total, passes = _by_cut(
        ranked[keys.score].to_numpy()[:scored], members[:scored], len(names), by_hand, cut, limits, higher_is_better
    )
    most: list[float] = [limits.quota or math.inf] * len(names)
    full = [STRATUM_FULL] * len(names)
    for column, limit in ((keys.source, limits.per_source), *limits.at_most):
        if limit:
            its, values = _numbered(ranked, column)
            for group, more in zip(groups, its, strict=False):
                group += [len(most) + number for number in more]
            most += [limit] * values
            full += [SOURCE_FULL if column == keys.source else f"{column}_full"] * values
    if limits.total:
        for group in groups:
            group.append(len(most))
        most.append(limits.total)
        full.append(SET_FULL)
    outcomes = choose(
        groups,
        least=[*least, *[0] * (len(most) - len(names))],
        most=most,
        total=total,
        passes=passes,
        by_hand=by_hand,
    )
    told = {CHOSEN: SELECTED, CUT: LOW_SCORE, ENOUGH: ENOUGH_ROWS}
    reasons = [told.get(it) or full[it] for it in outcomes]
    reasons += [NOT_SCORED] * (len(ranked) - scored)
    selected = np.array([reason == SELECTED for reason in reasons], bool)
    place = pa.array(np.cumsum(selected) - 1, pa.int64(), mask=~selected)
    columns = [ranked[keys.row], ranked[keys.score], pa.array(selected), pa.array(reasons), place]
    return pa.table(columns, schema_of(keys))


def _ranked(rows: pa.Table, higher_is_better: bool, keys: Keys) -> pa.Table:
    """The rows, those by hand first, then the best, those without a score last, equal ones by id."""
    score = pc.cast(rows[keys.score], pa.float64())
    missing = pc.is_null(score, nan_is_null=True)
    by_hand = rows["by_hand"] if "by_hand" in rows.column_names else pa.repeat(False, len(rows))
    keyed = pa.table({"id": rows[keys.row], "score": score, "missing": missing, "by_hand": by_hand})
    way = "descending" if higher_is_better else "ascending"
    order = pc.sort_indices(
        keyed, [("missing", "ascending"), ("by_hand", "descending"), ("score", way), ("id", "ascending")]
    )
    return rows.set_column(rows.schema.get_field_index(keys.score), keys.score, score).take(order)


def strata_of(rows: pa.Table, columns: Sequence[str], keys: Keys = IMAGES) -> tuple[list[list[int]], list[str]]:
    """(strata of each row by number, names of the strata in their order). Without columns all rows are one.

    `show` and `episode` are told by the ids where the table has no such column.
    """
    parts = [_values(rows, column, keys) for column in columns]
    kinds: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    of_rows = list(zip(*parts, strict=True)) if parts else [()] * len(rows)
    for kind in of_rows:
        if kind not in kinds:
            kinds[kind] = [SEPARATOR.join(names) or WHOLE for names in product(*kind)]
    names = sorted({name for its in kinds.values() for name in its})
    number = {name: at for at, name in enumerate(names)}
    numbers = {kind: [number[name] for name in its] for kind, its in kinds.items()}
    return [numbers[kind] for kind in of_rows], names


def _numbered(rows: pa.Table, column: str) -> tuple[list[list[int]], int]:
    """(numbers of the values that each row has in a column, none or several of a list; how many values there are)."""
    values = rows[column].combine_chunks()
    is_list = pa.types.is_list(values.type)
    coded = (values.flatten() if is_list else values).dictionary_encode()
    numbers = coded.indices.to_pylist()
    if not is_list:
        return [[number] for number in numbers], len(coded.dictionary)
    ends = np.cumsum([0, *values.value_lengths().fill_null(0).to_pylist()])
    return [numbers[start:end] for start, end in pairwise(ends)], len(coded.dictionary)


def _values(rows: pa.Table, column: str, keys: Keys) -> list[tuple[str, ...]]:
    """What each row is in a column: one value, or several of a list."""
    of_images = _OF_IMAGES.get(column) if column not in rows.column_names else None
    values = rows[keys.source if of_images else column]
    if pa.types.is_list(values.type):
        return [tuple(dict.fromkeys(its)) if its else (NONE,) for its in values.to_pylist()]
    coded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    known = [
        (NONE if value is None else of_images(value) if of_images else str(value),)
        for value in coded.dictionary.to_pylist()
    ]
    return [known[at] for at in coded.indices.to_pylist()]


def _by_cut(
    scores: np.ndarray,
    members: Sequence[Sequence[int]],
    strata: int,
    by_hand: int,
    cut: Cut,
    limits: Limits,
    higher_is_better: bool,
) -> tuple[list[float], float, list[bool] | None]:
    """(least of each of so many strata, places in all, which rows pass) of rows that come best first, of which the
    first `by_hand` are not cut."""
    floor: list[float] = [limits.floor] * strata
    rest = len(scores) - by_hand
    chosen, sizes = (_sizes(its, strata) for its in (members[:by_hand], members[by_hand:]))
    if cut.by == "score":
        return floor, math.inf, (scores >= cut.amount if higher_is_better else scores <= cut.amount).tolist()
    if cut.how == "keep_best":
        total = cut.places(len(scores)) if cut.by == "count" else by_hand + cut.places(rest)
        if not cut.in_strata:
            return floor, total, None
        if cut.by == "count":
            places = proportional(sizes, max(0, total - by_hand), limits.floor, limits.quota or math.inf)
        else:
            places = [cut.places(size) for size in sizes]
        return [max(limits.floor, some + of) for some, of in zip(chosen, places, strict=True)], total, None
    if not cut.in_strata:
        stay = by_hand + cut.places(rest)
        return floor, math.inf, [True] * stay + [False] * (len(scores) - stay)
    if cut.by == "count":
        dropped = proportional(sizes, rest - cut.places(rest))
        places = [size - of for size, of in zip(sizes, dropped, strict=True)]
    else:
        places = [cut.places(size) for size in sizes]
    seen = [0] * strata
    passes = [True] * by_hand
    for its in members[by_hand:]:
        passes.append(any(seen[stratum] < places[stratum] for stratum in its))
        for stratum in its:
            seen[stratum] += 1
    return floor, math.inf, passes


def _sizes(members: Sequence[Sequence[int]], strata: int) -> list[int]:
    return np.bincount([stratum for its in members for stratum in its], minlength=strata).tolist()


def losses(rows: pa.Table, selection: pa.Table, strata: Sequence[str], keys: Keys = IMAGES) -> list[dict[str, Any]]:
    """What each stratum loses, by name: scored rows and those selected, their shares of all, and the mean scores.

    rows: as for `select_by_score`, which gave the selection. A mean of nothing is None.
    """
    rows = rows.append_column("_selected", _is_selected(rows, selection, keys))
    rows = rows.filter(pc.fill_null(pc.is_finite(rows[keys.score]), False))
    members, names = strata_of(rows, strata, keys)
    places = np.repeat(np.arange(len(members)), [len(its) for its in members])
    codes = np.array([stratum for its in members for stratum in its], np.int64)
    scores = rows[keys.score].to_numpy().astype(np.float64)
    selected = rows["_selected"].to_numpy().astype(bool)
    found = []
    for number, name in enumerate(names):
        its = places[codes == number]
        kept = its[selected[its]]
        found.append(
            {
                "stratum": name,
                "rows": len(its),
                "selected": len(kept),
                "share_of_rows": len(its) / len(rows),
                "share_of_selected": len(kept) / max(1, int(selected.sum())),
                "mean_score": float(scores[its].mean()),
                "mean_score_selected": float(scores[kept].mean()) if len(kept) else None,
            }
        )
    return found


def _is_selected(rows: pa.Table, selection: pa.Table, keys: Keys) -> pa.ChunkedArray | pa.Array:
    chosen = selection.filter(selection["selected"])[keys.row]
    return pc.is_in(rows[keys.row], value_set=chosen.combine_chunks())


def mean_lost(selection: pa.Table, higher_is_better: bool = True) -> float:
    """By how much the mean score of the selection is worse than that of as many of the best rows, from 0.

    Rows without a finite score, which stay or go whatever that is, are left aside."""
    selection = selection.filter(pc.is_finite(selection["score"]))
    scores = selection["score"].to_numpy()
    selected = selection["selected"].to_numpy(zero_copy_only=False)
    if not (kept := int(selected.sum())):
        return 0.0
    lost = float(scores[:kept].mean() - scores[selected].mean())  # the best rows come first
    return lost if higher_is_better else -lost


def ladder(
    rows: pa.Table,
    counts: Iterable[int],
    limits: Limits = ALL,
    in_strata: bool = False,
    higher_is_better: bool = True,
    keys: Keys = IMAGES,
) -> list[dict[str, Any]]:
    """What sets of different sizes would be: for each count, as it is given, how many rows are selected, their mean,
    lowest and highest score, what the mean lost to the strata, and their bytes.

    rows: as for `select_by_score`; with the column `bytes` of what each takes on disk, measured or expected, also that.
    """
    steps = []
    for count in counts:
        cut = Cut("keep_best", "count", count, in_strata)
        selection = select_by_score(rows, cut, limits, higher_is_better, keys)
        scores = selection.filter(selection["selected"])["score"].to_numpy()
        selected = _is_selected(rows, selection, keys)
        steps.append(
            {
                "count": count,
                "selected": len(scores),
                "mean_score": float(scores.mean()) if len(scores) else None,
                "lowest_score": float(scores.min()) if len(scores) else None,
                "highest_score": float(scores.max()) if len(scores) else None,
                "mean_lost": mean_lost(selection, higher_is_better),
                "bytes": pc.sum(rows["bytes"].filter(selected)).as_py() if "bytes" in rows.column_names else None,
            }
        )
    return steps
