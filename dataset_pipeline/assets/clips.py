"""Shots as short clips for video models; nothing is made unless `[clips] enabled`."""

from __future__ import annotations

from collections import Counter

from dataset_pipeline.assets.corrections import source_of
from dataset_pipeline.characters.names import stored_names
from dataset_pipeline.corrections.addressing import parts_for
from dataset_pipeline.corrections.answers import spans_out
from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNREADABLE
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings.tag_rules import load_rules
from dataset_pipeline.sources.media import clip_files_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.clips import copies_of, decide_clips, images_of_set, seen_on_stills
from dataset_pipeline.video.clip_spans import clip_spans, without


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=[
        "shots",
        "corrections",
        "distinct_frames",
        "repeated_frames",
        "character_gallery",
        "tags",
        "selection",
        "captions",
        "multiplies",
    ],
    settings=["clips", "captions", "tag_rules", "training_set"],
    group="set",
    algorithm=3,
    labels=["python"],
)
def clips(step: Step) -> Result:
    """Which stretches of shots become clips, with caption and concept, and for each one left out, why.

    `[clips]` says how long they are and what counts as held or blank. Captions and concepts are those that most of the
    images which the set has of a shot agree on; who is there, all of its stills tell.
    """
    settings = step.settings
    if not settings.clips.enabled:
        return Result(SCHEMAS["clips"].empty(), {"kept": 0})
    assert step.episode is not None
    shots = step.rows("shots")
    out, lost = spans_out(parts_for("clips", step.rows("corrections")), source_of(step))
    selection = step.rows("selection")
    rows = decide_clips(
        step.episode,
        without(clip_spans(shots, settings.clips), out),
        shots,
        step.rows("distinct_frames"),
        step.shared("copies", lambda: copies_of(step.rows("repeated_frames"))),
        images_of_set(selection, step.rows("captions"), step.rows("multiplies")),
        seen_on_stills(
            selection, step.rows("tags"), step.shared("names", lambda: stored_names(step.read("character_gallery")))
        ),
        settings.clips.fps,
        settings.captions,
        load_rules(settings.tag_rules),
        settings.training_set,
    )
    numbers: dict[str, Number] = {"kept": 0, **Counter(row["reason"] for row in rows)}
    if lost:  # which `distinct_frames` lists, that the same spans are told to
        numbers["lost_spans"] = len(lost)
    return Result(SCHEMAS["clips"].table(rows), numbers)


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=["clips", "video_probe"],
    settings=["training_clips", "keyframes", "video"],
    group="set",
    labels=["ffmpeg"],
)
def training_clips(step: Step) -> Result:
    """The clips as H.264 files, in the colour that stills have. `[training_clips]` says how large.

    Where any is missing, the episode is decoded once more, up to the last of them: at 1080p about 0.1 core-seconds for
    each second of video, and 3 core-seconds and 1 MB for each clip of 81 frames at 848x480. 24 minutes with 80 clips
    take some 400 core-seconds and 80 MB.
    """
    settings = step.settings
    wanted = [row for row in step.rows("clips") if row["kept"]]
    rows, left_out = step.encoded(
        wanted,
        same=("image_id", "frames", "fps"),
        given="video_probe",
        suffix="mp4",
        encode=lambda absent: clip_files_of(
            step.source,
            absent,
            step.row("video_probe"),
            settings.keyframes,
            settings.training_clips,
            settings.video.hardware,
        ),
    )
    numbers: dict[str, Number] = {"clips": len(rows), "size_mb": sum(row["size_bytes"] for row in rows) / 1e6}
    if left_out:
        numbers[UNREADABLE] = len(left_out)
    return Result(SCHEMAS["training_clips"].table(rows), numbers, left_out=left_out)
