from __future__ import annotations

import numpy as np

from dataset_pipeline.characters.exemplars import still_serve
from dataset_pipeline.characters.outfits import Outfit, outfits_of, worn

LIMIT = 0.1


def between(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs(ours[:, None, 0] - theirs[None, :, 0])


def bodies(*places: float) -> np.ndarray:
    return np.array(places, np.float32)[:, None]


def found(places: dict[str, float], before: list[Outfit] | None = None, min_size: int = 2) -> list[Outfit]:
    return outfits_of(list(places), bodies(*places.values()), LIMIT, min_size, before or [], between)


TWO = {"a": 0.10, "b": 0.12, "c": 0.14, "d": 0.50, "e": 0.52}


def test_groups_of_like_bodies_are_outfits_and_a_single_odd_one_is_none():
    outfits = found({**TWO, "z": 0.9})
    assert [(outfit.number, set(outfit.exemplar_ids)) for outfit in outfits] == [(1, {"a", "b", "c"}), (2, {"d", "e"})]


def test_an_outfit_keeps_its_number_where_others_come_before_it():
    before = found(TWO)
    after = found({"0": 0.0, "1": -0.31, "2": -0.30, **TWO, "f": 0.53, "g": 0.9, "h": 0.91}, before)
    holders = {crop: outfit.number for outfit in after for crop in outfit.exemplar_ids}
    assert holders["b"] == 1
    assert holders["d"] == 2
    assert {holders["1"], holders["g"]} == {3, 4}


def test_more_of_the_same_clothes_changes_no_outfit_even_where_its_exemplars_are_gone():
    before = found(TWO)
    assert found({**TWO, "f": 0.11, "g": 0.51}, before) == before
    assert found({"f": 0.11, "g": 0.51, "h": 0.13, "i": 0.5}, before) == before


def test_a_body_wears_the_nearest_outfit_of_its_owner_within_the_limit():
    outfits = [("fern", outfit) for outfit in found(TWO)] + [("stark", Outfit(1, ("x",), bodies(0.8)))]
    owners = ["fern", "fern", "stark", "stark", None, "fern"]
    places = bodies(0.11, 0.49, 0.79, 0.12, 0.12, 0.0)
    assert worn(places, owners, outfits, LIMIT, between) == [1, 2, 1, None, None, None]
    assert worn(places, owners, [], LIMIT, between) == [None] * 6


def test_exemplars_serve_while_they_recognise_as_many_as_new_ones_would():
    members = bodies(*np.linspace(0, 0.1, 50), 0.5)
    assert still_serve(members, [bodies(0.05)], [bodies(0.05), bodies(0.5)], LIMIT, between)  # one of 51 is too few
    members = bodies(*np.linspace(0, 0.1, 50), 0.5, 0.51)
    assert not still_serve(members, [bodies(0.05)], [bodies(0.05), bodies(0.5)], LIMIT, between)
