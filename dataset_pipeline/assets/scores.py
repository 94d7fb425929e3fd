"""What models say of every image: how good it is, what is on it, what is written on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.burnt_in_text import decide_burnt_in_text
from dataset_pipeline.images.marks import MARK_SIDES, marked_frames
from dataset_pipeline.models import QualityMetric, Tagger, TextDetector
from dataset_pipeline.store.left_out import first_reasons, reason_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.scores import scored_tags


def with_terms(table: pa.Table, model: QualityMetric) -> pa.Table:
    """A table of scores with the columns that say what they mean."""
    for name, value in model.terms().items():
        field = table.schema.field(name)
        table = table.set_column(
            table.schema.get_field_index(name), field, pa.repeat(pa.scalar(value, field.type), len(table))
        )
    return table


def measured_tags(step: Step, pictures: list[dict]) -> Result:
    """The probability of every tag on each picture (rows with image_id, pixel_sha256, path), down to the floor of
    `[tag_scores]`."""
    floor = step.settings.tag_scores.score_floor

    def tag(model: Tagger, pictures: Iterator[np.ndarray]) -> Iterator[dict]:
        found = model.tag(pictures)
        return ({"tags": tags} for tags in scored_tags(found.tags, found.categories, found.scores, floor))

    return step.measure("tagger", pictures, tag, keyed_by="tag_scores")


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
    result.table = with_terms(result.table, step.model("quality"))
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
    return measured_tags(step, step.rows("images"))


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["stills"],
    settings=["text_lines"],
    models=["text_detector"],
    group="scores",
    labels=["onnx"],
    algorithm=2,
    checks=MEASURING,
)
def text_lines(step: Step) -> Result:
    """Every line of lettering on the stills, whatever it is, down to a low score. Decides nothing."""

    def look(model: TextDetector, pictures: Iterator[np.ndarray]) -> Iterator[dict]:
        for found in model.lines(pictures):
            sides = ({f"{side}_px": getattr(line, side) for side in ("x0", "y0", "x1", "y1")} for line in found)
            told = [{"score": line.score, "fill": line.fill, "contrast": line.contrast} for line in found]
            yield {"lines": [place | said for place, said in zip(sides, told, strict=True)]}

    result = step.measure("text_detector", step.rows("stills"), look, keyed_by="text_lines")
    result.numbers["lines"] = sum(len(lines) for lines in result.table["lines"].to_pylist())
    return result


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["keyframes"],
    group="scores",
    labels=["opencv"],
    checks={"every_working_copy_was_read": Check("The small copy of each candidate is there and whole.")},
)
def screen_marks(step: Step) -> Result:
    """What stays at its place of the screen while the picture changes, as a station's logo does: found on the small
    copies of all candidates, with those that bear it."""
    found, lost = marked_frames(step.rows("keyframes"), step.readable)
    left_out = {image_id: reason_of(error) for image_id, error in lost.items()}
    return Result(
        SCHEMAS["screen_marks"].table(found),
        {"marks": len({tuple(row[side] for side in MARK_SIDES) for row in found})},
        {"every_working_copy_was_read": first_reasons(left_out)},
        left_out=left_out,
    )


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=["stills", "text_lines", "screen_marks"],
    settings=["burnt_in_text"],
    group="scores",
    labels=["python"],
    algorithm=3,
)
def burnt_in_text(step: Step) -> Result:
    """What was laid over the stills: subtitles, credits, logos; and lettering in the scene itself, a sign.

    `[burnt_in_text] kinds` says what of it counts, `[selection] text` what becomes of it.
    """
    lines = {row["image_id"]: row["lines"] for row in step.rows("text_lines")}
    marked: dict[str, list[dict]] = {}
    for row in step.rows("screen_marks"):
        marked.setdefault(row["image_id"], []).append(row)
    rows = decide_burnt_in_text(step.rows("stills"), lines, marked, step.settings.burnt_in_text)
    kinds = Counter(row["kind"] for row in rows)
    stills = len({row["image_id"] for row in rows if row["burnt_in"]})
    return Result(SCHEMAS["burnt_in_text"].table(rows), {"stills_with_text": stills, **kinds})
