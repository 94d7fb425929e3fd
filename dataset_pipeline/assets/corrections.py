"""What a person said, and which pictures of today that is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
import numpy as np

from dataset_pipeline.corrections.addressing import FRAME_READERS, STITCHED, parts_for
from dataset_pipeline.corrections.events import EVENTS
from dataset_pipeline.corrections.matching import Matcher, matched_rows
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.looks import look_of
from dataset_pipeline.images.stills import KEEP
from dataset_pipeline.store.schemas import SCHEMAS

FOUND = "every_correction_found_its_picture"
IS_FOUND = {FOUND: Check("Every picture that a person spoke of is there.")}
READERS = {do: [it for it in kind.READERS if it not in FRAME_READERS] for do, kind in EVENTS.items()}

corrections = dg.AssetSpec(
    "corrections",
    group_name="source",
    kinds={"json"},
    description="What a person said of an episode's pictures, kept in the folder of [corrections]. Its version is what "
    "was said.",
)


def matcher_of(step: Step, rows: Iterable[Mapping], paths: Mapping[str, str]) -> Matcher:
    """Finds pictures among rows with image_id and pixel_sha256; paths: where they lie, by image id."""

    def looks(images: Sequence[str]) -> dict[str, str]:
        there = [image for image in images if paths.get(image)]
        pictures = step.readable(paths[image] for image in there)
        return {
            image: look_of(picture)
            for image, picture in zip(there, pictures, strict=True)
            if isinstance(picture, np.ndarray)
        }

    return Matcher({row["image_id"]: row.get("pixel_sha256") or "" for row in rows}, source_of(step), looks)


def source_of(step: Step) -> str:
    """The fingerprint of what the step's episode is made from, empty if it is not known."""
    pointer = step.behind("video")
    return pointer.provenance.fingerprint if pointer else ""


def told_lost(lost: Mapping[str, str]) -> str:
    """The answer to the check FOUND: by event what of it was not found."""
    return "; ".join(f"{what} ({event})" for event, what in lost.items())


def rows_of(step: Step, episodes: Sequence[str] | None = None) -> list[dict]:
    """Rows of `matched_corrections` that are for a step's asset; of these episodes if it is joined."""
    return [
        row for row in step.read("matched_corrections", episodes).to_pylist() if row["reader"] == step.declaration.name
    ]


@pipeline_asset(
    kind=Kind.DECIDE,
    reads=["corrections", "images", "panoramas", "backdrops"],
    group="crops",
    labels=["python"],
    checks=IS_FOUND,
)
def matched_corrections(step: Step) -> Result:
    """Which images of today a person's corrections speak of: by id, by pixels, by frame and box, by look.

    Panoramas and plates that are no stills are among them. What is said of an image that is not there any more stays,
    and is listed.
    """
    parts = parts_for(step.declaration.name, step.rows("corrections"))
    rows = []
    if parts:
        stitched = [row for asset in STITCHED for row in step.rows(asset) if row["path"] and row["verdict"] != KEEP]
        images = [*step.rows("images"), *stitched]
        matcher = matcher_of(step, images, {row["image_id"]: row["path"] for row in images})
        rows = matched_rows(parts, matcher, READERS)
    lost = sorted({f"{row['do']} ({row['event']})" for row in rows if row["field"] and not row["image_id"]})
    found = {(row["event"], row["field"], row["number"]): row["how"] for row in rows if row["field"]}
    return Result(
        SCHEMAS["matched_corrections"].table(rows),
        {"corrections": len(parts), **{f"by_{how}": count for how, count in sorted(Counter(found.values()).items())}},
        {FOUND: f"of {len(lost)} corrections a picture is not there: {', '.join(lost)}" if lost else ""},
    )
