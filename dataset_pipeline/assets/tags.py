"""What is said of each image."""

from __future__ import annotations

from collections import Counter

from dataset_pipeline.assets.framework import pipeline_asset
from dataset_pipeline.assets.step import Result, Step
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.captions import decide_captions
from dataset_pipeline.tags.filter import decide_tags
from dataset_pipeline.tags.scores import tag_rows


@pipeline_asset(reads=["tag_scores", "clusters"], settings=["tags"], group="f_text", projection=True, kinds=["python"])
def tags(step: Step) -> Result:
    """The tags that stay on each image, by the thresholds and the blacklist of `[tags]`; dropped ones keep a reason."""
    rows = decide_tags(tag_rows(step.read("tag_scores")), step.rows("clusters"), step.settings.tags)
    counts = Counter(tag for row in rows for tag in row["tags"])
    return Result(
        SCHEMAS["tags"].table(rows),
        {"mean_tags": sum(counts.values()) / len(rows) if rows else 0.0, "different_tags": len(counts)},
    )


@pipeline_asset(
    reads=["video", "tags", "clusters", "selection"],
    settings=["captions"],
    group="f_text",
    projection=True,
    kinds=["python"],
)
def captions(step: Step) -> Result:
    """One line of text for each selected image, from structured fields. `[captions] order` says what it names."""
    rows = decide_captions(
        step.read("tags").select(["image_id", "tags"]).to_pylist(),
        step.rows("clusters"),
        step.rows("selection"),
        step.row("video")["show_title"],
        step.settings.captions,
    )
    return Result(
        SCHEMAS["captions"].table(rows),
        {"mean_characters": sum(len(row["caption"]) for row in rows) / len(rows) if rows else 0.0},
    )
