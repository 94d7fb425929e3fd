"""Shots: how each kind of shot is drawn, as cels and how many frames each is held."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.demo.characters import HAIR_COLORS, Character, random_character
from dataset_pipeline.demo.figure import SOLES_Y, Pose
from dataset_pipeline.demo.scenes import DrawnPerson, Placement, grade, seen_people, trace_people
from dataset_pipeline.demo.shapes import Rgb, mix

SPEECH = (0.0, 0.5, 1.0)
GESTURES = (
    ("down", "down"),
    ("hip", "down"),
    ("down", "wave"),
    ("chest", "down"),
    ("present", "down"),
    ("hip", "hip"),
    ("down", "chin"),
    ("raised", "hip"),
    ("down", "point"),
)


@dataclass(frozen=True, eq=False)
class Cel:
    """One drawn picture, H x W x 3 uint8 RGB, with what is true of it."""

    image: np.ndarray
    people: tuple[DrawnPerson, ...]
    blur_sigma_px: float = 0.0
    motion_blur_px: float = 0.0
    darkness: float = 0.0
    pan_x_px: float | None = None
    pan_y_px: float | None = None
    zoom: float = 1.0


Held = Iterator[tuple[Cel, int]]  # a cel and the frames it is held


@lru_cache(6)
def _painted(seed: int, size: tuple[int, int]) -> np.ndarray:
    painting = draw_backdrop(seed, size)
    painting.setflags(write=False)
    return painting


class Stage:
    """What the drawing of one shot needs. `canvas` and `plate` are set by the shots that have them.

    `stranger` draws the people who only pass by.
    """

    def __init__(
        self,
        size: tuple[int, int],
        frames: int,
        seed: int,
        backdrop_seed: int,
        cast: Sequence[Character],
        title: str,
        stranger: Callable[[random.Random, str], Character] = random_character,
    ) -> None:
        self.size = size
        self.frames = frames
        self.rng = random.Random(seed)
        self.seed = seed
        self.backdrop_seed = backdrop_seed
        self.cast = tuple(cast)
        self.title = title
        self.stranger = stranger
        self.canvas: np.ndarray | None = None
        self.plate: np.ndarray | None = None
        self._cels: dict[tuple, Cel] = {}

    def backdrop(self, closer: float = 1.0, soften_px: float = 0.0, wide: float = 1.0) -> np.ndarray:
        """The shot's place: seen `closer`, out of focus, or painted `wide` screens wide."""
        width, height = self.size
        if closer == 1.0:
            return _painted(self.backdrop_seed, (round(width * wide), height))
        painting = _painted(self.backdrop_seed, (round(width * closer), round(height * closer)))
        x = round((painting.shape[1] - width) * random.Random(self.seed).uniform(0.2, 0.8))
        y = round((painting.shape[0] - height) * 0.45)
        window = painting[y : y + height, x : x + width]
        return cv2.GaussianBlur(window, (0, 0), soften_px * height / 720) if soften_px else window

    def cel(
        self,
        backdrop: np.ndarray,
        placements: Sequence[Placement],
        darkness: float = 0.0,
        blur_sigma_px: float = 0.0,
    ) -> Cel:
        """The picture of people before a backdrop; a picture drawn before in this shot is used again."""
        key = (id(backdrop), tuple(placements), darkness, blur_sigma_px)
        if key not in self._cels:
            image = backdrop.copy()
            people = seen_people(trace_people(image, placements), self.size)
            self._cels[key] = Cel(grade(image, darkness, blur_sigma_px), people, blur_sigma_px, 0.0, darkness)
        return self._cels[key]

    def window(self, canvas: np.ndarray, outlines: list, x_px: int, motion_blur_px: int = 0) -> Cel:
        """The screen's view of a wide canvas from `x_px` on."""
        view = np.ascontiguousarray(canvas[:, x_px : x_px + self.size[0]])
        if motion_blur_px:
            view = cv2.blur(view, (motion_blur_px, 1))
        people = seen_people(outlines, self.size, (x_px, 0))
        return Cel(view, people, motion_blur_px=float(motion_blur_px), pan_x_px=float(x_px), pan_y_px=0.0)

    def line_up(self, head_share: float, standing: bool = False, spread: float = 0.8) -> list[Placement]:
        """The cast side by side, turned to one another; whole figures when `standing`."""
        width, height = self.size
        count = len(self.cast)
        gap = spread / count
        placements = []
        for k, character in enumerate(self.cast):
            head_px = head_share * height * stature(character)
            x_px = width * (0.5 + (k - (count - 1) / 2) * gap + self.rng.uniform(-0.1, 0.1) * gap)
            if standing:
                top_px = height * 0.95 - SOLES_Y * head_px
            else:
                top_px = height * 0.47 - 1.15 * head_px - (stature(character) - 1) * 2 * head_px
            turn = 0.0 if count == 1 else round(0.6 * (0.5 - x_px / width) / 0.3, 1)
            pose = Pose(
                turn=turn, arms=self.rng.choice(GESTURES), expression=self.rng.choice(("smile", "neutral", "smile"))
            )
            placements.append(Placement(character, x_px, top_px, head_px, pose))
        return placements

    def extras(self, count: int) -> list[Placement]:
        """Strangers in the distance."""
        width, height = self.size
        placements = []
        for k in range(count):
            head_px = height * self.rng.uniform(0.06, 0.075)
            x_px = width * ((k + self.rng.uniform(0.2, 0.8)) / count)
            pose = Pose(turn=self.rng.choice((-0.8, 0.8)), stride=self.rng.choice((0.0, 0.7, -0.7)))
            stranger = self.stranger(self.rng, f"stranger-{self.seed}-{k}")
            placements.append(Placement(stranger, x_px, height * 0.84 - SOLES_Y * head_px, head_px, pose))
        return placements


