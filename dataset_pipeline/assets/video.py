"""What goes in: the registered files, and what they are."""

from __future__ import annotations

import dagster as dg

from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.sources.media import passed_over_in, probe_source
from dataset_pipeline.store.schemas import SCHEMAS

video = dg.AssetSpec(
    "video",
    group_name="source",
    kinds={"video"},
    description="A video file or a folder of pictures, where it lies. Its version is the file's fingerprint.",
)


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["video"],
    algorithm=4,
    group="source",
    labels=["python"],
    checks={
        "source_can_be_read": Check("There is a picture to be had from the source."),
        "source_is_undamaged": Check("Nothing of the source is cut off or broken."),
        "nothing_was_passed_over": Check("All that a folder holds is read, or known to lie beside pictures."),
    },
)
def video_probe(step: Step) -> Result:
    """What the file is: container, codec, size, colour, cadence, bars, frame rate, duration, chapters, damage.

    Cadence (progressive, interlaced, telecined) and black bars are seen in the pixels of some twenty places.
    """
    row = probe_source(step.source)
    if row["damage"]:
        step.log.warning(f"{step.episode}: {'; '.join(row['damage'])}")
    return Result(
        SCHEMAS["video_probe"].table([row]),
        {
            "duration_s": row.get("duration_s") or 0.0,
            "pictures": row.get("pictures") or 0,
            "readable": row["readable"],
            "cadence": row.get("cadence") or "",
            "transfer": row.get("used_transfer") or "",
            "bars_px": str([row.get(f"bar_{side}_px") or 0 for side in ("left", "top", "right", "bottom")]),
        },
        {
            "source_can_be_read": "" if row["readable"] else "; ".join(row["damage"]),
            "source_is_undamaged": "; ".join(row["damage"]),
            "nothing_was_passed_over": "; ".join(passed_over_in(step.source)),
        },
    )
