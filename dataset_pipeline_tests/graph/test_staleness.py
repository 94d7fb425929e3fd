"""Why a table is not current: judged from plain data alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataset_pipeline.graph.declaration import Declaration, Kind
from dataset_pipeline.graph.staleness import Present, Verdict, verdict_on
from dataset_pipeline.models.injected import NOT_PULLED
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.condition import Condition
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.store import Pointer

CROPS = Declaration("crops", Kind.RENDER, ("detections", "keyframes"), ("crops",), ("detector",), 2)
INPUTS = {"detections": "d1", "keyframes": "k1"}
NOW = Present(load_settings(DEFAULTS), {"detector": "a" * 64})


def made(numbers: dict[str, Any] | None = None, inputs: dict[str, str] = INPUTS) -> Pointer:
    provenance = Provenance(
        code_version=NOW.code_version(CROPS, ["a" * 64]),
        settings={"crops": NOW.counted("crops")},
        models=[{"role": "detector", "sha256": "a" * 64}],
        inputs=inputs,
        numbers=numbers or {},
    )
    return Pointer("crops/a.e1/000000000000.parquet", 1, "v1", provenance)


def verdict(found: Condition, declaration: Declaration = CROPS, now: Present = NOW, **inputs: str) -> Verdict:
    return verdict_on(declaration, found, now, INPUTS | inputs)


def test_a_table_made_from_what_there_is_now_is_current():
    assert verdict(Condition(made())) == Verdict()
    assert verdict(Condition(made())).current


def test_a_table_that_was_never_made_or_cannot_be_used_is_missing():
    assert verdict(Condition()) == Verdict(missing="never made")
    assert verdict(Condition(made(), "cut off")) == Verdict(missing="cut off")
    assert not verdict(Condition()).current


def test_changed_settings_weights_and_code_are_each_named():
    other = Present(load_settings(DEFAULTS, crops__head_min_side_px=97), {"detector": "a" * 64})
    assert verdict(Condition(made()), now=other).stale == ("[crops] head_min_side_px 96 -> 97",)
    weights = Present(NOW.settings, {"detector": "b" * 64})
    assert verdict(Condition(made()), now=weights).stale == ("detector: other weights",)
    assert verdict(Condition(made()), replace(CROPS, algorithm=CROPS.algorithm + 1)).stale == (
        "newer version of the step",
    )


def test_weights_that_are_not_here_are_taken_for_those_that_were_used():
    assert verdict(Condition(made()), now=Present(NOW.settings, {"detector": NOT_PULLED})).current


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"detections": "d0", "keyframes": "k1"}, "detections changed"),
        ({"keyframes": "k1"}, "now reads detections"),
        ({**INPUTS, "frame_embeddings": "f1"}, "no longer reads frame_embeddings"),
    ],
)
def test_inputs_of_another_version_or_other_inputs_are_named(before, told):
    assert verdict(Condition(made(inputs=before))) == Verdict(stale=(told,))


def test_an_input_that_is_not_there_is_left_to_its_own_place():
    found = verdict(Condition(made()), detections="")
    assert found == Verdict(follows=("detections is missing",))
    assert not found.current


def test_pictures_that_are_gone_are_counted_apart_from_those_of_other_assets():
    assert verdict(Condition(made(), gone=["crops/a.e1/x.png"])).stale == ("1 picture is gone",)
    found = verdict(Condition(made(), gone=["crops/a.e1/x.png", "crops/a.e1/y.png", "keyframes/a.e1/x.png"]))
    assert found == Verdict(stale=("2 pictures are gone",), follows=("1 picture is gone that other assets made",))


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"unreadable": 2}, "2 pictures could not be read: tried again"),
        ({"unreadable": 1}, "1 picture could not be read: tried again"),
        ({"unanswered": 3}, "3 images unanswered: asked again"),
        ({"readable": False}, "the source could not be read: tried again"),
    ],
)
def test_what_could_not_be_had_is_tried_again(numbers, told):
    assert verdict(Condition(made(numbers))) == Verdict(again=(told,))
    assert not verdict(Condition(made(numbers))).current


def test_numbers_of_what_went_well_make_nothing_stale():
    assert verdict(Condition(made({"unreadable": 0, "unanswered": 0, "readable": True, "kept": 3}))).current
