"""The worlds of training, calibration and measuring: their people, scenes and shots, from seeds alone.

The worlds never meet: each draws its people, poses and places from seed ranges of its own, and none of them uses the
people, scenes or places of the demo episodes or of the tests' episodes.
"""

from __future__ import annotations

import multiprocessing
import random
import string
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import TRAINING_BACKDROP_SEEDS, backdrop_kind, draw_backdrop
from dataset_pipeline.demo.characters import OUTFITS as WARDROBE
from dataset_pipeline.demo.characters import Character, random_character, training_character
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.hard_shots import ALL_SHOTS
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson, Placement, draw_people, place_people
from dataset_pipeline.demo.staging import SHOTS, Cel, Stage, held_cels

OTHER_OUTFIT_SHARE = 0.6
BEHIND_SHARE = 0.15
WORKERS = 2

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Where the seeds of one purpose lie. Cast `k` and scene `k` of a world have seeds `first + k`.

    In a hard world people change their outfits from scene to scene, some turn their backs, and the shots of the harder
    season are staged too. `draw` gives the people.
    """

    first: int
    backdrops: range
    cast_size: int
    hard: bool = True
    draw: Callable[[random.Random, str], Character] = training_character


TRAINING = World(first=10_000_000, backdrops=TRAINING_BACKDROP_SEEDS[:80_000], cast_size=4)
CALIBRATION = World(first=20_000_000, backdrops=TRAINING_BACKDROP_SEEDS[80_000:], cast_size=6)
MEASURED = World(30_000_000, range(500_000, 600_000), cast_size=6, hard=False, draw=random_character)
SIZES: tuple[tuple[int, int], ...] = ((640, 360), (640, 360), (640, 360), (1280, 720), (640, 480), (480, 640))


@dataclass(frozen=True)
class Composed:
    """A drawn picture with all that its drawing knew. `poses` holds one pose per person, None where unknown."""

    image: np.ndarray  # H x W x 3 uint8 RGB
    people: tuple[DrawnPerson, ...]
    poses: tuple[Pose | None, ...]
    place: str | None  # kind of backdrop, None where it cannot be seen


def cast_of(world: World, number: int) -> tuple[Character, ...]:
    """The people of one cast of a world, all different in what is seen of them from afar."""
    rng = random.Random(world.first + number)
    cast: list[Character] = []
    while len(cast) < world.cast_size:
        stranger = world.draw(rng, f"{world.first + number}-{len(cast)}")
        if all(stranger.silhouette() != other.silhouette() for other in cast):
            cast.append(stranger)
    return tuple(cast)


def compose(
    world: World,
    seed: int,
    size: tuple[int, int],
    cast: Sequence[Character],
    people: int | None = None,
) -> Composed:
    """A random scene of up to four members of `cast` at a place of the world."""
    rng = random.Random(world.first + seed)
    count = rng.choices((0, 1, 2, 3, 4), (0.7, 4, 3, 1.6, 0.9))[0] if people is None else people
    characters = rng.sample(list(cast), min(count, len(cast)))
    if world.hard:
        characters = [dressed(rng, character) for character in characters]
    placements = place_people(rng, characters, size)
    if world.hard:
        placements = [turned(p) if rng.random() < BEHIND_SHARE else p for p in placements]
    return render(placements, rng.choice(world.backdrops), size)


def dressed(rng: random.Random, character: Character) -> Character:
    """Somebody in what they always wear or, more often, in anything."""
    if rng.random() >= OTHER_OUTFIT_SHARE:
        return character
    return replace(character, outfit=rng.choice([o for o in WARDROBE if character.sex in WARDROBE[o].sexes]))


def turned(placement: Placement) -> Placement:
    """Somebody who turns their back."""
    return replace(placement, pose=replace(placement.pose, behind=True))


def render(placements: Sequence[Placement], backdrop: int, size: tuple[int, int]) -> Composed:
    """Draw people at a place; whoever's face, or head from behind, is hidden by others is left out."""
    while True:
        image = draw_backdrop(backdrop, size)
        people = draw_people(image, placements)
        clear = {p.character for p in people if p.face != NO_BOX or (p.behind and p.head != NO_BOX)}
        if len(clear) == len(placements):
            pose_of = {p.character: p.pose for p in placements}
            return Composed(image, people, tuple(pose_of[p.character] for p in people), backdrop_kind(backdrop))
        placements = [p for p in placements if p.character in clear]


def staged(world: World, seed: int, size: tuple[int, int], cast: Sequence[Character], kind: str = "") -> Composed:
    """A picture out of a shot as episodes have them, of one `kind` or of any."""
    rng = random.Random(world.first + 900_000 + seed)
    kind = kind or rng.choice(tuple(ALL_SHOTS if world.hard else SHOTS))
    wanted = ALL_SHOTS[kind][1]
    actors = rng.sample(list(cast), rng.randint(3, len(cast)) if wanted is None else min(wanted, len(cast)))
    if world.hard:
        actors = [dressed(rng, actor) for actor in actors]
    backdrop = rng.choice(world.backdrops)
    seed, title = rng.getrandbits(40), "".join(rng.choices(string.ascii_letters, k=12))
    stage = Stage(size, 16, seed, backdrop, actors, title, world.draw)
    cel = drawing(kind, stage, rng.randrange(8))
    place = None if kind in ("title_card", "entrance") else backdrop_kind(backdrop)
    return Composed(cel.image, cel.people, (None,) * len(cel.people), place)


def drawing(kind: str, stage: Stage, number: int) -> Cel:
    """Drawing `number` of a shot, or its last one."""
    cels = [cel for cel, _ in islice(held_cels(kind, stage, ALL_SHOTS), number + 1)]
    return cels[-1]


def in_parallel(function: Callable[[Any], T], jobs: Sequence[Any]) -> list[T]:
    """The results of `function` over `jobs`, in their order, from two processes."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        return list(pool.map(function, jobs, chunksize=max(1, min(16, len(jobs) // WORKERS))))


def jobs_of(world: World, casts: int, per_cast: int) -> list[tuple[World, int, int]]:
    """Jobs (world, cast, number) that give every cast `per_cast` scenes, numbered from 0."""
    return [(world, cast, cast * per_cast + k) for cast in range(casts) for k in range(per_cast)]
