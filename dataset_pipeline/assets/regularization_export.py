"""The regularization pictures that an export lays beside the training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from dataset_pipeline.graph.step import Step
from dataset_pipeline.regularization.joining import rows_of_export, told_of_classes
from dataset_pipeline.settings import Settings


class Beside(NamedTuple):
    """rows: beside those of the training set. told: what the card says of each class."""

    rows: list[dict[str, Any]]
    told: list[dict[str, Any]]


def has_classes(settings: Settings) -> bool:
    """Whether anything is to stand beside the training images."""
    return bool(settings.regularization.classes)


def regularization_of(step: Step, training_set: Sequence[dict[str, Any]]) -> Beside:
    """What `regularization_set` holds; of classes of which there is nothing, a warning."""
    if "regularization_set" not in step.declaration.reads:
        return Beside([], [])
    classes = step.settings.regularization.classes
    made = step.rows("regularization_set") if step.pointer("regularization_set") else []
    kept = Counter(row["class"] for row in made)
    if absent := [it.name for it in classes if not kept[it.name]]:
        step.log.warning(f"no regularization pictures of {', '.join(absent)}: `dataset-pipeline regularize` makes them")
    pointers = {
        asset: {it.name: step.behind(asset, it.name) for it in classes}
        for asset in ("regularization_requests", "regularization_pictures")
    }
    requests, pictures = ({name: it for name, it in found.items() if it} for found in pointers.values())
    made_by = {name: str(pointer.provenance.numbers.get("generator", "")) for name, pointer in pictures.items()}
    requested = {name: pointer.rows for name, pointer in requests.items()}
    seed = step.settings.regularization.seed
    told = told_of_classes(classes, step.settings.generator, seed, made_by, requested, kept)
    return Beside(rows_of_export(made, classes, training_set), told)
