"""What the strata of a cut go by, from the tables of all episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dataset_pipeline.characters.names import stored_names
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings
from dataset_pipeline.settings.cut import CutSettings, StratumQuery
from dataset_pipeline.tags.subjects import subjects
from dataset_pipeline.training.query_strata import queries_met
from dataset_pipeline.training.shot_strata import shots_of

ASKED_BY_QUERIES = ("tag_scores", "hand_edited_tags", "clusters", "quality_scores", "character_gallery")


def asks_for(section: str, *strata: str) -> Callable[[Settings], bool]:
    """Whether a section names one of these strata."""

    def asks(settings: Settings) -> bool:
        return not set(strata).isdisjoint(getattr(settings, section).strata)

    return asks


def strata_behind(step: Step, cut: CutSettings, strata: Sequence[str], image_ids: Iterable[str]) -> dict[str, Any]:
    """`shot` and `query` by image id, where they are among the strata. step: a joined one."""
    found: dict[str, Any] = {}
    if "shot" in strata:
        shots = step.read_columns("shots", ["episode", "number", "start_s"]).to_pylist()
        found["shot"] = shots_of(image_ids, shots)
    if "query" in strata:
        found["query"] = _met(step, cut.queries)
    return found


def _met(step: Step, queries: Sequence[StratumQuery]) -> dict[str, list[str]]:
    """By image the queries that it meets, one episode after another: tags of all at once would fill the memory."""
    names = stored_names(step.read("character_gallery"))
    limits = step.settings.tag_thresholds.model_dump()
    asked = {it.name: it.query for it in queries}
    met: dict[str, list[str]] = {}
    for episode in step.episodes:
        written, characters, quality = (
            _column(step, asset, column, episode)
            for asset, column in (("hand_edited_tags", "tags"), ("clusters", "characters"), ("quality_scores", "score"))
        )
        scored = step.read("tag_scores", [episode])
        met |= queries_met(dict(subjects(scored, written, characters, quality, names, limits)), asked)
    return met


def _column(step: Step, asset: str, column: str, episode: str) -> dict[str, Any]:
    table = step.read(asset, [episode])
    return dict(zip(table["image_id"].to_pylist(), table[column].to_pylist(), strict=True))
