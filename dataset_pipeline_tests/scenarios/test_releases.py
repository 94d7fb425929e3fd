"""Two releases of one episode become pairs: matched without decoding, laid on each other, and tiled where both show the
same."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dataset_pipeline.graph.declaration import behind
from dataset_pipeline.images.resize import decode
from dataset_pipeline.sources.roots import path_of
from dataset_pipeline.super_resolution.release_geometry import Geometry
from dataset_pipeline_tests.scenarios.conftest import Project, new_project
from dataset_pipeline_tests.super_resolution.drawn_releases import (
    FILM,
    HALF,
    HALF_SCRIPT,
    PAL,
    Form,
    Releases,
    corner_error_px,
    write_releases,
)

NTSC = Form((960, 540), (352, 240), Geometry(2.655, 2.21, 8.3, 4.6), sar=Fraction(10, 11))
TITLED = range(36, 76)  # all of a shot: frames of the high release that the low one shows with a subtitle
TITLE = 90, 104, 140, 112  # within these low pixels, in its middle
CHANGES: dict[str, Any] = {
    "models__pack": "real",  # of which nothing is pulled
    "sr_sources__of": "releases",
    "sr_sources__on_upscaled": "drop",  # of pairs nobody asks
    "sr_selection__metric": "sharpness",
    "sr_set__scales": [2],
    "sr_tiles__tile_px": 96,
    "sr_tiles__step_px": 48,
}


def titled(number: int, picture: np.ndarray) -> np.ndarray:
    if number not in TITLED:
        return picture
    shown = picture.copy()
    for color, width in ((0, 3), (255, 1)):
        cv2.putText(shown, "What is that?", (80, 112), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (color,) * 3, width, cv2.LINE_AA)
    return shown


def placed(root: Path, drawn: Releases) -> Path:
    """A folder with both releases under one name in folders of their own."""
    for path, folder in ((drawn.high, "bd"), (drawn.low, "dvd")):
        (root / "sources" / folder / "Show").mkdir(parents=True)
        path.rename(root / "sources" / folder / "Show" / "Show - 01.mkv")
    return root / "sources"


def matched_rightly(project: Project, drawn: Releases) -> float:
    """The share of the low release's frames."""
    [row] = project.rows("release_alignment")
    shots = project.store.read("shots", row["high"]).to_pylist()
    pts = [pts for shot in shots for pts in shot["frame_pts"]]
    truth = [pts[frame] if frame >= 0 else None for frame in drawn.truth]
    return float(np.mean([found == right for found, right in zip(row["high_pts"], truth, strict=True)]))


def found_geometry(project: Project) -> Geometry:
    [row] = project.rows("release_alignment")
    pointer = project.store.pointer("release_pairs", row["episode"])
    assert pointer is not None
    return Geometry(*(pointer.provenance.numbers[name] for name in ("step_x", "step_y", "start_x_px", "start_y_px")))


def test_two_releases_become_pairs_of_tiles_whose_low_pictures_are_the_low_releases_own_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn = write_releases(tmp_path, script=HALF_SCRIPT, form=HALF, spoilt=titled)
    folder = placed(tmp_path, drawn)
    project = new_project(tmp_path / "project")
    assert project.run(folder, only=("video_probe", "shots"), **CHANGES)[0].failures == []
    with monkeypatch.context() as closed:
        closed.setattr(av, "open", None)  # nothing can be decoded
        assert project.run(folder, only=("release_alignment",), **CHANGES)[0].failures == []
    assert matched_rightly(project, drawn) >= 0.999
    [row] = project.rows("release_alignment")
    assert row["missing"] == [pytest.approx({"start_s": 90 / 23.976, "end_s": 109 / 23.976}, abs=0.002)]

    needed = behind("sr_set", project.settings(**CHANGES))
    assert not needed & {"keyframes", "native_size"}
    outcome, calls = project.run(folder, only=needed, **CHANGES)
    assert (outcome.failures, calls) == ([], {})
    assert corner_error_px(found_geometry(project), HALF.lies, HALF.low_px) <= 0.05
    pairs = {row["image_id"]: row for row in project.rows("release_pairs")}
    highs = [row for row in pairs.values() if row["part"] == "high"]
    assert len(highs) == 6
    assert sorted(row["correlation"] > 0.97 for row in highs) == [False, *5 * [True]]
    _tiles_avoid_the_title(project, highs)
    _low_pictures_are_own_pixels(project, pairs)


