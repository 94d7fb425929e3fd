"""What `native_size` looks at, and what a set of frame sequences leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.assets import super_resolution_sequences
from dataset_pipeline.assets.native_size import beside
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.store import Pointer
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION
from dataset_pipeline.super_resolution.native_height import descaled
from dataset_pipeline.super_resolution.sequences import SIGNATURE_VALUES
from dataset_pipeline_tests.assets.drawn_project import EPISODE, DrawnProject

Frames = Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray]]]
LENGTH = 7


def made(project: DrawnProject, asset: str, **changes: Any) -> Pointer:
    settings = load_settings(DEFAULTS, **changes)
    resources = SimpleNamespace(store=project.store, settings=settings, export_root=project.root / "exports")
    episode = None if DECLARATIONS[asset].joined else EPISODE
    step = Step(DECLARATIONS[asset], resources, episode, SimpleNamespace(warning=print), [EPISODE])
    return materialize(ASSETS[asset], step)[0]


@pytest.mark.parametrize("probed", [{"sample_aspect": 8 / 9}, {"sample_aspect": 32 / 27}, {"cadence": "tff"}])
def test_no_upscale_is_looked_for_where_rows_do_not_lie_as_they_were_drawn(tmp_path: Path, probed: dict[str, Any]):
    project = DrawnProject(tmp_path)
    size = {"width_px": 720, "height_px": 540, "sharpness": 1.0}
    project.write("keyframes", [{"image_id": f"{EPISODE}/{it}", "episode": EPISODE, **size} for it in range(9)])
    project.write("video", [{"episode": EPISODE, "kind": "video"}])
    plain = {"episode": EPISODE, "readable": True, "sample_aspect": 1.0, "cadence": "progressive"}
    project.write("video_probe", [plain | probed])
    made(project, "native_size")
    [row] = project.store.read("native_size", EPISODE).to_pylist()
    assert (row["verdict"], row["looked_at"]) == ("unknown", [])


def test_frames_around_a_picture_are_made_as_it_was_with_the_bars_that_it_has():
    probe = {"bar_left_px": 0, "bar_top_px": 12, "bar_right_px": 0, "bar_bottom_px": 12}
    frame = draw_scene(3, (160, 120), people=1).image
    small = descaled(frame, 90, "mitchell")
    native = {"native_px": 90, "kernel": "mitchell", "width_px": 120}
    cut = beside(native | {"height_px": 72}, frame, probe)
    assert cut is not None
    assert np.array_equal(cut, small[9:81])
    filled = beside(native | {"height_px": 90}, frame, probe)
    assert filled is not None
    assert np.array_equal(filled, small)
    assert beside(native | {"height_px": 80}, frame, probe) is None
    assert beside(native | {"height_px": 90}, frame[:90, :120], probe) is None
    as_it_was = {"native_px": None, "kernel": None, "width_px": 160, "height_px": 120}
    assert beside(as_it_was, frame, probe) is frame
    assert beside(as_it_was, frame[12:-12], probe) is None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DrawnProject:
    """Four shots of a letterboxed episode: the second fills the frame in its middle, the third cannot be decoded to its
    end."""
    project = DrawnProject(tmp_path)
    dice = np.random.default_rng(5)
    shots = []
    for number in range(4):
        pts = [(number * LENGTH + at) * 10 for at in range(LENGTH)]
        signatures = dice.integers(0, 255, LENGTH * SIGNATURE_VALUES, np.uint8).tobytes()
        shots.append(
            {"episode": EPISODE, "number": number, "frames": LENGTH, "frame_pts": pts, "signatures": signatures}
        )
    project.write("shots", shots)
    project.write("video_probe", [{"episode": EPISODE, "readable": True, "source_sha256": "s"}])
    pictures = dice.integers(0, 255, (4 * LENGTH, 64, 96, 3), np.uint8)

    def frames_of_video(step: Step, episode: str) -> Frames:
        def frames_at(pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
            for at in pts:
                if at != 10 * (3 * LENGTH - 1):
                    yield at, pictures[at // 10][: 64 if at == 10 * (LENGTH + 3) else 48]

        return frames_at

    monkeypatch.setattr(super_resolution_sequences, "frames_of_video", frames_of_video)
    return project


def test_a_sequence_that_is_not_whole_costs_no_other(project: DrawnProject):
    numbers = made(project, "sr_sequences", sr_sequences__layout="vimeo").provenance.numbers
    assert [numbers[it] for it in ("sequences", "taken", "other_size", "unreadable")] == [2, 2, 1, 1]
    written = sorted((Path(numbers["folder"]) / "train/hr").rglob("*.png"))
    assert len(written) == 2 * LENGTH
    lines = (Path(numbers["folder"]) / "meta_info_vimeo.txt").read_text().splitlines()
    assert lines == ["00001/0001 7 (48,96,3)", "00001/0002 7 (48,96,3)"]


def test_a_sequence_that_is_held_out_lies_apart_with_settings_that_name_it(project: DrawnProject):
    changes = {"sr_sequences__layout": "vimeo", "sr_sequences__validation_sequences": 1}
    pointer = made(project, "sr_sequences", **changes)
    numbers, folder = pointer.provenance.numbers, Path(pointer.provenance.numbers["folder"])
    told = ("sequences", "validation_sequences", "taken", "held_out", "beside_held_out", "other_size", "unreadable")
    assert [numbers[it] for it in told] == [1, 1, 1, 1, 0, 1, 1]
    [row] = project.store.read("sr_sequences").to_pylist()
    assert (row["sequences"], row["validation_sequences"]) == (1, 1)
    pictures = [[it.read_bytes() for it in sorted((folder / it / "hr").rglob("*.png"))] for it in (TRAIN, VALIDATION)]
    assert [len(its) for its in pictures] == [LENGTH, LENGTH]
    assert set(pictures[0]).isdisjoint(pictures[1])
    assert (folder / "meta_info_vimeo_validation.txt").read_text() == "00001/0001 7 (48,96,3)\n"
    for settings in (folder / "basicsr_x2.yml", folder / "absolute/basicsr_x2.yml"):
        assert "validation/hr" in settings.read_text()
    card = (folder / "README.md").read_text()
    assert f"| validation: 00001/0001 | {EPISODE} | " in card
    assert "Nothing in `train` is of a shot of `validation`" in card
    assert folder != Path(made(project, "sr_sequences", sr_sequences__layout="vimeo").provenance.numbers["folder"])


def test_shots_that_all_look_alike_are_trained_on_and_a_warning_tells_so(
    project: DrawnProject, capsys: pytest.CaptureFixture[str]
):
    rows = project.store.read("shots", EPISODE).to_pylist()
    project.write("shots", [row | {"signatures": rows[0]["signatures"]} for row in rows])
    changes = {"sr_sequences__layout": "vimeo", "sr_sequences__validation_sequences": 2}
    numbers = made(project, "sr_sequences", **changes).provenance.numbers
    assert (numbers["taken"], numbers["held_out"]) == (2, 0)
    assert "0 sequences are held out, not 2" in capsys.readouterr().out


def test_a_set_of_sequences_has_another_name_where_its_pixels_are_others(project: DrawnProject):
    def folder(**changes: Any) -> str:
        return str(made(project, "sr_sequences", sr_sequences__layout="vimeo", **changes).provenance.numbers["folder"])

    plain = folder()
    assert folder() == plain
    assert folder(keyframes__chroma_upsampling="nearest") != plain
    project.write("video_probe", [{"episode": EPISODE, "source_sha256": "s", "used_matrix": "bt601"}])
    assert folder() != plain
