"""The harder season: twelve people, some in two outfits, some who differ from another in one trait alone.

`harder_cast(k)` draws cast k, `harder_show(k)` plans its episodes for `episodes.write_show`, and `harder_stills(k)`
with `labelled_crops` gives pictures and crops of the same shots without any video. All of it follows from k alone.
Cast k has backdrops of its own, and its people are of the combinations of traits that `characters.is_held_out` keeps
from all training; so are the strangers who pass by.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import HARDER_BACKDROP_SEEDS
from dataset_pipeline.demo.characters import (
    OUTFITS,
    Character,
    held_out_character,
    is_held_out,
    trait_values,
)
from dataset_pipeline.demo.episodes import ShowPlan, draw_episode
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson, clip
from dataset_pipeline.demo.shapes import Box

NAMES = ("Adri", "Bexel", "Corva", "Dessin", "Elvane", "Fenno", "Gisla", "Hovik", "Ilmar", "Jorune", "Kestrin", "Lumo")
TWIN_TRAITS = ("hair_style", "accessory", "hair_color", "eye_color")
TRAITS = ("sex", "hair_color", "hair_style", "eye_color", "skin", "accessory")
BACKDROPS_PER_CAST = 400
SCRIPTS = (
    "talk 1, crowd 1.2, turn_round 1, pair 1, walk 1, cross 1.2, mirror 1, over_shoulder 1, solo 1, cut_off 1, trio 1, "
    "talk 0.8, dark 0.8, turn_round 1, crowd 1.2, pan 1.5, solo 1, walk 1, pair 1, talk 0.8",
    "crowd 1.2, solo 1, mirror 1, cross 1.2, talk 1, trio 1, over_shoulder 1, walk 1, turn_round 1, pair 1, cut_off 1, "
    "talk 0.8, crowd 1.2, dark 0.8, solo 1, pan 1.5, talk 0.8, walk 1, pair 1, turn_round 1",
    "pair 1, talk 1, crowd 1.2, walk 1, over_shoulder 1, solo 1, trio 1, mirror 1, cut_off 1, turn_round 1, cross 1.2, "
    "talk 0.8, pan 1.5, talk 0.8, solo 1, dark 0.8, turn_round 1, pair 1, walk 1, crowd 1.2",
)


@dataclass(frozen=True)
class TwinPair:
    """Two people who differ in `trait` alone and wear the same."""

    trait: str  # one of TWIN_TRAITS
    names: tuple[str, str]


@dataclass(frozen=True)
class HarderCast:
    """Twelve people: four who have no twin, of whom three have two outfits, and a pair of twins for each trait."""

    number: int
    looks: tuple[Character, ...]  # one entry for each outfit of a person
    distinct: tuple[str, ...]  # names of those without a twin
    twins: tuple[TwinPair, ...]

    def outfits(self) -> dict[str, tuple[str, ...]]:
        """The outfits of each person, by name."""
        worn: dict[str, tuple[str, ...]] = {}
        for look in self.looks:
            worn[look.name] = (*worn.get(look.name, ()), look.outfit)
        return worn


def harder_cast(number: int) -> HarderCast:
    """Cast `number`, from 0; `ValueError` beyond the last one that has backdrops of its own."""
    if not 0 <= number < len(HARDER_BACKDROP_SEEDS) // BACKDROPS_PER_CAST:
        raise ValueError(f"harder casts have numbers 0 to {len(HARDER_BACKDROP_SEEDS) // BACKDROPS_PER_CAST - 1}")
    looks, distinct, twins = draw_looks(random.Random(40_000_000 + number), held_out_character, is_held_out)
    return HarderCast(number, looks, distinct, twins)


Drawer = Callable[[random.Random, str], Character]


def draw_looks(
    rng: random.Random, draw: Drawer, is_allowed: Callable[[Character], bool]
) -> tuple[tuple[Character, ...], tuple[str, ...], tuple[TwinPair, ...]]:
    """The looks, the people without a twin and the twins of a cast like `HarderCast`, out of people that `draw` gives.

    `is_allowed` says whether a twin made by changing one trait may be in the cast.
    """
    names = iter(NAMES)
    people: list[Character] = []
    twins = []
    for trait in TWIN_TRAITS:
        one, other = _twins(rng, trait, people, draw, is_allowed)
        people += [replace(one, name=next(names)), replace(other, name=next(names))]
        twins.append(TwinPair(trait, (people[-2].name, people[-1].name)))
    alone: list[Character] = []
    for name in names:
        alone.append(_unlike(rng, name, [*people, *alone], draw))
    looks = list(people)
    for k, person in enumerate(alone):
        looks.append(person)
        if k < 3:
            looks.append(replace(person, outfit=_second_outfit(rng, person, alone[(k + 1) % 4])))
    return tuple(looks), tuple(person.name for person in alone), tuple(twins)


def differing(one: Character, other: Character) -> set[str]:
    """The traits in which two people differ, whatever they wear."""
    return {trait for trait in TRAITS if getattr(one, trait) != getattr(other, trait)}


def _unlike(rng: random.Random, name: str, others: Iterable[Character], draw: Drawer) -> Character:
    """Somebody who differs from everybody else in three traits, among them two of hair colour, hair style and eyes."""
    while True:
        candidate = draw(rng, name)
        apart = [differing(candidate, other) for other in others]
        if all(len(d) >= 3 and len(d & {"hair_color", "hair_style", "eye_color"}) >= 2 for d in apart):
            return candidate


def _twins(
    rng: random.Random, trait: str, others: list[Character], draw: Drawer, is_allowed: Callable[[Character], bool]
) -> tuple[Character, Character]:
    while True:
        one = _unlike(rng, "one", others, draw)
        wanted = [value for value in trait_values(trait, one.sex) if value != getattr(one, trait)]
        other = replace(one, name="other", **{trait: rng.choice(wanted)})
        if trait == "accessory" and one.accessory is not None and other.accessory is not None:
            continue  # the pair is told apart by whether something is worn
        apart = [differing(other, someone) for someone in others]
        if is_allowed(other) and all(len(d & {"hair_color", "hair_style", "eye_color"}) >= 2 for d in apart):
            return one, other


def _second_outfit(rng: random.Random, person: Character, other: Character) -> str:
    """Another kind of outfit in another colour; what `other` wears, where that will do."""
    worn = OUTFITS[person.outfit]

    def will_do(outfit: str) -> bool:
        o = OUTFITS[outfit]
        return person.sex in o.sexes and o.kind != worn.kind and max(map(abs, np.subtract(o.main, worn.main))) > 60

    if will_do(other.outfit):
        return other.outfit
    return rng.choice([outfit for outfit in OUTFITS if will_do(outfit)])


def harder_show(number: int, size: tuple[int, int] = (640, 360)) -> ShowPlan:
    """The plan of cast `number`'s three episodes, each of 20 shots and about 500 frames; see `episodes.write_show`."""
    first = number * BACKDROPS_PER_CAST
    backdrops = HARDER_BACKDROP_SEEDS[first : first + BACKDROPS_PER_CAST]
    return show_of(f"Twelve Lanterns {number:02d}", harder_cast(number).looks, 4_000 + number, size, backdrops)


