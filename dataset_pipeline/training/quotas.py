"""Which of the selected images the set goes without: those below the cut of `[selection]`, and those of which a
stratum, a picture, a concept, a character or the set has enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.ids import still_of
from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import ConceptBalanceSettings, SelectionSettings
from dataset_pipeline.training.cut_tables import losses_markdown
from dataset_pipeline.training.score_cut import Cut, Limits, losses, mean_lost, select_by_score

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them

UNSCORED = -math.inf  # comes last
STRINGS = pa.list_(pa.string())


@dataclass(frozen=True)
class LeftOut:
    """reasons: of the images that the set goes without, by id, as in `score_cut`. mean_lost: by how much the mean score
    of the others is worse than that of as many of the best. losses: what each stratum loses, as Markdown; empty without
    a cut. Both are without what a person chose."""

    reasons: dict[str, str]
    mean_lost: float = 0.0
    losses: str = ""


def left_out_of_set(
    images: Iterable[Mapping[str, Any]],
    concepts: Mapping[str, str],
    settings: ConceptBalanceSettings,
    selection: SelectionSettings | None = None,
    strata: Mapping[str, Mapping[str, Any]] | None = None,
) -> LeftOut:
    """images: image_id, quality and characters of those selected, and where there is a cut kind and by_hand. concepts:
    by image id. selection: [selection], where it cuts. strata: where they are wanted `shot` and `query` by image id.

    Those that a person chose go first, and no cut leaves them out; then the best, of equal quality by id. Each is
    taken if its stratum, still, concept, each of its characters and the set still have room for it.
    """
    at_most = {"concept": settings.max_images_per_concept, "character": settings.max_images_per_character}
    if not (selection or any(at_most.values()) or settings.max_images):
        return LeftOut({})
    rows = _table(images, concepts, strata or {})
    cut = Cut(selection.how, selection.by, selection.amount, selection.in_strata) if selection else Cut()
    columns = tuple(selection.strata) if selection else ()
    limits = Limits(
        columns,
        selection.floor if selection else 0,
        selection.quota if selection else 0,
        selection.per_source if selection else 0,
        tuple(at_most.items()),
        settings.max_images,
    )
    found = select_by_score(rows, cut, limits)
    told = zip(found["image_id"].to_pylist(), found["selected"].to_pylist(), found["reason"].to_pylist(), strict=True)
    reasons = {image_id: reason for image_id, selected, reason in told if not selected}
    if selection is None:
        return LeftOut(reasons)
    ranked = rows.filter(pc.invert(rows["by_hand"]))
    found = found.filter(pc.is_in(found["image_id"], value_set=ranked["image_id"].combine_chunks()))
    lost = mean_lost(found)
    return LeftOut(reasons, lost, losses_markdown(losses(ranked, found, columns), columns, lost, "images"))


def _table(
    images: Iterable[Mapping[str, Any]],
    concepts: Mapping[str, str],
    strata: Mapping[str, Mapping[str, Any]],
) -> pa.Table:
    """The columns that images are ranked by, cut in and counted by."""
    rows = list(images)
    ids = [row["image_id"] for row in rows]
    shots, queries = strata.get("shot", {}), strata.get("query", {})
    who = [sorted({parse_character(it).name for it in row["characters"]}) for row in rows]
    return pa.table(
        {
            "image_id": pa.array(ids, pa.string()),
            "still_id": pa.array([still_of(image_id) for image_id in ids], pa.string()),
            "quality": pa.array([_score(row) for row in rows], pa.float64()),
            "by_hand": pa.array([bool(row.get("by_hand")) for row in rows], pa.bool_()),
            "concept": pa.array([concepts[image_id] for image_id in ids], pa.string()),
            "character": pa.array(who, STRINGS),
            "crop": pa.array([row.get("kind") for row in rows], pa.string()),
            "shot": pa.array([shots.get(image_id) for image_id in ids], pa.string()),
            "query": pa.array([queries.get(image_id, []) for image_id in ids], STRINGS),
        }
    )


def _score(image: Mapping[str, Any]) -> float:
    quality = image["quality"]
    return UNSCORED if quality is None or math.isnan(quality) else quality
