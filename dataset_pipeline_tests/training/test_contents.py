from __future__ import annotations

import random

import pytest

from dataset_pipeline.base.tag_words import people_number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.training.contents import Faces, faces_on, people_on

STILL, OTHER = "show.e1/00000001", "show.e1/00000002"
GENERAL = {"category": "general"}
MEASURED = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}


def image(image_id: str, still_id: str, x: int, y: int, width: int, height: int) -> dict:
    return {"image_id": image_id, "still_id": still_id} | dict(
        zip(("x_px", "y_px", "width_px", "height_px"), (x, y, width, height), strict=True)
    )


def box(x0: float, y0: float, x1: float, y1: float, score: float = 0.9, kind: str = "face", still: str = STILL) -> dict:
    corners = {"x0_px": float(x0), "y0_px": float(y0), "x1_px": float(x1), "y1_px": float(y1)}
    return {"image_id": still, "kind": kind, **corners, "score": score, "model_sha256": "m"}


def tagged(**tags: dict[str, float] | None) -> dict[str, int]:
    """People of images by name, from general tags with these scores at a threshold of 0.35."""
    rows = [
        {"image_id": name, **MEASURED}
        | {"tags": None if scores is None else [{**GENERAL, "tag": tag, "score": it} for tag, it in scores.items()]}
        for name, scores in tags.items()
    ]
    return people_on(SCHEMAS["tag_scores"].table(rows), SCHEMAS["hand_edited_tags"].empty(), 0.35)


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


def test_only_tags_from_the_threshold_on_count_and_of_two_numbers_the_more_probable():
    assert tagged(
        a={"1girl": 0.34, "1boy": 0.9}, b={}, c={"smile": 0.9, "2girls": 0.5, "1girl": 0.8}, d=None, e={"3boys": 0.4}
    ) == {"a": 1, "b": 0, "c": 1, "d": 0, "e": 3}
    assert people_on(SCHEMAS["tag_scores"].empty(), SCHEMAS["hand_edited_tags"].empty(), 0.35) == {}


def test_what_a_person_wrote_goes_before_what_a_tagger_saw():
    seen = [{"tag": "1girl", "category": "general", "score": 0.9}]
    scores = SCHEMAS["tag_scores"].table([{"image_id": name, **MEASURED, "tags": seen} for name in "ab"])
    written = SCHEMAS["hand_edited_tags"].table([{"image_id": "a", "file": "a.txt", "tags": ["2girls", "1boy"]}])
    assert people_on(scores, written, 0.35) == {"a": 3, "b": 1}


def test_any_table_gives_what_counting_image_by_image_gives():
    rng = random.Random(5)
    vocabulary = ["1girl", "2boys", "1other", "solo", "smile", "hat", "girl"]
    images = {
        f"i{number:03d}": {tag: rng.random() for tag in rng.sample(vocabulary, rng.randrange(7))}
        for number in range(200)
    }
    expected = {
        name: people_number(tag for tag, score in scores.items() if score >= 0.35) for name, scores in images.items()
    }
    assert tagged(**images) == expected
