"""What a person said and what of it found nothing, as the account tells it."""

from __future__ import annotations

from dataset_pipeline.corrections.addressing import Episodes, addressed, parts_for
from dataset_pipeline.corrections.answers import drawn_boxes, frame_answers
from dataset_pipeline.corrections.events import event_of
from dataset_pipeline.corrections.matching import Matcher
from dataset_pipeline.reports.corrections import LOST, unmatched_of

HERE, GONE, AWAY = "lake.e1/00000500", "lake.e1/00099000", "lake.e1/00199000"
NOBODY = Matcher({HERE: ""}, "f1", lambda images: {})


def said(*told: dict) -> tuple[list, dict[str, str]]:
    events = [event_of(it | {"id": f"e-{number}"}) for number, it in enumerate(told)]
    return events, {event.id: f"2026-{event.id}" for event in events}


def test_the_faults_of_those_who_read_of_frames_are_read_back():
    events, when = said(
        {"do": "keep_both", "images": [GONE, HERE, AWAY]},
        {"do": "swap", "image": HERE, "instead_of": GONE},
        {"do": "set_box", "image": AWAY, "kind": "head", "box": [1, 1, 99, 99]},
    )
    rows = addressed(events, when, Episodes({"lake.e1": "f1"})).rows["lake.e1"]
    frames = frame_answers(parts_for("distinct_frames", rows), NOBODY).lost
    boxes = drawn_boxes(parts_for("crops", rows), NOBODY, {})[1]
    fault = "; ".join(f"{what} ({event})" for event, what in (frames | boxes).items())
    assert LOST.findall(fault) == [(f"{GONE}, {AWAY}", "e-0"), (GONE, "e-1"), (AWAY, "e-2")]
    assert LOST.findall("") == []


def test_what_found_nothing_is_named_by_its_place_among_those_of_its_episode():
    events, when = said(
        {"do": "reject", "images": [HERE, "lake.e2/00000001", GONE, "elsewhere.e1/00000001"]},
        {"do": "keep_both", "images": [HERE, AWAY]},
        {"do": "reject", "images": [HERE]},
    )
    addressed_to = addressed(events, when, Episodes({"lake.e1": "f1", "lake.e2": "f2"}))
    row = {"event": "e-0", "field": "images", "image_id": ""}
    matched = {"lake.e1": [row | {"number": 0, "image_id": HERE}, row | {"number": 1}], "lake.e2": []}
    found = unmatched_of(events, addressed_to, matched, {"e-1": [AWAY], "e-undone": [HERE]})
    assert [(it.event, it.what) for it in found] == [("e-0", ("elsewhere.e1", GONE)), ("e-1", (AWAY,))]
