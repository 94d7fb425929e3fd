"""From a source to its distinct full-size stills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from dataset_pipeline.assets.corrections import FOUND, IS_FOUND, matcher_of, told_lost
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.progress import track
from dataset_pipeline.base.timing import span, timed_iteration
from dataset_pipeline.characters.poses import chosen_frames
from dataset_pipeline.corrections.addressing import parts_for
from dataset_pipeline.corrections.answers import EXCLUDED, NOTHING_SAID, FrameAnswers, frame_answers
from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import WITHOUT_GPU
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.stills import stills_of
from dataset_pipeline.repeated.near_duplicates import DEFECTS, NOT_MEASURED, decide_distinct
from dataset_pipeline.sources.media import FOLDER, animations_in, candidates, full_size, shots_of
from dataset_pipeline.store.left_out import first_reasons
from dataset_pipeline.store.provenance import ANIMATIONS
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.stream import DecodeReport


def pictures_of_table(step: Step) -> dict[str, list[str]]:
    """The pictures that the asset's own table names, as one sheet."""
    return {"": [row["path"] for row in step.previous() if row["path"]]}


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["video_probe"],
    settings=["shots", "video", "frame_pass"],
    group="frames",
    labels=["opencv"],
    algorithm=5,
    checks={"every_shot_was_decoded": Check("The decoder met nothing broken on its way through every frame.")},
)
def shots(step: Step) -> Result:
    """Shots between cuts and fades, the camera's motion in each, fingerprints of the picture four times a second, and
    the signature of each frame: 32x18 levels of luma.

    `[shots]` says what a cut is. A folder of pictures has none.
    """
    report = DecodeReport()
    settings = step.settings
    with span("decode and encode"):
        rows = shots_of(
            step.source,
            step.row("video_probe"),
            settings.shots,
            report,
            settings.video.hardware,
            settings.frame_pass.whole,
        )
    motions = Counter(row["motion"] for row in rows)
    return Result(
        SCHEMAS["shots"].table(rows),
        {
            "mean_shot_s": float(np.mean([row["end_s"] - row["start_s"] for row in rows])) if rows else 0.0,
            "frames": report.frames,
            **{f"shots_{motion}": motions[motion] for motion in ("static", "pan", "zoom", "other")},
        },
        {"every_shot_was_decoded": "; ".join(report.reasons)},
    )


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["video_probe", "tracks"],
    reads_if={"tracks": lambda settings: settings.keyframes.picks_poses},
    settings=["keyframes", "shots", "video"],
    group="frames",
    labels=["opencv"],
    algorithm=4,
    checks={
        "every_frame_was_decoded": Check("The decoder met nothing broken on its way through the source."),
        "candidates_are_there": Check("The mode of [keyframes] finds more than a frame in half a minute."),
        "every_candidate_was_written": Check("The small working copy of each candidate could be encoded."),
    },
    shows=pictures_of_table,
    goes_first=True,
)
def keyframes(step: Step) -> Result:
    """Candidate frames with cheap signals and small working copies, upright, in sRGB, without bars.

    `[keyframes] mode` says which frames are candidates. A mode that looks at every frame finds the shots on its way, if
    the same run makes them anew. "poses" chooses from `tracks`.
    """
    report, settings = DecodeReport(), step.settings
    found = candidates(
        step.source,
        step.row("video_probe"),
        settings.keyframes,
        report,
        settings.shots,
        settings.video.hardware,
        for_shots=settings.keyframes.looks_at_every_frame and step.is_due_beside("shots"),
        poses=_poses(step) if settings.keyframes.picks_poses else (),
    )
    pairs = ((row | {"episode": step.episode}, working) for row, working in timed_iteration("decode and encode", found))
    left_out: dict[str, str] = {}
    rows = list(step.save_pictures(track(pairs, "keyframes"), left_out))
    moving = animations_in(rows)
    return Result(
        SCHEMAS["keyframes"].table(rows),
        {
            "mean_sharpness": float(np.mean([row["sharpness"] for row in rows])) if rows else 0.0,
            "mean_brightness": float(np.mean([row["brightness"] for row in rows])) if rows else 0.0,
        }
        | ({ANIMATIONS: moving} if moving else {}),
        {
            "every_frame_was_decoded": "; ".join(report.reasons),
            "candidates_are_there": report.sparse,
            "every_candidate_was_written": first_reasons(left_out),
        },
        left_out=left_out,
    )


