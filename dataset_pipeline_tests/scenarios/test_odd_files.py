"""Odd files beside a good one, through the assets that measure a source: each is named, and the good one is whole."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import dagster as dg
import numpy as np
import pytest

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.project import location_prefix
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_assets
from dataset_pipeline.sources.finding import find_sources

FRAMES, KEY_EVERY, RATE = 48, 8, 8
MEASURED = ["video_probe", "shots", "keyframes"]


def write(path: Path, sound_only: bool = False) -> bytes:
    """A small clip of moving colour, or a second of silence."""
    rng = np.random.default_rng(3)
    sheet = rng.integers(30, 225, (8, 60, 3), dtype=np.uint8).repeat(8, axis=0).repeat(12, axis=1)
    with av.open(str(path), "w", format="matroska") as out:
        if sound_only:
            stream: Any = out.add_stream("aac", rate=8000, layout="mono")
            frame: Any = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            out.mux(stream.encode(frame))
        else:
            options = {"x264-params": f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:log-level=none"}
            stream = out.add_stream("libx264", rate=RATE, options=options | {"preset": "veryfast", "threads": "1"})
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for number in range(FRAMES):
                picture = np.ascontiguousarray(sheet[:, 12 * number : 12 * number + 96])
                frame = av.VideoFrame.from_ndarray(picture)
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.timeout(120, method="thread")
def test_odd_files_give_empty_tables_and_a_warning_with_the_reason_and_the_good_one_its_frames(fresh, tmp_path):
    show = tmp_path / "episodes" / "Odd Show"
    show.mkdir(parents=True)
    good = write(show / "Odd Show - S01E01.mkv")
    (show / "Odd Show - S01E02.mkv").write_text("this is a shopping list\n" * 50)
    (show / "Odd Show - S01E03.mkv").write_bytes(b"")
    write(show / "Odd Show - S01E04.mkv", sound_only=True)
    (show / "Odd Show - S01E05.mkv").write_bytes(good[: len(good) * 6 // 10])
    settings = fresh.settings()
    sources = find_sources([show.parent]).sources
    said: dict[str, dict[str, str]] = {}
    with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register(instance, fresh.store, settings, sources)
        defs = build_definitions(settings)
        for source in sources:
            assert not materialize_assets(defs, instance, settings, MEASURED, partition_key=source.key)
            said[source.episode] = failed_checks(instance, settings)
    unreadable = {
        "s01e02": "is not a video: it is text",
        "s01e03": "the file is empty (0 bytes)",
        "s01e04": "holds no video stream (1 audio streams)",
    }
    for episode, reason in unreadable.items():
        assert said[episode] == {"source_can_be_read": reason, "source_is_undamaged": reason}
        for asset in ("shots", "keyframes"):
            assert fresh.store.read(asset, f"odd-show.{episode}").num_rows == 0
    assert said["s01e01"] == {}
    assert said["s01e05"].keys() == {"source_is_undamaged", "every_shot_was_decoded", "every_frame_was_decoded"}
    assert "the file is cut off" in said["s01e05"]["source_is_undamaged"]
    frames = {
        episode: fresh.store.read("keyframes", f"odd-show.{episode}").num_rows for episode in ("s01e01", "s01e05")
    }
    assert frames["s01e01"] == FRAMES // KEY_EVERY
    assert 1 < frames["s01e05"] < frames["s01e01"]


def failed_checks(instance: dg.DagsterInstance, settings: Any) -> dict[str, str]:
    """What the checks of the last run said that did not pass, all of them warnings."""
    names = {
        "video_probe": ("source_can_be_read", "source_is_undamaged"),
        "shots": ("every_shot_was_decoded",),
        "keyframes": ("every_frame_was_decoded",),
    }
    keys = [
        dg.AssetCheckKey(dg.AssetKey([*location_prefix(settings), asset]), name)
        for asset, checks in names.items()
        for name in checks
    ]
    failed: dict[str, str] = {}
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        assert record.event
        assert record.event.dagster_event
        evaluation = record.event.dagster_event.asset_check_evaluation_data
        if not evaluation.passed:
            assert evaluation.severity == dg.AssetCheckSeverity.WARN
            failed[key.name] = evaluation.description or ""
    return failed