def show_of(
    title: str,
    looks: tuple[Character, ...],
    seed: int,
    size: tuple[int, int],
    backdrop_seeds: range,
    stranger: Drawer = held_out_character,
) -> ShowPlan:
    """A show of three episodes with the shots of the harder season, of any looks and places."""
    return ShowPlan(
        title=title,
        cast=looks,
        seed=seed,
        size=size,
        backdrop_seeds=backdrop_seeds,
        scripts=SCRIPTS,
        opening_s=1.0,
        opening_entrances=0,
        ending_s=1.0,
        gop_frames=12,
        stranger=stranger,
    )


@dataclass(frozen=True, eq=False)
class Still:
    """One picture of a shot, H x W x 3 uint8 RGB, compressed as a good video is, with everybody in it."""

    episode: int
    shot: int
    kind: str  # of the shot
    number: int  # of the picture in its shot
    image: np.ndarray
    people: tuple[DrawnPerson, ...]


@dataclass(frozen=True, eq=False)
class LabelledCrop:
    """A person or a head cut out of a still; who it is, in what, is `person.character`."""

    still: Still
    person: DrawnPerson
    kind: str  # person, head
    box: Box
    image: np.ndarray
    extra: bool  # a stranger, nobody of the cast

    @property
    def name(self) -> str:
        return self.person.character.name

    @property
    def outfit(self) -> str:
        return self.person.character.outfit


def harder_stills(
    number: int, per_shot: int = 2, episodes: int = 3, size: tuple[int, int] = (640, 360)
) -> Iterator[Still]:
    """`per_shot` pictures, spread over the shot, of every shot of cast `number`'s first `episodes` episodes."""
    return stills_of(harder_show(number, size), per_shot, episodes)


def stills_of(show: ShowPlan, per_shot: int, episodes: int) -> Iterator[Still]:
    """`per_shot` pictures, spread over the shot, of every shot of a show's first `episodes` episodes."""
    for episode in range(1, episodes + 1):
        for shot, (planned, _, cels) in enumerate(draw_episode(show, episode)):
            frames = [cel for cel, held in cels for _ in range(held)]
            for k in range(per_shot):
                cel = frames[int(len(frames) * (k + 0.5) / per_shot)]
                yield Still(episode, shot, planned.kind, k, _compressed(cel.image), cel.people)


def labelled_crops(stills: Iterable[Still], cast: HarderCast, least_side_px: float = 16.0) -> list[LabelledCrop]:
    """The drawn person and head boxes of stills, cut out; narrower or lower ones than `least_side_px` are left out."""
    names = {look.name for look in cast.looks}
    crops = []
    for still in stills:
        size = (still.image.shape[1], still.image.shape[0])
        for person in still.people:
            for kind in ("person", "head"):
                box = clip(getattr(person, kind), size)
                if box == NO_BOX or min(box[2] - box[0], box[3] - box[1]) < least_side_px:
                    continue
                x0, y0, x1, y1 = (round(v) for v in box)
                image = still.image[y0:y1, x0:x1]
                crops.append(LabelledCrop(still, person, kind, box, image, person.character.name not in names))
    return crops


def _compressed(image: np.ndarray) -> np.ndarray:
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise OSError("could not compress a drawn picture as JPEG")
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
