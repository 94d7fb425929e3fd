"""Training and measuring material: drawn scenes turned into samples for each net, from seeds alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np

from dataset_pipeline.demo.scenes import NO_BOX, Placement, grade, place_people
from dataset_pipeline.demo.staging import SHOTS, Stage, held_cels
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.answers import tags_of
from dataset_pipeline.demo.training.boxes import (
    DETECTION_SIZE_PX,
    LARGE_CLASSES,
    SMALL_THINGS_SIZE_PX,
    boxes_of,
    detection_sample,
    padded_square,
    resized,
    small_things_windows,
    squashed,
    window,
)
from dataset_pipeline.demo.training.vocabulary import (
    TAGS,
)
from dataset_pipeline.demo.training.worlds import SIZES, Composed, World, cast_of, compose, drawing, render, staged

CROP_SIZE_PX = 128
EMBEDDING_SIZE_PX = 96
QUALITY_SIZE_PX = 320
MOMENT_SIZE = (480, 270)
VIEWS_PER_SHOT = 3
VERSIONS_PER_PICTURE = 5
STAGED_SHARE = 0.35


@dataclass(frozen=True)
class Views:
    """Pictures of one scene for the people net: crops of its people and, from whole scenes, the frame."""

    images: np.ndarray  # uint8 [k, 128, 128, 3]
    tags: np.ndarray  # [k, tags], 1 where true
    known: np.ndarray  # [k, tags], 0 where the picture cannot tell
    characters: tuple[str, ...]  # name per picture, empty for the whole frame


@dataclass(frozen=True)
class DetectorSample:
    """What one drawn scene gives the detectors."""

    detection: np.ndarray  # uint8 [320, 320, 3]
    boxes: np.ndarray  # [n, 5]
    windows: np.ndarray  # uint8 [6, 192, 192, 3], see `small_things_windows`
    window_boxes: list[np.ndarray]


def detector_sample(job: tuple[World, int, int]) -> DetectorSample:
    """One scene of a world with people of one of its casts: job (world, cast number, scene number)."""
    rng, whole_rng, windows_rng, _ = scene_generators(job)
    composed, image = broadcast_scene(job, rng)
    detection, boxes = detection_sample(image, composed.people, whole_rng)
    windows, window_boxes = small_things_windows(image, composed.people, windows_rng)
    return DetectorSample(detection, boxes, windows, window_boxes)


def scene_views(job: tuple[World, int, int]) -> Views:
    """What the same scene gives the people net."""
    rng, _, _, views_rng = scene_generators(job)
    composed, image = broadcast_scene(job, rng)
    return views_of(composed, image, views_rng, frame=True)


def scene_generators(job: tuple[World, int, int]) -> tuple[np.random.Generator, ...]:
    """Generators of a scene, of its whole picture, windows and views: what is drawn of one changes no other."""
    rng = np.random.default_rng(job[0].first + job[2])
    return rng, *rng.spawn(3)


def broadcast_scene(job: tuple[World, int, int], rng: np.random.Generator) -> tuple[Composed, np.ndarray]:
    """One scene of a world, see `detector_sample`, and its picture as an episode might hold it."""
    world, cast, scene = job
    size = SIZES[int(rng.integers(len(SIZES)))]
    draw = staged if rng.random() < STAGED_SHARE else compose
    composed = draw(world, scene, size, cast_of(world, cast))
    return composed, degrade.as_broadcast(composed.image, rng)


def whole_sample(job: tuple[World, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A scene squashed to the size of each detector, with the boxes of its classes there; job as `detector_sample`."""
    composed, image = broadcast_scene(job, scene_generators(job)[0])
    rows = boxes_of(composed.people)
    small = rows[rows[:, 0] >= len(LARGE_CLASSES)] - np.array([len(LARGE_CLASSES), 0, 0, 0, 0], np.float32)
    return *squashed(image, rows, DETECTION_SIZE_PX), *squashed(image, small, SMALL_THINGS_SIZE_PX)