def stature(character: Character) -> float:
    """How tall somebody is beside the others, the same in every shot."""
    return (1.05 if character.sex == "boy" else 0.98) + (sum(map(ord, character.name)) % 5 - 2) * 0.012


def speech(rng: random.Random, frames: int) -> Iterator[tuple[float, float, int]]:
    """Mouth, openness of the eyes and frames held, for somebody who talks, pauses and blinks."""
    told, next_blink, next_pause = 0, rng.randint(20, 44), rng.randint(26, 50)
    mouth = 0.0
    while told < frames:
        if told >= next_blink:
            for eyes, held in ((0.5, 2), (0.0, 3), (0.5, 2)):
                yield mouth, eyes, held
                told += held
            next_blink = told + rng.randint(36, 70)
        elif told >= next_pause:
            mouth, held = 0.0, rng.randint(14, 26)
            yield mouth, 1.0, held
            told += held
            next_pause = told + rng.randint(30, 60)
        else:
            mouth = rng.choice([shape for shape in SPEECH if shape != mouth])
            yield mouth, 1.0, 3
            told += 3


def said(placement: Placement, mouth: float, eyes_open: float) -> Placement:
    """Somebody with another mouth and other lids, see `speech`."""
    return replace(placement, pose=replace(placement.pose, mouth=mouth, eyes_open=eyes_open))


