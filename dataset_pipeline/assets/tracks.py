"""People over the frames of each shot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.models.device import runs_on_gpu
from dataset_pipeline.sources.media import frames_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.stream import DecodeReport

FOLLOWED = "followed_episodes"


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
    What was found once of an episode, at that many a second and with these weights, is kept: going back to it, or to
    `auto` without a GPU, costs nothing but the same 16 MB again.
    """
    settings = step.settings.tracks
    if settings.mode == "off":
        return Result(SCHEMAS["tracks"].empty())
    columns = ["number", "start_s", "end_s", "frame_pts", "frame_pts_s", "signatures"]
    shots = step.read("shots").select(columns).to_pylist()
    looks = looks_of(shots, settings.per_s)
    bounds_s = {row["number"]: (row["start_s"], row["end_s"]) for row in shots}
    video = step.pointer("video_probe")
    assert video is not None
    may_look = settings.mode == "on" or runs_on_gpu(step.model("detector").device)
    looked_at = _hash_of(version_of(video), list(bounds_s.items()), *map(astuple, looks))
    made, _ = step.measure_once(
        [{"image_id": step.episode or "", "pixel_sha256": looked_at}],
        _hash_of(*(it.sha256 for it in step.fingerprints.values())),
        _hash_of(step.declaration.algorithm, settings.per_s),
        lambda absent: [_followed(step, looks, bounds_s) if may_look else None for _ in absent],
        table=FOLLOWED,
    )
    if not len(made):
        return Result(SCHEMAS["tracks"].empty(), {WITHOUT_GPU: True})
    table = pa.Table.from_struct_array(made["tracks"].combine_chunks().flatten()).cast(SCHEMAS["tracks"].arrow)
    return Result(table, _numbers(looks, table), {"every_frame_could_be_looked_at": made["faults"][0].as_py()})


def _followed(step: Step, looks: Sequence[Look], bounds_s: Mapping[int, tuple[float, float]]) -> dict[str, Any]:
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
            made = rows_of(step.episode or "", track, stretches, bounds_s[track.shot], 1 / settings.tracks.per_s)
            rows += [row | weights for row in made]
    return {"tracks": _once(rows), "faults": "; ".join(report.reasons)}


def _hash_of(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


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
