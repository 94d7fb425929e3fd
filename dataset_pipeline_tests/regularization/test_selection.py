from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dataset_pipeline.regularization.selection import Looks, says_no, select
from dataset_pipeline.settings import RegularizationSelectionSettings, load_settings, resources_folder
from dataset_pipeline_tests.regularization.rows import asked_row, found_box

DEFAULTS = load_settings(resources_folder() / "settings.toml").regularization_selection
PERSON, HEAD, FACE = (100, 50, 300, 500), (150, 60, 250, 160), (160, 90, 240, 160)
SECOND = (260, 60, 360, 160)
ONE = [found_box("person", PERSON), found_box("head", HEAD), found_box("face", FACE)]
HANDS = [found_box("hand", (100 + 30 * at, 300, 120 + 30 * at, 320)) for at in range(4)]


def settings(**changes: Any) -> RegularizationSelectionSettings:
    return RegularizationSelectionSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def picture(reason: str = "") -> dict[str, Any]:
    return {"width_px": 512, "height_px": 512, "reason": reason}


def reason(boxes: Any = ONE, people: Any = 1, source: Any = "prompts", **known: Any) -> str:
    """Of one picture."""
    chosen = {name: known.pop(name) for name in [*known] if name in RegularizationSelectionSettings.model_fields}
    looks = Looks(**{"pictures": {"a/1": picture()}, "scores": {"a/1": 0.5}, "boxes": {"a/1": boxes}} | known)
    (row,) = select([asked_row("a/1", people=people, source=source)], looks, settings(**chosen), 9)
    assert row["selected"] == (row["reason"] == "selected") == (row["place"] == 0)
    return row["reason"]


def vectors(**angles: float) -> dict[str, np.ndarray]:
    """Unit vectors at an angle in degrees: two that are 8 degrees apart have the cosine 0.9903, 20 degrees 0.9397."""
    return {
        f"a/{name}": np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))], np.float32)
        for name, angle in angles.items()
    }


def selected(rows: list[dict], scores: dict[str, float], keep: int, **known: Any) -> list[tuple[str, str]]:
    """(id, reason), those that stay first by their place, the others by id."""
    looks = Looks({row["image_id"]: picture() for row in rows}, scores, **known)
    found = select(rows, looks, settings(), keep)
    assert [row["image_id"] for row in found] == sorted(scores)
    order = sorted(found, key=lambda row: (row["place"] is None, row["place"] or 0, row["image_id"]))
    assert [row["place"] for row in order if row["selected"]] == list(range(sum(row["selected"] for row in found)))
    return [(row["image_id"], row["reason"]) for row in order]


def test_one_person_with_two_hands_stays():
    assert reason() == "selected"
    assert reason([*ONE, *HANDS[:2]]) == "selected"


@pytest.mark.parametrize(
    ("boxes", "people", "why"),
    [
        ([*ONE, found_box("head", SECOND)], 1, "more_people: 2 for 1"),
        ([*ONE, found_box("face", SECOND)], 1, "more_people: 2 for 1"),
        ([*ONE, found_box("head", SECOND, 0.39)], 1, "selected"),
        (ONE, 2, "fewer_people: 1 for 2"),
        (ONE, 0, "more_people: 1 for 0"),
        ([], 1, "fewer_people: 0 for 1"),
        ([], 0, "selected"),
        ([*ONE, found_box("head", SECOND)], None, "selected"),
        ([*ONE, *HANDS[:3]], 1, "hands: 3 for 1"),
        ([*ONE, *HANDS[:3]], None, "hands: 3 for 1"),
        ([*ONE, found_box("head", SECOND), *HANDS], 2, "selected"),
        (HANDS[:1], 0, "hands: 1 for 0"),
        (HANDS[:1], None, "selected"),
    ],
)
def test_people_and_hands_are_counted_by_the_boxes(boxes: list[dict], people: int | None, why: str):
    assert reason(boxes, people) == why


def test_the_first_reason_counts():
    bad: dict[str, Any] = {
        "boxes": [*ONE, found_box("head", SECOND), *HANDS, *HANDS],
        "tags": {"a/1": [{"tag": "bad_hands", "score": 0.9}]},
        "min_quality": 0.6,
        "vectors": vectors(**{"1": 0.0}),
        "judge": True,
        "judged": {"a/1": "No."},
    }
    assert reason(**bad, pictures={"a/1": picture("cannot be decoded")}) == "unreadable"
    assert reason(**bad, pictures={}) == "unreadable"
    assert reason(**bad, unmeasured=["a/1"]) == "unmeasured"
    assert reason(**bad) == "more_people: 2 for 1"
    assert reason(**bad, people=2) == "hands: 8 for 2"
    assert reason(**bad | {"boxes": ONE}) == "defect_tag: bad_hands"
    assert reason(**bad | {"boxes": ONE, "tags": {}}) == "low_quality"
    assert reason(**bad | {"boxes": ONE, "tags": {}, "min_quality": 0.5}) == "judge"
    assert reason(**bad | {"boxes": ONE, "tags": {}, "min_quality": 0.5, "judge": False}) == "selected"


