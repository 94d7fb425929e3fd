"""What is a still, and what is an image."""

from __future__ import annotations

from dataset_pipeline.images.stills import images_of, is_still, stills_of
from dataset_pipeline.store.schemas import SCHEMAS

STILL, DROPPED, PAN = "show.e1/00001500", "show.e1/00000002", "show.e1/pan-00003000-00009000"
PICTURE = "show.e2/01-a1b2c3d4"
SIZE = {"width_px": 1280, "height_px": 720, "path": "p", "pixel_sha256": "h"}
NO_TIME = {"start_s": None, "end_s": None}


def frames(*rows: dict) -> list[dict]:
    return stills_of(SCHEMAS["distinct_frames"].table([{"episode": "show.e1", **row} for row in rows]))


def test_the_kept_frames_of_a_video_and_the_pictures_of_a_folder_are_stills():
    found = frames(
        {"image_id": STILL, "kept": True, "pts_s": 1.5, **SIZE},
        {"image_id": DROPPED, "kept": False, "pts_s": 0.002, **SIZE},
        {"image_id": PICTURE, "kept": True, "pts_s": None, **SIZE},
    )
    every = {"episode": "show.e1", "source": "distinct_frames", **SIZE}
    assert found == [
        {"image_id": STILL, "kind": "frame", "start_s": 1.5, "end_s": 1.5, **every},
        {"image_id": PICTURE, "kind": "picture", **NO_TIME, **every},
    ]
    SCHEMAS["stills"].table(found)


def test_panoramas_and_plates_that_are_certain_are_stills_with_their_span():
    pan = {"image_id": PAN, "episode": "show.e1", "kind": "panorama", "start_s": 3.0, "end_s": 9.0, **SIZE}
    others = [
        pan | {"image_id": f"show.e1/pan-0000300{number}-00009000", "verdict": verdict, "path": path}
        for number, (verdict, path) in enumerate([("doubtful", "p"), ("refused", ""), ("keep", "")], start=1)
    ]
    plate = pan | {"image_id": "show.e1/plate-00003000-00009000-with-00004000", "kind": "plate_with_subject"}
    found = stills_of(
        SCHEMAS["distinct_frames"].empty(),
        panoramas=SCHEMAS["panoramas"].table([pan | {"verdict": "keep"}, *others]),
        backdrops=SCHEMAS["backdrops"].table([plate | {"verdict": "keep"}]),
    )
    assert found == [pan | {"source": "panoramas"}, plate | {"source": "backdrops"}]
    SCHEMAS["stills"].table(found)


def test_the_stills_and_their_kept_crops_are_images_with_the_time_and_the_maker_of_their_picture():
    panorama = {"image_id": PAN, "kind": "panorama", "start_s": 3.0, "end_s": 9.0, "source": "panoramas", **SIZE}
    stills = SCHEMAS["stills"].table([*frames({"image_id": STILL, "kept": True, "pts_s": 1.5, **SIZE}), panorama])
    piece = {"still_id": PAN, "kind": "head", "still_share": 0.1, "x_px": 30, "y_px": 40, **SIZE}
    crops = [
        {"image_id": f"{PAN}#head-1-0-9-9", "kept": True, **piece},
        {"image_id": f"{PAN}#head-2-0-9-9", "kept": False, **piece},
        {"image_id": f"{DROPPED}#head-1-0-9-9", "kept": True, **piece, "still_id": DROPPED},
    ]
    found = images_of(stills, {"crops": SCHEMAS["crops"].table(crops)})
    whole = {"x_px": 0, "y_px": 0, "still_share": None, **SIZE}
    span = {"start_s": 3.0, "end_s": 9.0}
    assert found == [
        {"image_id": STILL, "still_id": STILL, "kind": "frame", "start_s": 1.5, "end_s": 1.5}
        | {"source": "distinct_frames", **whole},
        {"image_id": PAN, "still_id": PAN, "kind": "panorama", **span, "source": "panoramas", **whole},
        {"image_id": f"{PAN}#head-1-0-9-9", **piece, **span, "source": "crops"},
    ]
    assert [is_still(row) for row in found] == [True, True, False]
    SCHEMAS["images"].table(found)
