from __future__ import annotations

from typing import Any

import pytest

from dataset_pipeline.corrections.answers import KEPT
from dataset_pipeline.settings import SelectionSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.contents import Faces
from dataset_pipeline.training.selection import select

DEFAULTS = load_settings(resources_folder() / "settings.toml").selection
STILL = "show.e1/00000001"


def settings(**changes: object) -> SelectionSettings:
    return SelectionSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def image(kind: str = "still", side: int = 500, share: float = 0.2, number: int = 1) -> dict[str, Any]:
    return {
        "image_id": STILL if kind == "still" else f"{STILL}#{kind}-{number}-0-9-9",
        "still_id": STILL,
        "kind": kind,
        "x_px": 0,
        "y_px": 0,
        "width_px": 900,
        "height_px": side,
        "still_share": None if kind == "still" else share,
        "path": "p",
        "pixel_sha256": "h",
    }


def reasons(
    images: list[dict], known: bool = True, quality: float | None = 0.5, n_faces: int = 1, **changes: object
) -> dict[str, str]:
    characters = {row["image_id"]: ["fern|braids"] if known else [] for row in images}
    scores = {} if quality is None else {row["image_id"]: quality for row in images}
    faces = {row["image_id"]: Faces(n_faces, 0.3) for row in images if n_faces}
    rows = select(images, scores, characters, settings(**changes), faces=faces)
    SCHEMAS["selection"].table(rows)
    assert all(row["selected"] == (row["reason"] == "selected") for row in rows)
    assert len(rows) == len(images)
    return {row["kind"]: row["reason"] for row in rows}


def test_stills_and_wanted_crops_go_in():
    assert reasons([image(), image("person"), image("head")]) == dict.fromkeys(["still", "person", "head"], "selected")


def test_kinds_that_are_not_wanted_stay_out():
    assert reasons([image(), image("person"), image("hand")], stills=False, crops=["head"]) == dict.fromkeys(
        ["still", "person", "hand"], "kind_not_wanted"
    )


@pytest.mark.parametrize(("side", "reason"), [(95, "small"), (96, "selected")])
def test_small_images_stay_out(side: int, reason: str):
    assert reasons([image(side=side)]) == {"still": reason}


@pytest.mark.parametrize(
    ("score", "reason"),
    [(0.39, "low_quality"), (0.4, "selected"), (None, "not_scored"), (float("nan"), "not_scored")],
)
def test_images_of_low_or_unknown_quality_stay_out(score: float | None, reason: str):
    assert reasons([image()], quality=score, min_quality=0.4) == {"still": reason}


def test_a_crop_nobody_was_recognised_on_stays_out_and_a_still_goes_in_as_a_style_picture():
    assert reasons([image(), image("person")], known=False) == {"still": "selected", "person": "nobody_known"}
    assert reasons([image()], known=False, without_characters=False) == {"still": "nobody_known"}


def test_a_crop_that_fills_its_still_stays_out_only_if_the_still_goes_in():
    pair = [image(), image("person", share=0.51)]
    assert reasons(pair) == {"still": "selected", "person": "crop_fills_still"}
    assert reasons(pair, stills=False) == {"still": "kind_not_wanted", "person": "selected"}
    assert reasons([image(), image("person", share=0.5)]) == {"still": "selected", "person": "selected"}
    assert reasons(pair[1:]) == {"person": "selected"}


@pytest.mark.parametrize(
    ("n_faces", "reason"), [(0, "too_few_faces"), (1, "selected"), (2, "selected"), (3, "too_many_faces")]
)
def test_too_few_and_too_many_faces_keep_stills_and_crops_out(n_faces: int, reason: str):
    found = reasons([image(), image("head")], n_faces=n_faces, min_faces=1, max_faces=2)
    assert found == {"still": reason, "head": reason}
    assert reasons([image()], n_faces=n_faces) == {"still": "selected"}


