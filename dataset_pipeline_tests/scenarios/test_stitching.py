"""A panorama and a clean plate of a drawn episode, against what was painted, and what a person says of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dataset_pipeline.base.ids import PLATE, kind_of_span
from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.demo.episodes import TEST_SHOW
from dataset_pipeline.graph.project import correction_log
from dataset_pipeline.images.resize import decode
from dataset_pipeline.reports.corrections import spoken_of
from dataset_pipeline.reports.explain import explain
from dataset_pipeline.reports.first_screen import first_screen
from dataset_pipeline.sources.media import frames_of
from dataset_pipeline.video.stream import DecodeReport
from dataset_pipeline_tests.scenarios.test_tracks import Made

SHOW = replace(TEST_SHOW, scripts=("pan 3, locked 3",), gop_frames=48)
FRAMES = ["video_probe", "shots", "tracks"]
STITCHED = ["alignments", "panoramas", "backdrops"]
STILLS = ["keyframes", "frame_embeddings", "distinct_frames", "stills"]
OF_STILLS = ["stitched_embeddings", "detections", "crops", "details", "images", "quality_scores", "tag_scores"]
TRACKED = {"tracks__mode": "on"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    it = Made(tmp_path_factory.mktemp("stitched"), SHOW)
    failures, _ = it.run(*FRAMES, *STITCHED, **TRACKED)
    assert not failures, failures
    return it


def picture_of(made: Made, row: dict) -> np.ndarray:
    return decode(made.project.store.read_picture(row["path"]))


def truth_of(made: Made, kind: str) -> np.ndarray:
    (shot,) = (it for it in made.truth.shots if it.kind == kind)
    name = shot.canvas_file if kind == "pan" else shot.plate_file
    assert name is not None
    folder = made.video.parents[1] / "truth"
    return cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)


def place_on(picture: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """x and y on the truth at which a picture fits best: neither says where on the other it begins."""
    core = cv2.cvtColor(picture[8:-8, 8:-8], cv2.COLOR_RGB2GRAY)
    found = cv2.matchTemplate(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), core, cv2.TM_CCOEFF_NORMED)
    x, y = cv2.minMaxLoc(found)[3]
    return x - 8, y - 8


def ratio_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((one - other.astype(float)) ** 2).mean()))


def decibels(picture: np.ndarray, truth: np.ndarray) -> float:
    """Against the truth where it fits best."""
    height, width = picture.shape[:2]
    x, y = place_on(picture, truth)
    return ratio_db(picture[8:-8, 8:-8], truth[y + 8 : y + height - 8, x + 8 : x + width - 8])


def told(made: Made, image: str) -> str:
    return "\n".join(first_screen(explain(made.project.store, image)))


def test_the_pan_becomes_its_painting_and_the_locked_camera_the_place_without_the_people(made: Made):
    (pan,), (plate, _) = made.rows("panoramas"), made.rows("backdrops")
    pan_db, plate_db = (
        decibels(picture_of(made, row), truth_of(made, kind)) for row, kind in ((pan, "pan"), (plate, "locked"))
    )
    for row, figure in ((pan, pan_db), (plate, plate_db)):
        print(f"{row['kind']} {row['width_px']}x{row['height_px']}, {figure:.1f} dB, known {row['known_share']:.3f}")
    assert (pan["verdict"], plate["verdict"]) == ("keep", "keep")
    assert pan["image_id"] == f"{made.episode}/pan-00000000-00002958"
    assert pan["width_px"] >= 2 * 640 - 8
    assert pan["covered_s"] == pytest.approx([0.0, 2.667], abs=0.01)  # then the camera rests, and no frame is placed
    assert plate["width_px"] * plate["height_px"] >= 0.7 * 640 * 360
    assert pan_db >= 35
    assert plate_db >= 38


def box_on(made: Made, base_ms: int, area: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Of whoever is largest there, on a picture that shows this rectangle (x, y, width, height) of a frame."""
    people = made.truth.drawing_at(made.truth.frame_at(base_ms / 1000)).people
    x0, y0, x1, y1 = max((it.person for it in people), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    x, y, width, height = area
    inside = np.clip((x0 - x, x1 - x), 0, width), np.clip((y0 - y, y1 - y), 0, height)
    return int(inside[0][0]), int(inside[1][0]), int(inside[0][1]), int(inside[1][1])


def test_the_main_person_stands_on_the_plate_as_in_the_frame_they_are_from(made: Made):
    plate, whole = made.rows("backdrops")
    assert (whole["kind"], whole["verdict"]) == ("plate_with_subject", "keep")
    assert whole["image_id"].startswith(f"{plate['image_id']}-with-")
    base_ms = int(whole["image_id"].rpartition("-")[2])
    probe = made.rows("video_probe")[0]
    times = [at for shot in made.rows("shots") for at in zip(shot["frame_pts"], shot["frame_pts_s"], strict=True)]
    (pts,) = (at for at, at_s in times if round(at_s * 1000) == base_ms)
    source = made.rows("video")[0] | {"path": made.video}
    ((_, frame),) = frames_of(source, [pts], probe, DecodeReport())
    picture, place = picture_of(made, whole), truth_of(made, "locked")
    x, y = place_on(picture, frame)
    x0, y0, x1, y1 = box_on(made, base_ms, (x, y, whole["width_px"], whole["height_px"]))
    assert (x1 - x0) * (y1 - y0) > 0.02 * picture.shape[0] * picture.shape[1]
    in_box, in_frame = np.s_[y0:y1, x0:x1], np.s_[y + y0 : y + y1, x + x0 : x + x1]
    is_place = np.abs(frame[in_frame].astype(float) - place[in_frame]).max(2) < 30  # else the person hides it
    whole_db, beside_db, frame_db = (
        ratio_db(picture[in_box], frame[in_frame]),
        *(ratio_db(of[is_place], place[in_frame][is_place]) for of in (picture[in_box], frame[in_frame])),
    )
    print(
        f"in the box {whole_db:.1f} dB by its base frame; beside the person {beside_db:.1f}, that frame {frame_db:.1f}"
    )
    assert whole_db >= 35
    assert beside_db >= frame_db - 0.5


def test_another_threshold_places_no_frame_again_and_draws_none(made: Made):
    (pan,), before = made.rows("panoramas"), made.project.store.pointer("alignments", made.episode)
    doubted = {"panoramas__like_frame": 1.0, "panoramas__doubtful_like_frame": 0.5}
    failures, _ = made.run(*STITCHED, **TRACKED, **doubted)
    assert not failures, failures
    assert made.project.store.pointer("alignments", made.episode) == before
    (now,) = made.rows("panoramas")
    assert (now["verdict"], now["reason"], now["path"]) == ("doubtful", "content_moves", pan["path"])
    assert "doubtful, content moves" in told(made, pan["image_id"])
    made.run(*FRAMES, *STITCHED, *STILLS, **TRACKED, **doubted)
    assert {row["kind"] for row in made.rows("stills")} == {"frame", "plate", "plate_with_subject"}


def test_what_a_person_says_of_a_doubtful_one_counts_from_the_next_run_on(made: Made):
    doubted = {"panoramas__like_frame": 1.0, "panoramas__doubtful_like_frame": 0.5}
    log, (plate, whole) = correction_log(made.project.settings()), made.rows("backdrops")
    ids = [made.rows("panoramas")[0]["image_id"], plate["image_id"]]
    pictures = [picture.model_dump() for picture in spoken_of(made.project.store, ids)]
    said = [{"do": "keep", "images": pictures[:1]}, {"do": "reject", "images": pictures[1:]}]
    log.append([event_of(it) for it in said], by="a test")
    failures, _ = made.run(*FRAMES, *STITCHED, *STILLS, **TRACKED, **doubted)
    assert not failures, failures
    (pan,), (plate, whole_now) = made.rows("panoramas"), made.rows("backdrops")
    assert whole_now == whole  # what is said of a plate is not said of the person on it
    assert (pan["verdict"], pan["reason"]) == ("keep", "kept_by_hand")
    assert (plate["verdict"], plate["reason"]) == ("refused", "rejected_by_hand")
    assert {row["kind"] for row in made.rows("stills")} == {"frame", "panorama", "plate_with_subject"}
    screen = told(made, pan["image_id"])
    assert "from second 0.000 to 2.958" in screen
    assert "keep, kept by hand" in screen
    assert "by hand: keep" in screen


def test_a_plate_with_somebody_on_it_is_a_still_like_any_other(made: Made):
    failures, _ = made.run(*FRAMES, *STITCHED, *STILLS, *OF_STILLS, **TRACKED)
    assert not failures, failures
    (whole,) = (row["image_id"] for row in made.rows("stills") if row["kind"] == "plate_with_subject")
    for asset in ("stitched_embeddings", "images", "quality_scores", "tag_scores"):
        assert whole in {row["image_id"] for row in made.rows(asset)}, asset
    found = {row["kind"] for row in made.rows("detections") if row["image_id"] == whole}
    crops = {row["kind"] for row in made.rows("crops") if row["still_id"] == whole and row["kept"]}
    print(f"{whole}: found {sorted(found)}, cut {sorted(crops)}")
    assert {"person", "head"} <= found
    assert "person" in crops
    assert {row["kind"] for row in made.rows("crops") if kind_of_span(row["still_id"]) == PLATE} == set()
    screen = told(made, whole)
    assert "from second 3.000 to" in screen
    assert "keep" in screen
    log = correction_log(made.project.settings())
    (spoken,) = (picture.model_dump() for picture in spoken_of(made.project.store, [whole]))
    log.append([event_of({"do": "reject", "images": [spoken]})], by="a test")
    failures, _ = made.run(*FRAMES, *STITCHED, *STILLS, **TRACKED)
    assert not failures, failures
    (row,) = (row for row in made.rows("backdrops") if row["image_id"] == whole)
    assert (row["verdict"], row["reason"]) == ("refused", "rejected_by_hand")
    assert whole not in {row["image_id"] for row in made.rows("stills")}
