"""Training and measuring material: drawn scenes turned into samples for each net, in parallel and from seeds alone.

Three worlds never meet: training, calibration and measuring draw their people, poses and places from seed ranges of
their own, and none of them uses the people, scenes or places of the demo episodes or of the tests' episodes.
"""

from __future__ import annotations

import multiprocessing
import random
import string
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import TRAINING_BACKDROP_SEEDS, backdrop_kind, draw_backdrop
from dataset_pipeline.demo.characters import Character, random_character
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson, Placement, draw_people, grade, place_people
from dataset_pipeline.demo.shapes import Box
from dataset_pipeline.demo.staging import SHOTS, Cel, Stage, held_cels
from dataset_pipeline.demo.training import degrade
from dataset_pipeline.demo.training.vocabulary import (
    EXPRESSIONS,
    EYE_COLORS,
    FRAMINGS,
    INDEX,
    OUTFITS,
    PLACE_TAGS,
    PLACES,
    TAGS,
)

DETECTION_SIZE_PX = 320
CROP_SIZE_PX = 96
EMBEDDING_SIZE_PX = 96
QUALITY_SIZE_PX = 320
CLASSES: tuple[str, ...] = ("person", "halfbody", "head", "face", "hand", "eye")
MOMENT_SIZE = (480, 270)
VIEWS_PER_SHOT = 3
VERSIONS_PER_PICTURE = 5
STAGED_SHARE = 0.35
WORKERS = 2

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Where the seeds of one purpose lie. Cast `k` and scene `k` of a world have seeds `first + k`."""

    first: int
    backdrops: range
    cast_size: int


TRAINING = World(first=10_000_000, backdrops=TRAINING_BACKDROP_SEEDS[:80_000], cast_size=4)
CALIBRATION = World(first=20_000_000, backdrops=TRAINING_BACKDROP_SEEDS[80_000:], cast_size=6)
MEASURED = World(first=30_000_000, backdrops=range(500_000, 600_000), cast_size=6)
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
        stranger = random_character(rng, f"{world.first + number}-{len(cast)}")
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
    return render(place_people(rng, characters, size), rng.choice(world.backdrops), size)


def render(placements: Sequence[Placement], backdrop: int, size: tuple[int, int]) -> Composed:
    """Draw people at a place; whoever's face is hidden by others is left out."""
    while True:
        image = draw_backdrop(backdrop, size)
        people = draw_people(image, placements)
        clear = {person.character for person in people if person.face != NO_BOX}
        if len(clear) == len(placements):
            pose_of = {p.character: p.pose for p in placements}
            return Composed(image, people, tuple(pose_of[p.character] for p in people), backdrop_kind(backdrop))
        placements = [p for p in placements if p.character in clear]


def staged(world: World, seed: int, size: tuple[int, int], cast: Sequence[Character], kind: str = "") -> Composed:
    """A picture out of a shot as episodes have them, of one `kind` or of any."""
    rng = random.Random(world.first + 900_000 + seed)
    kind = kind or rng.choice(tuple(SHOTS))
    wanted = SHOTS[kind][1]
    actors = rng.sample(list(cast), rng.randint(3, len(cast)) if wanted is None else wanted)
    backdrop = rng.choice(world.backdrops)
    stage = Stage(size, 16, rng.getrandbits(40), backdrop, actors, "".join(rng.choices(string.ascii_letters, k=12)))
    cel = drawing(kind, stage, rng.randrange(8))
    place = None if kind in ("title_card", "entrance") else backdrop_kind(backdrop)
    return Composed(cel.image, cel.people, (None,) * len(cel.people), place)


def drawing(kind: str, stage: Stage, number: int) -> Cel:
    """Drawing `number` of a shot, or its last one."""
    cels = [cel for cel, _ in islice(held_cels(kind, stage), number + 1)]
    return cels[-1]


# ---------------------------------------------------------------------------------------------------------- geometry


