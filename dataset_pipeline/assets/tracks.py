"""People over the frames of each shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import pyarrow as pa

from dataset_pipeline.base.timing import span
from dataset_pipeline.characters.cutting import rows_of, stretches_of
from dataset_pipeline.characters.following import Look, follow, looks_of
from dataset_pipeline.characters.linking import LOW_SCORE
from dataset_pipeline.characters.tracks import KINDS
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import WITHOUT_GPU
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of, version_of
from dataset_pipeline.models.device import runs_on_gpu
from dataset_pipeline.sources.media import frames_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.stream import DecodeReport

FOLLOWED = "followed_episodes"


@pipeline_asset(
    kind=Kind.MEASURE,
    algorithm=4,
    reads=["video_probe", "shots"],
    settings=["tracks", "video"],
    models=["detector", "identity"],
    group="frames",
    labels=["onnx"],
    checks={"every_frame_could_be_looked_at": Check("The decoder gave each frame that was to be looked at.")},
)
def tracks(step: Step) -> Result:
    """People linked over the frames of each shot, down to a low score, with identity vectors of a few samples each.

    Frames are looked at a few times a second on average, at full size: more often where people move, once where a
    picture is held. A track is cut where its vectors say that it went over to another person. 24 minutes at 3 a second
    are at most 4,320 looks of two detectors and some 4,800 vectors, 720 TFLOP. With 2,800 looks they are 550 TFLOP, 310
    core-s beside the networks, 25 MB (16 of vectors, 9 of small copies of people, by which poses are told apart).
    `[tracks] mode` says whether that is done.
    What was found once of an episode, at that many a second and with these weights, is kept: going back to it, or to
    `auto` without a GPU, costs nothing but the same 25 MB again.
    """
    settings = step.settings.tracks
    if settings.mode == "off":
        return Result(SCHEMAS["tracks"].empty())
    columns = ["number", "start_s", "end_s", "frame_pts", "frame_pts_s", "signatures"]
    shots = step.read_columns("shots", columns).to_pylist()
    looks = looks_of(shots, settings.per_s)
    video = step.pointer("video_probe")
    assert video is not None
    may_look = settings.mode == "on" or runs_on_gpu(step.model("detector").device)
    looked_at = hash_of(version_of(video), *map(astuple, looks))
    made, _ = step.measure_once(
        [{"image_id": step.episode or "", "pixel_sha256": looked_at}],
        hash_of(*(it.sha256 for it in step.fingerprints.values())),
        hash_of(step.declaration.algorithm, settings.per_s),
        lambda absent: [_followed(step, looks) if may_look else None for _ in absent],
        table=FOLLOWED,
    )
    if not len(made):
        return Result(SCHEMAS["tracks"].empty(), {WITHOUT_GPU: True})
    table = pa.Table.from_struct_array(made["tracks"].combine_chunks().flatten()).cast(SCHEMAS["tracks"].arrow)
    return Result(table, _numbers(looks, table), {"every_frame_could_be_looked_at": made["faults"][0].as_py()})


def _followed(step: Step, looks: Sequence[Look]) -> dict[str, Any]:
    """The rows of `tracks`, and what the decoder could not give."""
    settings, detector, identity = step.settings, step.model("detector"), step.model("identity")
    weights = {"detector_sha256": detector.fingerprint().sha256, "model_sha256": identity.fingerprint().sha256}
    report, rows = DecodeReport(), list[dict[str, Any]]()
    with span("decode and link"):
        frames = frames_of(
            step.source, [look.pts for look in looks], step.row("video_probe"), report, settings.video.hardware
        )
        for track in follow(frames, looks, lambda some: detector.detect(some, KINDS, LOW_SCORE), identity.embed):
            stretches = stretches_of(track, identity.differences, identity.threshold)
            rows += [row | weights for row in rows_of(step.episode or "", track, stretches)]
    return {"tracks": _once(rows), "faults": "; ".join(report.reasons)}


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of two tracks that begin at one time in one box, to a thousandth of the picture, the one with more samples."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        other = found.get(row["track_id"])
        if other is None or len(row["samples"]) > len(other["samples"]):
            found[row["track_id"]] = row
    return list(found.values())


def _numbers(looks: Sequence[Look], table: pa.Table) -> dict[str, Number]:
    samples, vectors = (table[name].combine_chunks().value_lengths().to_pylist() for name in ("samples", "vectors"))
    return {
        "frames_looked_at": len(looks),
        "vectors": sum(vectors),
        "mean_samples": sum(samples) / len(samples) if samples else 0.0,
    }
