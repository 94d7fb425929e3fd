"""The regularization pictures that an export lays beside the training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from dataset_pipeline.assets.regularization import GENERATOR_SHA256
from dataset_pipeline.graph.step import Step
from dataset_pipeline.regularization.joining import ClassMade, rows_of_export, told_of_class
from dataset_pipeline.settings import Settings


class Beside(NamedTuple):
    """rows: beside those of the training set. told: what the card says of each class. absent: of which classes there is
    nothing, in words."""

    rows: Sequence[dict[str, Any]] = ()
    told: Sequence[dict[str, Any]] = ()
    absent: str = ""


def has_classes(settings: Settings) -> bool:
    """Whether anything is to stand beside the training images."""
    return bool(settings.regularization.classes)


def regularization_of(step: Step, training_set: Sequence[dict[str, Any]]) -> Beside:
    """What `regularization_set` holds of the classes that are named."""
    if "regularization_set" not in step.declaration.reads:
        return Beside()
    classes = step.settings.regularization.classes
    made = step.rows("regularization_set") if step.pointer("regularization_set") else []
    kept = Counter(row["class"] for row in made)
    absent = ", ".join(it.name for it in classes if not kept[it.name])
    licence = step.settings.generator.licence
    there = [it.name for it in classes if kept[it.name]]
    told = [told_of_class(_made(step, name), licence, kept[name]) for name in there]
    return Beside(
        rows_of_export(made, classes, training_set),
        told,
        f"there are no regularization pictures of {absent}: `dataset-pipeline regularize` makes them" if absent else "",
    )


def _made(step: Step, name: str) -> ClassMade:
    """How the pictures that there are of a class were made, whatever the settings say today."""
    requests, pictures = (step.behind(f"regularization_{asset}", name) for asset in ("requests", "pictures"))
    assert requests is not None
    assert pictures is not None
    asked = requests.provenance.settings["regularization"]
    return ClassMade(
        next(it for it in asked["classes"] if it["name"] == name),
        asked["seed"],
        requests.rows,
        pictures.provenance.settings.get("generator", {}),
        " ".join(str(pictures.provenance.numbers.get(it, "")) for it in ("generator", GENERATOR_SHA256)).strip(),
    )
