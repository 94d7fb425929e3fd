"""What the nets learn from never meets what they are shown in the demo and in the tests."""

from __future__ import annotations

import random

from dataset_pipeline.demo.backdrops import DEMO_BACKDROP_SEEDS, HARDER_BACKDROP_SEEDS, TEST_BACKDROP_SEEDS
from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST, is_held_out, training_character
from dataset_pipeline.demo.episodes import DEMO_SHOW, TEST_SHOW, plan_episode
from dataset_pipeline.demo.harder import draw_looks
from dataset_pipeline.demo.training.families import twin_of
from dataset_pipeline.demo.training.plans import FULL
from dataset_pipeline.demo.training.worlds import CALIBRATION, MEASURED, TRAINING, cast_of

WORLDS = (TRAINING, CALIBRATION, MEASURED)


def test_places_of_training_are_neither_the_demos_nor_the_tests() -> None:
    shown = {*DEMO_BACKDROP_SEEDS, *TEST_BACKDROP_SEEDS, *HARDER_BACKDROP_SEEDS}
    for world in WORLDS:
        assert not shown & set(world.backdrops)
    assert len({seed for world in WORLDS for seed in world.backdrops}) == sum(len(w.backdrops) for w in WORLDS)


def test_nobody_in_training_looks_like_a_member_of_a_fixed_cast() -> None:
    fixed = {character.silhouette() for character in (*DEMO_CAST, *TEST_CAST)}
    for world, casts in ((TRAINING, FULL.casts), (CALIBRATION, FULL.calibration_casts)):
        drawn = {character.silhouette() for number in range(casts) for character in cast_of(world, number)}
        assert not drawn & fixed


def test_nobody_in_training_has_the_face_of_a_harder_casts_or_a_fixed_casts_member_in_any_outfit() -> None:
    for world, casts in ((TRAINING, FULL.casts), (CALIBRATION, FULL.calibration_casts)):
        assert not [person for number in range(casts) for person in cast_of(world, number) if is_held_out(person)]
    for number in range(60):
        rng = random.Random(number)
        one = training_character(rng, "one")
        assert not is_held_out(twin_of(rng, one, "other"))
    for number in range(3):
        rng = random.Random(number)
        looks, _, _ = draw_looks(rng, training_character, lambda person: not is_held_out(person))
        assert not [look for look in looks if is_held_out(look)]


def test_scene_seeds_of_training_are_not_those_of_planned_shots() -> None:
    shots = {
        shot.seed
        for show in (DEMO_SHOW, TEST_SHOW)
        for number in range(1, len(show.scripts) + 1)
        for shot in plan_episode(show, number)
    }
    drawn = FULL.casts * FULL.scenes_per_cast
    for world in WORLDS:
        spans = [range(world.first + start, world.first + start + drawn) for start in (0, 500_000, 700_000, 900_000)]
        assert not [seed for seed in shots if any(seed in span for span in spans)]
    assert TRAINING.first + 1_000_000 < CALIBRATION.first
    assert CALIBRATION.first + 1_000_000 < MEASURED.first


def test_the_people_of_a_cast_differ_from_afar_and_are_always_the_same() -> None:
    cast = cast_of(CALIBRATION, 5)
    assert len({character.silhouette() for character in cast}) == CALIBRATION.cast_size
    assert cast == cast_of(CALIBRATION, 5)
    assert cast != cast_of(CALIBRATION, 6)
