"""What is wrong with one shot costs no other, is tried again, and what a person keeps is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dataset_pipeline.assets import stitching
from dataset_pipeline.base.ids import panorama_id, plate_id
from dataset_pipeline.stitching.alignment import FramesMissing
from dataset_pipeline.stitching.candidates import Candidate
from dataset_pipeline.stitching.rows import row_of
from dataset_pipeline.store.left_out import tried
from dataset_pipeline.store.schemas import MEASURED
from dataset_pipeline_tests.assets.test_one_picture import EPISODE, Project
from dataset_pipeline_tests.stitching.test_confidence import ALIGNMENT

PAINTING = cv2.resize(np.random.default_rng(3).integers(0, 256, (30, 120, 3), np.uint8), (480, 120))
PLACES = np.array([[60.0 * number, 0, 0, 0] for number in range(4)])
FIRST, SECOND = panorama_id(EPISODE, 0.0, 1.0), panorama_id(EPISODE, 2.0, 3.0)


class _Frames:
    """Four frames from each hundred on; those from `lost` on cannot be read. asked: the frames of each way through."""

    def __init__(self) -> None:
        self.lost = 1000
        self.asked: list[list[int]] = []

    def __call__(self, step: Any, probe: Any, report: Any, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        self.asked.append(list(pts))
        for number in (it for it in pts if it < self.lost):
            left = 60 * (number % 100)
            yield number, PAINTING[:, left : left + 160]


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> _Frames:
    found = _Frames()
    monkeypatch.setattr(stitching, "_frames", found)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_frames()
    project.write("corrections", [])
    return project


def write_pans(project: Project) -> None:
    rows = []
    for image_id, begin in ((FIRST, 0), (SECOND, 100)):
        pts = begin + np.arange(4)
        pan = replace(ALIGNMENT, pts=pts, pts_s=pts / 24, size_px=(160, 120), places=PLACES, gains=np.ones(4),
                      fixed=np.zeros((15, 20), bool))  # fmt: skip
        told = {"image_id": image_id, "kind": "panorama", "start_s": begin / 50, "end_s": begin / 50 + 1}
        rows.append(dict.fromkeys(MEASURED, "x") | told | row_of(pan))
    project.write("alignments", rows)


def verdicts(rows: dict[str, dict]) -> dict[str, tuple[str, str]]:
    return {image: (row["verdict"], row["reason"]) for image, row in rows.items()}


def test_a_pan_that_cannot_be_drawn_is_refused_and_tried_again_and_the_other_is_kept(project: Project, frames: _Frames):
    write_pans(project)
    frames.lost = 100
    rows, pointer = project.made("panoramas")
    assert verdicts(rows) == {FIRST: ("keep", "kept"), SECOND: ("refused", "unreadable")}
    assert rows[SECOND]["path"] == ""
    assert "0 of 4 frames could be read" in pointer.provenance.faults["every_picture_could_be_drawn"]
    assert pointer.provenance.numbers["unreadable"] == 1  # by which it is tried again
    frames.lost = 1000
    again, _ = project.made("panoramas")
    assert verdicts(again)[SECOND] == ("keep", "kept")
    assert again[FIRST]["path"] == rows[FIRST]["path"]


def test_all_pans_are_drawn_on_one_way_through_the_video(project: Project, frames: _Frames):
    write_pans(project)
    rows, _ = project.made("panoramas")
    assert set(verdicts(rows).values()) == {("keep", "kept")}
    assert frames.asked == [[*range(4), *range(100, 104)]]


def test_what_a_person_keeps_is_drawn_though_the_limits_refuse_it(project: Project, frames: _Frames):
    write_pans(project)
    project.changes = {"panoramas__like_frame": 1.0, "panoramas__doubtful_like_frame": 0.99}
    rows, _ = project.made("panoramas")
    assert {verdict for verdict, _ in verdicts(rows).values()} == {"refused"}
    assert not any(row["path"] for row in rows.values())
    said = json.dumps({"do": "keep", "images": [{"image": FIRST}]})
    told = {"reader": "panoramas", "event": "1", "said": "2020-01-01T00:00:00Z", "do": "keep", "value": said}
    project.write("corrections", [told])
    rows, pointer = project.made("panoramas")
    assert verdicts(rows)[FIRST] == ("keep", "kept_by_hand")
    assert rows[FIRST]["path"]
    assert (rows[SECOND]["verdict"], rows[SECOND]["path"]) == ("refused", "")
    assert not pointer.provenance.faults


def candidates() -> list[Candidate]:
    shots = ((0, 0.0), (100, 2.0))
    return [
        Candidate(plate_id(EPISODE, at, at + 1), "plate", shot, at, at + 1, 4, tuple(range(begin, begin + 4)),
                  tuple(at + number / 24 for number in range(4)))
        for shot, (begin, at) in enumerate(shots)
    ]  # fmt: skip


def test_a_shot_whose_frames_are_missing_has_no_row_and_is_asked_again(
    project: Project, frames: _Frames, monkeypatch: pytest.MonkeyPatch
):
    first, second = candidates()
    monkeypatch.setattr(stitching, "_wanted", lambda step, probe: [first, second])
    project.changes = {"tracks__mode": "on"}
    frames.lost = 101
    rows, pointer = project.made("alignments")
    assert frames.asked == [[*range(4), *range(100, 104)]]
    assert list(rows) == [first.image_id]
    assert "1 of 4 frames could be read" in pointer.provenance.faults["every_frame_could_be_placed"]
    assert pointer.provenance.numbers["unmeasured"] == 1
    frames.lost = 1000
    rows, pointer = project.made("alignments")
    assert list(rows) == [first.image_id, second.image_id]
    assert (pointer.provenance.numbers["measured"], pointer.provenance.numbers["reused"]) == (1, 1)
    assert "unmeasured" not in pointer.provenance.numbers


def test_where_nobody_was_found_somebody_was_looked_for():
    plate = candidates()[0]
    assert stitching._boxes(plate, None) is None
    assert stitching._boxes(plate, []) == {pts: [] for pts in plate.pts}


def test_errors_of_the_whole_stop_it():
    def fails(error: Exception) -> None:
        raise error

    missing = FramesMissing("0 of 4 frames could be read")
    assert tried(fails, missing) is missing
    assert isinstance(tried(fails, cv2.error("an empty picture")), cv2.error)
    with pytest.raises(OSError, match="the drive is away"):
        tried(fails, OSError("the drive is away"))


def test_that_a_folder_has_no_panoramas_is_told_where_they_are_looked_for(project: Project):
    for kind in ("folder", "video"):
        source = {"episode": EPISODE, "show": "show", "show_title": "Show", "episode_title": "1", "kind": kind}
        project.write("video", [source | {"size_bytes": 1}])
        for mode in ("on", "off"):
            project.changes = {"alignments__panoramas": mode}
            _, pointer = project.made("alignments")
            assert ("not_looked_at" in pointer.provenance.numbers) == (kind == "folder" and mode == "on")