def test_pictures_without_any_face_can_be_all_that_is_wanted():
    assert reasons([image()], n_faces=1, max_faces=0) == {"still": "too_many_faces"}
    assert reasons([image()], n_faces=0, max_faces=0) == {"still": "selected"}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([], "selected"),
        (["stark", "fern"], "selected"),
        (["fern|braids"], "selected"),
        (["stark"], "character_not_wanted"),
        (["fern|hat"], "character_not_wanted"),
    ],
)
def test_images_of_characters_that_are_not_wanted_stay_out(wanted: list[str], reason: str):
    assert reasons([image(), image("head")], characters=wanted) == {"still": reason, "head": reason}


def test_where_characters_are_wanted_pictures_of_nobody_stay_out():
    found = reasons([image(), image("head")], known=False, characters=["fern"])
    assert found == {"still": "character_not_wanted", "head": "nobody_known"}


def test_rows_keep_what_later_steps_need():
    (row,) = select(
        [image()],
        {STILL: 0.7},
        {STILL: ["stark", "fern"]},
        DEFAULTS,
        faces={STILL: Faces(2, 0.39)},
        people={STILL: 3},
    )
    assert row == {
        "image_id": STILL,
        "still_id": STILL,
        "kind": "still",
        "selected": True,
        "reason": "selected",
        "quality": 0.7,
        "characters": ["fern", "stark"],
        "n_faces": 2,
        "face_height_share": 0.39,
        "n_people": 3,
        "cut_px": None,
        "by_hand": False,
        "path": "p",
        "pixel_sha256": "h",
    }


def test_an_image_of_which_nothing_is_known_shows_nobody():
    (row,) = select([image()], {STILL: 0.7}, {}, DEFAULTS)
    assert (row["characters"], row["n_faces"], row["face_height_share"], row["n_people"]) == ([], 0, 0.0, 0)


def test_frames_of_a_pan_stay_beside_its_panorama_unless_they_are_to_be_thinned_and_it_shows_them_whole():
    pan = image() | {"image_id": "show.e1/pan-00000001-00002000", "kind": "panorama", "start_s": 0.001, "end_s": 2.0}
    frames = {
        it: image() | {"image_id": f"show.e1/{it}", "kind": "frame", "start_s": int(it) / 1000, "end_s": int(it) / 1000}
        for it in ("00000001", "00000500", "00000900", "00001100", "00001700", "00002500")
    }
    images = [row | {"still_id": row["image_id"]} for row in (pan, *frames.values())]
    scores = {row["image_id"]: 0.5 for row in images}
    known = {"show.e1/00000900": ["fern"]}

    def thinned(pan_quality: float = 0.5, covered_s: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0), **changes) -> set[str]:
        quality, whole = scores | {pan["image_id"]: pan_quality}, {pan["image_id"]: covered_s}
        rows = select(images, quality, known, settings(min_quality=0.1, **changes), covered_s=whole)
        return {row["image_id"] for row in rows if row["reason"] == "in_panorama"}

    assert thinned() == set()
    assert thinned(frames_of_panoramas="thin") == {"show.e1/00000500", "show.e1/00001700"}
    assert thinned(frames_of_panoramas="thin", covered_s=()) == set()
    assert thinned(frames_of_panoramas="thin", pan_quality=0.0) == set()


def test_crops_of_somebody_put_back_on_a_plate_stay_out_unless_a_person_keeps_them():
    whole = "show.e1/plate-00000001-00002000-with-00001000"
    parts = [image() | {"image_id": whole}]
    parts += [
        image(kind) | {"image_id": f"{whole}#{kind}-1-0-9-9"} for kind in ("person", "head", "hand", "objectdetail")
    ]
    images = [row | {"still_id": whole} for row in parts]
    known, scores = {row["image_id"]: ["fern"] for row in images}, {row["image_id"]: 0.5 for row in images}
    by_hand = {f"{whole}#head-1-0-9-9": KEPT}
    rows = select(images, scores, known, settings(crops=["person", "head"]), by_hand=by_hand)
    assert {row["kind"]: row["reason"] for row in rows} == {
        "still": "selected",
        "person": "of_plate",
        "head": "selected",
        "hand": "kind_not_wanted",
        "objectdetail": "selected",
    }


def test_a_repeated_still_and_its_crops_stay_out():
    rows = select([image(), image("head")], {}, {}, DEFAULTS, repeated={STILL})
    assert [row["reason"] for row in rows] == ["repeated", "repeated"]


