"""Which box is part of which."""

from __future__ import annotations

from dataset_pipeline.images.parts import Named, parts_of, wholes_of

PERSON, HALF, HEAD, FACE = (100, 100, 300, 700), (100, 100, 300, 400), (150, 100, 250, 200), (165, 130, 235, 195)


def chain(boxes: dict, kind: str, number: int = 0) -> list[tuple[str, int]]:
    return [(it.kind, it.number) for it in wholes_of(Named(kind, number), parts_of(boxes))]


def test_a_face_is_of_its_head_that_of_its_half_body_and_that_of_its_person():
    boxes = {"person": [PERSON], "halfbody": [HALF], "head": [HEAD], "face": [FACE], "hand": [(110, 380, 140, 410)]}
    assert chain(boxes, "face") == [("head", 0), ("halfbody", 0), ("person", 0)]
    assert chain(boxes, "person") == chain(boxes, "hand") == []


def test_what_was_not_found_between_them_is_passed_over():
    assert chain({"person": [PERSON], "face": [FACE]}, "face") == [("person", 0)]
    assert chain({"halfbody": [HALF], "head": [HEAD]}, "head") == [("halfbody", 0)]
    assert chain({"head": [HEAD], "face": [FACE]}, "face") == [("head", 0)]


def test_of_two_people_beside_one_another_each_has_one_head_and_one_face():
    def beside(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        return box[0] + 120, box[1] + 20, box[2] + 120, box[3] + 20

    people, heads, faces = ([beside(it), it] for it in (PERSON, HEAD, FACE))
    boxes = {"person": people, "head": heads[::-1], "face": faces}
    assert chain(boxes, "face", 0) == [("head", 1), ("person", 0)]
    assert chain(boxes, "face", 1) == [("head", 0), ("person", 1)]


def test_a_second_face_in_a_person_who_has_one_is_nobodys():
    boxes = {"person": [PERSON], "head": [HEAD], "face": [FACE, (160, 300, 230, 360)]}
    assert chain(boxes, "face", 0) == [("head", 0), ("person", 0)]
    assert chain(boxes, "face", 1) == []
