"""What is on the stills, cut out and made comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNREADABLE
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.crops import cut, plan_all_crops
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.images.stills import images_of
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.schemas import SCHEMAS


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["stills"],
    settings=["detections"],
    models=["detector"],
    group="crops",
    labels=["onnx"],
    checks=MEASURING,
)
def detections(step: Step) -> Result:
    """Every box a detector saw on the stills, down to a low score. Decides nothing.

    `[detections] kinds` says what is looked for: person, half body, head, face, hand.
    """
    settings = step.settings.detections
    result = step.measure(
        "detector",
        step.rows("stills"),
        lambda model, pictures: as_found_boxes(model.detect(pictures, settings.kinds)),
        keyed_by="detections",
    )
    kinds = Counter(result.table["kind"].to_pylist())
    result.numbers |= {f"boxes_{kind}": kinds[kind] for kind in settings.kinds}
    return result


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["stills", "detections"],
    settings=["crops"],
    group="crops",
    labels=["python"],
    checks={"every_crop_could_be_cut": Check("The still of each crop could be read, and the crop be cut out of it.")},
    shows=pictures_of_table,
)
def crops(step: Step) -> Result:
    """Persons and heads cut out of the stills. `[crops]` says which kinds, from which score and size on."""
    stills = {row["image_id"]: row for row in step.rows("stills")}
    rows = plan_all_crops(stills, step.rows("detections"), step.settings.crops)

    def draw(absent: list[dict]):
        pictures = step.readable(path for path, _ in by_still(absent))
        for (_, members), picture in zip(by_still(absent), pictures, strict=True):
            for row in members:
                yield row["image_id"], picture if isinstance(picture, Exception) else cut_or_error(picture, row)

    def by_still(absent: list[dict]) -> list[tuple[str, list[dict]]]:
        groups: dict[str, list[dict]] = {}
        for row in absent:
            groups.setdefault(stills[row["still_id"]]["path"], []).append(row)
        return list(groups.items())

    rows, left_out = step.render(
        rows, same=("image_id", "still_sha256", "x_px", "y_px", "width_px", "height_px"), given="", draw=draw
    )
    reasons = Counter(row["reason"] for row in rows)
    kept = [row for row in rows if row["kept"]]
    return Result(
        SCHEMAS["crops"].table(rows),
        {
            **{reason: reasons[reason] for reason in ("kept", "small")},
            **({UNREADABLE: reasons[UNREADABLE]} if reasons[UNREADABLE] else {}),
            "mean_short_side_px": float(np.mean([min(r["width_px"], r["height_px"]) for r in kept])) if kept else 0.0,
        },
        {"every_crop_could_be_cut": first_reasons(left_out)},
        left_out=left_out,
    )


def cut_or_error(picture: np.ndarray, row: Mapping[str, Any]) -> np.ndarray | Exception:
    """As `cut`, with the error as the answer where the crop does not lie inside its still."""
    try:
        return cut(picture, row)
    except ValueError as error:
        return error


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["crops"],
    settings=["crop_embeddings"],
    models=["identity"],
    group="crops",
    labels=["onnx"],
    checks=MEASURING,
)
def crop_embeddings(step: Step) -> Result:
    """The CCIP vector of every crop that may say who somebody is (`[crop_embeddings] kinds`)."""
    kinds = step.settings.crop_embeddings.kinds
    wanted = [row for row in step.rows("crops") if row["kept"] and row["kind"] in kinds]
    return step.measure(
        "identity", wanted, lambda model, pictures: ({"embedding": vector} for vector in model.embed(pictures))
    )


@pipeline_asset(kind=Kind.DECIDE, reads=["stills", "crops"], group="crops", labels=["python"])
def images(step: Step) -> Result:
    """Every still and every kept crop: what is scored, tagged, selected and described."""
    rows = images_of(step.read("stills"), step.read("crops"))
    kinds = Counter(row["kind"] for row in rows)
    return Result(SCHEMAS["images"].table(rows), {**kinds})
