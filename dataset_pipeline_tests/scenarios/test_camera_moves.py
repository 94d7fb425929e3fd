"""Shots of which no panorama can be made go through the graph and come out refused, each with its reason."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg
import numpy as np

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_assets
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline_tests.scenarios.conftest import new_project
from dataset_pipeline_tests.stitching.drawn_shots import draw_shot, encoded

SIZE = (320, 180)
KINDS = {"fence": "parallax", "roll": "rotation"}


def test_a_fence_before_a_building_and_a_camera_that_rolls_are_refused_with_their_reasons(tmp_path: Path):
    shots = [draw_shot(kind, SIZE, seed=404, frames=48, place=place) for place, kind in enumerate(KINDS)]
    video = tmp_path / "Moves - 01.mkv"
    video.write_bytes(encoded(np.concatenate([shot.frames for shot in shots]), SIZE, crf=12))
    (source,) = find_sources([video]).sources
    project, instance = new_project(tmp_path / "project"), dg.DagsterInstance.ephemeral()
    settings = project.settings()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register(instance, project.store, settings, [source])
        wanted = ["video_probe", "shots", "tracks", "alignments", "panoramas"]
        failures = materialize_assets(build_definitions(settings), instance, settings, wanted, partition_key=source.key)
    assert not failures, failures
    rows = project.store.read("panoramas", source.key).to_pylist()
    print([(row["image_id"], row["verdict"], row["reason"], row["layers"]) for row in rows])
    assert [(row["verdict"], row["reason"], row["path"]) for row in rows] == [
        ("refused", reason, "") for reason in KINDS.values()
    ]
    (fence, _) = (row["layers"] for row in rows)
    assert abs(fence[0]["ratio"] - 1.8) <= 0.1  # the building is the anchor