def views_of(
    composed: Composed, image: np.ndarray, rng: np.random.Generator, *, frame: bool, only: str | None = None
) -> Views:
    """Crops of everybody in a scene as a detector would give them, out of `image`, the scene as it was broadcast.

    With `only`, crops of the one person of that name, head and all.
    """
    size = image.shape[1], image.shape[0]
    wanted: list[tuple[tuple[int, int, int, int], str]] = [((0, 0, *size), "")] if frame else []
    for person in composed.people:
        name = person.character.name
        if only is not None and name != only:
            continue
        wanted.append((window(person.person, rng.uniform(-0.05, 0.12, 4), size), name))
        if person.head != NO_BOX and (only is not None or rng.random() < 0.65):
            wanted.append((window(person.head, rng.uniform(-0.06, 0.3, 4), size), name))
        elif person.halfbody != NO_BOX and rng.random() < 0.7:
            wanted.append((window(person.halfbody, rng.uniform(-0.05, 0.12, 4), size), name))
    images, tags, known = [], [], []
    for view, name in wanted:
        x0, y0, x1, y1 = view
        # The tagger pads to a square, the identity model squashes; the net must know both. Frames are only tagged.
        picture = image[y0:y1, x0:x1]
        picture = padded_square(picture) if not name or rng.random() < 0.4 else picture
        images.append(resized(picture, CROP_SIZE_PX, CROP_SIZE_PX))
        true, told = tags_of(composed, view, CROP_SIZE_PX / max(picture.shape[:2]))
        tags.append(true)
        known.append(told)
    return Views(
        np.array(images, np.uint8).reshape(-1, CROP_SIZE_PX, CROP_SIZE_PX, 3),
        np.array(tags, np.float32).reshape(-1, len(TAGS)),
        np.array(known, np.float32).reshape(-1, len(TAGS)),
        tuple(name for _, name in wanted),
    )


def joined(views: Sequence[Views]) -> Views:
    """The pictures of several scenes as one."""
    return Views(
        np.concatenate([v.images for v in views]),
        np.concatenate([v.tags for v in views]),
        np.concatenate([v.known for v in views]),
        tuple(name for v in views for name in v.characters),
    )


def moment_sample(job: tuple[World, int, int]) -> np.ndarray:
    """Views of six shots that are hard to tell apart, uint8 [6, 3, 96, 96, 3]; see `moment_views`."""
    return np.stack([[resized(v, EMBEDDING_SIZE_PX, EMBEDDING_SIZE_PX) for v in shot] for shot in moment_views(job)])


def moment_views(job: tuple[World, int, int]) -> list[list[np.ndarray]]:
    """Six shots of one moment, each as three near-duplicate views: job (world, cast number, moment number).

    The shots: a scene, the same people elsewhere in the same place, other people in the same place, the first shot's
    people as they stand in another place, somebody of the cast talking in the same place, and any other shot of an
    episode there. The views of a shot differ by what changes while a picture is held: mouths, lids, a pixel of shift,
    light, compression.
    """
    world, cast_number, moment = job
    rng = random.Random(world.first + 500_000 + moment)
    noise = np.random.default_rng(world.first + 500_000 + moment)
    size = MOMENT_SIZE
    cast = rng.sample(cast_of(world, cast_number), world.cast_size)
    count = rng.choices((0, 1, 2, 3), (0.4, 4, 3, 1))[0]
    here, there = rng.sample(world.backdrops, 2)
    first = place_people(rng, cast[:count], size)
    again = place_people(rng, cast[: max(1, count)], size)
    others = place_people(rng, cast[count : count + max(1, count)], size)
    dark = degrade.darkness(noise) if noise.random() < 0.15 else 0.0
    shots = [
        [held_view(placements, place, size, rng) for _ in range(VIEWS_PER_SHOT)]
        for placements, place in ((first, here), (again, here), (others, here), (first, there))
    ]
    talk = Stage(size, 96, rng.getrandbits(40), here, cast[:1], "")
    said = [cel.image for cel, _ in islice(held_cels("talk", talk), VIEWS_PER_SHOT + 1)]
    shots.append([said[i] for i in sorted(rng.sample(range(len(said)), VIEWS_PER_SHOT))])
    kind = rng.choice(("solo", "pair", "trio", "group", "walk", "locked", "pan", "whip", "line_up_card"))
    stage = Stage(size, 16, rng.getrandbits(40), here, cast[: SHOTS[kind][1]], "")
    shots.append([drawing(kind, stage, rng.randrange(8)).image] * VIEWS_PER_SHOT)
    return [[as_held(grade(view, dark), noise) for view in views] for views in shots]


