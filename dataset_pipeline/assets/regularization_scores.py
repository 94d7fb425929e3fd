"""What models say of the pictures of classes, by which some of them are chosen."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.assets.scores import measured_tags, with_terms
from dataset_pipeline.graph.catalog import MEASURING, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.regularization.points import cut_window, people_of, window_of_id
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.schemas import SCHEMAS

LOOKED_AT = ("regularization_pictures", "regularization_detections")


def finds_points(settings: Settings) -> bool:
    """Whether regions that are drawn again are found by the points of people."""
    return settings.regularization_regions.by_points


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["regularization_pictures"],
    settings=["quality_scores"],
    models=["quality"],
    group="regularization",
    labels=["torch"],
    on_demand=True,
    by_class=True,
    checks=MEASURING,
)
def regularization_scores(step: Step) -> Result:
    """How good each picture of a class looks, as `quality_scores` says it of images."""
    result = step.measure(
        "quality",
        step.rows("regularization_pictures"),
        lambda model, pictures: ({"score": float(score)} for score in model.score(pictures)),
        keyed_by="quality_scores",
    )
    result.table = with_terms(result.table, step.model("quality"))
    return result


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["regularization_pictures"],
    settings=["detections"],
    models=["detector"],
    group="regularization",
    labels=["onnx"],
    on_demand=True,
    by_class=True,
    checks=MEASURING,
)
def regularization_detections(step: Step) -> Result:
    """Every box of people, faces and hands on the pictures of a class, down to a low score."""
    kinds = step.settings.detections.kinds
    return step.measure(
        "detector",
        step.rows("regularization_pictures"),
        lambda model, pictures: as_found_boxes(model.detect(pictures, kinds)),
        keyed_by="detections",
    )


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["regularization_pictures"],
    settings=["tag_scores"],
    models=["tagger"],
    group="regularization",
    labels=["onnx"],
    on_demand=True,
    by_class=True,
    checks=MEASURING,
)
def regularization_tags(step: Step) -> Result:
    """The probability of every tag on the pictures of a class, of faults in drawing among them."""
    return measured_tags(step, step.rows("regularization_pictures"))


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["regularization_pictures"],
    models=["embedder"],
    group="regularization",
    labels=["torch"],
    on_demand=True,
    by_class=True,
    checks=MEASURING,
)
def regularization_embeddings(step: Step) -> Result:
    """CLIP vectors of the pictures of a class, which tell those that look alike."""
    return step.measure(
        "embedder",
        step.rows("regularization_pictures"),
        lambda model, pictures: ({"embedding": vector} for vector in model.embed(pictures)),
    )


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=[*LOOKED_AT, "regularization_selection"],
    reads_if=dict.fromkeys(LOOKED_AT, finds_points),
    settings=["regularization_regions", "regularization_selection"],
    settings_if={"regularization_selection": finds_points},
    models=["pose"],
    models_if={"pose": finds_points},
    group="regularization",
    labels=["onnx"],
    on_demand=True,
    by_class=True,
    checks=MEASURING,
)
def regularization_points(step: Step) -> Result:
    """133 points of each person on the kept pictures of a class, where `[regularization_regions] by = "points"` wants
    them; a picture on which no person is found is looked at whole."""
    if not finds_points(step.settings):
        return Result(SCHEMAS["regularization_points"].empty(), {"measured": 0, "reused": 0})
    kept = {row["image_id"] for row in step.rows("regularization_selection") if row["selected"]}
    wanted = people_of(
        [row for row in step.rows("regularization_pictures") if row["image_id"] in kept],
        step.rows("regularization_detections"),
        step.settings.regularization_selection.min_box_score,
    )

    def seen_as(person: str, picture: np.ndarray) -> np.ndarray:
        return cut_window(picture, window_of_id(person, (picture.shape[1], picture.shape[0])))

    return step.measure(
        "pose",
        wanted,
        lambda model, pictures: ({"points": points.ravel().tolist()} for points in model.points(pictures)),
        seen_as=seen_as,
    )
