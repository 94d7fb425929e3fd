"""From measured tiles to those that stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.images.signals import SIGNALS, png_bytes
from dataset_pipeline.repeated.near_duplicates import distinct
from dataset_pipeline.settings import SrSelectionSettings
from dataset_pipeline.super_resolution.signatures import as_vectors
from dataset_pipeline.training.score_cut import TILES, Cut, Limits, ladder, losses, mean_lost, select_by_score

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

REPEATED, BLOCKY, PLAIN, DUPLICATE = "repeated", "blocky", "plain", "duplicate"


@dataclass(frozen=True)
class Ranked:
    """selection: rows of `sr_selection` as a table. ladder, lost: as `score_cut.ladder` and `score_cut.losses` give
    them. mean_lost: to the strata."""

    selection: pa.Table
    ladder: list[dict[str, Any]]
    lost: list[dict[str, Any]]
    mean_lost: float


def higher_is_better(metric: str) -> bool:
    """Which way a metric goes; models are turned so that higher is better."""
    return metric not in SIGNALS or SIGNALS[metric].higher_is_better


def ranked(
    tiles: pa.Table,
    signals: pa.Table,
    scores: pa.Table | None,
    settings: SrSelectionSettings,
    strata: Mapping[str, Mapping[str, Any]] | None = None,
    repeated: Collection[str] = (),
    similarity: float = 1.0,
) -> Ranked:
    """tiles: `sr_tiles`. signals, scores: `sr_tile_signals` and, where a model is the metric, `sr_tile_scores`, whose
    `image_id` is the tile's. A tile that was not measured is `not_scored`. strata: where they are wanted, `shot` and
    `query` by the picture's id, `character` and `crop` by the tile's. repeated: ids of pictures that are in another
    episode too, and tiled there. similarity: above it, tiles at one place of two pictures of an episode are duplicates,
    of which the better scored stays: what moved before a background that stood still is elsewhere."""
    rows = _with_scores(tiles, signals, scores, settings.metric)
    for column, values in (strata or {}).items():
        is_list = column != "shot"
        ids = rows["image_id" if column in ("shot", "query") else "tile_id"].to_pylist()
        kind = pa.list_(pa.string()) if is_list else pa.string()
        rows = rows.append_column(column, pa.array([values.get(it, [] if is_list else None) for it in ids], kind))
    better = higher_is_better(settings.metric)
    unfit = _unfit(rows, settings, repeated)
    twins = _twins(tiles, rows, signals, unfit, similarity, better)
    unfit = [
        reason or (DUPLICATE if it in twins else "")
        for it, reason in zip(rows["tile_id"].to_pylist(), unfit, strict=True)
    ]
    fit = rows.filter(pa.array([reason == "" for reason in unfit], pa.bool_()))
    cut = Cut(settings.how, settings.by, settings.amount, settings.in_strata)
    limits = Limits(tuple(settings.strata), settings.floor, settings.quota, settings.per_source)
    selection = select_by_score(fit, cut, limits, better, TILES)
    counts = [it for it in settings.ladder if it <= len(fit)]
    steps = ladder(fit, counts, limits, settings.in_strata, better, TILES)
    lost = losses(rows, selection, settings.strata, TILES)
    return Ranked(_with_images(rows, selection, unfit), steps, lost, mean_lost(selection, better))


def _with_scores(tiles: pa.Table, signals: pa.Table, scores: pa.Table | None, metric: str) -> pa.Table:
    """tile_id, image_id, copy, blockiness, complexity, score, bytes (expected, as PNG); null where not measured."""
    taken = [tiles[name].combine_chunks() for name in ("tile_id", "image_id", "copy")]
    at = pc.index_in(taken[0], value_set=signals["image_id"].combine_chunks())
    columns = {name: signals[name].combine_chunks().take(at) for name in (*SIGNALS,)}
    if scores is not None:
        of_model = pc.index_in(taken[0], value_set=scores["image_id"].combine_chunks())
        columns[metric] = scores["score"].combine_chunks().take(of_model)
    areas = [side * side for side in tiles["side_px"].to_pylist()]
    complexities = columns["complexity"].to_pylist()
    expected = [None if it is None else png_bytes(it, area) for it, area in zip(complexities, areas, strict=True)]
    return pa.table(
        dict(zip(("tile_id", "image_id", "copy"), taken, strict=True))
        | {"blockiness": columns["blockiness"], "complexity": columns["complexity"], "score": columns[metric]}
        | {"bytes": pa.array(expected, pa.int64())}
    )


def _unfit(rows: pa.Table, settings: SrSelectionSettings, repeated: Collection[str]) -> list[str]:
    """By row, why it is left out whatever its score; empty if it is not."""

    def why(image_id: str, blockiness: float | None, complexity: float | None) -> str:
        if image_id in repeated:
            return REPEATED
        if settings.max_blockiness and blockiness is not None and blockiness > settings.max_blockiness:
            return BLOCKY
        return PLAIN if complexity is not None and complexity < settings.min_complexity else ""

    return list(map(why, *(rows[name].to_pylist() for name in ("image_id", "blockiness", "complexity"))))


def _twins(
    tiles: pa.Table, rows: pa.Table, signals: pa.Table, unfit: Sequence[str], similarity: float, better: bool
) -> set[str]:
    """Ids of fit tiles that look like a better scored one at the same place of another picture of their episode.

    rows: of `_with_scores`, in the order of tiles."""
    small = dict(zip(signals["image_id"].to_pylist(), signals["signature"].to_pylist(), strict=True))
    places: dict[tuple[Any, ...], list[tuple[float, str]]] = defaultdict(list)
    sign = -1 if better else 1
    names = ("copy", "copy_width_px", "copy_height_px", "x_px", "y_px")
    where = zip(*(tiles[name].to_pylist() for name in names), strict=True)
    its = zip(where, *(rows[name].to_pylist() for name in ("tile_id", "image_id", "score")), unfit, strict=True)
    for place, tile_id, image_id, score, reason in its:
        if not reason and score is not None and small.get(tile_id):
            places[episode_of(image_id), *place].append((sign * score, tile_id))
    found: set[str] = set()
    for ranked_tiles in places.values() if similarity < 1 else ():
        ids = [tile_id for _, tile_id in sorted(ranked_tiles)]
        vectors = as_vectors([small[it] for it in ids])
        seen = np.flatnonzero(vectors.any(axis=1)).tolist()  # of one colour nothing is told
        groups = distinct(vectors[seen], range(len(seen)), similarity)
        found.update(ids[seen[at]] for at, of in enumerate(groups.survivor.tolist()) if of != at)
    return found


def _with_images(rows: pa.Table, selection: pa.Table, unfit: Sequence[str]) -> pa.Table:
    """The selection with the picture of each tile, and with the tiles that were unfit."""
    mask = pa.array([bool(reason) for reason in unfit], pa.bool_())
    left = rows.filter(mask)
    more = pa.table(
        {
            "tile_id": left["tile_id"],
            "score": left["score"],
            "selected": pa.array([False] * len(left), pa.bool_()),
            "reason": pa.array([reason for reason in unfit if reason], pa.string()),
            "place": pa.nulls(len(left), pa.int64()),
        }
    )
    whole = pa.concat_tables([selection, more.cast(selection.schema)])
    at = pc.index_in(whole["tile_id"].combine_chunks(), value_set=rows["tile_id"].combine_chunks())
    return whole.append_column("image_id", rows["image_id"].combine_chunks().take(at))
