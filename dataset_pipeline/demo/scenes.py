"""People in places: compositions whose boxes are read off the drawn outlines.

Boxes follow the usual detectors for drawn pictures: `person` is all that is seen of the body with the hair,
`halfbody` ends at the waist, `head` is skull, hair around it and headwear (not the ends of long hair), `face` runs
from forehead to chin and from ear to ear.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from dataset_pipeline.demo.back_view import BackFigure
from dataset_pipeline.demo.backdrops import TRAINING_BACKDROP_SEEDS, draw_backdrop
from dataset_pipeline.demo.characters import Character, random_character
from dataset_pipeline.demo.figure import ARM_POSES, EXPRESSIONS, SOLES_Y, WAIST_Y, Figure, Pose
from dataset_pipeline.demo.shapes import Box, Pen, Points, extent

NO_BOX: Box = (0.0, 0.0, 0.0, 0.0)
SEEN_SHARE = 0.4  # what is hidden by more than 60 % counts as not seen
_MASK_PX = 240
_HANDS = ("hand0", "hand1")
_HAND_SCALE = 4.0  # hands are a few pixels large, and their boxes are exact to a quarter of one


@dataclass(frozen=True)
class DrawnPerson:
    """A person in a picture; boxes are (x0, y0, x1, y1) in pixels, clipped to the picture.

    `hands`, `eyes` and `feet` list the seen ones only; a hand's box holds what is seen of it. `head` and `face` are all
    zeros where they are not seen. `visible` is the share of the whole body that is neither hidden by others nor cut off
    by the picture's edge. `behind`: the person turns their back. `mirror`: this is the person's image in a mirror,
    beside the person's own figure.
    """

    character: Character
    person: Box
    halfbody: Box
    head: Box
    face: Box
    hands: tuple[Box, ...]
    eyes: tuple[Box, ...]
    visible: float
    behind: bool = False
    mirror: bool = False
    feet: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Scene:
    image: np.ndarray  # H x W x 3 uint8 RGB
    people: tuple[DrawnPerson, ...]  # back to front


@dataclass(frozen=True)
class Placement:
    """Where a person stands: the body's middle, the crown's height and the head's height, in pixels.

    With `glass`, a box in whole pixels, it is the person's image in a mirror: drawn flipped, and only inside the glass.
    """

    character: Character
    x_px: float
    top_px: float
    head_px: float
    pose: Pose = field(default_factory=Pose)
    glass: tuple[int, int, int, int] | None = None


def draw_person(
    canvas: np.ndarray, character: Character, x_px: float, top_px: float, head_px: float, pose: Pose | None = None
) -> DrawnPerson:
    """Draw one person onto an H x W x 3 uint8 picture in place."""
    return draw_people(canvas, [Placement(character, x_px, top_px, head_px, pose or Pose())])[0]


def draw_people(canvas: np.ndarray, placements: Sequence[Placement]) -> tuple[DrawnPerson, ...]:
    """Draw people back to front, in place; those hidden by more than 60 % or outside the picture are not returned."""
    return seen_people(trace_people(canvas, placements), (canvas.shape[1], canvas.shape[0]))


def trace_people(canvas: np.ndarray, placements: Sequence[Placement]) -> list[Outlines]:
    """Draw people back to front, in place, and return their outlines in the canvas's pixels."""
    return [outlines for placement in placements if (outlines := _trace(canvas, placement)) is not None]


