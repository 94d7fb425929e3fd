"""What several episodes have in common."""

from __future__ import annotations

import pyarrow as pa

from dataset_pipeline.corrections.addressing import STITCHED
from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.repeated.tables import OF_SHOW, OF_STITCHED, repeats_of_show, segments_markdown


@pipeline_asset(
    kind=Kind.JOIN,
    reads=(*OF_SHOW, *STITCHED, "stitched_embeddings"),
    settings=["repeated_frames", "frame_defects"],
    group="stills",
    labels=["python"],
)
def repeated_frames(step: Step) -> Result:
    """Openings, endings, eyecatches and recaps, and the one best copy of each frame, panorama and plate that
    several episodes share.

    `[repeated_frames]` says how alike copies are. Shows whose episodes are those of last time keep their rows, and a
    frame that was chosen stays chosen unless a copy is clearly better.
    """
    settings = step.settings
    limits = settings.repeated_frames, settings.frame_defects
    before = {row["episode"]: row for row in step.previous()}

    def join(show: str, episodes: list[str]) -> list[dict]:
        known = [before[episode] for episode in episodes if episode in before]
        chosen = {frame["image_id"] for row in known for frame in row["frames"] if frame["kept"]}
        probes, shots, keyframes, embeddings, stills = (step.read_columns(*it, episodes) for it in OF_SHOW.items())
        stitched = pa.concat_tables([step.read_columns(asset, OF_STITCHED, episodes) for asset in STITCHED])
        vectors = step.read("stitched_embeddings", episodes)
        return repeats_of_show(show, probes, shots, keyframes, embeddings, stills, stitched, vectors, *limits, chosen)

    table, compared = step.by_show(join)
    rows = table.to_pylist()
    frames = [frame for row in rows for frame in row["frames"]]
    return Result(
        table,
        {
            "segments": sum(len(row["segments"]) for row in rows),
            "frames": len(frames),
            "frames_repeated": sum(not frame["kept"] for frame in frames),
            "shows_compared": compared,
        },
        notes={"segments": segments_markdown(rows)},
    )


def repeated_stills(step: Step) -> set[str]:
    """The stills of the step's episode for which a copy in another place stays."""
    by_episode = step.shared(
        "repeated stills",
        lambda: {
            row["episode"]: {frame["image_id"] for frame in row["frames"] if not frame["kept"]}
            for row in step.rows("repeated_frames")
        },
    )
    return by_episode.get(step.episode, set())
