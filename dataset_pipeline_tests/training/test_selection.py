from __future__ import annotations

import pytest

from dataset_pipeline.settings import SelectionSettings, load_settings, resources_folder
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.selection import images_of, select

DEFAULTS = load_settings(resources_folder() / "settings.toml").selection
STILL = "show.e1/00000001"


def settings(**changes: object) -> SelectionSettings:
    return SelectionSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def image(kind: str = "still", side: int = 500, share: float = 0.2, number: int = 1) -> dict:
    return {
        "image_id": STILL if kind == "still" else f"{STILL}#{kind}-{number}-0-9-9",
        "still_id": STILL,
        "kind": kind,
        "width_px": 900,
        "height_px": side,
        "still_share": None if kind == "still" else share,
        "path": "p",
        "pixel_sha256": "h",
    }


def reasons(images: list[dict], known: bool = True, quality: float | None = 0.5, **changes: object) -> dict[str, str]:
    clusters = [{"image_id": row["image_id"], "characters": ["fern"] if known else []} for row in images]
    scores = {} if quality is None else {row["image_id"]: quality for row in images}
    rows = select(images, scores, clusters, settings(**changes))
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


def test_rows_keep_what_later_steps_need():
    (row,) = select([image()], {STILL: 0.7}, [{"image_id": STILL, "characters": ["stark", "fern"]}], DEFAULTS)
    assert row == {
        "image_id": STILL,
        "still_id": STILL,
        "kind": "still",
        "selected": True,
        "reason": "selected",
        "quality": 0.7,
        "characters": ["fern", "stark"],
        "path": "p",
        "pixel_sha256": "h",
    }


def test_images_are_the_kept_stills_and_the_kept_crops():
    size = {"width_px": 1280, "height_px": 720, "path": "p", "pixel_sha256": "h"}
    frames = [
        {"image_id": STILL, "kept": True, **size},
        {"image_id": "show.e1/00000002", "kept": False, **size},
    ]
    crops = [
        {
            "image_id": f"{STILL}#head-1-0-9-9",
            "still_id": STILL,
            "kind": "head",
            "kept": True,
            "still_share": 0.1,
            **size,
        },
        {
            "image_id": f"{STILL}#head-2-0-9-9",
            "still_id": STILL,
            "kind": "head",
            "kept": False,
            "still_share": 0.1,
            **size,
        },
    ]
    assert [(row["image_id"], row["kind"], row["still_share"]) for row in images_of(frames, crops)] == [
        (STILL, "still", None),
        (f"{STILL}#head-1-0-9-9", "head", 0.1),
    ]
