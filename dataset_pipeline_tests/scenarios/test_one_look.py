"""An episode goes through its steps with each mode of keyframes, and its frames are counted as they are decoded."""

from __future__ import annotations

import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import imageio_ffmpeg
import pytest

from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph import framework
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_assets
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.source import Source
from dataset_pipeline.video.stream import Cropper
from dataset_pipeline_tests.scenarios.conftest import Project, new_project

FRAMES = 30 * 24
MEASURED = ["video_probe", "shots", "keyframes"]


@pytest.fixture(scope="module")
def half_a_minute(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("show") / "show - 01.mp4"
    drawn = "testsrc2=s=160x90:r=24:d=30,hue=h=300*floor(t/3)"
    encoding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "48"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-f", "lavfi", "-i", drawn, *encoding, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return find_sources([path]).sources[0]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Pictures that decoders gave, by the asset at work. All of them pass the cropper."""
    found: Counter[str] = Counter()
    at, crop, materialize = [""], Cropper.__call__, framework.materialize

    def counted(self: Cropper, images) -> Iterator:
        for image in crop(self, images):
            found[at[0]] += 1
            yield image

    def noted(made, step):
        at[0] = made.name
        return materialize(made, step)

    monkeypatch.setattr(Cropper, "__call__", counted)
    monkeypatch.setattr(framework, "materialize", noted)
    return found


def _run(project: Project, source: Source, mode: str, *runs: list[str], **changes: float) -> tuple[str, ...]:
    """The tables of shots and keyframes, by the hash of their content."""
    settings = project.settings(keyframes__mode=mode, keyframes__hi=64 * 200, keyframes__lo=64 * 50, **changes)
    with dg.DagsterInstance.ephemeral() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        defs = build_definitions(settings)
        register(instance, project.store, settings, [source])
        for assets in runs:
            assert not materialize_assets(defs, instance, settings, assets, partition_key=source.key)
    pointers = [project.store.pointer(asset, source.key) for asset in ("shots", "keyframes")]
    return tuple(pointer.file for pointer in pointers if pointer)


@pytest.mark.parametrize(("mode", "at_most"), [("mpdecimate", FRAMES), ("interval", FRAMES / 2), ("shot", FRAMES / 2)])
def test_steps_that_look_at_every_frame_decode_each_once_in_one_run_and_kept_ones_are_fetched_on_one_way(
    half_a_minute, decoded, tmp_path, mode, at_most
):
    run = [*MEASURED, "frame_embeddings", "distinct_frames"]
    together = _run(new_project(tmp_path / "together"), half_a_minute, mode, run)
    assert decoded["shots"] + decoded["keyframes"] == FRAMES
    assert decoded["video_probe"] < FRAMES / 4
    assert 0 < decoded["distinct_frames"] <= at_most
    decoded.clear()
    # What one of the two makes alone is the same, and it does nothing for the other.
    alone = _run(new_project(tmp_path / "alone"), half_a_minute, mode, ["video_probe"], ["keyframes"], ["shots"])
    assert decoded["shots"] == decoded["keyframes"] == FRAMES
    assert together == alone


def test_shots_that_are_current_are_not_sought_again_beside_the_candidates(
    half_a_minute, decoded, tmp_path, monkeypatch
):
    project = new_project(tmp_path / "project")
    before = _run(project, half_a_minute, "interval", MEASURED)
    decoded.clear()
    monkeypatch.setattr("dataset_pipeline.sources.media.ShotsLook", None)
    after = _run(project, half_a_minute, "interval", MEASURED, keyframes__every_s=0.5)
    assert (decoded["keyframes"], decoded["shots"]) == (FRAMES, 0)
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_steps_of_the_default_mode_decode_the_whole_file_once(half_a_minute, decoded, tmp_path):
    _run(
        new_project(tmp_path / "project"), half_a_minute, "iframes", [*MEASURED, "frame_embeddings", "distinct_frames"]
    )
    assert decoded["shots"] == FRAMES
    assert decoded["keyframes"] < FRAMES / 20
    assert decoded["distinct_frames"] < FRAMES / 4
