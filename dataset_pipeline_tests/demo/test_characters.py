"""The casts stay apart from one another and from every stranger."""

import random
from itertools import combinations

import numpy as np
import pytest

from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST, Character, random_character
from dataset_pipeline.demo.scenes import draw_person


def test_the_two_casts_share_no_name_no_hair_colour_and_no_outfit() -> None:
    for trait in ("name", "hair_color", "outfit"):
        demo = {getattr(character, trait) for character in DEMO_CAST}
        test = {getattr(character, trait) for character in TEST_CAST}
        assert len(demo) == len(test) == 5
        assert not demo & test
    assert not {c.traits() for c in DEMO_CAST} & {c.traits() for c in TEST_CAST}


def test_ten_thousand_strangers_never_look_like_a_member_of_a_cast() -> None:
    rng = random.Random(5)
    reserved = {character.silhouette() for character in (*DEMO_CAST, *TEST_CAST)}
    strangers = [random_character(rng, f"stranger-{k}") for k in range(10_000)]
    assert not reserved & {stranger.silhouette() for stranger in strangers}
    assert len({stranger.traits() for stranger in strangers}) > 8_000


def test_the_same_seed_gives_the_same_stranger() -> None:
    assert random_character(random.Random(3), "x") == random_character(random.Random(3), "x")


def test_tags_name_what_is_worn_and_leave_out_the_name() -> None:
    nuvia = DEMO_CAST[0]
    assert nuvia.tags() == ("1girl", "pink_hair", "twintails", "blue_eyes", "school_uniform", "hair_ribbon")
    assert nuvia.name not in nuvia.traits()


def test_an_unknown_trait_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'mossy_hair'"):
        Character("Odd", "girl", "mossy_hair", "bob_cut", "blue_eyes", "red_dress", 0)


def test_members_of_a_cast_are_drawn_clearly_differently() -> None:
    pictures = []
    for character in (*DEMO_CAST, *TEST_CAST):
        canvas = np.full((220, 120, 3), 200, np.uint8)
        draw_person(canvas, character, 60.0, 10.0, 40.0)
        pictures.append(canvas.astype(float))
    for a, b in combinations(pictures, 2):
        assert np.abs(a - b).mean() > 5
