"""What models say of the pictures of classes, by which some of them are chosen."""

from __future__ import annotations

from dataset_pipeline.assets.scores import measured_tags, with_terms
from dataset_pipeline.graph.catalog import MEASURING, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.detections import as_found_boxes


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