def _tiles_avoid_the_title(project: Project, highs: list[dict]) -> None:
    [titled_pair] = [row for row in highs if round(row["pts_s"] * 23.976) - HALF.late_frames in TITLED]
    tiles = [row for row in project.rows("sr_tiles") if row["image_id"] == titled_pair["image_id"]]
    x0, y0, x1, y1 = (2 * side for side in TITLE)
    assert not any(
        row["x_px"] < x1 and row["x_px"] + 96 > x0 and row["y_px"] < y1 and row["y_px"] + 96 > y0 for row in tiles
    )
    assert (
        10
        < len(tiles)
        < max(sum(row["image_id"] == high["image_id"] for row in project.rows("sr_tiles")) for high in highs)
    )


def _low_pictures_are_own_pixels(project: Project, pairs: dict[str, dict]) -> None:
    pointer = project.store.pointer("sr_set")
    assert pointer is not None
    folder = Path(pointer.provenance.numbers["folder"])
    manifest = json.loads((folder / "manifest.json").read_text())
    [row] = project.rows("release_alignment")
    assert manifest["about"]["high_releases"] == {row["episode"]: row["high"]}
    assert len(manifest["tiles"]) > 100
    for line in manifest["tiles"][::9]:
        high, low = (decode((folder / "train" / part / Path(line["file"]).name).read_bytes()) for part in ("hr", "x2"))
        assert high.shape == (96, 96, 3)
        x, y, side = (it // 2 for it in line["place_px"])
        whole = decode(project.store.read_picture(pairs[f"{line['image_id']}-low"]["path"]))
        assert np.array_equal(low, whole[y : y + side, x : x + side])
        small = cv2.resize(high, (48, 48), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - low).mean() < 9
    frames = _frames_of_low(project, row["episode"])
    for pair in pairs.values():
        if pair["part"] == "low":
            found = cv2.cvtColor(decode(project.store.read_picture(pair["path"])), cv2.COLOR_RGB2GRAY).astype(int)
            assert np.abs(found - frames[round(pair["pts_s"] * 23.976)]).mean() < 1.5


def _frames_of_low(project: Project, episode: str) -> list[np.ndarray]:
    with av.open(path_of(project.settings, project.store.pointer("video", episode))) as container:
        return [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("rate", "form", "high_px", "times"), [(FILM, NTSC, (704, 480), "2.21"), (Fraction(25), PAL, (704, 530), "1.84")]
)
def test_a_release_that_is_late_cut_and_sped_up_is_matched_and_laid_exactly(
    tmp_path: Path, rate: Fraction, form: Form, high_px: tuple[int, int], times: str
):
    drawn = write_releases(tmp_path, rate, form=form)
    folder = placed(tmp_path, drawn)
    project = new_project(tmp_path / "project")
    outcome, _ = project.run(folder, only=("video_probe", "shots", "release_alignment", "release_pairs"), **CHANGES)
    assert outcome.failures == []
    assert matched_rightly(project, drawn) >= 0.999
    assert len(project.rows("release_alignment")[0]["missing"]) == len(form.cuts)
    assert corner_error_px(found_geometry(project), form.lies, form.low_px) <= 0.05
    highs = [row for row in project.rows("release_pairs") if row["part"] == "high"]
    assert len(highs) >= 10
    assert {(row["width_px"], row["height_px"]) for row in highs} == {high_px}
    assert {row["low_height_share"] for row in highs} == {high_px[1] / 2 / form.low_px[1]}

    too_large = (
        {"release_pairs__scale": 3, "sr_set__scales": [3]} if form is NTSC else {"release_pairs__shrink_low_to": 1}
    )
    assert project.run(folder, only=("release_pairs",), **CHANGES | too_large)[0].failures == []
    assert project.rows("release_pairs") == []
    pointer = project.store.pointer("release_pairs", project.rows("release_alignment")[0]["episode"])
    assert pointer is not None
    assert f"{times} times the low one's pixels" in pointer.provenance.numbers["why_none"]
    assert "shrink_low_to = 0." in pointer.provenance.numbers["why_none"]
