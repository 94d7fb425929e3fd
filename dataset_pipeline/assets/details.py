"""Square pieces of stills at native size; nothing is made unless `[details] enabled`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.assets.crops import cut_or_error, has_details, render_pieces
from dataset_pipeline.base.ids import DETAIL, shows_nobody
from dataset_pipeline.base.progress import track
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNREADABLE
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.details import KINDS, choose, plan_details, unknown_of
from dataset_pipeline.images.looks import look_of
from dataset_pipeline.store.left_out import first_reasons, reason_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS


def details_by_kind(step: Step) -> dict[str, list[str]]:
    """The pictures of the asset's own table, a row of the sheet for each kind."""
    rows = [row for row in step.previous() if row["path"]]
    found = {kind: [row["path"] for row in rows if row["kind"] == kind + DETAIL] for kind in KINDS}
    return {f"{kind} ({len(paths)})": paths for kind, paths in found.items() if paths}


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["stills", "detections", "panoramas", "backdrops"],
    reads_if={"panoramas": has_details, "backdrops": has_details},
    settings=["details", "crops"],
    settings_if={"crops": has_details},
    group="crops",
    algorithm=3,
    labels=["opencv"],
    checks={"every_detail_could_be_cut": Check("Each still could be read, and each detail be cut out of it.")},
    shows=details_by_kind,
)
def details(step: Step) -> Result:
    """Faces, hands, clothes and objects as squares at the stills' own size, for trainers that see a whole still scaled
    down. `[details]` says of which kinds, how large and how many.

    None cuts through a head, shows what nobody has seen of a panorama or is enlarged, and of those that look alike the
    episode has one. Each still is read once more: about 0.15 core-seconds at 1080p.
    """
    settings = step.settings.details
    if not settings.enabled:
        return Result(SCHEMAS["details"].empty(), {"kept": 0})
    unseen = step.left_out("detections")
    stills = {row["image_id"]: row for row in step.rows("stills") if row["image_id"] not in unseen}
    lost: dict[str, str] = {}
    rows: list[dict] = []
    looks: dict[str, str] = {}
    for planned, seen in _planned(step, stills, lost):
        rows += planned
        looks |= seen
    chosen = [
        row | {"still_sha256": stills[row["still_id"]]["pixel_sha256"]}
        for row in choose(rows, looks, settings.max_per_still)
    ]
    chosen, left_out = render_pieces(step, chosen, stills)
    lost |= left_out
    reasons = Counter(row["reason"] for row in chosen)
    numbers: dict[str, Number] = {"kept": 0, **reasons}
    kinds = Counter(row["kind"] for row in chosen if row["kept"])
    numbers |= {kind + DETAIL: kinds[kind + DETAIL] for kind in settings.kinds}
    if lost:
        numbers[UNREADABLE] = len(lost)
    return Result(
        SCHEMAS["details"].table(chosen),
        numbers,
        {"every_detail_could_be_cut": first_reasons(lost)},
        left_out=lost,
    )


def _planned(
    step: Step, stills: Mapping[str, Mapping[str, Any]], lost: dict[str, str]
) -> Iterator[tuple[Sequence[dict], dict[str, str]]]:
    """The details of each still, and how those look that may be kept, by id. lost: gets stills that cannot be read."""
    boxes: dict[str, list[dict]] = {}
    for row in step.rows("detections"):
        if shows_nobody(row["image_id"]):
            continue
        boxes.setdefault(row["image_id"], []).append(row)
    stitched = {row["image_id"]: row for asset in ("panoramas", "backdrops") for row in step.rows(asset)}
    pictures = track(step.readable(row["path"] for row in stills.values()), "details", len(stills))
    for still, picture in zip(stills, pictures, strict=True):
        if isinstance(picture, Exception):
            lost[still] = reason_of(picture)
            continue
        unknown = unknown_of(stitched[still]) if still in stitched else None
        rows = plan_details(still, picture, boxes.get(still, ()), step.settings.details, step.settings.crops, unknown)
        pieces = {row["image_id"]: cut_or_error(picture, row) for row in rows if row["kept"]}
        yield rows, {it: look_of(piece) for it, piece in pieces.items() if isinstance(piece, np.ndarray)}