def _poses(step: Step) -> list[int]:
    """The pts of the frames that show most of the people of the episode. Raises PermanentError without tracks."""
    made, settings = step.pointer("tracks"), step.settings.keyframes
    if made is not None and made.provenance.numbers.get(WITHOUT_GPU) and step.source["kind"] != FOLDER:
        raise PermanentError(
            '[keyframes] mode = "poses" chooses from tracks, and [tracks] mode = "auto" makes none without a GPU: set '
            '[tracks] mode = "on" to make them on the CPU, or another [keyframes] mode'
        )
    return chosen_frames(step.rows("tracks"), settings.poses_per_track, settings.poses_min_score)


@pipeline_asset(
    kind=Kind.MEASURE, reads=["keyframes"], models=["embedder"], group="frames", labels=["torch"], checks=MEASURING
)
def frame_embeddings(step: Step) -> Result:
    """The CLIP vector of every candidate frame."""
    return step.measure(
        "embedder",
        step.rows("keyframes"),
        lambda model, pictures: ({"embedding": vector} for vector in model.embed(pictures)),
    )


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["video_probe", "keyframes", "frame_embeddings", "corrections"],
    settings=["distinct_frames", "frame_defects", "keyframes", "video"],
    group="stills",
    labels=["python"],
    algorithm=4,
    checks={"every_kept_frame_has_its_picture": Check("Each frame that stays could be decoded at full size.")}
    | IS_FOUND,
)
def distinct_frames(step: Step) -> Result:
    """Near-duplicates grouped, the best of each group kept as a full-size picture: uncombed, without ghosts, sharp.

    Dropped frames keep their row and reason. `[distinct_frames] similarity` says how alike two frames may be, unless a
    person said it.
    """
    settings = step.settings
    frames = {row["image_id"]: row for row in step.rows("keyframes")}
    said = _said_of(step, frames)
    decisions = decide_distinct(
        step.read("keyframes"), step.read("frame_embeddings"), settings.distinct_frames, settings.frame_defects, said
    )
    taken_over = ("episode", "pts_s", "width_px", "height_px")
    rows = [{**{name: frames[row["image_id"]][name] for name in taken_over}, **row} for row in decisions]
    rows, left_out = step.render(
        rows,
        same=("image_id",),
        given="keyframes",
        draw=lambda absent: full_size(
            step.source,
            {row["image_id"]: frames[row["image_id"]] for row in absent},
            step.row("video_probe"),
            settings.keyframes,
            settings.video.hardware,
        ),
    )
    reasons, kept = Counter(row["reason"] for row in rows), sum(row["kept"] for row in rows)
    return Result(
        SCHEMAS["distinct_frames"].table(rows),
        {
            "kept": kept,
            **{reason: reasons[reason] for reason in ("duplicate", "blank", *DEFECTS, "unreadable")},
            **({EXCLUDED: reasons[EXCLUDED]} if reasons[EXCLUDED] else {}),
            **({NOT_MEASURED: reasons[NOT_MEASURED]} if reasons[NOT_MEASURED] else {}),
            "kept_percent": 100.0 * kept / len(rows) if rows else 0.0,
        },
        {
            "every_kept_frame_has_its_picture": f"{reasons['unreadable']} frames could not be decoded at full size"
            if reasons["unreadable"]
            else "",
            FOUND: told_lost(said.lost),
        },
        left_out=left_out,
    )


def _said_of(step: Step, frames: Mapping[str, Mapping[str, Any]]) -> FrameAnswers:
    """What a person said of the candidates; frames: rows of `keyframes` by image id."""
    parts = parts_for(step.declaration.name, step.rows("corrections"))
    if not parts:
        return NOTHING_SAID
    paths = {image: row["path"] for image, row in frames.items()}
    return frame_answers(parts, matcher_of(step, frames.values(), paths))


@pipeline_asset(
    kind=Kind.DECIDE, reads=["distinct_frames", "panoramas", "backdrops"], group="stills", labels=["python"]
)
def stills(step: Step) -> Result:
    """Every full picture of the episode, whatever made it: a frame of the video or a picture of the folder, a panorama,
    a plate.

    A further kind of still joins in here: its rows are added, and every later stage takes them up.
    """
    stitched = {asset: step.read(asset) for asset in ("panoramas", "backdrops")}
    rows = stills_of(step.read("distinct_frames"), **stitched)
    kinds = Counter(row["kind"] for row in rows)
    return Result(SCHEMAS["stills"].table(rows), {**kinds})
