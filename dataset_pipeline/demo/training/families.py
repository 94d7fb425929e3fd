"""Pictures that teach who is who: families of two people who differ in one trait, each seen in several outfits.

A net that has only ever seen people in one outfit takes the outfit for the person. Here both people of a family wear
the same outfits, so the outfit says nothing, and all but one trait are shared, so that the one has to be seen.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from dataset_pipeline.demo.characters import OUTFITS, SKINS, Character, is_held_out, training_character, trait_values
from dataset_pipeline.demo.harder import TWIN_TRAITS, HarderCast, draw_looks, labelled_crops, show_of, stills_of
from dataset_pipeline.demo.scenes import Placement, place_people
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.boxes import resized
from dataset_pipeline.demo.training.data import CROP_SIZE_PX, Views, joined, views_of
from dataset_pipeline.demo.training.worlds import World, render, turned

PICTURES_PER_PERSON = 3
SEEDS_FROM = 300_000
HARD_CASTS_FROM = 600_000
BACKDROPS_PER_CAST = 400
BEHIND_SHARE = 0.18
CUT_OFF_SHARE = 0.15
HIDDEN_SHARE = 0.12


def family_sample(job: tuple[World, int]) -> Views:
    """Crops of the two people of a family, heads and bodies in three pictures each: job (world, number).

    Their names are `<family>-0` and `<family>-1`. Many families seen a little teach a net to look; few seen often would
    be learnt by heart.
    """
    world, number = job
    seed = world.first + SEEDS_FROM + number
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    one = training_character(rng, f"{seed}-0")
    people = (one, twin_of(rng, one, f"{seed}-1"))
    wearable = [tag for tag, outfit in OUTFITS.items() if one.sex in outfit.sexes]
    outfits = rng.sample(wearable, PICTURES_PER_PERSON)
    return joined(
        [
            person_in_a_picture(world, replace(person, outfit=outfit), rng, noise)
            for person in people
            for outfit in outfits
        ]
    )


def twin_of(rng: random.Random, one: Character, name: str) -> Character:
    """Somebody who differs from `one` in one trait alone and whom training may see."""
    while True:
        trait = rng.choice((*TWIN_TRAITS, *TWIN_TRAITS, "skin"))
        values = list(range(len(SKINS))) if trait == "skin" else trait_values(trait, one.sex)
        value = rng.choice([value for value in values if value != getattr(one, trait)])
        other = replace(one, name=name, **{trait: value})
        if not is_held_out(other):
            return other


def person_in_a_picture(world: World, person: Character, rng: random.Random, noise: np.random.Generator) -> Views:
    """One person somewhere: near or far, maybe from behind, cut off by the picture's side or half hidden."""
    size = rng.randint(150, 300), rng.randint(180, 280)
    framing = rng.choices(("full", "half", "bust", "close"), (4, 3, 3, 1))[0]
    placements = place_people(rng, [person], size, framing)
    if rng.random() < BEHIND_SHARE:
        placements = [turned(placement) for placement in placements]
    if rng.random() < CUT_OFF_SHARE:
        placements = [cut_off(rng, placement, size) for placement in placements]
    if rng.random() < HIDDEN_SHARE:
        placements += [beside(rng, world, placement) for placement in placements]
    composed = render(placements, rng.choice(world.backdrops), size)
    return views_of(composed, degrade.as_broadcast(composed.image, noise), noise, frame=False, only=person.name)


def cut_off(rng: random.Random, placement: Placement, size: tuple[int, int]) -> Placement:
    """The same at a side of the picture, up to half of the figure outside it."""
    inside = placement.head_px * rng.uniform(0.1, 0.35)
    return replace(placement, x_px=inside if rng.random() < 0.5 else size[0] - inside)


def beside(rng: random.Random, world: World, placement: Placement) -> Placement:
    """A stranger who stands half before somebody."""
    shift = rng.choice((-1, 1)) * rng.uniform(0.75, 1.1) * placement.head_px
    stranger = world.draw(rng, "stranger")
    return replace(placement, character=stranger, x_px=placement.x_px + shift, pose=replace(placement.pose, turn=0.0))


def hard_cast_sample(job: tuple[World, int]) -> tuple[np.ndarray, list[str]]:
    """Crops of one cast in the shots of the harder season, as `Views.images`, and their names: job (world, number).

    The cast is made like those of the harder season, but of people whom training may see.
    """
    world, number = job
    seed = world.first + HARD_CASTS_FROM + number
    looks, distinct, twins = draw_looks(
        random.Random(seed), training_character, lambda character: not is_held_out(character)
    )
    places = world.backdrops[number * BACKDROPS_PER_CAST : (number + 1) * BACKDROPS_PER_CAST]
    show = show_of("", looks, seed, (640, 360), places, training_character)
    stills = list(stills_of(show, per_shot=1, episodes=2))
    crops = [crop for crop in labelled_crops(stills, HarderCast(number, looks, distinct, twins)) if not crop.extra]
    images = np.stack([resized(crop.image, CROP_SIZE_PX, CROP_SIZE_PX) for crop in crops])
    return images, [crop.name for crop in crops]
