"""What models say of every image: how good it is, what is on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models import Tagger
from dataset_pipeline.tags.scores import scored_tags


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["images"],
    settings=["quality_scores"],
    models=["quality"],
    group="scores",
    labels=["torch"],
    checks={
        **MEASURING,
        "every_score_is_a_number": Check("The model gave no NaN, which selection would leave out."),
    },
)
def quality_scores(step: Step) -> Result:
    """How good every still and crop looks, higher is better: hyperIQA unless `[models] quality` names another."""
    result = step.measure(
        "quality",
        step.rows("images"),
        lambda model, pictures: ({"score": float(score)} for score in model.score(pictures)),
        keyed_by="quality_scores",
    )
    scores = result.table["score"].to_numpy()
    finite = scores[np.isfinite(scores)]
    lost = len(scores) - len(finite)
    result.numbers["mean_score"] = float(np.mean(finite)) if len(finite) else 0.0
    result.faults["every_score_is_a_number"] = f"{lost} of {len(scores)} are none" if lost else ""
    return result


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["images"],
    settings=["tag_scores"],
    models=["tagger"],
    group="scores",
    labels=["onnx"],
    checks=MEASURING,
)
def tag_scores(step: Step) -> Result:
    """The probability of every tag on every still and crop, down to a low floor. Decides nothing."""
    floor = step.settings.tag_scores.score_floor

    def tag(model: Tagger, pictures: Iterator[np.ndarray]) -> Iterator[dict]:
        found = model.tag(pictures)
        return ({"tags": tags} for tags in scored_tags(found.tags, found.categories, found.scores, floor))

    return step.measure("tagger", step.rows("images"), tag, keyed_by="tag_scores")