def test_a_tag_of_a_defect_counts_from_its_limit_on_and_the_most_probable_is_named():
    def tagged(**scores: float) -> str:
        return reason(tags={"a/1": [{"tag": tag, "score": np.float32(score)} for tag, score in scores.items()]})

    assert tagged(bad_hands=0.3499, smile=0.99) == "selected"
    assert tagged(bad_hands=0.35) == "defect_tag: bad_hands"
    assert tagged(bad_hands=0.4, extra_arms=0.8) == "defect_tag: extra_arms"
    assert tagged(**{"bad hands": 0.9}) == "defect_tag: bad hands"


def test_of_pictures_that_are_alike_the_best_stays():
    rows = [asked_row(f"a/{name}", prompt=name) for name in "xyz"]
    near = vectors(x=0.0, y=8.0, z=28.0)
    assert selected(rows, {"a/x": 0.2, "a/y": 0.9, "a/z": 0.1}, 9, vectors=near) == [
        ("a/y", "selected"), ("a/z", "selected"), ("a/x", "duplicate: a/y"),
    ]  # fmt: skip
    looks = Looks({f"a/{it}": picture() for it in "xy"}, {"a/x": 0.2, "a/y": 0.9}, vectors=vectors(x=0.0, y=0.0))
    assert {row["reason"] for row in select(rows[:2], looks, settings(max_likeness=1.0), 9)} == {"selected"}


def test_enough_are_taken_evenly_over_prompts_the_best_of_each_first():
    """Prompt p: 0.9, 0.8, 0.7; q: 0.3, 0.2; r: 0.5."""
    scores = {"a/p1": 0.9, "a/p2": 0.8, "a/p3": 0.7, "a/q1": 0.3, "a/q2": 0.2, "a/r1": 0.5}
    rows = [asked_row(image_id, prompt=image_id[2]) for image_id in scores]
    order = [image_id for image_id, _ in selected(rows, scores, 9)]
    assert order == ["a/p1", "a/r1", "a/q1", "a/p2", "a/q2", "a/p3"]
    few = selected(rows, scores, 4)
    assert few[:4] == [(image_id, "selected") for image_id in order[:4]]
    assert few[4:] == [("a/p3", "enough"), ("a/q2", "enough")]


def test_stills_are_taken_evenly_over_episodes_and_mirrors_over_their_images():
    scores = {"a/1": 0.9, "a/2": 0.8, "a/3": 0.1}
    mirrors = dict(zip(scores, ("s.e1/00000001", "s.e1/00000002", "s.e2/00000001"), strict=True))
    stills = [asked_row(it, source="stills", prompt="", mirrors=mirrors[it]) for it in scores]
    assert [it for it, why in selected(stills, scores, 2) if why == "selected"] == ["a/1", "a/3"]
    copies = [asked_row(it, source="captions", mirrors=of) for it, of in zip(scores, ("x", "x", "y"), strict=True)]
    assert [it for it, why in selected(copies, scores, 2) if why == "selected"] == ["a/1", "a/3"]


def test_a_judge_that_says_no_makes_room_for_the_next_best():
    scores = {"a/1": 0.9, "a/2": 0.8, "a/3": 0.7}
    looks = Looks({it: picture() for it in scores}, scores, judged={"a/1": "No, six fingers.", "a/2": "Yes."})
    rows = {row["image_id"]: row for row in select(map(asked_row, scores), looks, settings(judge=True), 2)}
    assert {it: (row["reason"], row["place"]) for it, row in rows.items()} == {
        "a/1": ("judge", None), "a/2": ("selected", 0), "a/3": ("selected", 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "no"),
    [("no", True), ("No.", True), ("**No**, it is not", True), ("Yes", False), ("Not sure", False), ("", False)],
)
def test_an_answer_is_no_where_it_begins_so(answer: str, no: bool):
    assert says_no(answer) is no


def test_a_users_own_pictures_stay_but_for_copies_and_what_cannot_be_read():
    own = {"source": "folder", "people": None}
    faulty = {"boxes": [*ONE, *HANDS], "tags": {"a/1": [{"tag": "bad_hands", "score": 0.9}]}, "min_quality": 0.9}
    assert reason(**own, **faulty) == "selected"
    assert reason(**own, scores={}, unmeasured=["a/1"]) == "selected"
    assert reason(**own, pictures={"a/1": picture("broken")}) == "unreadable"
    assert reason(source="folder", people=2) == "fewer_people: 1 for 2"
    rows = [asked_row(f"a/{name}", source="folder", prompt="") for name in "xy"]
    found = selected(rows, {"a/x": 0.2, "a/y": 0.9}, 9, vectors=vectors(x=0.0, y=1.0))
    assert found == [("a/y", "selected"), ("a/x", "duplicate: a/y")]


def test_another_keep_changes_only_how_many_stay():
    rng = np.random.default_rng(0)
    scores = {f"a/{at:04d}": float(score) for at, score in enumerate(rng.random(200))}
    rows = [asked_row(it, prompt=str(at % 7)) for at, it in enumerate(scores)]
    few, many = ([it for it, why in selected(rows, scores, keep) if why == "selected"] for keep in (50, 120))
    assert many[:50] == few
    assert len(many) == 120
