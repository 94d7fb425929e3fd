from __future__ import annotations

import pytest

from dataset_pipeline.base.ids import crop_id
from dataset_pipeline.tags.people import Person, Seen, people_of, seen_on, seen_on_images

STILL = "show.e1/00000001"
SIZE = (1000, 500)
WHOLE = (0.0, 0.0, 1000.0, 500.0)


def box(kind: str, x0: float, y0: float, x1: float, y1: float, score: float = 0.8, still: str = STILL) -> dict:
    return {"image_id": still, "kind": kind, "x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1, "score": score}


LEFT = [box("person", 100, 100, 300, 500), box("head", 160, 100, 240, 200)]
RIGHT = [box("person", 600, 50, 800, 500), box("head", 660, 60, 740, 150)]


def people(*boxes: dict) -> list[Person]:
    return people_of(STILL, SIZE, boxes, 0.25, 0.4)


def numbers(*boxes: dict, kind: str = "still", place: tuple = WHOLE) -> tuple[int, int]:
    seen = seen_on(kind, place, people(*boxes))
    return seen.at_least, seen.at_most


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], (0, 0)),
        (LEFT, (1, 1)),
        (LEFT + RIGHT, (2, 2)),
        (LEFT[:1], (1, 1)),  # a back without a head
        (LEFT[1:], (1, 1)),  # a head without a body
        ([*LEFT, box("head", 110, 300, 150, 340)], (2, 2)),  # somebody's head before another's body
        ([*LEFT, box("person", 110, 120, 320, 500, 0.7)], (1, 2)),  # a box that repeats the first
        ([*LEFT, box("person", 250, 100, 460, 500, 0.7)], (2, 2)),  # one that hardly overlaps with it
        ([box("person", 100, 100, 300, 500, 0.3)], (0, 1)),
        ([box("person", 100, 100, 300, 500, 0.3), box("head", 160, 100, 240, 200, 0.6)], (1, 1)),
        ([box("person", 100, 100, 300, 500, 0.2)], (0, 0)),
        ([box("head", 160, 100, 240, 200, float("nan"))], (0, 0)),
        ([box("face", 160, 100, 240, 200)], (0, 1)),
        ([*LEFT, box("face", 180, 120, 220, 180), box("hand", 500, 100, 520, 120)], (1, 1)),
    ],
)
def test_how_many_people_the_boxes_of_a_still_make(boxes: list[dict], expected: tuple[int, int]):
    assert numbers(*boxes) == expected
    assert numbers(*reversed(boxes)) == expected


def test_of_two_bodies_that_hold_one_head_the_one_whose_top_it_is_at_gets_it():
    behind = box("person", 150, 60, 420, 500, 0.9)
    found = {person.body: person.head for person in people(*LEFT, behind, box("head", 250, 62, 330, 160))}
    assert found == {(100, 100, 300, 500): (160, 100, 240, 200), (150, 60, 420, 500): (250, 62, 330, 160)}


def test_a_persons_crops_are_called_by_its_boxes_even_beyond_the_stills_edge():
    [person] = people(box("person", -5, 100, 300, 510), LEFT[1])
    assert person.crops == (
        crop_id(STILL, "person", (0, 100, 300, 500), SIZE),
        crop_id(STILL, "head", (160, 100, 240, 200), SIZE),
    )


@pytest.mark.parametrize(
    ("kind", "place", "expected"),
    [
        ("person", (100, 100, 300, 500), (1, 1)),
        ("person", (100, 50, 800, 500), (2, 2)),
        ("person", (270, 100, 640, 500), (1, 2)),  # a seventh of the left one and a sixth of the right one
        ("head", (140, 80, 260, 200), (1, 1)),
        ("head", (400, 80, 500, 200), (1, 1)),  # its own, whatever the boxes say
        ("hand", (400, 80, 500, 200), (0, 1)),
        ("clothesdetail", (400, 80, 500, 200), (0, 1)),
        ("objectdetail", (400, 80, 500, 200), (0, 0)),
        ("frame", (400, 80, 500, 200), (0, 0)),
    ],
)
def test_on_a_crop_are_its_own_person_and_whoever_overlaps(kind: str, place: tuple, expected: tuple[int, int]):
    assert numbers(*LEFT, *RIGHT, kind=kind, place=place) == expected


def test_a_still_that_no_detector_answered_for_says_nothing_and_neither_do_its_crops():
    image = {"kind": "frame", "x_px": 0, "y_px": 0, "width_px": 1000, "height_px": 500}
    other = "show.e1/00000002"
    images = [
        {**image, "image_id": STILL, "still_id": STILL},
        {**image, "image_id": other, "still_id": other},
        {**image, "image_id": f"{other}#person-1-1-1-1", "still_id": other, "kind": "person"},
    ]
    seen = seen_on_images(images, LEFT, {other}, 0.25, 0.4)
    assert {image_id: found.at_least for image_id, found in seen.items()} == {STILL: 1}
    seen = seen_on_images(images, [*LEFT, box("head", 1, 1, 9, 9, still=other)], (), 0.25, 0.4)
    assert {image_id: found.at_least for image_id, found in seen.items()} == dict.fromkeys(
        (row["image_id"] for row in images), 1
    )


def test_on_a_clean_plate_nobody_is_whatever_its_boxes_say_but_who_was_put_back_is_there():
    plate = "show.e1/plate-00001000-00003000"
    whole = f"{plate}-with-00002000"
    drawn = f"{plate}#person-1-1-1-1"
    image = {"kind": "plate", "x_px": 0, "y_px": 0, "width_px": 1000, "height_px": 500}
    images = [{**image, "image_id": it, "still_id": it} for it in (plate, whole)]
    images.append({**image, "image_id": drawn, "still_id": plate, "kind": "person"})
    boxes = [{**it, "image_id": still} for it in LEFT for still in (plate, whole)]
    seen = seen_on_images(images, boxes, {plate}, 0.25, 0.4)
    assert {it: (found.at_least, found.at_most) for it, found in seen.items()} == {
        plate: (0, 0),
        whole: (1, 1),
        drawn: (1, 1),
    }


@pytest.mark.parametrize(
    ("seen", "words"),
    [(Seen(), "nobody"), (Seen(1, 1), "1 person"), (Seen(0, 1), "0 to 1 person"), (Seen(3, 3), "3 people")],
)
def test_what_is_seen_in_words(seen: Seen, words: str):
    assert seen.words == words
