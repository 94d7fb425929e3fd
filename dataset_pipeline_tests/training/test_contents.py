from __future__ import annotations

import pytest

from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.contents import Faces, faces_on

STILL, OTHER = "show.e1/00000001", "show.e1/00000002"


def image(image_id: str, still_id: str, x: int, y: int, width: int, height: int) -> dict:
    return {"image_id": image_id, "still_id": still_id} | dict(
        zip(("x_px", "y_px", "width_px", "height_px"), (x, y, width, height), strict=True)
    )


def box(x0: float, y0: float, x1: float, y1: float, score: float = 0.9, kind: str = "face", still: str = STILL) -> dict:
    corners = {"x0_px": float(x0), "y0_px": float(y0), "x1_px": float(x1), "y1_px": float(y1)}
    return {"image_id": still, "kind": kind, **corners, "score": score, "model_sha256": "m"}


def test_a_crop_shows_the_faces_with_their_centre_within_it_and_a_still_all_of_its_own():
    boxes = [
        box(100, 100, 200, 300),  # its centre is 150, 200
        box(395, 0, 415, 40),  # 405, 20: right of the crop, though it reaches into it
        box(0, 0, 90, 90, score=0.3),  # not found
        box(100, 100, 200, 300, kind="head"),
        box(10, 10, 20, 30, still=OTHER),
    ]
    images = [
        image(STILL, STILL, 0, 0, 1000, 400),
        image(f"{STILL}#head-1-1-1-1", STILL, 100, 100, 305, 250),
        image(f"{STILL}#head-2-1-1-1", STILL, 150, 200, 300, 100),
        image(f"{STILL}#head-3-1-1-1", STILL, 151, 100, 300, 300),
    ]
    assert faces_on(SCHEMAS["detections"].table(boxes), images, 0.35) == {
        STILL: Faces(2, 0.5),
        f"{STILL}#head-1-1-1-1": Faces(1, 0.8),
        f"{STILL}#head-2-1-1-1": Faces(1, 1.0),  # the face is higher than the crop
    }
    assert faces_on(SCHEMAS["detections"].empty(), images, 0.35) == {}


def test_a_face_counts_from_the_score_on():
    images, boxes = [image(STILL, STILL, 0, 0, 1000, 400)], SCHEMAS["detections"].table([box(0, 0, 10, 157, 0.35)])
    assert faces_on(boxes, images, 0.35) == {STILL: Faces(1, pytest.approx(0.3925))}
    assert faces_on(boxes, images, 0.36) == {}


def test_a_clean_plate_shows_no_face():
    plate = "show.e1/plate-00001000-00003000"
    images = [image(it, it, 0, 0, 1000, 400) for it in (plate, f"{plate}-with-00002000")]
    boxes = [box(100, 100, 200, 300, still=row["image_id"]) for row in images]
    assert faces_on(SCHEMAS["detections"].table(boxes), images, 0.35) == {f"{plate}-with-00002000": Faces(1, 0.5)}
