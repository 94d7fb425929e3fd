"""What the nets learn from never meets what they are shown in the demo and in the tests."""

from __future__ import annotations

from dataset_pipeline.demo.backdrops import DEMO_BACKDROP_SEEDS, TEST_BACKDROP_SEEDS
from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST
from dataset_pipeline.demo.episodes import DEMO_SHOW, TEST_SHOW, plan_episode
from dataset_pipeline.demo.training.data import CALIBRATION, MEASURED, TRAINING, cast_of
from dataset_pipeline.demo.training.plans import FULL

WORLDS = (TRAINING, CALIBRATION, MEASURED)


def test_places_of_training_are_neither_the_demos_nor_the_tests() -> None:
    shown = {*DEMO_BACKDROP_SEEDS, *TEST_BACKDROP_SEEDS}
    for world in WORLDS:
        assert not shown & set(world.backdrops)
    assert len({seed for world in WORLDS for seed in world.backdrops}) == sum(len(w.backdrops) for w in WORLDS)


def test_nobody_in_training_looks_like_a_member_of_a_fixed_cast() -> None:
    fixed = {character.silhouette() for character in (*DEMO_CAST, *TEST_CAST)}
    for world, casts in ((TRAINING, FULL.casts), (CALIBRATION, FULL.calibration_casts)):
        drawn = {character.silhouette() for number in range(casts) for character in cast_of(world, number)}
        assert not drawn & fixed


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
