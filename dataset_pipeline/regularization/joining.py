"""Regularization pictures as an export takes them: rows beside those of the training set, and what its card says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.regularization.requests import stands_beside
from dataset_pipeline.settings import RegularizationClass
from dataset_pipeline.settings.regularization import GENERATED
from dataset_pipeline.training.split import TRAIN

KIND = "regularization"  # of the image
SEEDED_BY = {"prompts": "the prompt and a count", "captions": "the training image's id"}  # a generator's pictures


def rows_of_set(
    kept: Iterable[Mapping[str, Any]],
    asked: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of `regularization_set` but for the hash of each file. kept: rows of `regularization_selection`; those that
    are not asked for any more, or have no picture, are left out. The others: rows of their tables, by id."""
    return [
        {
            "image_id": (it := row["image_id"]),
            "class": episode_of(it),
            "caption": asked[it]["caption"],
            "place": row["place"],
            "quality": scores[it]["score"] if it in scores else None,
            **{name: pictures[it][name] for name in ("path", "width_px", "height_px")},
        }
        for row in kept
        if row["image_id"] in asked and row["image_id"] in pictures
    ]


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


class ClassMade(NamedTuple):
    """How the pictures of a class were made. asked: its entry in [regularization]. seed: of that section. requested:
    how many pictures it might have had. generator: that section. model: backend, model and its hash."""

    asked: Mapping[str, Any]
    seed: int
    requested: int
    generator: Mapping[str, Any]
    model: str


def told_of_class(made: ClassMade, licence: str, kept: int) -> dict[str, Any]:
    """What the card of an export says of a class. licence: of the model's outputs."""
    asked = made.asked
    generated = asked["source"] in GENERATED
    how = {name: made.generator.get(name) for name in ("backend", "steps", "guidance", "sampler")}
    return {
        "class": asked["name"],
        "source": asked["source"],
        "prompts": list(asked["prompts"]),
        "negative_prompt": asked["negative_prompt"],
        "seed": f"each of {SEEDED_BY[asked['source']]}, and {made.seed}" if generated else "",
        "requested": made.requested,
        "kept": kept,
        "generator": {**how, "licence": licence, "model": made.model} if generated else {},
    }
