"""Shots whose truth is known: a painting, the camera's sub-pixel way over it, what stands before it; encoded by x264.

The painting is drawn at twice the frames' resolution and sampled there behind a Gaussian of half a frame's pixel, so
that a frame at any sub-pixel place is what a camera would see. `draw_shot` gives a shot by the name of its kind.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import cast

import av
import av.video
import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import KINDS as PLACES
from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.demo.characters import random_character
from dataset_pipeline.demo.figure import SOLES_Y, Pose
from dataset_pipeline.demo.scenes import draw_person
from dataset_pipeline.video.color import Conversion, to_rgb

FPS = 24
REST = 6  # frames at each end in which the camera stands
_LONG = 5842 / 1280 - 1  # views
_SEEDS_FROM = 50_000
_FINER = 2
_MARGIN = 12  # px of painting around what the camera sees, for the filters
_BLUR = 0.5  # px of a frame
_TAPS = 5
_CONVERSION = Conversion(matrix="bt601", range="tv")  # what PyAV encodes RGB by

Box = tuple[float, float, float, float]
Way = Callable[[int], np.ndarray]  # number of frames -> places [n, 4] as of `Alignment`, from any origin


@dataclass(frozen=True, eq=False)
class DrawnShot:
    """A shot and what is true of it.

    `places`, `gains`: of all frames, as in `Alignment`, repeats of held pictures among them. `canvas`: the painting
    without anything before it, RGB uint8; its first pixel begins at canvas point (left_px, top_px). `boxes`: by frame,
    (x0, y0, x1, y1) in its pixels of whoever stands or moves before the painting. `letters`: bool [height, width],
    where anything is burnt in.
    """

    encoded: bytes
    size_px: tuple[int, int]
    pts: np.ndarray
    pts_s: np.ndarray
    places: np.ndarray
    gains: np.ndarray
    canvas: np.ndarray
    left_px: float
    top_px: float
    boxes: tuple[tuple[Box, ...], ...]
    letters: np.ndarray
    packed: tuple[np.ndarray, ...] = field(repr=False)

    def frames_at(self, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(pts, RGB uint8) of the frames asked for, decoded anew on each call as episodes are; what `align` takes."""
        wanted = set(map(int, pts))
        with av.open(io.BytesIO(self.encoded)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if int(self.pts[number]) in wanted:
                    yield int(self.pts[number]), to_rgb(frame, _CONVERSION)

    @cached_property
    def frames(self) -> np.ndarray:
        """All frames, uint8 [n, height, width, 3]."""
        return np.stack([frame for _, frame in self.frames_at(self.pts)])

    def covered(self, number: int) -> np.ndarray:
        """bool [height, width]: where something stands before the painting in a frame, burnt-in letters included."""
        width, height = self.size_px
        return np.unpackbits(self.packed[number], count=width * height).reshape(height, width).astype(bool)


def gauge_free(places: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Errors in px [n, 2] of the shifts in `places`, their median removed."""
    off = np.asarray(places)[:, :2] - truth[:, :2]
    return off - np.median(off, axis=0)


def corner_errors(places: np.ndarray, truth: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """By frame, how far in px its worst corner lies from the truth after the best similarity between both."""
    found, true = corners(places, size_px), corners(truth, size_px)
    a, b = found.reshape(-1, 2) @ (1, 1j), true.reshape(-1, 2) @ (1, 1j)
    system = np.stack([a, np.ones_like(a)], 1)
    solution = np.linalg.lstsq(system, b, rcond=None)[0]
    return np.abs(system @ solution - b).reshape(len(found), 4).max(1)


def corners(places: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Canvas points [n, 4, 2] of the frames' corners."""
    corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size_px) / 2
    turned = corner @ (1, 1j) * np.exp(places[:, 2] + 1j * places[:, 3])[:, None]
    at = turned + (places[:, 0] + 1j * places[:, 1])[:, None]
    return np.stack([at.real, at.imag], 2)


@dataclass(frozen=True, eq=False)
class _Sprite:
    """RGBA premultiplied, float32 0..255, at `_FINER` times a frame's resolution, softened as frames are."""

    rgba: np.ndarray

    def paste(self, frame: np.ndarray, x: float, y: float) -> np.ndarray:
        """Draw into a float32 frame with the sprite's corner at (x, y); its share of each pixel, 0..1."""
        covered = np.zeros(frame.shape[:2], np.float32)
        tall, wide = (side // _FINER + 2 for side in self.rgba.shape[:2])
        x0, y0 = max(0, math.floor(x) - 1), max(0, math.floor(y) - 1)
        x1, y1 = min(frame.shape[1], math.ceil(x) + wide), min(frame.shape[0], math.ceil(y) + tall)
        if x1 <= x0 or y1 <= y0:
            return covered
        matrix = np.array([[_FINER, 0, _FINER * (x0 + 0.5 - x) - 0.5], [0, _FINER, _FINER * (y0 + 0.5 - y) - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(self.rgba, matrix, (x1 - x0, y1 - y0), flags=flags)
        share = seen[:, :, 3:] / 255
        window = frame[y0:y1, x0:x1]
        window *= 1 - share
        window += seen[:, :, :3]
        covered[y0:y1, x0:x1] = share[:, :, 0]
        return covered


# Where a sprite is in a frame, for its number and the camera's way over the painting (x, y) in px since the start.
Where = Callable[[int, np.ndarray], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class _Actor:
    """Something before the painting; `looks` are shown in turn, each for `hold` frames."""

    looks: tuple[_Sprite, ...]
    where: Where
    hold: int = 1
    fixed: bool = False


@dataclass(frozen=True)
class _Stage:
    """What a kind of shot is made from."""

    size: tuple[int, int]
    frames: int
    rng: random.Random

    def way(self, x: float, y: float = 0.0, hold: int = 1) -> np.ndarray:
        """An eased way of (x, y) in shares of the view; each place held for `hold` frames."""
        eased = self.eased(hold)
        shift = np.outer(eased, (x * self.size[0], y * self.size[1]))
        return np.concatenate([shift, np.zeros_like(shift)], 1)

    def eased(self, hold: int = 1) -> np.ndarray:
        number = np.arange(self.frames) // hold * hold
        t = ((number - REST) / (self.frames - 1 - 2 * REST)).clip(0, 1)
        return t * t * (3 - 2 * t)

    def figure(self, height_share: float, poses: Sequence[Pose]) -> tuple[_Sprite, ...]:
        """One stranger, as tall as a share of the picture, in each pose; the feet are at the sprite's lower edge."""
        head = height_share * self.size[1] * _FINER / SOLES_Y
        character = random_character(self.rng, f"stranger-{self.rng.random()}")
        shape = (math.ceil(head * (SOLES_Y + 0.9)), math.ceil(head * 5), 3)
        looks = []
        for pose in poses:
            drawn = []
            for ground in (0, 255):
                drawn.append(np.full(shape, ground, np.uint8))
                draw_person(drawn[-1], character, shape[1] / 2, head * 0.8, head, pose)
            dark, light = (picture.astype(np.float32) for picture in drawn)
            alpha = (255 - (light - dark).mean(2, keepdims=True)).clip(0, 255)
            looks.append(_soft(np.concatenate([dark, alpha], 2)))
        return tuple(looks)

    def walker(
        self, height_share: float, start: float, speed: float, feet: float, hold: int, stands: bool = False
    ) -> _Actor:
        """Somebody who walks over the painting: start and feet in shares of the view, speed in views a shot."""
        turn = math.copysign(0.8, speed)
        strides = (0.0,) if stands else (-1.0, 0.0, 1.0)
        looks = self.figure(height_share, [Pose(turn=turn, stride=stride) for stride in strides])
        looks = looks if stands else (*looks, looks[1])
        tall, wide = (side / _FINER for side in looks[0].rgba.shape[:2])
        width, height = self.size

        def where(number: int, way: np.ndarray) -> tuple[float, float]:
            step = number // hold * hold
            x = (start + speed * step / self.frames) * width
            return x - wide / 2 - way[0], feet * height - tall - way[1]

        return _Actor(looks, where, hold)

    def layer(self, looks: tuple[_Sprite, ...], x: float, y: float, ratio: float, hold: int = 8) -> _Actor:
        """A sprite whose corner begins at (x, y) px and which the camera passes at `ratio` times its way."""
        return _Actor(looks, lambda _, way: (x - ratio * way[0], y - ratio * way[1]), hold)


@dataclass(frozen=True)
class _Recipe:
    places: np.ndarray
    actors: tuple[_Actor, ...] = ()
    gains: np.ndarray | None = None


def _pan(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(2.0))


def _twos(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(2.0, hold=2))


def _diagonal(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(0.9, -0.8))


def _long(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(_LONG))


def _long_twos(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(_LONG, hold=2))


def _long_subtitle(stage: _Stage) -> _Recipe:
    return replace(_subtitle(stage), places=stage.way(_LONG))


def _zoom(stage: _Stage) -> _Recipe:
    eased = stage.eased()
    places = stage.way(0.2, 0.12)
    places[:, 2] = math.log(0.5) * (1 - eased)
    return _Recipe(places)


def _push(stage: _Stage) -> _Recipe:
    """A zoom that goes nowhere."""
    places = stage.way(0.0)
    places[:, 2] = math.log(0.6) * stage.eased()
    return _Recipe(places)


def _nudge(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(0.1))


def _roll(stage: _Stage) -> _Recipe:
    places = stage.way(0.5)
    places[:, 3] = math.radians(25) * stage.eased()
    return _Recipe(places)


def _fade(stage: _Stage) -> _Recipe:
    gains = (np.arange(stage.frames) / (stage.frames * 0.3)).clip(0, 1)
    return _Recipe(stage.way(2.0), gains=gains)


def _subtitle(stage: _Stage) -> _Recipe:
    words = ("Where did they all go?", "Over the hills, they said.")
    looks = tuple(_soft(_lettering(stage.size, text)) for text in words)
    return _Recipe(stage.way(2.0), (_Actor(looks, lambda _, way: (0, 0), -(-stage.frames // 2), fixed=True),))


def _walker(stage: _Stage) -> _Recipe:
    return _Recipe(stage.way(2.0), (stage.walker(0.7, 0.7, 1.6, 0.98, 3),))


def _along(stage: _Stage) -> _Recipe:
    """Somebody with whom the camera goes along."""
    return _Recipe(stage.way(2.0), (stage.walker(0.7, 0.5, 2.0, 0.98, 3),))


def _throng(stage: _Stage) -> _Recipe:
    """Large figures who shift about: what is behind them is hardly ever in sight."""
    starts = (0.05, 0.3, 0.55, 0.8, 1.05, 1.3)
    ways = [(start, stage.rng.choice((-1, 1)) * 0.25) for start in starts]
    return _Recipe(stage.way(0.4), tuple(stage.walker(1.0, start, speed, 1.05, 3) for start, speed in ways))


def _sprites(stage: _Stage) -> _Recipe:
    width, height = stage.size
    actors = []
    for at in (0.55, 1.9):
        looks = stage.figure(0.8, [Pose(turn=0.4, mouth=mouth) for mouth in (0.0, 1.0, 0.5)])
        tall = looks[0].rgba.shape[0] / _FINER
        actors.append(stage.layer(looks, at * width, height * 1.02 - tall, 1.6))
    return _Recipe(stage.way(2.0), tuple(actors))


def _fence(stage: _Stage) -> _Recipe:
    width, height = (side * _FINER for side in stage.size)
    rgba = np.zeros((round(height * 0.35), round(width * 4.7), 4), np.uint8)
    x, step = 0.0, width * 0.07
    for y in (0.3, 0.7):
        cv2.rectangle(rgba, (0, round(y * rgba.shape[0])), (rgba.shape[1], round((y + 0.14) * rgba.shape[0])),
                      (112, 78, 58, 255), -1)  # fmt: skip
    while x < rgba.shape[1]:
        tint = stage.rng.uniform(-20, 20)
        left, right = round(x), round(x + step * stage.rng.uniform(0.5, 0.75))
        top = round(rgba.shape[0] * stage.rng.uniform(0, 0.12))
        cv2.rectangle(rgba, (left, top), (right, rgba.shape[0]), (148 + tint, 104 + tint, 74 + tint, 255), -1)
        cv2.rectangle(rgba, (left, top), (right, rgba.shape[0]), (66, 44, 40, 255), max(1, width // 480))
        x += step * stage.rng.uniform(0.85, 1.15)
    return _Recipe(stage.way(2.0), (stage.layer((_soft(rgba),), 0, stage.size[1] * 0.65, 1.8),))


def _wall(stage: _Stage) -> _Recipe:
    """A plain wall near the camera; only its joints say that it goes by faster."""
    width, height = (side * _FINER for side in stage.size)
    rgba = np.full((round(height * 0.4), round(width * 4.7), 4), (148, 104, 74, 255), np.uint8)
    for x in np.arange(0, rgba.shape[1], width * 0.12):
        left = round(x + stage.rng.uniform(-0.02, 0.02) * width)
        cv2.line(rgba, (left, 0), (left, rgba.shape[0]), (120, 84, 60, 255), max(2, width // 240))
    return _Recipe(stage.way(2.0), (stage.layer((_soft(rgba),), 0, stage.size[1] * 0.6, 1.8),))


def _still_camera(stage: _Stage) -> np.ndarray:
    return np.zeros((stage.frames, 4))


def _walkers(stage: _Stage, count: int, slowest: float, fastest: float) -> _Recipe:
    """People who walk through the picture of a still camera; speeds in views a shot."""
    rng, actors = stage.rng, []
    for _ in range(count):
        height, speed = rng.uniform(0.3, 0.5), rng.choice((-1, 1)) * rng.uniform(slowest, fastest)
        start = rng.uniform(-0.2, 1.2) - speed / 2
        actors.append((height, stage.walker(height, start, speed, 0.55 + 0.85 * height, 2)))
    return _Recipe(_still_camera(stage), tuple(actor for _, actor in sorted(actors, key=lambda pair: pair[0])))


def _crowd(stage: _Stage) -> _Recipe:
    return _walkers(stage, 16, 0.5, 1.6)


def _rush(stage: _Stage) -> _Recipe:
    """Three times as many."""
    return _walkers(stage, 48, 0.5, 1.6)


def _stroll(stage: _Stage) -> _Recipe:
    """Twice as many, at half their speed: what is behind them is in sight for a short while."""
    return _walkers(stage, 32, 0.2, 0.8)


def _slow(stage: _Stage) -> _Recipe:
    rng = stage.rng
    ways = ((0.1, 0.55), (0.55, -0.5), (0.8, 0.45))
    actors = [stage.walker(rng.uniform(0.85, 1.0), start, speed, 1.05, 4) for start, speed in ways]
    return _Recipe(_still_camera(stage), tuple(actors))


def _standing(stage: _Stage) -> _Recipe:
    stands = stage.walker(0.95, 0.6, 1e-9, 1.0, 4, stands=True)
    passing = [stage.walker(0.5, start, speed, 0.92, 2) for start, speed in ((-0.2, 1.5), (1.2, -1.4))]
    return _Recipe(_still_camera(stage), (*passing, stands))


def _still(stage: _Stage) -> _Recipe:
    return _Recipe(_still_camera(stage))


KINDS: dict[str, Callable[[_Stage], _Recipe]] = {
    "pan": _pan,
    "twos": _twos,
    "diagonal": _diagonal,
    "long": _long,
    "long_twos": _long_twos,
    "long_subtitle": _long_subtitle,
    "zoom": _zoom,
    "push": _push,
    "nudge": _nudge,
    "roll": _roll,
    "fade": _fade,
    "subtitle": _subtitle,
    "walker": _walker,
    "along": _along,
    "throng": _throng,
    "sprites": _sprites,
    "fence": _fence,
    "wall": _wall,
    "crowd": _crowd,
    "rush": _rush,
    "stroll": _stroll,
    "slow": _slow,
    "standing": _standing,
    "still": _still,
}


@lru_cache(8)
def draw_shot(
    kind: str,
    size: tuple[int, int] = (480, 270),
    seed: int = 0,
    frames: int = 96,
    crf: int = 20,
    place: int | None = None,
) -> DrawnShot:
    """The shot of a kind (`KINDS`); `place`, 0..10, chooses the kind of place; by default the seed does."""
    stage = _Stage(size, frames, random.Random(seed * 6007 + 3))
    recipe = KINDS[kind](stage)
    places = recipe.places - recipe.places[np.argmax(recipe.places[:, 2])] * (1, 1, 0, 1)
    places[:, 2] -= places[:, 2].max()
    painting = _Painting(seed, size, places, place)
    gains = np.ones(frames) if recipe.gains is None else recipe.gains
    drawn = _Drawing(recipe, painting, places, gains, size)
    coded = encoded((drawn.frame(number) for number in range(frames)), size, crf)
    canvas = painting.sample((painting.left + painting.width / 2, painting.top + painting.height / 2, 0.0, 0.0),
                             (painting.width, painting.height))  # fmt: skip
    return DrawnShot(
        coded, size, np.arange(frames), np.arange(frames) / FPS, places, gains, _levels(canvas), painting.left,
        painting.top, tuple(drawn.boxes), drawn.letters, tuple(drawn.packed),
    )  # fmt: skip


class _Drawing:
    """Draws a shot's frames in order, and notes what is true of them."""

    def __init__(
        self, recipe: _Recipe, painting: _Painting, places: np.ndarray, gains: np.ndarray, size: tuple[int, int]
    ) -> None:
        self.recipe, self.painting, self.places, self.gains, self.size = recipe, painting, places, gains, size
        self.boxes: list[tuple[Box, ...]] = []
        self.packed: list[np.ndarray] = []
        self.letters = np.zeros((size[1], size[0]), bool)
        self._ground: tuple[np.ndarray, np.ndarray] | None = None

    def frame(self, number: int) -> np.ndarray:
        place = self.places[number]
        if self._ground is None or not np.array_equal(self._ground[0], place):
            self._ground = place, self.painting.sample(tuple(place), self.size)
        frame = self._ground[1].copy()
        covered = np.zeros(frame.shape[:2], bool)
        boxes = []
        for actor in self.recipe.actors:
            look = actor.looks[number // actor.hold % len(actor.looks)]
            share = look.paste(frame, *actor.where(number, place[:2] - self.places[0, :2]))
            covered |= share > 0.02
            if actor.fixed:
                self.letters |= share > 0.02
            elif (share > 0.5).any():
                boxes.append(_extent(share > 0.5))
        self.boxes.append(tuple(boxes))
        self.packed.append(np.packbits(covered))
        return _levels(frame * self.gains[number])


class _Painting:
    """A wide place with washes of paint, and what a camera sees of it at any place."""

    def __init__(self, seed: int, size: tuple[int, int], places: np.ndarray, place: int | None) -> None:
        reach = corners(places, size).reshape(-1, 2)
        self.left, self.top = (float(math.floor(side)) for side in reach.min(0))
        self.width, self.height = (math.ceil(side) for side in reach.max(0) - (self.left, self.top))
        self.scale = _FINER * round(math.exp(-places[:, 2].min()))
        shape = tuple(side + 2 * _MARGIN for side in (self.width, self.height))
        drawn_seed = (_SEEDS_FROM + seed) * len(PLACES) + (seed if place is None else place) % len(PLACES)
        finest = (shape[0] * self.scale, shape[1] * self.scale)
        self._painted = _washed(draw_backdrop(drawn_seed, finest), seed, self.scale)
        self._soft = cv2.GaussianBlur(self._painted, (0, 0), _BLUR * self.scale)

    def sample(self, place: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
        """float32 [height, width, 3]: the frame of a size whose centre lies at a place."""
        x, y, log_scale, angle = place
        if log_scale == angle == 0:
            return self._shifted(x - size[0] / 2, y - size[1] / 2, size)
        turn = complex(np.exp(log_scale + 1j * angle))
        columns, rows = (np.arange(side) + 0.5 - side / 2 for side in size)
        at = (columns[None] + 1j * rows[:, None]) * turn + complex(x - self.left, y - self.top)
        map_x, map_y = ((part + _MARGIN) * self.scale - 0.5 for part in (at.real, at.imag))
        x0, y0 = max(0, math.floor(map_x.min()) - 16), max(0, math.floor(map_y.min()) - 16)
        part = self._painted[y0 : math.ceil(map_y.max()) + 16, x0 : math.ceil(map_x.max()) + 16]
        soft = cv2.GaussianBlur(part, (0, 0), _BLUR * self.scale * math.exp(log_scale)).astype(np.float32)
        to = ((map_x - x0).astype(np.float32), (map_y - y0).astype(np.float32))
        return cv2.remap(soft, *to, cv2.INTER_LANCZOS4)

    def _shifted(self, x: float, y: float, size: tuple[int, int]) -> np.ndarray:
        """The window whose corner is canvas point (x, y): Lanczos without OpenCV's rounding to 1/32 px."""
        first = [(at + _MARGIN) * self.scale + (self.scale - 1) / 2 for at in (x - self.left, y - self.top)]
        whole = [math.floor(at) for at in first]
        kernels = [_lanczos(at - base) for at, base in zip(first, whole, strict=True)]
        x0, y0 = (base - _TAPS + 1 for base in whole)
        wide, tall = (side * self.scale + 2 * _TAPS for side in size)
        part = self._soft[y0 : y0 + tall, x0 : x0 + wide]
        moved = cv2.sepFilter2D(part, cv2.CV_32F, kernels[0], kernels[1], anchor=(_TAPS - 1, _TAPS - 1))
        inner = moved[_TAPS - 1 :: self.scale, _TAPS - 1 :: self.scale]
        return np.ascontiguousarray(inner[: size[1], : size[0]])


def _lanczos(fraction: float) -> np.ndarray:
    """2 x `_TAPS` weights for a point `fraction` after the tap number `_TAPS` - 1."""
    away = np.arange(-_TAPS + 1, _TAPS + 1) - fraction
    weights = np.sinc(away) * np.sinc(away / _TAPS)
    return (weights / weights.sum()).astype(np.float32)


def _washed(painting: np.ndarray, seed: int, scale: int) -> np.ndarray:
    """Uneven washes and the brush's fine grain over flat fills."""
    rng = np.random.default_rng(seed)
    height, width = painting.shape[:2]
    out = painting.astype(np.int16)
    for cell, strength in ((90, 9.0), (22, 5.0), (5, 3.0)):
        coarse = rng.normal(0, strength, (height // (cell * scale) + 3, width // (cell * scale) + 3)).astype(np.float32)
        wash = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        out += np.rint(wash).astype(np.int16)[:, :, None]
    return out.clip(0, 255).astype(np.uint8)


def _soft(rgba: np.ndarray) -> _Sprite:
    """A premultiplied picture, softened as frames are."""
    return _Sprite(cv2.GaussianBlur(rgba.astype(np.float32), (0, 0), _BLUR * _FINER, borderType=cv2.BORDER_CONSTANT))


def _lettering(size: tuple[int, int], text: str) -> np.ndarray:
    """A subtitle and a channel's logo on a clear sheet, RGBA uint8."""
    width, height = (side * _FINER for side in size)
    rgba = np.zeros((height, width, 4), np.uint8)
    scale, thick = height / 500, max(1, round(height / 220))
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    at = ((width - wide) // 2, round(height * 0.92))
    cv2.putText(rgba, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (16, 16, 16, 255), thick * 4, cv2.LINE_AA)
    cv2.putText(rgba, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (250, 250, 244, 255), thick, cv2.LINE_AA)
    centre, radius = (round(width * 0.92), round(height * 0.1)), round(height * 0.05)
    cv2.circle(rgba, centre, radius, (220, 40, 60, 255), -1, cv2.LINE_AA)
    cv2.circle(rgba, centre, round(radius * 0.6), (250, 250, 250, 255), max(1, radius // 4), cv2.LINE_AA)
    return rgba


def _extent(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _levels(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def encoded(frames: Iterable[np.ndarray], size: tuple[int, int], crf: int) -> bytes:
    """A Matroska file of RGB frames, uint8 [height, width, 3], as H.264 at FPS."""
    into = io.BytesIO()
    with av.open(into, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "medium", "threads": "1"}
        stream = cast(av.video.stream.VideoStream, container.add_stream("libx264", rate=FPS, options=options))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return into.getvalue()