def _trace(canvas: np.ndarray, placement: Placement) -> Outlines | None:
    waist_px = placement.top_px + WAIST_Y * placement.head_px
    behind = placement.pose.behind
    if placement.glass is None:
        pen = Pen.at(canvas, placement.x_px, placement.top_px, placement.head_px)
        _figure(pen, placement).draw()
        bare = _bare_hands(pen)
        return Outlines(placement.character, dict(pen.parts), bare, waist_px, pen.line_px, behind)
    x0, y0, x1, y1 = placement.glass
    glass = np.ascontiguousarray(canvas[y0:y1, x0:x1][:, ::-1])
    pen = Pen.at(glass, x1 - placement.x_px, placement.top_px - y0, placement.head_px)
    _figure(pen, placement).draw()
    bare = _bare_hands(pen)
    canvas[y0:y1, x0:x1] = glass[:, ::-1]
    parts, bare = (_mirrored(shapes, placement.glass) for shapes in (pen.parts, bare))
    parts = {part: shapes for part, shapes in parts.items() if part not in _HANDS or part in bare}
    if not parts or not any(s[:, 1].min() < waist_px for shapes in parts.values() for s in shapes):
        return None
    return Outlines(placement.character, parts, bare, min(float(y1), waist_px), pen.line_px, behind, mirror=True)


def _figure(pen: Pen, placement: Placement) -> Figure:
    return (BackFigure if placement.pose.behind else Figure)(pen, placement.character, placement.pose)


def _bare_hands(pen: Pen) -> dict[str, list[Points]]:
    """Outlines of what a figure shows of each of its hands; a hand that it mostly hides becomes part of its body.

    Hidden are what lies under a sleeve and what is behind the body: all that was filled over after the hand.
    """
    bare: dict[str, list[Points]] = {}
    for hand in _HANDS:
        if hand not in pen.parts:
            continue
        last = max(i for i, (part, _) in enumerate(pen.filled) if part == hand)
        grid = _Grid(extent(pen.parts[hand]), finest=_HAND_SCALE)
        drawn = grid.mask(pen.parts[hand])
        shown = drawn & ~grid.mask([shape for part, shape in pen.filled[last + 1 :]])
        if shown.sum() < SEEN_SHARE * max(1, drawn.sum()):
            pen.parts["body"] += pen.parts.pop(hand)
        else:
            bare[hand] = grid.outlines(shown)
    return bare


def _mirrored(parts: Mapping[str, list[Points]], glass: tuple[int, int, int, int]) -> dict[str, list[Points]]:
    """What a mirror shows of parts drawn on the flipped glass; parts outside it are left out."""
    reflected = {part: [_reflected(s, glass) for s in shapes] for part, shapes in parts.items()}
    inside = {part: [s for s in shapes if np.ptp(s, 0).min() > 0] for part, shapes in reflected.items()}
    return {part: shapes for part, shapes in inside.items() if shapes}


def _reflected(shape: Points, glass: tuple[int, int, int, int]) -> Points:
    """A shape drawn on the flipped glass, in the canvas's pixels and held to the glass; flat where it lies outside."""
    x0, y0, x1, y1 = glass
    return np.stack([(x1 - shape[:, 0]).clip(x0, x1), (shape[:, 1] + y0).clip(y0, y1)], 1)


def seen_people(
    figures: Sequence[Outlines], size: tuple[int, int], offset_px: tuple[float, float] = (0, 0), zoom: float = 1.0
) -> tuple[DrawnPerson, ...]:
    """What a window of `size` shows of people traced on a canvas; the canvas point `offset_px` is its corner."""
    if offset_px != (0, 0) or zoom != 1.0:
        figures = [figure.through_window(offset_px, zoom) for figure in figures]
    people = (_seen(figure, figures[i + 1 :], size) for i, figure in enumerate(figures))
    return tuple(person for person in people if person is not None)