def test_an_image_that_no_model_answered_for_stays_out_with_that_reason():
    [still] = select([image()], {STILL: 0.9}, {}, DEFAULTS, people={})
    assert (still["selected"], still["reason"]) == (False, "not_tagged")
    for wanted, reason in (({"min_faces": 1}, "faces_not_counted"), ({"max_faces": 0}, "faces_not_counted"), ({}, "")):
        rows = select([image()], {STILL: 0.9}, {STILL: ["fern"]}, settings(**wanted), people={STILL: 1}, unseen={STILL})
        [still] = rows
        assert still["reason"] == (reason or "selected")


SUBTITLE = (200.0, 440.0, 700.0, 480.0)  # on a still of 900 x 500


@pytest.mark.parametrize(
    ("changes", "boxes", "reason", "cut_px"),
    [
        ({}, [SUBTITLE], "selected", [0, 0, 900, 437]),
        ({"text": "drop"}, [SUBTITLE], "burnt_in_text", None),
        ({"text": "keep"}, [SUBTITLE], "selected", None),
        ({}, [], "selected", None),
        ({"min_share_without_text": 0.9}, [SUBTITLE], "burnt_in_text", None),
        ({"min_short_side_px": 450}, [SUBTITLE], "small", None),
        ({}, [(0.0, 0.0, 900.0, 500.0)], "burnt_in_text", None),
        ({"stills": False}, [SUBTITLE], "kind_not_wanted", None),
    ],
)
def test_text_is_cut_away_or_leaves_the_still_out(changes, boxes, reason, cut_px):
    [row] = select([image()], {STILL: 0.5}, {STILL: ["fern"]}, settings(**changes), text={STILL: boxes})
    assert (row["reason"], row["cut_px"]) == (reason, cut_px)


def test_a_crop_loses_only_text_that_lies_on_it_and_in_its_own_pixels():
    below: dict[str, Any] = image("person", number=1) | {"x_px": 100, "y_px": 200, "width_px": 200, "height_px": 300}
    above: dict[str, Any] = image("person", number=2) | {"x_px": 100, "y_px": 0, "width_px": 200, "height_px": 300}
    rows = select(
        [image(), below, above],
        dict.fromkeys((STILL, below["image_id"], above["image_id"]), 0.5),
        {row["image_id"]: ["fern"] for row in (below, above)},
        settings(),
        text={STILL: [SUBTITLE]},
    )
    assert {row["image_id"]: row["cut_px"] for row in rows} == {
        STILL: [0, 0, 900, 437],
        below["image_id"]: [0, 0, 200, 237],
        above["image_id"]: None,
    }


def test_what_a_person_kept_stays_with_its_text_where_too_little_would_be_left():
    kept, all_of_it = {STILL: KEPT}, [(0.0, 0.0, 900.0, 500.0)]
    for boxes, cut_px in ((all_of_it, None), ([SUBTITLE], [0, 0, 900, 437])):
        [row] = select([image()], {}, {}, settings(), by_hand=kept, text={STILL: boxes})
        assert (row["reason"], row["cut_px"]) == ("selected", cut_px)


def test_details_are_wanted_wherever_they_are_made_and_known_or_not_as_stills_are():
    detail, crop = image("handdetail"), image("hand")
    told = reasons([detail, crop], known=False, crops=["hand"])
    assert told == {"handdetail": "selected", "hand": "nobody_known"}
    assert set(reasons([detail], known=False, without_characters=False).values()) == {"nobody_known"}
    assert set(reasons([detail], crops=[]).values()) == {"selected"}


def test_a_detail_with_text_is_left_out_sooner_than_cut_as_it_stays_a_square():
    detail: dict[str, Any] = image("objectdetail") | {"width_px": 500}
    rows = select(
        [image(), detail],
        dict.fromkeys((STILL, detail["image_id"]), 0.5),
        {STILL: ["fern"]},
        settings(),
        text={STILL: [SUBTITLE]},
    )
    assert [(row["reason"], row["cut_px"]) for row in rows] == [("selected", [0, 0, 900, 437]), ("burnt_in_text", None)]