def held_view(placements: Sequence[Placement], backdrop: int, size: tuple[int, int], rng: random.Random) -> np.ndarray:
    """One more drawing of a held shot: mouths and lids may have moved."""
    moved = []
    for placement in placements:
        pose = replace(placement.pose, mouth=rng.choice((0.0, 0.5, 1.0))) if rng.random() < 0.5 else placement.pose
        pose = replace(pose, eyes_open=rng.choice((0.0, 0.6, 1.0))) if rng.random() < 0.25 else pose
        moved.append(replace(placement, pose=pose))
    return render(moved, backdrop, size).image


def as_held(image: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """A drawing as one frame of a video: shifted by up to a pixel, a little lighter or softer, compressed."""
    height, width = image.shape[:2]
    if noise.random() < 0.5:
        shift = noise.uniform(-1.5, 1.5, 2) * height / 360
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        image = cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if noise.random() < 0.3:
        image = degrade.relit(image, float(noise.uniform(0.95, 1.05)), 1.0, (1.0, 1.0, 1.0))
    if noise.random() < 0.25:
        image = degrade.blurred(image, float(noise.uniform(0.3, 1.2)) * height / 360)
    return degrade.compressed(image, int(noise.uniform(35, 95)))


def quality_sample(job: tuple[World, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Versions of one picture, uint8 [5, 320, 320, 3], and their quality [5], 1 for the clean one, cut from a scene."""
    world, cast_number, picture = job
    rng = np.random.default_rng(world.first + 700_000 + picture)
    size = ((640, 360), (910, 512), (910, 512), (1280, 720))[int(rng.integers(4))]
    composed = compose(world, 700_000 + picture, size, cast_of(world, cast_number))
    image = composed.image
    if size[1] > 512:
        image = resized(image, round(size[0] * 512 / size[1]), 512)
    y = int(rng.integers(0, image.shape[0] - QUALITY_SIZE_PX + 1))
    x = int(rng.integers(0, image.shape[1] - QUALITY_SIZE_PX + 1))
    image = image[y : y + QUALITY_SIZE_PX, x : x + QUALITY_SIZE_PX]
    versions = quality_versions(image, VERSIONS_PER_PICTURE, rng)
    return np.stack([v for v, _ in versions]), np.array([q for _, q in versions], np.float32)


def quality_versions(image: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """The picture as good as clean, then `count` - 1 damaged versions, each with its quality in 0..1.

    Quality is the product of one factor per kind of damage: halved by a blur of 1.2 px, by noise of 18 grey levels, by
    JPEG quality 25 and by rescaling through 60 % of the size.
    """
    versions = [(degrade.compressed(image, int(rng.uniform(88, 97))), 1.0)]
    while len(versions) < count:
        picture, quality = image, 1.0
        kinds = rng.choice(4, 1 if rng.random() < 0.75 else 2, replace=False, p=(0.45, 0.15, 0.2, 0.2))
        if 0 in kinds:
            sigma = float(np.exp(rng.uniform(np.log(0.5), np.log(5))))
            picture, quality = degrade.blurred(picture, sigma), quality / (1 + (sigma / 1.2) ** 1.5)
        if 3 in kinds:
            factor = float(rng.uniform(0.2, 0.85))
            picture, quality = degrade.rescaled(picture, factor), quality / (1 + ((1 - factor) / 0.4) ** 2)
        if 1 in kinds:
            sigma = float(rng.uniform(4, 40))
            picture, quality = degrade.noisy(picture, sigma, rng), quality / (1 + (sigma / 18) ** 1.5)
        level = int(rng.uniform(5, 60)) if 2 in kinds else int(rng.uniform(80, 97))
        picture = degrade.compressed(picture, level)
        quality = quality / (1 + (max(0, 75 - level) / 50) ** 2) if 2 in kinds else quality
        versions.append((picture, quality))
    return versions