class Outlines:
    """The filled outlines of one drawn figure in pixels, by part; `bare`: what it does not itself hide of its hands."""

    def __init__(
        self,
        character: Character,
        parts: dict[str, list[Points]],
        bare: dict[str, list[Points]],
        waist_px: float,
        line_px: float,
        behind: bool = False,
        mirror: bool = False,
    ) -> None:
        self.character = character
        self.behind = behind
        self.mirror = mirror
        self.parts = parts
        self.bare = bare
        self.waist_px = waist_px
        self.line_px = line_px
        self.body = [s for part, shapes in parts.items() if not part.startswith("eye") for s in shapes]
        self.box = self._grown(self.body)
        joined = np.concatenate(self.body)
        x0, y0, x1, _ = self._grown([joined[joined[:, 1] <= waist_px]])
        self.halfbody: Box = (x0, y0, x1, waist_px)

    def _grown(self, shapes: Sequence[Points]) -> Box:
        x0, y0, x1, y1 = extent(shapes)
        grow = self.line_px / 2
        return x0 - grow, y0 - grow, x1 + grow, y1 + grow

    def part_box(self, part: str) -> Box:
        return self._grown(self.bare[part] if part in _HANDS else self.parts[part])

    def through_window(self, offset_px: tuple[float, float], zoom: float) -> Outlines:
        parts, bare = (
            {part: [(s - offset_px) * zoom for s in shapes] for part, shapes in of.items()}
            for of in (self.parts, self.bare)
        )
        waist_px = (self.waist_px - offset_px[1]) * zoom
        return Outlines(self.character, parts, bare, waist_px, self.line_px * zoom, self.behind, self.mirror)


def clip(box: Box, size: tuple[int, int]) -> Box:
    """A box cut to a picture of (width, height); all zeros when nothing is left."""
    x0, y0 = max(0.0, box[0]), max(0.0, box[1])
    x1, y1 = min(float(size[0]), box[2]), min(float(size[1]), box[3])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else NO_BOX


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _seen(figure: Outlines, in_front: Sequence[Outlines], size: tuple[int, int]) -> DrawnPerson | None:
    box = figure.box
    if clip(box, size) == NO_BOX:
        return None
    covering = [other for other in in_front if _overlap(other.box, box)]
    boxes: dict[str, Box] = {"person": box, "halfbody": figure.halfbody}
    boxes |= {part: figure.part_box(part) for part in figure.parts if part != "body"}
    whole = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
    if whole and not covering:
        return _person(figure, boxes, 1.0)

    whole_grid = _Grid(box)
    own = whole_grid.mask(figure.body)
    area, framed_area = int(own.sum()), int((own & whole_grid.within(clip(box, size))).sum())
    grid = _Grid(clip(box, size))
    framed = grid.mask(figure.body)
    open_ = framed.copy()
    for other in covering:
        open_ &= ~grid.mask(other.body)
    open_share = open_.sum() / max(1, framed.sum())
    if not area or open_share < SEEN_SHARE:
        return None
    seen = _seen_boxes(figure, boxes, grid, open_, size, is_covered=bool(covering))
    if "person" not in seen:
        return None
    seen.setdefault("halfbody", NO_BOX)
    seen |= {hand: box for hand in figure.bare if (box := _hand_box(figure, hand, covering, size)) != NO_BOX}
    return _person(figure, seen, framed_area / area * float(open_share))


def _seen_boxes(
    figure: Outlines, boxes: Mapping[str, Box], grid: _Grid, open_: np.ndarray, size: tuple[int, int], is_covered: bool
) -> dict[str, Box]:
    """Of a figure's boxes, hands aside, those that are seen, cut to what is seen. open_: mask of what nobody hides."""
    seen: dict[str, Box] = {}
    for name, full in boxes.items():
        clipped = clip(full, size)
        if clipped == NO_BOX or name in _HANDS:
            continue
        if name in ("person", "halfbody"):
            left = open_ & grid.within(clipped)
        else:
            part = grid.mask(figure.parts[name])
            left = part & open_
            if left.sum() / max(1, part.sum()) * (_area(clipped) / _area(full)) < SEEN_SHARE:
                continue
        seen[name] = _meet(clipped, grid.extent(left)) if clipped != full or is_covered else clipped
    return seen


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _person(figure: Outlines, boxes: dict[str, Box], visible: float) -> DrawnPerson:
    return DrawnPerson(
        character=figure.character,
        person=boxes["person"],
        halfbody=boxes["halfbody"],
        head=boxes.get("head", NO_BOX),
        face=boxes.get("face", NO_BOX),
        hands=tuple(boxes[hand] for hand in _HANDS if hand in boxes),
        eyes=tuple(boxes[part] for part in ("eye0", "eye1") if part in boxes),
        visible=visible,
        behind=figure.behind,
        mirror=figure.mirror,
        feet=tuple(boxes[part] for part in ("foot0", "foot1") if part in boxes),
    )