def _conversation(
    stage: Stage, backdrop: np.ndarray, placed: list[Placement], behind: list[Placement], **effects: float
) -> Held:
    """People take turns to speak; each turn may bring another gesture."""
    left = stage.frames
    while left > 0:
        for k in stage.rng.sample(range(len(placed)), len(placed)):
            turn_frames = min(left, max(18, stage.frames // (len(placed) + 1)))
            for mouth, eyes, held in speech(stage.rng, turn_frames):
                now = [said(p, mouth, eyes) if i == k else p for i, p in enumerate(placed)]
                yield stage.cel(backdrop, [*behind, *now], **effects), held
            left -= turn_frames
            gesture = replace(placed[k].pose, arms=stage.rng.choice(GESTURES), head_tilt=stage.rng.choice((-4, 0, 4)))
            placed[k] = replace(placed[k], pose=gesture)


def _close_placement(stage: Stage, head_share: float) -> Placement:
    width, height = stage.size
    x = stage.rng.choice((0.36, 0.5, 0.64))
    head_px = head_share * height
    pose = Pose(
        turn=round((0.5 - x) * 3.4 + stage.rng.uniform(-0.3, 0.3), 1),
        arms=stage.rng.choice((("down", "down"), ("down", "chest"), ("chin", "down"), ("down", "down"))),
        expression=stage.rng.choice(("smile", "neutral", "angry", "sad", "surprised")),
        head_tilt=stage.rng.choice((0, -4, 4)),
    )
    top_px = height * (0.14 if head_share < 0.55 else 0.02)
    return Placement(stage.cast[0], width * x, top_px, head_px, pose)


def talk(stage: Stage) -> Held:
    """One person in a long held shot where little more than the mouth moves."""
    placement = _close_placement(stage, stage.rng.choice((0.4, 0.46, 0.52, 0.7)))
    backdrop = stage.backdrop(1.45, 2.2)
    for mouth, eyes, held in speech(stage.rng, stage.frames):
        yield stage.cel(backdrop, [said(placement, mouth, eyes)]), held


def solo(stage: Stage) -> Held:
    """One whole person who strikes two poses."""
    placed = stage.line_up(stage.rng.uniform(0.135, 0.165), standing=True)
    width = stage.size[0]
    x_px = width * stage.rng.choice((0.3, 0.5, 0.7))
    backdrop = stage.backdrop()
    for half, gesture in enumerate(stage.rng.sample(GESTURES, 2)):
        frames = stage.frames // 2 + (half and stage.frames % 2)
        pose = replace(placed[0].pose, arms=gesture, turn=stage.rng.choice((-0.7, -0.3, 0.3, 0.7)))
        now = replace(placed[0], x_px=x_px, pose=pose)
        waving = "wave" in gesture or "raised" in gesture
        for k in range(math.ceil(frames / 6)):
            shift = (12.0 if k % 2 else -12.0) if waving else 0.0
            yield (
                stage.cel(backdrop, [replace(now, pose=replace(pose, arm_shift=(shift, shift)))]),
                min(6, frames - 6 * k),
            )


def pair(stage: Stage) -> Held:
    """Two people to the waist who talk; now and then somebody passes far behind."""
    behind = stage.extras(2) if stage.rng.random() < 0.35 else []
    yield from _conversation(stage, stage.backdrop(), stage.line_up(stage.rng.uniform(0.25, 0.33)), behind)


def trio(stage: Stage) -> Held:
    """Three people to the knees."""
    behind = stage.extras(1) if stage.rng.random() < 0.3 else []
    yield from _conversation(stage, stage.backdrop(), stage.line_up(0.215, spread=0.86), behind)


def group(stage: Stage) -> Held:
    """Everybody, whole figures."""
    yield from _conversation(stage, stage.backdrop(), stage.line_up(0.15, standing=True, spread=0.9), [])


def establish(stage: Stage) -> Held:
    """The place alone, held."""
    yield stage.cel(stage.backdrop(), []), stage.frames


def stride(placement: Placement, step: int) -> Placement:
    """Somebody in drawing `step` of a walk."""
    phase = step * math.pi / 4
    swing = 20 * math.sin(phase)
    bob = 0.035 * placement.head_px * abs(math.cos(phase))
    pose = replace(placement.pose, arms=("swing", "swing"), arm_shift=(swing, -swing), stride=math.sin(phase))
    return replace(placement, top_px=placement.top_px - bob, pose=replace(pose, sway=-placement.pose.turn))


def walk(stage: Stage) -> Held:
    """Somebody walks through the picture, drawn on twos."""
    width, height = stage.size
    behind = stage.extras(2) if stage.rng.random() < 0.5 else []
    head_px = height * 0.155 * stature(stage.cast[0])
    way = stage.rng.choice((-1, 1))
    start, end = (0.12, 0.88) if way > 0 else (0.88, 0.12)
    walker = Placement(stage.cast[0], 0.0, height * 0.95 - SOLES_Y * head_px, head_px, Pose(turn=0.8 * way))
    backdrop, drawings = stage.backdrop(), math.ceil(stage.frames / 2)
    for k in range(drawings):
        x_px = width * (start + (end - start) * k / max(1, drawings - 1))
        yield stage.cel(backdrop, [*behind, stride(replace(walker, x_px=x_px), k)]), 2


def locked(stage: Stage) -> Held:
    """The camera stands still while people walk all the way through, one after another and on different paths."""
    width, height = stage.size
    stage.plate = stage.backdrop()
    stranger = stage.stranger(stage.rng, f"stranger-{stage.seed}")
    walkers = []
    for k, character in enumerate((stranger, *stage.cast[:2])):
        head_px = height * (0.105, 0.13, 0.155)[k] * stature(character)
        way = (1, -1, 1)[k]
        feet = height * (0.86, 0.91, 0.97)[k]
        walkers.append(
            (
                Placement(character, 0.0, feet - SOLES_Y * head_px, head_px, Pose(turn=0.8 * way)),
                way,
                (0.0, 0.12, 0.3)[k],
            )
        )
    drawings = math.ceil(stage.frames / 2)
    for k in range(drawings):
        t = k / max(1, drawings - 1)
        now = []
        for walker, way, start in walkers:
            gone = (t - start) / 0.7
            margin = 1.1 * walker.head_px
            x_px = -margin + gone * (width + 2 * margin)
            if 0 <= gone <= 1:
                now.append(stride(replace(walker, x_px=x_px if way > 0 else width - x_px), k))
        yield stage.cel(stage.plate, now), 2


def pan(stage: Stage) -> Held:
    """A slow move over a wide painting with people standing in it; a new view every frame."""
    width, height = stage.size
    canvas = stage.backdrop(wide=2.0).copy()
    placements = []
    for k, character in enumerate(stage.cast):
        head_px = height * 0.15 * stature(character)
        x_px = canvas.shape[1] * ((k + 0.5 + stage.rng.uniform(-0.12, 0.12)) / len(stage.cast))
        pose = Pose(turn=stage.rng.choice((-0.5, 0.5)), arms=stage.rng.choice(GESTURES))
        placements.append(Placement(character, x_px, height * 0.95 - SOLES_Y * head_px, head_px, pose))
    outlines = trace_people(canvas, placements)
    stage.canvas = canvas
    rest = min(8, stage.frames // 10)
    moving = stage.frames - 2 * rest
    offsets = [round((canvas.shape[1] - width) * k / max(1, moving - 1)) for k in range(moving)]
    offsets = offsets if stage.rng.random() < 0.5 else offsets[::-1]
    for k, offset in enumerate(offsets):
        yield stage.window(canvas, outlines, offset), 1 + (rest if k in (0, moving - 1) else 0)


def zoom(stage: Stage) -> Held:
    """A slow move towards somebody on a painting half again as large as the screen."""
    width, height = stage.size
    canvas_size = round(width * 1.5), round(height * 1.5)
    canvas = _painted(stage.backdrop_seed, canvas_size).copy()
    head_px = canvas_size[1] * 0.2
    pose = Pose(arms=stage.rng.choice(GESTURES), turn=stage.rng.choice((-0.4, 0.0, 0.4)))
    outlines = trace_people(
        canvas, [Placement(stage.cast[0], canvas_size[0] * 0.5, canvas_size[1] * 0.22, head_px, pose)]
    )
    stage.canvas = canvas
    for k in range(stage.frames):
        scale = 1 / 1.5 + (1 - 1 / 1.5) * k / max(1, stage.frames - 1)
        x_px = (canvas_size[0] - width / scale) / 2
        y_px = (canvas_size[1] - height / scale) * 0.35
        move = np.array([[scale, 0.0, -x_px * scale], [0.0, scale, -y_px * scale]])
        view = cv2.warpAffine(canvas, move, stage.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        yield (
            Cel(view, seen_people(outlines, stage.size, (x_px, y_px), scale), pan_x_px=x_px, pan_y_px=y_px, zoom=scale),
            1,
        )


def dark(stage: Stage) -> Held:
    """A talk by night."""
    darkness = round(stage.rng.uniform(0.55, 0.72), 2)
    yield from _conversation(stage, stage.backdrop(), stage.line_up(0.27), [], darkness=darkness)


def blur(stage: Stage) -> Held:
    """A whole shot out of focus, one person and little movement."""
    sigma = round(stage.rng.uniform(3.2, 5.0) * stage.size[1] / 720, 2)
    placement = _close_placement(stage, 0.42)
    for mouth, eyes, held in speech(stage.rng, stage.frames):
        yield stage.cel(stage.backdrop(), [said(placement, mouth, eyes)], blur_sigma_px=sigma), held


def focus(stage: Stage) -> Held:
    """A picture that comes into focus within a third of a second."""
    placement = _close_placement(stage, 0.44)
    backdrop = stage.backdrop()
    for sigma in (6.0, 4.5, 3.0, 1.5):
        yield stage.cel(backdrop, [placement], blur_sigma_px=round(sigma * stage.size[1] / 720, 2)), 2
    for mouth, eyes, held in speech(stage.rng, max(0, stage.frames - 8)):
        yield stage.cel(backdrop, [said(placement, mouth, eyes)]), held


def whip(stage: Stage) -> Held:
    """The camera flies from one person to another: a few frames smeared by motion."""
    width, height = stage.size
    canvas = stage.backdrop(wide=2.0).copy()
    head_px = height * 0.36
    placements = [
        Placement(
            character,
            width * (0.5 + k),
            height * 0.16,
            head_px,
            Pose(turn=(0.5, -0.5)[k], arms=stage.rng.choice(GESTURES)),
        )
        for k, character in enumerate(stage.cast[:2])
    ]
    outlines = trace_people(canvas, placements)
    rest = (stage.frames - 5) // 2
    yield stage.window(canvas, outlines, 0), rest
    for k in range(1, 6):
        x_px = round(width * (k / 6) ** 2 * (3 - 2 * k / 6))
        yield stage.window(canvas, outlines, x_px, max(3, width // 12)), 1
    yield stage.window(canvas, outlines, width), stage.frames - 5 - rest


# Opening and ending


def write_text(image: np.ndarray, text: str, x_px: float, y_px: float, height_px: float, color: Rgb) -> None:
    """Centred lettering with a dark rim."""
    font, scale = cv2.FONT_HERSHEY_TRIPLEX, height_px / 22
    thick = max(1, round(scale * 1.4))
    (wide, _), _ = cv2.getTextSize(text, font, scale, thick)
    at = round(x_px - wide / 2), round(y_px)
    cv2.putText(image, text, at, font, scale, (40, 26, 52), thick + max(2, round(height_px / 9)), cv2.LINE_AA)
    cv2.putText(image, text, at, font, scale, color, thick, cv2.LINE_AA)


def title_card(stage: Stage) -> Held:
    """The show's name appears letter by letter, on threes."""
    width, height = stage.size
    letters = len(stage.title)
    steps = max(1, min(letters, (stage.frames - stage.frames // 3) // 3))
    for k in range(1, steps + 1):
        image = stage.backdrop().copy()
        radius = round(height * 0.36)
        cv2.circle(image, (width // 2, height // 2), radius, (92, 66, 128), -1, cv2.LINE_AA)
        cv2.circle(image, (width // 2, height // 2), radius, (232, 92, 92), max(2, height // 90), cv2.LINE_AA)
        write_text(
            image,
            stage.title[: math.ceil(letters * k / steps)],
            width / 2,
            height * 0.53,
            height * 0.085,
            (255, 214, 92),
        )
        yield Cel(image, ()), 3 if k < steps else stage.frames


def entrance(stage: Stage) -> Held:
    """Somebody slides in before stripes of their own colour, on twos, and holds."""
    width, height = stage.size
    color = mix(HAIR_COLORS[stage.cast[0].hair_color], (255, 255, 255), 0.45)
    stripes = np.full((height, width, 3), color, np.uint8)
    step = width // 8
    for x in range(-height, width + height, 2 * step):
        band = np.array([(x, height), (x + step, height), (x + step + height // 2, 0), (x + height // 2, 0)])
        cv2.fillPoly(stripes, [band], mix(color, (255, 255, 255), 0.4), cv2.LINE_AA)
    side = stage.rng.choice((-1, 1))
    pose = Pose(turn=-0.4 * side, arms=stage.rng.choice(GESTURES), expression="smile")
    for k in range(4):
        x_px = width * (0.5 + side * 0.28 * (1 - (k + 1) / 4) ** 2)
        held = 2 if k < 3 else stage.frames
        yield stage.cel(stripes, [Placement(stage.cast[0], x_px, height * 0.14, height * 0.4, pose)]), held


def line_up_card(stage: Stage) -> Held:
    """Everybody together over the title, moving gently on fours."""
    width, height = stage.size
    placed = [replace(p, pose=replace(p.pose, expression="smile")) for p in stage.line_up(0.2, spread=0.88)]
    for k in range(math.ceil(stage.frames / 4)):
        sway = (0.0, 0.6, 1.0, 0.6)[k % 4]
        moved = [replace(p, pose=replace(p.pose, sway=sway)) for p in placed]
        cel = stage.cel(stage.backdrop(), moved)
        image = cel.image.copy()
        write_text(image, stage.title, width / 2, height * 0.93, height * 0.07, (255, 214, 92))
        yield replace(cel, image=image), 4


def credits_roll(stage: Stage) -> Held:
    """Names roll up beside somebody standing in the evening, on twos."""
    width, height = stage.size
    lines = [stage.title, "", "with"]
    lines += [character.name for character in stage.cast]
    lines += ["", "painted places", "drawn people", "", "the end"]
    head_px = height * 0.15
    pose = Pose(turn=0.4, arms=("down", "wave"))
    figure = Placement(stage.cast[0], width * 0.25, height * 0.95 - SOLES_Y * head_px, head_px, pose)
    evening = stage.cel(stage.backdrop(), [figure], darkness=0.45)
    drawings = math.ceil(stage.frames / 2)
    for k in range(drawings):
        image = evening.image.copy()
        roll = height * (0.85 - 1.25 * k / max(1, drawings))
        for row, line in enumerate(lines):
            write_text(image, line, width * 0.68, roll + row * height * 0.1, height * 0.05, (250, 246, 236))
        yield replace(evening, image=image), 2


# Name of a shot -> how it is drawn and how many of the cast it takes (None: all).
ShotKind = tuple[Callable[[Stage], Held], int | None]
SHOTS: dict[str, ShotKind] = {
    "establish": (establish, 0),
    "talk": (talk, 1),
    "solo": (solo, 1),
    "walk": (walk, 1),
    "blur": (blur, 1),
    "focus": (focus, 1),
    "zoom": (zoom, 1),
    "pair": (pair, 2),
    "dark": (dark, 2),
    "whip": (whip, 2),
    "locked": (locked, 2),
    "pan": (pan, 2),
    "trio": (trio, 3),
    "group": (group, None),
    "title_card": (title_card, 0),
    "entrance": (entrance, 1),
    "line_up_card": (line_up_card, None),
    "credits_roll": (credits_roll, None),
}


def held_cels(name: str, stage: Stage, shots: Mapping[str, ShotKind] | None = None) -> Held:
    """The cels of a shot, held for exactly the shot's frames in all; `name` is one of `shots`, by default `SHOTS`."""
    left = stage.frames
    last: Cel | None = None
    for cel, held in (shots or SHOTS)[name][0](stage):
        last, shown = cel, min(held, left)
        if shown > 0:
            yield cel, shown
            left -= shown
        if not left:
            return
    if last is None:
        raise ValueError(f"a shot of kind {name!r} drew nothing in {stage.frames} frames")
    yield last, left
