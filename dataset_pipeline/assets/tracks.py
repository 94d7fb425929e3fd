"""People over the frames of each shot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_pipeline.base.timing import span
from dataset_pipeline.characters.cutting import rows_of, stretches_of
from dataset_pipeline.characters.following import Look, follow, looks_of
from dataset_pipeline.characters.linking import LOW_SCORE
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import WITHOUT_GPU
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models.device import runs_on_gpu
from dataset_pipeline.sources.media import frames_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.stream import DecodeReport

KINDS = ("person", "head")  # that are looked for


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["video_probe", "shots"],
    settings=["tracks", "video"],
    models=["detector", "identity"],
    group="frames",
    labels=["onnx"],
    checks={"every_frame_could_be_looked_at": Check("The decoder gave each frame that was to be looked at.")},
)
def tracks(step: Step) -> Result:
    """People linked over the frames of each shot, down to a low score, with identity vectors of a few samples each.

    Frames are looked at a few times a second, those of a held picture once, at full size. A track is cut where its
    vectors say that it went over to another person. 24 minutes at 3 a second are about 2,800 looks of two detectors and
    4,800 vectors: 550 TFLOP, 300 core-s beside the networks, 16 MB. `[tracks] mode` says whether that is done.
    """
    settings, detector, identity = step.settings.tracks, step.model("detector"), step.model("identity")
    if settings.mode == "off" or (settings.mode == "auto" and not runs_on_gpu(detector.device)):
        return Result(SCHEMAS["tracks"].empty(), {WITHOUT_GPU: True} if settings.mode == "auto" else {})
    report, probe = DecodeReport(), step.row("video_probe")
    shots = step.read("shots").select(["number", "start_s", "end_s", "frame_pts", "frame_pts_s", "signatures"])
    bounds_s = {row["number"]: (row["start_s"], row["end_s"]) for row in shots.to_pylist()}
    looks = looks_of(shots.to_pylist(), settings.per_s)
    weights = {"detector_sha256": detector.fingerprint().sha256, "model_sha256": identity.fingerprint().sha256}
    rows: list[dict[str, Any]] = []
    with span("decode and link"):
        frames = frames_of(step.source, [look.pts for look in looks], probe, report, step.settings.video.hardware)
        for track in follow(frames, looks, lambda some: detector.detect(some, KINDS, LOW_SCORE), identity.embed):
            stretches = stretches_of(track, identity.differences, identity.threshold)
            made = rows_of(step.episode or "", track, stretches, bounds_s[track.shot], 1 / settings.per_s)
            rows += [row | weights for row in made]
    return Result(
        SCHEMAS["tracks"].table(_once(rows)),
        _numbers(looks, rows),
        {"every_frame_could_be_looked_at": "; ".join(report.reasons)},
    )


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of two tracks that begin at one time in one box, to a thousandth of the picture, the one with more samples."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        other = found.get(row["track_id"])
        if other is None or len(row["samples"]) > len(other["samples"]):
            found[row["track_id"]] = row
    return list(found.values())


def _numbers(looks: Sequence[Look], rows: Sequence[dict[str, Any]]) -> dict[str, Number]:
    samples = [len(row["samples"]) for row in rows]
    return {
        "frames_looked_at": len(looks),
        "vectors": sum(len(row["vectors"]) for row in rows),
        "mean_samples": float(np.mean(samples)) if samples else 0.0,
    }