def _hand_box(figure: Outlines, hand: str, covering: Sequence[Outlines], size: tuple[int, int]) -> Box:
    """The box of what a picture shows of a hand; all zeros where sleeves, others and the edge hide most of it."""
    grid = _Grid(extent(figure.parts[hand]), finest=_HAND_SCALE)
    seen = grid.mask(figure.bare[hand]) & grid.inside(size)
    for other in covering:
        seen &= ~grid.mask(other.body)
    if seen.sum() < SEEN_SHARE * grid.mask(figure.parts[hand]).sum():
        return NO_BOX
    grow = figure.line_px / 2
    x0, y0, x1, y1 = grid.extent(seen)
    return clip((x0 - grow, y0 - grow, x1 + grow, y1 + grow), size)


def _meet(a: Box, b: Box) -> Box:
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else NO_BOX


class _Grid:
    """A coarse raster over a box, to measure what covers what."""

    def __init__(self, box: Box, finest: float = 1.0) -> None:
        """`finest`: the most raster points a pixel is wide."""
        self.origin = np.array(box[:2])
        self.scale = min(finest, _MASK_PX / max(box[2] - box[0], box[3] - box[1]))
        self.shape = (
            max(1, int(np.ceil((box[3] - box[1]) * self.scale))),
            max(1, int(np.ceil((box[2] - box[0]) * self.scale))),
        )

    def mask(self, shapes: Sequence[Points]) -> np.ndarray:
        raster = np.zeros(self.shape, np.uint8)
        for shape in shapes:
            cv2.fillPoly(raster, [np.rint((shape - self.origin) * self.scale).astype(np.int32)], (1,))
        return raster.astype(bool)

    def outlines(self, mask: np.ndarray) -> list[Points]:
        """Outlines that `mask` makes that mask of."""
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return [contour[:, 0] / self.scale + self.origin for contour in contours]

    def within(self, box: Box) -> np.ndarray:
        centres_x = (np.arange(self.shape[1]) + 0.5) / self.scale + self.origin[0]
        centres_y = (np.arange(self.shape[0]) + 0.5) / self.scale + self.origin[1]
        across = (centres_x >= box[0]) & (centres_x < box[2])
        return ((centres_y >= box[1]) & (centres_y < box[3]))[:, None] & across[None]

    def inside(self, size: tuple[int, int]) -> np.ndarray:
        return self.within((0.0, 0.0, float(size[0]), float(size[1])))

    def extent(self, mask: np.ndarray) -> Box:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            return NO_BOX
        x0, y0 = np.array([columns[0], rows[0]]) / self.scale + self.origin
        x1, y1 = np.array([columns[-1] + 1, rows[-1] + 1]) / self.scale + self.origin
        return float(x0), float(y0), float(x1), float(y1)


def grade(image: np.ndarray, darkness: float = 0.0, blur_sigma_px: float = 0.0) -> np.ndarray:
    """A picture as night (darkness 0 to 1, towards navy) and out of focus."""
    if darkness:
        levels = np.arange(256)[:, None]
        night = levels * (1 - darkness * np.array([0.92, 0.86, 0.66])) + darkness * np.array([2.0, 3.0, 10.0])
        image = cv2.LUT(image, np.rint(night).clip(0, 255).astype(np.uint8)[:, None])
    if blur_sigma_px:
        image = cv2.GaussianBlur(image, (0, 0), blur_sigma_px)
    return image


def random_pose(rng: random.Random, turn: float | None = None) -> Pose:
    arms = tuple(ARM_POSES)
    weights = [5 if name == "down" else 2 for name in arms]
    left, right = rng.choices(arms, weights, k=2)
    return Pose(
        turn=round(rng.uniform(-1, 1), 1) if turn is None else turn,
        arms=(left, right),
        arm_shift=(rng.choice((-12, 0, 12)), rng.choice((-12, 0, 12))),
        stride=rng.choice((0.0, 0.0, 0.0, -1.0, -0.5, 0.5, 1.0)),
        mouth=rng.choice((0.0, 0.0, 0.0, 0.5, 1.0)),
        eyes_open=rng.choice((1.0, 1.0, 1.0, 1.0, 1.0, 0.6, 0.0)),
        expression=rng.choice(EXPRESSIONS),
        head_tilt=rng.choice((0, 0, 0, -6, 6, -3, 3)),
        sway=rng.choice((0.0, 0.0, -1.0, 1.0)),
    )


