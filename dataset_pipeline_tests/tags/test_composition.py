from __future__ import annotations

import pytest

from dataset_pipeline.tags.composition import OTHER_COMPOSITION, composition_of, decide_composition, framing
from dataset_pipeline.tags.counts import Decided
from dataset_pipeline.tags.people import Person, Seen

HEIGHT_PX = 1000
HEAD = (450.0, 100.0, 550.0, 200.0)


def body(bottom: float) -> tuple[float, float, float, float]:
    return 400.0, 95.0, 600.0, bottom


@pytest.mark.parametrize(
    ("head", "bottom", "expected"),
    [
        ((300.0, 200.0, 900.0, 800.0), 1000.0, "portrait"),  # (1000 - 200) / 600 = 1.3 heads
        ((300.0, 100.0, 700.0, 500.0), 990.0, "upper body"),  # 2.2
        ((300.0, 100.0, 700.0, 600.0), 1000.0, ""),  # 1.8, between two
        ((400.0, 100.0, 600.0, 325.0), 1000.0, "cowboy shot"),  # 4.0
        ((400.0, 100.0, 600.0, 280.0), 1000.0, ""),  # 5.0, cut somewhere below the knee
        ((400.0, 10.0, 600.0, 235.0), 1000.0, ""),  # the head goes on above the edge
        (HEAD, 650.0, "full body"),  # 5.5, and the feet are seen
        (HEAD, 500.0, ""),  # 4.0 without the edge: sitting, or a child
        ((450.0, 100.0, 550.0, 100.0), 650.0, ""),
    ],
)
def test_how_many_heads_are_seen_of_somebody_decides_where_it_is_clear(head: tuple, bottom: float, expected: str):
    assert framing(body(bottom), head, HEIGHT_PX) == expected


STANDING = Person(body(650.0), HEAD, True)


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        ("head", None, "portrait"),
        ("face", Seen(2, 2), "close-up"),
        ("halfbody", Seen(1, 1), "upper body"),
        ("hand", Seen(1, 1, (STANDING,)), ""),
        ("still", Seen(1, 1, (STANDING,)), "full body"),
        ("person", Seen(1, 1, (STANDING,)), "full body"),
        ("person", Seen(1, 2, (STANDING,)), ""),
        ("still", Seen(2, 2, (STANDING, STANDING)), ""),
        ("still", Seen(1, 1, (Person(None, HEAD, True),)), ""),
        ("still", Seen(), ""),
        ("still", None, ""),
    ],
)
def test_a_crop_is_what_its_kind_says_and_of_others_only_one_person_decides(kind: str, seen: Seen, expected: str):
    assert composition_of(kind, seen, HEIGHT_PX) == expected


@pytest.mark.parametrize(
    ("kind", "lower_edge", "expected"),
    [
        ("facedetail", 230.0, "portrait"),  # (230 - 100) / 100 heads
        ("eyesdetail", 350.0, "upper body"),
        ("headdetail", 300.0, "upper body"),
        ("facedetail", 280.0, ""),  # 1.8, between two
        ("facedetail", 180.0, ""),  # less than the head
        ("facedetail", 700.0, "full body"),
        ("clothesdetail", 350.0, ""),
        ("handdetail", 350.0, ""),
    ],
)
def test_the_lower_edge_of_a_detail_cuts_somebody_off_as_that_of_a_still_does(kind, lower_edge, expected):
    place = (300.0, 50.0, 700.0, lower_edge)
    assert composition_of(kind, Seen(1, 1, (STANDING,)), HEIGHT_PX, place) == expected


def test_what_is_decided_stays_alone_and_comes_if_the_tagger_does_not_say_it():
    said = {"upper_body": 0.9, "cowboy_shot": 0.5, "from_behind": 0.9, "smile": 0.9}
    decided = decide_composition(said, "cowboy shot")
    assert (decided.dropped, decided.added) == ({"upper_body": "seen: cowboy shot"}, {})
    decided = decide_composition(said, "full body", " ")
    assert decided.dropped == dict.fromkeys(("upper_body", "cowboy_shot"), "seen: full body")
    assert decided.added == {"full body": (1.0, "seen: full body")}


def test_where_nothing_is_decided_the_most_probable_stays():
    said = {"upper_body": 0.9, "cowboy shot": 0.5, "Portrait": 0.9, "close-up_of_hand": 0.4}
    assert decide_composition(said, "").dropped == {
        "cowboy shot": "other_composition",
        "upper_body": "other_composition",
    }
    assert decide_composition({"smile": 0.9}, "").dropped == {}


def test_where_nobody_is_said_to_be_there_no_composition_is():
    scores = {"no_humans": 0.6, "full_body": 0.9, "tree": 0.8}
    for decided in ("", "full body", "portrait"):
        assert decide_composition(scores, decided) == Decided({"full_body": OTHER_COMPOSITION})
