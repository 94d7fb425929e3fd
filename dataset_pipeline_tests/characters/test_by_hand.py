"""What a person said of who is who holds, teaches, and can be taken back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.by_hand import lost_characters, owners_by_hand
from dataset_pipeline.characters.gallery import decide_clusters
from dataset_pipeline.characters.names import names_by_id
from dataset_pipeline.corrections.answers import Whos
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.schemas import SCHEMAS

LIMIT = 0.2
GALLERY = load_settings(DEFAULTS, character_gallery__min_crops=2).character_gallery
A, B = "c-aaaa", "c-bbbb"
NO_PAIRS = np.zeros((0, 2), np.int64)


def differences(one: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    other = one if other is None else other
    return np.abs(one[:, None, 0] - other[None, :, 0])


def crop(number: int) -> str:
    return f"show.e1/{number:08d}#head-1-1-1-1"


def people(*places: float) -> Appearances:
    vectors = np.array([[place, 0.0] for place in places], np.float32)
    crops = [(crop(i),) for i in range(len(places))]
    return Appearances(crops, [(it.partition("#")[0],) for (it,) in crops], vectors, vectors, NO_PAIRS)


def said(**told: Any) -> Whos:
    found = Whos()
    for name, value in told.items():
        getattr(found, name).update(value) if isinstance(value, dict) else getattr(found, name).extend(value)
    return found


def owners(appearances: Appearances, before: list[str | None], whos: Whos) -> list[str | None]:
    return owners_by_hand(before, appearances, whos, LIMIT, differences).owners


def test_without_a_word_everything_stays():
    assert owners(people(0, 0.1, 1), [A, A, None], Whos()) == [A, A, None]


def test_an_answer_moves_what_it_is_about_and_what_lies_nearer_to_it_than_to_its_own():
    # A holds two people, at 0 and at .15; one of those at .15 is called B.
    appearances = people(0.0, 0.0, 0.0, 0.15, 0.15, 0.15)
    assert owners(appearances, [A] * 6, said(given={crop(5): B})) == [A, A, A, B, B, B]
    assert owners(appearances, [A] * 6, said(given={crop(0): B})) == [B, B, B, A, A, A]


def test_who_was_nobody_follows_within_the_limit():
    assert owners(people(0.0, 0.19, 0.21), [None] * 3, said(given={crop(0): A})) == [A, A, None]


def test_who_is_not_somebody_never_comes_back_by_resemblance():
    whos = said(given={crop(0): A}, banned={crop(1): {A}})
    assert owners(people(0.0, 0.0, 0.0), [A, A, A], whos) == [A, None, A]
    whos.given[crop(3)] = B
    assert owners(people(0.0, 0.0, 0.0, 0.1), [A, A, A, None], whos) == [A, B, A, B]


def test_of_two_who_were_answered_the_nearer_one_is_followed():
    whos = said(given={crop(0): A, crop(4): B})
    assert owners(people(0.0, 0.06, 0.08, 0.1, 0.12), [A] * 5, whos) == [A, A, B, B, B]


def test_those_called_one_person_are_who_most_of_them_are_or_who_was_said():
    appearances = people(0, 0, 5, 9)
    assert owners(appearances, [A, A, B, None], said(same=[frozenset(map(crop, range(4)))])) == [A] * 4
    linked = said(same=[frozenset({crop(0), crop(2)}), frozenset({crop(2), crop(3)})], given={crop(3): "c-dddd"})
    assert owners(appearances, [A, A, B, None], linked)[2:] == ["c-dddd", "c-dddd"]
    assert owners(appearances, [None] * 4, said(same=[frozenset(map(crop, range(4)))])) == [None] * 4


def test_the_merged_are_one_and_a_lost_id_is_found_by_its_crops():
    whos = said(merged={B: A})
    assert owners(people(0, 5), [A, B], whos) == [A, A]
    lost = said(names={"c-lost": "Fern"}, shown_by={"c-lost": [crop(1)]})
    found = owners_by_hand([A, B], people(0, 5), lost, LIMIT, differences)
    assert found.heads == {"c-lost": B}


def test_what_was_said_of_a_character_that_is_gone_is_told():
    rows = gallery(PEOPLE)
    whos = said(names={"c-lost": "Fern", sorted(rows)[0]: "Stark"}, merged={"c-gone": "c-lost"})
    told = ["c-lost, called Fern"]
    assert lost_characters(whos, gallery(PEOPLE, whos).values()) == [*told, "c-gone, merged into c-lost"]


def test_two_who_are_merged_into_each_other_are_one():
    assert owners(people(0, 5), [A, B], said(merged={B: A, A: B})) in ([A, A], [B, B], [A, B], [B, A])


def gallery(appearances: Appearances, whos: Whos | None = None, **more: Any) -> dict[str, dict]:
    rows = build_gallery("show", appearances, differences, LIMIT, GALLERY, said=whos, **more)
    return {row["character"]: row for row in rows}


PEOPLE = people(0, 0.01, 0.02, 5, 5.01, 5.02)


def test_a_name_is_shown_as_typed_and_former_names_are_kept():
    first, second = sorted(gallery(PEOPLE), key=lambda it: gallery(PEOPLE)[it]["exemplar_ids"])
    whos = said(names={first: "Fern, the mage"}, aliases={first: ["Fern"]})
    found = gallery(PEOPLE, whos)
    assert (found[first]["name"], found[first]["aliases"]) == ("Fern, the mage", ["Fern"])
    assert found[second]["name"] == second
    unsaid = gallery(PEOPLE)[first]
    for column in ("exemplar_ids", "crops", "outfits", "exemplars"):
        assert found[first][column] == unsaid[column]


def test_merged_and_unmerged_both_are_as_before():
    before = gallery(PEOPLE)
    one, other = sorted(before)
    together = gallery(PEOPLE, said(merged={other: one}))
    assert together.keys() == {one}
    assert (together[one]["merged"], together[one]["crops"]) == ([other], 6)
    assert gallery(PEOPLE, Whos()) == before


def test_somebody_new_is_made_of_one_answer():
    found = gallery(people(0, 0.01, 9), said(given={crop(2): "c-new1"}, names={"c-new1": "Stark"}))
    assert (found["c-new1"]["name"], found["c-new1"]["answers"]) == ("Stark", 1)
    assert found["c-new1"]["exemplar_ids"] == [crop(2)]


def test_a_name_of_references_stays_beside_the_name_that_a_person_typed():
    first = next(it for it, row in gallery(PEOPLE, names=["ann"] * 3 + [""] * 3).items() if row["name"] == "ann")
    found = gallery(PEOPLE, said(names={first: "Ann!"}), names=["ann"] * 3 + [""] * 3)[first]
    assert (found["name"], found["aliases"], found["reference_names"]) == ("Ann!", ["ann"], ["ann"])


def clusters(whos: Whos, rows: dict[str, dict], places: tuple[float, ...]) -> dict[str, list[str]]:
    box = {"x_px": 0, "y_px": 0, "width_px": 9, "height_px": 9, "kept": True, "kind": "head"}
    stills = [f"show.e1/{i:08d}" for i in range(len(places))]
    crops = [{"image_id": crop(i), "still_id": still, **box} for i, still in enumerate(stills)]
    vectors = {crop(i): np.array([place, 0], np.float32) for i, place in enumerate(places)}
    found = decide_clusters(stills, crops, vectors, list(rows.values()), differences, LIMIT, said=whos)
    return {row["image_id"]: row["characters"] for row in found}


def test_clusters_say_of_each_crop_and_its_still_what_a_person_said():
    rows = gallery(PEOPLE)
    one, other = sorted(rows, key=lambda it: rows[it]["exemplar_ids"])
    whos = said(given={crop(0): other}, banned={crop(1): {one}})
    found = clusters(whos, rows, (0, 0, 0))
    assert [found[crop(i)] for i in range(3)] == [[other], [], [one]]
    assert [found[f"show.e1/{i:08d}"] for i in range(3)] == [[other], [], [one]]


def test_a_person_may_say_who_is_on_a_still_that_has_no_crop():
    rows = gallery(PEOPLE)
    one, _ = sorted(rows)
    found = clusters(said(given={"show.e1/00000000": one}), rows, (9.0,))
    assert found["show.e1/00000000"] == [one]


def test_an_answer_for_one_who_was_merged_is_one_for_the_whole():
    rows = gallery(PEOPLE)
    one, other = sorted(rows)
    merged = gallery(PEOPLE, said(merged={other: one}))
    assert clusters(said(given={crop(0): other}), merged, (9.0,))[crop(0)] == [one]


@pytest.mark.parametrize("count", [1, 12])
def test_answers_are_among_the_exemplars(count: int):
    rows = gallery(people(*[0.0] * 20, *[0.19] * 12), said(given={crop(20 + i): A for i in range(count)}))
    assert set(rows[A]["exemplar_ids"]) & {crop(20 + i) for i in range(count)}


def test_who_a_person_says_is_in_two_shows_bears_one_name_in_both():
    rows = [{"character": A, "show": show, "name": name} for show, name in (("one", "Fern"), ("two", A))]
    table = SCHEMAS["character_gallery"].table(rows)
    assert names_by_id(table) == {A: "Fern"}