# Height of the head as a share of the picture's, by framing.
FRAMINGS: dict[str, tuple[float, float]] = {
    "far": (0.055, 0.1),
    "full": (0.11, 0.185),
    "half": (0.2, 0.32),
    "bust": (0.34, 0.52),
    "close": (0.58, 0.95),
}
_FRAMING_WEIGHTS = {"far": 1.2, "full": 2.6, "half": 2.6, "bust": 2.2, "close": 1.4}


def place_people(
    rng: random.Random, characters: Sequence[Character], size: tuple[int, int], framing: str | None = None
) -> list[Placement]:
    """Random places for people so that nobody stands in front of another's face; who finds no room is left out."""
    width, height = size
    framing = framing or rng.choices(tuple(_FRAMING_WEIGHTS), tuple(_FRAMING_WEIGHTS.values()))[0]
    base = rng.uniform(*FRAMINGS[framing])
    placed: list[Placement] = []
    for character in characters:
        for _ in range(16):
            head_px = base * height * rng.uniform(0.8, 1.2)
            top_px = _top_px(rng, framing, height, head_px)
            margin = 0.25 * head_px if framing == "close" else 0.5 * head_px
            x_px = rng.uniform(margin, max(margin, width - margin))
            room = all(
                abs(x_px - p.x_px) > 0.62 * max(head_px, p.head_px) + 0.4 * min(head_px, p.head_px) for p in placed
            )
            if room:
                placed.append(Placement(character, x_px, top_px, head_px, random_pose(rng)))
                break
    return sorted(placed, key=lambda p: p.head_px)


def _top_px(rng: random.Random, framing: str, height: int, head_px: float) -> float:
    """A random height of the crown that suits the framing."""
    if framing in ("far", "full"):
        return height * rng.uniform(0.82, 1.04) - SOLES_Y * head_px
    low, high = {"half": (0.06, 0.34), "bust": (0.04, 0.2)}.get(framing, (-0.12, 0.12))
    return height * rng.uniform(low, high)


def draw_scene(
    seed: int,
    size: tuple[int, int] = (1280, 720),
    cast: Sequence[Character] | None = None,
    people: int | None = None,
    backdrop_seed: int | None = None,
) -> Scene:
    """A random composition of 0 to 4 people (or up to `people`) before a backdrop.

    Without a cast the people are random strangers, without a backdrop seed the place is one of the training ones. Some
    scenes are dark or out of focus. Everybody drawn is listed, and every listed face can be seen.
    """
    rng = random.Random(seed * 104_729 + 31)
    count = rng.choices((0, 1, 2, 3, 4), (0.7, 4, 3, 1.6, 0.9))[0]
    count = count if people is None else people
    if cast is None:
        characters = [random_character(rng, f"stranger-{seed}-{k}") for k in range(count)]
    else:
        characters = rng.sample(list(cast), min(count, len(cast)))
    place = rng.choice(TRAINING_BACKDROP_SEEDS) if backdrop_seed is None else backdrop_seed
    placements = place_people(rng, characters, size)
    darkness = rng.uniform(0.35, 0.75) if rng.random() < 0.12 else 0.0
    blur = rng.uniform(0.6, 2.2) * size[1] / 720 if rng.random() < 0.1 else 0.0
    backdrop = draw_backdrop(place, size)
    while True:
        image = backdrop.copy()
        drawn = draw_people(image, placements)
        clear = {person.character for person in drawn if person.face != NO_BOX}
        if len(clear) == len(placements):
            return Scene(grade(image, darkness, blur), drawn)
        placements = [p for p in placements if p.character in clear]
