"""One person over the frames of a shot, and which crop belongs to it."""

from __future__ import annotations

from typing import Any

import pytest

from dataset_pipeline.base.boxes import iou
from dataset_pipeline.base.ids import box_of_crop, track_id
from dataset_pipeline.characters.tracks import box_at, track_of, tracks_of
from dataset_pipeline.store.schemas import SCHEMAS


def sample(pts_s: float, x0: float, held_until_s: float | None = None, head: bool = True) -> dict[str, Any]:
    """A person 100 px wide and 400 high from the top of a picture of 1000x500, head 50x50 in the middle of the top."""
    box = {"x0_px": x0, "y0_px": 0.0, "x1_px": x0 + 100, "y1_px": 400.0, "score": 0.9}
    crown = {"x0_px": x0 + 25, "y0_px": 0.0, "x1_px": x0 + 75, "y1_px": 50.0, "score": 0.8}
    held = pts_s if held_until_s is None else held_until_s
    times = {"pts": round(pts_s * 24), "pts_s": pts_s, "held_until_s": held}
    return {**times, **box, "head": crown if head else None, "sharpness": 100.0}


def track(name: str, *samples: dict[str, Any]) -> dict[str, Any]:
    return {
        "track_id": f"show.e01/{name}",
        "episode": "show.e01",
        "shot": 0,
        "start_s": samples[0]["pts_s"],
        "end_s": samples[-1]["held_until_s"],
        "width_px": 1000,
        "height_px": 500,
        "score": 0.9,
        "max_score": 0.9,
        "samples": list(samples),
        "vectors": [],
        "detector_sha256": "d",
        "model_sha256": "m",
    }


def test_the_overlap_of_two_boxes_is_their_common_area_by_that_of_both():
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0


def test_a_person_walks_in_a_straight_line_between_two_samples_and_stands_while_the_picture_is_held():
    walking = track("walking", sample(1.0, 0.0, held_until_s=2.0), sample(3.0, 100.0))
    assert box_at(walking, 1.5) == (0.0, 0.0, 100.0, 400.0)
    assert box_at(walking, 2.25) == (25.0, 0.0, 125.0, 400.0)
    assert box_at(walking, 2.25, "head") == (50.0, 0.0, 100.0, 50.0)
    assert box_at(walking, 3.0) == (100.0, 0.0, 200.0, 400.0)
    assert box_at(walking, 0.9) is None
    assert box_at(walking, 3.1) is None


def test_a_sample_without_a_head_lies_between_those_that_have_one():
    turning = track("turning", sample(0.0, 0.0), sample(1.0, 500.0, head=False), sample(2.0, 100.0))
    assert box_at(turning, 1.0, "head") == (75.0, 0.0, 125.0, 50.0)
    assert box_at(track("back", sample(0.0, 0.0, head=False)), 0.0, "head") is None


def test_a_crop_belongs_to_the_track_that_is_where_it_was_cut_when_it_was_cut():
    left, right = (
        track("left", sample(0.0, 0.0), sample(1.0, 0.0)),
        track("right", sample(0.0, 600.0), sample(1.0, 600.0)),
    )
    assert track_of("show.e01/00000500#person-600-0-100-800", [left, right]) == "show.e01/right"
    assert track_of("show.e01/00000500#head-20-0-50-100", [left, right]) == "show.e01/left"
    assert track_of("show.e01/00000500#person-300-0-100-800", [left, right]) is None
    assert track_of("show.e01/00005000#person-600-0-100-800", [left, right]) is None
    assert track_of("show.e01/00000500#face-600-0-100-800", [left, right]) is None
    assert track_of("show.e01/cover-0a1b2c3d#person-600-0-100-800", [left, right]) is None
    assert track_of("show.e01/pan-00000500-00000900#person-600-0-100-800", [left, right]) is None


def test_two_crops_of_one_frame_and_kind_are_two_tracks():
    alone = track("alone", sample(0.0, 0.0))
    near, exact = "show.e01/00000000#person-20-0-100-800", "show.e01/00000000#person-0-0-100-800"
    head = "show.e01/00000000#head-25-0-50-100"
    assert tracks_of([near, exact, head], [alone]) == {exact: "show.e01/alone", head: "show.e01/alone"}
    aside = track("aside", sample(0.0, 40.0))
    assert tracks_of([near, exact], [alone, aside]) == {exact: "show.e01/alone", near: "show.e01/aside"}


def test_the_id_of_a_track_tells_where_and_when_it_begins():
    assert track_id("show.e01", 12.5, (100, 0, 200, 400), (1000, 500)) == "show.e01/track-00012500-100-0-100-800"


def test_the_id_of_a_crop_tells_its_box():
    assert box_of_crop("show.e01/00000500#head-20-0-50-100") == ("head", (0.02, 0.0, 0.07, 0.1))
    with pytest.raises(ValueError, match="is no crop"):
        box_of_crop("show.e01/00000500")


def test_rows_are_those_of_the_table():
    table = SCHEMAS["tracks"].table([track("a", sample(0.0, 0.0)), track("b", sample(0.0, 0.0, head=False))])
    assert [row["samples"][0]["head"] is None for row in table.to_pylist()] == [False, True]
