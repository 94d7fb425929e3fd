from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.corrections.answers import DrawnBox
from dataset_pipeline.images.crops import cut, plan_all_crops, plan_crops
from dataset_pipeline.settings import CropsSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS

DEFAULTS = load_settings(resources_folder() / "settings.toml").crops
SIZE = (1280, 720)


def settings(**changes: object) -> CropsSettings:
    return CropsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def box(kind: str, x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> dict:
    return {"kind": kind, "x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1, "score": score}


def plan(*boxes: dict, **changes: object) -> list[dict]:
    return plan_crops("show.e1/00001000", SIZE, boxes, settings(**changes))


def place(row: dict) -> tuple[int, int, int, int]:
    return row["x_px"], row["y_px"], row["width_px"], row["height_px"]


def test_a_person_is_cropped_as_the_box_is_in_whole_pixels():
    (row,) = plan(box("person", 100.4, 50.6, 400.5, 650.2))
    assert place(row) == (100, 51, 300, 599)
    assert row["still_share"] == pytest.approx(300 * 599 / (1280 * 720))
    assert (row["kept"], row["reason"]) == (True, "kept")
    assert row["image_id"].startswith("show.e1/00001000#person-")


def test_a_head_becomes_a_square_of_one_and_a_half_times_its_longer_side():
    (row,) = plan(box("head", 600, 300, 700, 420))
    assert place(row) == (560, 270, 180, 180)


def test_a_square_at_the_edge_is_shifted_and_stays_a_square():
    (row,) = plan(box("head", 0, 0, 100, 120))
    assert place(row) == (0, 0, 180, 180)
    (row,) = plan(box("head", 1200, 640, 1280, 720))
    assert place(row) == (1160, 600, 120, 120)


def test_a_square_larger_than_the_still_is_as_large_as_its_short_side():
    (row,) = plan(box("head", 300, 20, 900, 700))
    assert place(row) == (240, 0, 720, 720)


def test_boxes_that_stick_out_are_clipped_and_those_outside_are_not_found():
    (row,) = plan(box("person", -50, -20, 300, 900), box("person", 1300, 10, 1500, 400), box("person", 5, 5, 5, 400))
    assert place(row) == (0, 0, 300, 720)


def test_a_box_below_its_kinds_score_is_not_found_and_one_at_it_is():
    assert plan(box("person", 0, 0, 300, 600, score=0.29)) == []
    assert len(plan(box("person", 0, 0, 300, 600, score=0.3))) == 1
    assert plan(box("head", 0, 0, 300, 600, score=0.39)) == []


def test_a_small_crop_keeps_its_row_and_reason():
    (row,) = plan(box("person", 0, 0, 159, 600))
    assert (row["kept"], row["reason"]) == (False, "small")
    (row,) = plan(box("person", 0, 0, 160, 600))
    assert row["kept"]


def test_a_changed_size_limit_changes_decisions_and_never_ids():
    boxes = [box("person", 0, 0, 200, 600), box("person", 300, 0, 700, 700)]
    before, after = plan(*boxes), plan(*boxes, person_min_side_px=300)
    assert [row["image_id"] for row in before] == [row["image_id"] for row in after]
    assert [row["kept"] for row in before] == [True, True]
    assert [row["kept"] for row in after] == [True, False] or [row["kept"] for row in after] == [False, True]


def test_a_changed_scale_moves_the_crop_and_keeps_its_id():
    (narrow,) = plan(box("head", 600, 300, 700, 400))
    (wide,) = plan(box("head", 600, 300, 700, 400), head_scale=2.0)
    assert narrow["image_id"] == wide["image_id"]
    assert (narrow["width_px"], wide["width_px"]) == (150, 200)


def test_kinds_that_are_not_wanted_give_no_rows():
    assert plan(box("hand", 0, 0, 300, 300), box("face", 0, 0, 300, 300)) == []
    assert [row["kind"] for row in plan(box("hand", 0, 0, 300, 300), kinds=["hand"])] == ["hand"]


def test_of_two_boxes_with_one_id_the_higher_score_stays():
    twins = [box("person", 100.0, 50, 400, 650, score=0.5), box("person", 100.1, 50, 400, 650, score=0.8)]
    assert [row["score"] for row in plan(*twins)] == [0.8]
    assert [row["score"] for row in plan(*reversed(twins))] == [0.8]


def test_random_boxes_give_crops_inside_the_still_whatever_their_order():
    rng = np.random.default_rng(3)
    for _ in range(50):
        corners = rng.uniform(-200, 1500, size=(12, 2, 2))
        boxes = [
            box(str(rng.choice(["person", "head"])), *pair.min(axis=0), *pair.max(axis=0), score=rng.uniform(0.2, 1))
            for pair in corners
        ]
        rows = plan(*boxes)
        for row in rows:
            x, y, width, height = place(row)
            assert x >= 0
            assert y >= 0
            assert width >= 1
            assert height >= 1
            assert x + width <= SIZE[0]
            assert y + height <= SIZE[1]
        assert plan(*(boxes[i] for i in rng.permutation(12))) == rows


def test_an_episodes_boxes_are_planned_still_by_still_and_other_stills_are_ignored():
    stills = {"show.e1/00001000": {"width_px": 1280, "height_px": 720, "pixel_sha256": "ab"}}
    boxes = [{"image_id": still, **box("person", 0, 0, 300, 600)} for still in ("show.e1/00001000", "show.e1/00002000")]
    (row,) = plan_all_crops(stills, boxes, DEFAULTS)
    assert (row["still_id"], row["still_sha256"]) == ("show.e1/00001000", "ab")
    SCHEMAS["crops"].table([row])


def test_the_cut_holds_the_pixels_of_its_place_and_none_outside():
    picture = np.arange(720 * 1280 * 3, dtype=np.uint32).astype(np.uint8).reshape(720, 1280, 3)
    (row,) = plan(box("person", 100, 50, 400, 650))
    piece = cut(picture, row)
    assert piece.shape == (600, 300, 3)
    assert (piece == picture[50:650, 100:400]).all()
    assert not np.shares_memory(piece, picture)
    with pytest.raises(ValueError, match=r"300x600 at 100,50.*does not lie inside its still of 320x240"):
        cut(picture[:240, :320], row)


THREE_STAGES = (box("person", 100, 100, 300, 700), box("halfbody", 100, 100, 300, 400), box("head", 150, 100, 250, 200))


def test_crops_say_of_which_crop_they_are_part_and_pass_over_what_is_not_cropped():
    face = box("face", 165, 130, 235, 195)
    rows = {row["kind"]: row for row in plan(*THREE_STAGES, face, kinds=["person", "halfbody", "head", "face"])}
    ids = {kind: row["image_id"] for kind, row in rows.items()}
    whole = {"person": "", "halfbody": ids["person"], "head": ids["halfbody"], "face": ids["head"]}
    assert {kind: row["part_of"] for kind, row in rows.items()} == whole
    rows = {row["kind"]: row for row in plan(*THREE_STAGES, face, kinds=["person", "face"])}
    assert rows["face"]["part_of"] == rows["person"]["image_id"]


@pytest.mark.parametrize(
    ("boxes", "lacking"),
    [
        ((), {"require_head": "no_head", "require_face": "no_face"}),
        ((box("head", 150, 100, 250, 200),), {"require_head": "kept", "require_face": "no_face"}),
        ((box("face", 165, 130, 235, 195),), {"require_head": "kept", "require_face": "kept"}),
        # The head of somebody else, far below.
        ((box("head", 150, 580, 250, 680),), {"require_head": "no_head", "require_face": "no_face"}),
        ((box("head", 150, 100, 250, 200, score=0.39),), {"require_head": "no_head", "require_face": "no_face"}),
    ],
)
def test_a_person_without_the_head_or_face_that_is_required_is_left_out(boxes: tuple, lacking: dict):
    person = box("person", 100, 100, 300, 700)
    assert [row["reason"] for row in plan(person, *boxes, kinds=["person"])] == ["kept"]
    for required, reason in lacking.items():
        (row,) = plan(person, *boxes, kinds=["person"], **{required: True})
        assert (row["reason"], row["kept"]) == (reason, reason == "kept")


def test_on_a_clean_plate_only_what_a_person_drew_is_cut_and_who_was_put_back_is_found():
    plate, whole = "show.e1/plate-00001000-00003000", "show.e1/plate-00001000-00003000-with-00002000"
    still = {"width_px": SIZE[0], "height_px": SIZE[1], "pixel_sha256": "h"}
    boxes = [box("head", 600, 300, 700, 420) | {"image_id": it} for it in (plate, whole)]
    drawn = DrawnBox(plate, "person", (100, 100, 200, 300))
    rows = plan_all_crops({plate: still, whole: still}, boxes, settings(), [drawn])
    assert [(row["still_id"], row["kind"], row["reason"]) for row in rows] == [
        (plate, "person", "drawn_by_hand"),
        (whole, "head", "kept"),
    ]
