"""What is on the stills, cut out and made comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dataset_pipeline.assets.corrections import FOUND, IS_FOUND, matcher_of, told_lost
from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.characters.cut_off import completed_crop
from dataset_pipeline.corrections.addressing import parts_for
from dataset_pipeline.corrections.answers import DrawnBox, drawn_boxes
from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNREADABLE
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.crops import DRAWN, NO_FACE, NO_HEAD, REPLACED, cut, plan_all_crops
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.images.stills import images_of
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.schemas import SCHEMAS


def has_details(settings: Settings) -> bool:
    """Whether `details` are made, and belong to the images."""
    return settings.details.enabled


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
    reads=["stills", "detections", "corrections"],
    settings=["crops"],
    group="crops",
    labels=["python"],
    algorithm=3,
    checks={"every_crop_could_be_cut": Check("The still of each crop could be read, and the crop be cut out of it.")}
    | IS_FOUND,
    shows=pictures_of_table,
)
def crops(step: Step) -> Result:
    """Persons and heads cut out of the stills. `[crops]` says which kinds, from which score and size on. Boxes that a
    person drew are cut as they are, but for those that are too small to show anything; clean plates, on which nobody
    is, have no others."""
    stills = {row["image_id"]: row for row in step.rows("stills")}
    drawn, lost = _drawn(step, stills)
    rows = plan_all_crops(stills, step.rows("detections"), step.settings.crops, drawn)

    rows, left_out = render_pieces(step, rows, stills)
    reasons = Counter(row["reason"] for row in rows)
    kept = [row for row in rows if row["kept"]]
    return Result(
        SCHEMAS["crops"].table(rows),
        {
            "kept": len(kept),
            "small": reasons["small"],
            **{reason: reasons[reason] for reason in (NO_HEAD, NO_FACE, DRAWN, REPLACED) if reasons[reason]},
            **({UNREADABLE: reasons[UNREADABLE]} if reasons[UNREADABLE] else {}),
            "mean_short_side_px": float(np.mean([min(r["width_px"], r["height_px"]) for r in kept])) if kept else 0.0,
        },
        {
            "every_crop_could_be_cut": first_reasons(left_out),
            FOUND: told_lost(lost),
        },
        left_out=left_out,
    )


def _drawn(step: Step, stills: Mapping[str, Mapping[str, Any]]) -> tuple[list[DrawnBox], dict[str, str]]:
    """The boxes that a person drew, and by event what of them is not there. stills: rows of `stills` by id."""
    parts = parts_for(step.declaration.name, step.rows("corrections"))
    if not parts:
        return [], {}
    matcher = matcher_of(step, stills.values(), {it: row["path"] for it, row in stills.items()})
    return drawn_boxes(parts, matcher, {it: (row["width_px"], row["height_px"]) for it, row in stills.items()})


def render_pieces(
    step: Step, rows: list[dict], stills: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict], dict[str, str]]:
    """As `Step.render`, of rows that say where they lie in their stills, each of which is read once. stills: rows of
    `stills` by id."""

    def by_still(absent: list[dict]) -> list[tuple[str, list[dict]]]:
        groups: dict[str, list[dict]] = {}
        for row in absent:
            groups.setdefault(stills[row["still_id"]]["path"], []).append(row)
        return list(groups.items())

    def draw(absent: list[dict]) -> Iterator[tuple[str, np.ndarray | Exception]]:
        groups = by_still(absent)
        for (_, members), picture in zip(groups, step.readable(path for path, _ in groups), strict=True):
            for row in members:
                yield row["image_id"], picture if isinstance(picture, Exception) else cut_or_error(picture, row)

    where = ("image_id", "still_sha256", "x_px", "y_px", "width_px", "height_px")
    return step.render(rows, same=where, given="", draw=draw)


def cut_or_error(picture: np.ndarray, row: Mapping[str, Any]) -> np.ndarray | Exception:
    """As `cut`, with the error as the answer where the crop does not lie inside its still."""
    try:
        return cut(picture, row)
    except ValueError as error:
        return error


@pipeline_asset(
    kind=Kind.MEASURE,
    algorithm=2,
    reads=["crops"],
    settings=["crop_embeddings"],
    models=["identity"],
    group="crops",
    labels=["onnx"],
    checks=MEASURING,
)
def crop_embeddings(step: Step) -> Result:
    """The CCIP vector of every crop that may say who somebody is (`[crop_embeddings] kinds`). A person whom the side
    of the picture cuts off is completed by their mirror image first."""
    kinds = step.settings.crop_embeddings.kinds
    wanted = [row for row in step.rows("crops") if row["kept"] and row["kind"] in kinds]
    return step.measure(
        "identity",
        wanted,
        lambda model, pictures: ({"embedding": vector} for vector in model.embed(pictures)),
        seen_as=completed_crop,
    )


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=["stills", "crops", "details"],
    reads_if={"details": has_details},
    group="crops",
    labels=["python"],
)
def images(step: Step) -> Result:
    """Every still and every kept crop and detail: what is scored, tagged, selected and described."""
    pieces = [asset for asset in ("crops", "details") if asset in step.declaration.reads]
    rows = images_of(step.read("stills"), {asset: step.read(asset) for asset in pieces})
    kinds = Counter(row["kind"] for row in rows)
    return Result(SCHEMAS["images"].table(rows), {**kinds})
