"""What goes in: the registered files, and what they are."""

from __future__ import annotations

import dagster as dg

from dataset_pipeline.assets.framework import EPISODES, Result, Step, pipeline_asset
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.sources import probe_source

video = dg.AssetSpec(
    "video",
    partitions_def=EPISODES,
    group_name="a_source",
    kinds={"video"},
    description="A video file or a folder of pictures, where it lies. Its version is the file's fingerprint.",
)


@pipeline_asset(reads=["video"], group="a_source", kinds=["python"])
def video_probe(step: Step) -> Result:
    """What the file is: container, codec, size, colour, frame rate, duration, damage. Measures; decides nothing."""
    row = probe_source(step.source)
    if row["damage"]:
        step.log.warning(f"{step.episode}: {'; '.join(row['damage'])}")
    return Result(
        SCHEMAS["video_probe"].table([row]),
        {
            "duration_s": row.get("duration_s") or 0.0,
            "pictures": row.get("pictures") or 0,
            "readable": row["readable"],
            "damage": "; ".join(row["damage"]),
        },
    )
