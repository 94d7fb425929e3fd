"""Faces and hands of class pictures drawn again several times, and each picture put together from what most versions
agree on. Off by default, as each version costs as much as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.assets.regularization_scores import finds_points
from dataset_pipeline.base.ids import still_of
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of
from dataset_pipeline.models.generator import Request
from dataset_pipeline.regularization.composites import composed, pieces
from dataset_pipeline.regularization.points import on_picture, regions_by_points, window_of_id
from dataset_pipeline.regularization.regions import Region, mask_of_all, regions_by_boxes
from dataset_pipeline.regularization.versions import seed_of_version, versions_of
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.left_out import first_reasons, tried
from dataset_pipeline.store.schemas import SCHEMAS

LEAST_VERSIONS = 3  # of fewer none can be told from the others
EVERY_VERSION_IS_THERE = "every_version_is_there"
DRAWN_AGAIN = ("regularization_requests", "regularization_pictures")


def repairs(settings: Settings) -> bool:
    """Whether regions are drawn again."""
    return settings.regularization_regions.enabled


def finds_boxes(settings: Settings) -> bool:
    """Whether they are found by the boxes of faces, eyes and hands."""
    return settings.regularization_regions.by_boxes


FOUND_BY = {"regularization_detections": finds_boxes, "regularization_points": finds_points}


def _regions(step: Step) -> dict[str, list[Region]]:
    """What is drawn again of each picture, by its id; only those with something to draw."""
    asked = step.settings.regularization_regions
    found = _by_points(step) if asked.by_points else _by_boxes(step)
    return {image_id: regions for image_id, regions in found.items() if regions}


def _by_boxes(step: Step) -> dict[str, list[Region]]:
    asked, least = step.settings.regularization_regions, step.settings.regularization_selection.min_box_score
    boxes: dict[str, list[dict]] = {}
    for row in step.rows("regularization_detections"):
        boxes.setdefault(row["image_id"], []).append(row)
    return {image_id: regions_by_boxes(of_it, asked.regions, least) for image_id, of_it in boxes.items()}


def _by_points(step: Step) -> dict[str, list[Region]]:
    asked = step.settings.regularization_regions
    sizes = {row["image_id"]: (row["width_px"], row["height_px"]) for row in step.rows("regularization_pictures")}
    people: dict[str, list[np.ndarray]] = {}
    for row in step.rows("regularization_points"):
        image_id = still_of(row["image_id"])
        window = window_of_id(row["image_id"], sizes[image_id])
        people.setdefault(image_id, []).append(on_picture(row["points"], window))
    return {it: regions_by_points(of_it, asked.regions, asked.min_point_score) for it, of_it in people.items()}


@pipeline_asset(
    kind=Kind.RENDER,
    reads=[*DRAWN_AGAIN, *FOUND_BY, "regularization_selection"],
    reads_if={**dict.fromkeys(DRAWN_AGAIN, repairs), **FOUND_BY},
    settings=["regularization_regions", "regularization_selection", "generator"],
    settings_if=dict.fromkeys(("regularization_selection", "generator"), repairs),
    generates=True,
    group="regularization",
    labels=["torch"],
    on_demand=True,
    by_class=True,
    checks={EVERY_VERSION_IS_THERE: Check("Each kept picture could be drawn again as often as was asked for.")},
)
def regularization_repairs(step: Step) -> Result:
    """The versions of each kept picture whose regions were drawn again, if `[regularization_regions] enabled`. Each
    takes as long as a picture."""
    schema = SCHEMAS["regularization_repairs"]
    if not repairs(step.settings):
        return Result(schema.empty(), {"made": 0})
    asked, regions = step.settings.regularization_regions, _regions(step)
    kept = [row["image_id"] for row in step.rows("regularization_selection") if row["selected"]]
    pictures = {row["image_id"]: row for row in step.rows("regularization_pictures")}
    requests = {row["image_id"]: row for row in step.rows("regularization_requests")}
    rows = versions_of([image_id for image_id in kept if image_id in regions], asked.versions)
    maker = step.generator.fingerprint(repaints=True).sha256

    def made_from(row: Mapping[str, Any]) -> str:
        boxes = [(it.name, it.box) for it in regions[row["of"]]]
        how = [asked.strength, asked.grow, asked.feather_px]
        return hash_of(maker, pictures[row["of"]]["pixel_sha256"], boxes, how, row["version"])

    def drawn_again(row: Mapping[str, Any]) -> np.ndarray:
        picture, request = step.picture(pictures[row["of"]]["path"]), requests[row["of"]]
        mask = mask_of_all(regions[row["of"]], (picture.shape[1], picture.shape[0]), asked.grow, asked.feather_px)
        seed = seed_of_version(request["seed"], row["version"])
        wanted = Request(request["prompt"], request["negative_prompt"], seed, picture.shape[1], picture.shape[0])
        return step.generator.repaint(picture, np.rint(255 * mask).astype(np.uint8), wanted, asked.strength)

    def make(absent: Sequence[dict]) -> Iterator[np.ndarray | Exception]:
        return (tried(drawn_again, row) for row in absent)

    of = {row["image_id"]: {"of": row["of"], "version": row["version"]} for row in rows}
    made_rows, left_out, made = step.generated(rows, made_from, make)
    table = schema.table([row | of[row["image_id"]] for row in made_rows])
    return Result(table, {"made": made}, {EVERY_VERSION_IS_THERE: first_reasons(left_out)}, left_out=left_out)


def versions_and_composite(step: Step) -> dict[str, list[str]]:
    """A row of the sheet for each picture: the versions, and last what was put together."""
    found: dict[str, list[str]] = {}
    for row in step.rows("regularization_repairs"):
        found.setdefault(row["of"], []).append(row["path"])
    for row in step.previous():
        found.setdefault(row["image_id"], []).append(row["path"])
    return found


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["regularization_pictures", *FOUND_BY, "regularization_repairs"],
    reads_if={"regularization_pictures": repairs, **FOUND_BY},
    settings=["regularization_regions", "regularization_selection", "quality_scores"],
    settings_if=dict.fromkeys(("regularization_selection", "quality_scores"), repairs),
    models=["quality"],
    group="regularization",
    labels=["torch"],
    on_demand=True,
    by_class=True,
    shows=versions_and_composite,
)
def regularization_composites(step: Step) -> Result:
    """Each kept picture with its regions from the version that is best among those which agree with the others; outside
    of them nothing changes. The sheet shows versions and result side by side."""
    versions: dict[str, list[dict]] = {}
    for row in step.rows("regularization_repairs"):
        versions.setdefault(row["of"], []).append(row)
    versions = {image_id: of_it for image_id, of_it in versions.items() if len(of_it) >= LEAST_VERSIONS}
    if not versions:
        return Result(SCHEMAS["regularization_composites"].empty(), {"composed": 0})
    asked, regions, quality = step.settings.regularization_regions, _regions(step), step.model("quality")
    pictures = {row["image_id"]: row for row in step.rows("regularization_pictures") if row["image_id"] in versions}

    def made_from(row: Mapping[str, Any]) -> str:
        of = [it["pixel_sha256"] for it in versions[row["image_id"]]]
        return hash_of(row["pixel_sha256"], of, asked.counted(), quality.fingerprint().sha256)

    def put_together(row: Mapping[str, Any]) -> np.ndarray:
        found = [step.picture(it["path"]) for it in versions[row["image_id"]]]
        of_picture = regions[row["image_id"]]
        scores = [list(quality.score(iter(pieces(found, region, asked.grow)))) for region in of_picture]
        return composed(step.picture(row["path"]), found, of_picture, scores, asked)[0]

    rows, left_out, made = step.generated(
        list(pictures.values()), made_from, lambda absent: (tried(put_together, row) for row in absent)
    )
    return Result(SCHEMAS["regularization_composites"].table(rows), {"composed": made}, left_out=left_out)
