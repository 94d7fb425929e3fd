"""Regularization pictures as an export takes them: rows beside those of the training set, and what its card says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset_pipeline.regularization.requests import stands_beside
from dataset_pipeline.settings import GeneratorSettings, RegularizationClass
from dataset_pipeline.training.split import TRAIN

KIND = "regularization"  # of the image
SEEDED_BY = {"prompts": "the prompt and a count", "captions": "the training image's id"}  # a generator's pictures


def rows_of_export(
    regularization_set: Iterable[Mapping[str, Any]],
    classes: Sequence[RegularizationClass],
    training_set: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows as those of `training_set`, with `is_reg`, `place` and `beside`, of the classes that are named."""
    trained = [row for row in training_set if row["split"] == TRAIN]
    beside = {it.name: [row["image_id"] for row in trained if stands_beside(it, row)] for it in classes}
    return [
        {
            "image_id": row["image_id"],
            "episode": row["class"],
            "show": row["class"],
            "kind": KIND,
            "characters": [],
            "concept": row["class"],
            "multiply": 1.0,
            "caption": row["caption"],
            "tags": [],
            "split": TRAIN,
            "quality": row["quality"],
            **{name: row[name] for name in ("path", "width_px", "height_px", "file_sha256")},
            "is_reg": True,
            "place": row["place"],
            "beside": beside[row["class"]],
        }
        for row in regularization_set
        if row["class"] in beside
    ]


def told_of_classes(
    classes: Iterable[RegularizationClass],
    generator: GeneratorSettings,
    seed: int,
    made_by: Mapping[str, str],
    requested: Mapping[str, int],
    kept: Mapping[str, int],
) -> list[dict[str, Any]]:
    """What the card of an export says of each class. seed: of [regularization]. made_by (backend, model and its hash),
    requested, kept: by class."""
    how = {name: getattr(generator, name) for name in ("backend", "licence", "steps", "guidance", "sampler")}
    return [
        {
            "class": it.name,
            "source": it.source,
            "prompts": list(it.prompts),
            "negative_prompt": it.negative_prompt,
            "seed": f"each of {SEEDED_BY[it.source]}, and {seed}" if it.generated else "",
            "requested": requested.get(it.name, 0),
            "kept": kept[it.name],
            "generator": {**how, "model": made_by.get(it.name, "")} if it.generated else {},
        }
        for it in classes
        if kept.get(it.name)
    ]