def area_px(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared_px(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return area_px((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def window(box: Box, margins: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box widened on each side by a share of its own size and cut to whole pixels of a picture of (width, height)."""
    width, height = box[2] - box[0], box[3] - box[1]
    x0 = max(0, int(box[0] - margins[0] * width))
    y0 = max(0, int(box[1] - margins[1] * height))
    x1 = min(size[0], int(np.ceil(box[2] + margins[2] * width)))
    y1 = min(size[1], int(np.ceil(box[3] + margins[3] * height)))
    return x0, y0, max(x1, x0 + 2), max(y1, y0 + 2)


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resized to exactly (width, height), averaging when it shrinks."""
    shrinks = image.shape[0] > height or image.shape[1] > width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def padded_square(image: np.ndarray) -> np.ndarray:
    """White borders make it square, as the tagger's preprocessing does."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    y, x = (side - height) // 2, (side - width) // 2
    square[y : y + height, x : x + width] = image
    return square


# --------------------------------------------------------------------------------------------------------- detection


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pairwise intersection over union of boxes [n, 4] and [m, 4] -> [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (high - low).clip(0).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return overlap / np.maximum(areas[0][:, None] + areas[1][None] - overlap, 1e-9)


def matches(found: np.ndarray, truth: np.ndarray, least_iou: float = 0.5) -> list[bool]:
    """For each found box, best first, whether it takes a true box that no earlier one has taken."""
    free = np.ones(len(truth), bool)
    hits = []
    overlaps = iou(found.reshape(-1, 4), truth.reshape(-1, 4))
    for row in overlaps:
        best = int(np.argmax(np.where(free, row, -1))) if free.any() else -1
        hit = best >= 0 and bool(row[best] >= least_iou)
        if hit:
            free[best] = False
        hits.append(hit)
    return hits


def boxes_of(people: Iterable[DrawnPerson]) -> np.ndarray:
    """All true boxes as rows of class index, x0, y0, x1, y1 in pixels: [n, 5]."""
    rows: list[tuple[float, ...]] = []
    for p in people:
        found = ((p.person,), (p.halfbody,), (p.head,), (p.face,), p.hands, p.eyes)
        rows += [(c, *box) for c, boxes in enumerate(found) for box in boxes if box != NO_BOX]
    return np.array(rows, np.float32).reshape(-1, 5)


def zoomed(image: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window of a picture with the boxes that are still at least 40 % inside it."""
    height, width = image.shape[:2]
    w, h = (max(32, int(side * rng.uniform(0.4, 0.95))) for side in (width, height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    moved = rows - np.array([0, x, y, x, y], np.float32)
    inside = moved.copy()
    inside[:, 1::2] = moved[:, 1::2].clip(0, w)
    inside[:, 2::2] = moved[:, 2::2].clip(0, h)
    share = (inside[:, 3:] - inside[:, 1:3]).prod(1) / (moved[:, 3:] - moved[:, 1:3]).prod(1).clip(1e-6)
    return image[y : y + h, x : x + w], inside[share >= 0.4]


def detection_sample(
    image: np.ndarray, people: Sequence[DrawnPerson], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture squashed to the detector's size, uint8 [320, 320, 3], and its boxes in pixels of that size [n, 5]."""
    rows = boxes_of(people)
    if rng.random() < 0.2:
        image, rows = zoomed(image, rows, rng)
    height, width = image.shape[:2]
    scale = np.array([1, *(DETECTION_SIZE_PX / np.array([width, height, width, height]))], np.float32)
    return resized(image, DETECTION_SIZE_PX, DETECTION_SIZE_PX), rows * scale


# -------------------------------------------------------------------------------------------------------------- tags


def tags_of(composed: Composed, view: Box, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """What is true of the part `view` of a picture shown at `scale`, and what the part can tell: two [tags] arrays."""
    answers = _Answers()
    seen = [
        (person, pose)
        for person, pose in zip(composed.people, composed.poses, strict=True)
        if shared_px(person.face, view) > 0.5 * area_px(person.face)
    ]
    answers.say("general")
    _count_people(answers, [person for person, _ in seen])
    for person, pose in seen:
        _describe(answers, person, pose, view, scale)
    if len(seen) == 1:
        answers.say(framing_of(seen[0][0], view))
    elif seen:
        answers.cannot_tell(FRAMINGS)
    if composed.place and area_px(view) > 0.9 * composed.image.shape[0] * composed.image.shape[1]:
        answers.say(*PLACES[composed.place])
    else:
        answers.cannot_tell(PLACE_TAGS)
    return answers.tags, answers.known


class _Answers:
    """tags: 1 where a tag is true. known: 0 where the picture cannot tell."""

    def __init__(self) -> None:
        self.tags, self.known = np.zeros(len(TAGS), np.float32), np.ones(len(TAGS), np.float32)

    def say(self, *names: str) -> None:
        for name in names:
            self.tags[INDEX[name]] = 1

    def say_if(self, holds: bool, name: str) -> None:
        if holds:
            self.say(name)

    def cannot_tell(self, names: Iterable[str]) -> None:
        for name in names:
            self.known[INDEX[name]] = 0


def _count_people(answers: _Answers, people: Sequence[DrawnPerson]) -> None:
    for sex in ("girl", "boy"):
        count = sum(person.character.sex == sex for person in people)
        answers.say_if(count == 1, f"1{sex}")
        answers.say_if(count > 1, f"multiple_{sex}s")
        answers.say_if(1 < count <= 3, f"{count}{sex}s")
    if len(people) <= 1:
        answers.say("solo" if people else "no_humans")


def _describe(answers: _Answers, person: DrawnPerson, pose: Pose | None, view: Box, scale: float) -> None:
    """Looks, outfit and expression of one person whose face is seen."""
    character = person.character
    answers.say(character.hair_color, character.hair_style)
    if character.accessory:
        answers.say(character.accessory)
    eye_px = min((min(b[2] - b[0], b[3] - b[1]) for b in person.eyes), default=0.0) * scale
    if eye_px < 3.0 or (pose and pose.eyes_open < 0.5):
        answers.cannot_tell(EYE_COLORS)
    else:
        answers.say(character.eye_color)
    torso = shared_px((person.halfbody[0], person.head[3], *person.halfbody[2:]), view)
    whole_torso = max(1.0, person.halfbody[3] - person.head[3]) * (person.halfbody[2] - person.halfbody[0])
    if torso > 0.35 * whole_torso:
        answers.say(character.outfit)
    elif torso > 0.05 * whole_torso:
        answers.cannot_tell(OUTFITS)
    face_px = (person.face[3] - person.face[1]) * scale
    if pose is None or face_px < 18:
        answers.cannot_tell(EXPRESSIONS)
    else:
        answers.say_if(pose.expression == "smile", "smile")
        answers.say_if(pose.mouth >= 0.5, "open_mouth")
        answers.say_if(pose.eyes_open < 0.3, "closed_eyes")


def framing_of(person: DrawnPerson, view: Box) -> str:
    """How much of a person a view shows, in image-board words."""
    head_px = person.head[3] - person.head[1]
    if head_px > 0.85 * (view[3] - view[1]):
        return "close-up"
    heads = (min(view[3], person.person[3]) - person.head[1]) / max(1.0, head_px)
    if heads < 1.7:
        return "portrait"
    if heads < 2.6:
        return "upper_body"
    return "cowboy_shot" if heads < 3.8 else "full_body"


# ------------------------------------------------------------------------------------------------- people and frames


@dataclass(frozen=True)
class Views:
    """Pictures of one scene for the people net: crops of its people and, from whole scenes, the frame."""

    images: np.ndarray  # uint8 [k, 96, 96, 3]
    tags: np.ndarray  # [k, tags], 1 where true
    known: np.ndarray  # [k, tags], 0 where the picture cannot tell
    characters: tuple[str, ...]  # name per picture, empty for the whole frame


@dataclass(frozen=True)
class SceneSample:
    """All that one drawn scene gives the detector and the people net."""

    detection: np.ndarray  # uint8 [320, 320, 3]
    boxes: np.ndarray  # [n, 5]
    views: Views


def scene_sample(job: tuple[World, int, int]) -> SceneSample:
    """The samples of one scene of a world with people of one of its casts: job (world, cast number, scene number)."""
    world, cast, scene = job
    rng = np.random.default_rng(world.first + scene)
    size = SIZES[int(rng.integers(len(SIZES)))]
    draw = staged if rng.random() < STAGED_SHARE else compose
    composed = draw(world, scene, size, cast_of(world, cast))
    image = degrade.as_broadcast(composed.image, rng)
    detection, boxes = detection_sample(image, composed.people, rng)
    return SceneSample(detection, boxes, views_of(composed, image, rng, frame=True))


def portrait_sample(job: tuple[World, int]) -> Views:
    """One stranger, met in no other sample, in two pictures of different pose, place and light: job (world, number).

    Few people in many scenes would let a net learn by heart who wears what; many people seen twice teach it to look.
    """
    world, number = job
    rng, noise = random.Random(world.first + 300_000 + number), np.random.default_rng(world.first + 300_000 + number)
    stranger = random_character(rng, f"{world.first + 300_000 + number}")
    views = []
    for framing in rng.choices(("full", "half", "bust", "close"), (3, 3, 3, 1), k=2):
        size = rng.randint(150, 300), rng.randint(180, 260)
        composed = render(place_people(rng, [stranger], size, framing), rng.choice(world.backdrops), size)
        views.append(views_of(composed, degrade.as_broadcast(composed.image, noise), noise, frame=False))
    return joined(views)


def views_of(composed: Composed, image: np.ndarray, rng: np.random.Generator, *, frame: bool) -> Views:
    """Crops of everybody in a scene as a detector would give them, out of `image`, the scene as it was broadcast."""
    size = image.shape[1], image.shape[0]
    wanted: list[tuple[tuple[int, int, int, int], str]] = [((0, 0, *size), "")] if frame else []
    for person in composed.people:
        name = person.character.name
        wanted.append((window(person.person, rng.uniform(-0.05, 0.12, 4), size), name))
        if rng.random() < 0.65:
            wanted.append((window(person.head, rng.uniform(-0.06, 0.3, 4), size), name))
        elif rng.random() < 0.7:
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


# ------------------------------------------------------------------------------------------------ near-duplicates


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


# ----------------------------------------------------------------------------------------------------------- quality


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


# ---------------------------------------------------------------------------------------------------------- plumbing


def in_parallel(function: Callable[[Any], T], jobs: Sequence[Any]) -> list[T]:
    """The results of `function` over `jobs`, in their order, from two processes."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        return list(pool.map(function, jobs, chunksize=max(1, min(16, len(jobs) // WORKERS))))


def jobs_of(world: World, casts: int, per_cast: int) -> list[tuple[World, int, int]]:
    """Jobs (world, cast, number) that give every cast `per_cast` scenes, numbered from 0."""
    return [(world, cast, cast * per_cast + k) for cast in range(casts) for k in range(per_cast)]
