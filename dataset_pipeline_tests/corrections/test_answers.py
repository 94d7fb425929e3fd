"""What corrections come to for the rules of other rooms."""

from __future__ import annotations

import json

import pytest

from dataset_pipeline.corrections.addressing import Part
from dataset_pipeline.corrections.answers import (
    drawn_boxes,
    frame_answers,
    set_captions,
    spans_out,
    stitched_answers,
    whos_of,
)
from dataset_pipeline.corrections.matching import Matcher

STILL = "show.e01/00001500"


def matcher(source: str = "s1") -> Matcher:
    return Matcher({STILL: ""}, source, lambda images: {})


def merges(*pairs: tuple[str, str]) -> list[dict]:
    """Rows of `matched_corrections`: the second of each pair is the same as the first."""
    return [
        {
            "said": f"{number:04d}",
            "event": f"e-{number}",
            "field": "",
            "number": 0,
            "do": "merge",
            "value": json.dumps({"character": character, "other": other}),
            "image_id": "",
        }
        for number, (character, other) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("pairs", "heads"),
    [
        ([("c-c", "c-b"), ("c-a", "c-b")], {"c-a": "c-a", "c-b": "c-a", "c-c": "c-a"}),
        ([("c-a", "c-b"), ("c-b", "c-c")], {"c-a": "c-a", "c-b": "c-a", "c-c": "c-a"}),
        ([("c-a", "c-b"), ("c-b", "c-a")], {"c-a": "c-a", "c-b": "c-a"}),
        ([("c-a", "c-b"), ("c-c", "c-d"), ("c-b", "c-d")], dict.fromkeys(("c-a", "c-b", "c-c", "c-d"), "c-a")),
    ],
)
def test_who_was_merged_before_takes_all_along_when_merged_again(pairs: list[tuple[str, str]], heads: dict[str, str]):
    whos = whos_of(merges(*pairs))
    assert {it: whos.head_of(it) for it in heads} == heads


PAN = "show.e01/pan-00001500-00009500"


def test_of_a_panorama_the_last_word_counts_and_a_span_that_meets_it_takes_it_out():
    row = {"image_id": PAN, "start_s": 1.5, "end_s": 9.5, "path": "p"}
    found = Matcher({PAN: ""}, "s1", lambda images: {})

    def verdict(*said: tuple[str, str], out: tuple[float, float] | None = None) -> tuple:
        parts = [Part(f"e-{n}", "", do, {"images": [{"image": it}]}, {}) for n, (do, it) in enumerate(said)]
        if out:
            parts.append(Part("e-out", "", "exclude", {}, {"start_s": out[0], "end_s": out[1]}))
        answers = stitched_answers(parts, found, ("panorama",))
        return tuple(answers.verdict_on(row).values()), dict(answers.lost)

    assert verdict() == ((), {})
    assert verdict(("reject", PAN), ("keep", PAN)) == (("keep", "kept_by_hand"), {})
    assert verdict(("keep", PAN), ("reject", PAN)) == (("refused", "rejected_by_hand"), {})
    assert verdict(("keep", STILL), ("keep", f"{PAN}#head-1-1-9-9")) == ((), {})
    assert verdict(("keep", PAN.replace("95", "77")))[1] == {"e-0": "keep of show.e01/pan-00001500-00007700"}
    assert verdict(("keep", PAN), out=(9.0, 12.0)) == (("refused", "excluded_by_hand"), {})
    assert verdict(("keep", PAN), out=(9.6, 12.0)) == (("keep", "kept_by_hand"), {})


def test_what_is_said_of_panoramas_is_none_of_the_frames():
    part = Part("e-1", "", "keep", {"images": [{"image": PAN}, {"image": STILL}]}, {})
    answers = frame_answers([part], matcher())
    assert (answers.stay, answers.lost) == ({STILL}, {})


@pytest.mark.parametrize("batch", ["mine", "e-0123456789ab"])
def test_of_what_was_said_at_one_go_the_last_counts(batch: str):
    said = [
        {
            "said": "",
            "event": f"{batch}.{number}",
            "field": "images",
            "number": 0,
            "do": "set_caption",
            "value": json.dumps({"text": f"caption {number}"}),
            "image_id": STILL,
        }
        for number in (10, 2, 1, 9)
    ]
    assert set_captions(said) == {STILL: "caption 10"}


def exclude(source: str) -> Part:
    return Part("e-1", "now", "exclude", {}, {"start_s": 1.0, "end_s": 2.5} | ({"source": source} if source else {}))


@pytest.mark.parametrize(("told", "source"), [("", "s1"), ("s1", "s1"), ("s1", "")])
def test_a_span_counts_for_the_source_whose_seconds_it_tells(told: str, source: str):
    assert spans_out([exclude(told)], source) == (((1.0, 2.5),), {})


def test_a_span_of_a_source_that_was_replaced_takes_nothing_out_and_is_listed():
    assert spans_out([exclude("s0")], "s1")[0] == ()
    found = frame_answers([exclude("s0")], matcher())
    assert not found.is_out(2.0)
    assert found.lost == {"e-1": "exclude of 1 to 2.5 s of a source that was replaced"}


@pytest.mark.parametrize(("side", "is_cut"), [(8, False), (44, False), (45, True)])
def test_a_drawn_box_that_is_too_small_to_show_anything_is_listed_and_not_cut(side: int, is_cut: bool):
    value = {"kind": "head", "box": [100, 100, side, side]}
    part = Part("e-1", "now", "set_box", {"image": [{"image": STILL}]}, value)
    found, lost = drawn_boxes([part], matcher(), {STILL: (1280, 720)})
    assert [it.box for it in found] == ([(100, 100, side, side)] if is_cut else [])
    assert lost.keys() == (set() if is_cut else {"e-1"})
    if side == 8:
        assert lost["e-1"] == f"set_box on {STILL}, of 10x6 px where 32 are the least"
