"""The harder season: its casts keep their promises, its truth says who is who, and no training meets its people."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.demo.backdrops import (
    DEMO_BACKDROP_SEEDS,
    HARDER_BACKDROP_SEEDS,
    TEST_BACKDROP_SEEDS,
    TRAINING_BACKDROP_SEEDS,
)
from dataset_pipeline.demo.characters import DEMO_CAST, TEST_CAST, is_held_out, training_character
from dataset_pipeline.demo.episodes import load_truth, plan_episode, write_episode
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.harder import (
    TWIN_TRAITS,
    differing,
    harder_cast,
    harder_show,
    harder_stills,
    labelled_crops,
)
from dataset_pipeline.demo.scenes import NO_BOX, Placement, draw_people

CASTS = range(8)


@pytest.mark.parametrize("number", CASTS)
def test_a_cast_has_twelve_people_three_in_two_outfits_and_a_pair_of_twins_for_each_trait(number: int) -> None:
    cast = harder_cast(number)
    outfits = cast.outfits()
    assert len(outfits) == 12
    assert sorted(map(len, outfits.values())) == [1] * 9 + [2] * 3
    people = {look.name: look for look in cast.looks}
    assert tuple(pair.trait for pair in cast.twins) == TWIN_TRAITS
    for pair in cast.twins:
        one, other = (people[name] for name in pair.names)
        assert differing(one, other) == {pair.trait}
        assert one.outfit == other.outfit
    twinned = {frozenset(pair.names) for pair in cast.twins}
    for one in people.values():
        for other in people.values():
            if one is not other and frozenset((one.name, other.name)) not in twinned:
                assert len(differing(one, other)) >= 2
    assert cast == harder_cast(number)
    assert cast.looks != harder_cast(number + 1).looks


def test_nobody_of_a_harder_cast_is_drawn_in_training_in_any_outfit() -> None:
    held_out = {look.face() for number in CASTS for look in harder_cast(number).looks}
    assert all(is_held_out(look) for number in CASTS for look in harder_cast(number).looks)
    rng = random.Random(4)
    seen = {training_character(rng, "somebody").face() for _ in range(5_000)}
    assert not seen & (held_out | {member.face() for member in (*DEMO_CAST, *TEST_CAST)})
    assert len(seen) > 250


def test_places_of_the_harder_season_are_its_own() -> None:
    for others in (TRAINING_BACKDROP_SEEDS, DEMO_BACKDROP_SEEDS, TEST_BACKDROP_SEEDS, range(500_000, 600_000)):
        assert not set(HARDER_BACKDROP_SEEDS) & set(others)
    places = [set(harder_show(number).backdrop_seeds) for number in (0, 1)]
    assert not places[0] & places[1]
    with pytest.raises(ValueError, match="0 to 99"):
        harder_cast(100)


@pytest.mark.parametrize("number", CASTS)
def test_every_outfit_of_everybody_is_seen_often_and_nobody_twice_in_a_shot(number: int) -> None:
    show = harder_show(number)
    shots = [shot for episode in (1, 2, 3) for shot in plan_episode(show, episode)]
    seen = Counter(look for shot in shots for look in shot.cast)
    assert set(seen) == set(harder_cast(number).looks)
    assert min(seen.values()) >= 4
    for shot in shots:
        assert len({look.name for look in shot.cast}) == len(shot.cast)


def test_crops_of_an_episode_come_with_names_outfits_mirrors_backs_and_extras() -> None:
    cast = harder_cast(1)
    stills = list(harder_stills(1, per_shot=2, episodes=1, size=(320, 180)))
    crops = labelled_crops(stills, cast, least_side_px=8)
    assert len(stills) == 2 * len(plan_episode(harder_show(1), 1))
    assert {(crop.name, crop.outfit) for crop in crops if not crop.extra} == {(x.name, x.outfit) for x in cast.looks}
    assert any(crop.extra for crop in crops)
    assert any(crop.person.behind for crop in crops)
    assert max(len(still.people) for still in stills) >= 4
    reflected = [still for still in stills if any(person.mirror for person in still.people)]
    assert {still.kind for still in reflected} == {"mirror"}
    for still in reflected:
        assert len({person.character.name for person in still.people}) == 1
        assert len(still.people) == 2
    for crop in crops:
        x0, y0, x1, y1 = (round(v) for v in crop.box)
        assert crop.image.shape == (y1 - y0, x1 - x0, 3)


def test_a_person_from_behind_has_a_head_and_neither_face_nor_eyes() -> None:
    for member in (*DEMO_CAST, *TEST_CAST):
        canvas = np.full((300, 200, 3), 180, np.uint8)
        (person,) = draw_people(canvas, [Placement(member, 100, 30, 50, Pose(behind=True))])
        assert person.behind
        assert person.face == NO_BOX
        assert person.eyes == ()
        assert 48 <= person.head[3] - person.head[1] <= 80
        front = np.full((300, 200, 3), 180, np.uint8)
        draw_people(front, [Placement(member, 100, 30, 50, Pose())])
        assert np.abs(front.astype(float) - canvas).mean() > 1.5


def test_an_image_in_a_mirror_is_flipped_and_ends_at_the_glass() -> None:
    member, glass = TEST_CAST[4], (20, 10, 120, 150)  # a braid over one shoulder
    plain, mirrored = np.full((200, 300, 3), 180, np.uint8), np.full((200, 300, 3), 180, np.uint8)
    (person,) = draw_people(plain, [Placement(member, 70, 20, 60, Pose(turn=0.4))])
    (image,) = draw_people(mirrored, [Placement(member, 70, 20, 60, Pose(turn=0.4), glass)])
    assert image.mirror
    assert not person.mirror
    assert (mirrored[:, :20] == 180).all()
    assert (mirrored[150:] == 180).all()
    assert (mirrored[:, 120:] == 180).all()
    assert image.person[3] <= 151
    flipped = plain.copy()
    flipped[:, :140] = plain[:, :140][:, ::-1]
    inside = np.s_[12:148, 22:118]
    assert np.abs(flipped[inside].astype(float) - mirrored[inside]).mean() < 2
    assert np.abs(plain[inside].astype(float) - mirrored[inside]).mean() > 5


def test_truth_of_a_harder_episode_keeps_outfits_backs_and_mirrors(tmp_path: Path) -> None:
    show = replace(harder_show(2, (320, 180)), scripts=("mirror 0.3, crowd 0.3, turn_round 0.5",))
    video = write_episode(tmp_path, tmp_path / "truth", show, 1)
    truth = load_truth(tmp_path / "truth" / f"{video.stem}.json")
    assert set(truth.cast) == set(show.cast)
    people = [person for drawing in truth.drawings.values() for person in drawing.people]
    assert any(person.mirror for person in people)
    assert any(person.behind for person in people)
    cast = {look.name for look in truth.cast}
    assert {person.character for person in people if person.character.name in cast} <= set(show.cast)
