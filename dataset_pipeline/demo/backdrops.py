"""Places: flat painted backdrops of several kinds, each drawn from one seed, at any size."""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from dataset_pipeline.demo.shapes import SUBPIXEL_BITS, Points, Rgb, curve, ellipse, mix

TRAINING_BACKDROP_SEEDS = range(0, 100_000)
DEMO_BACKDROP_SEEDS = range(200_000, 200_400)
TEST_BACKDROP_SEEDS = range(300_000, 300_400)
HARDER_BACKDROP_SEEDS = range(400_000, 440_000)
FURNITURE_LINE: Rgb = (70, 56, 56)


def draw_backdrop(seed: int, size: tuple[int, int]) -> np.ndarray:
    """The place of a seed as an H x W x 3 uint8 RGB picture; `size` is (width, height) in pixels.

    Seeds run through the kinds of place in turn, so neighbouring seeds never look alike.
    """
    width, height = size
    if width < 16 or height < 16:
        raise ValueError(f"a backdrop needs at least 16 x 16 pixels, asked for {width} x {height}")
    kinds = tuple(KINDS.values())
    place = Place(np.empty((height, width, 3), np.uint8), random.Random(seed * 7919 + 17))
    kinds[seed % len(kinds)](place)
    return place.canvas


def backdrop_kind(seed: int) -> str:
    """The name of the kind of place that a seed gives."""
    return tuple(KINDS)[seed % len(KINDS)]


class Place:
    """A canvas measured in picture heights: y runs from 0 to 1 and x from 0 to `wide`."""

    def __init__(self, canvas: np.ndarray, rng: random.Random) -> None:
        self.canvas = canvas
        self.rng = rng
        self.px = canvas.shape[0]
        self.wide = canvas.shape[1] / canvas.shape[0]

    def gradient(self, stops: list[tuple[float, Rgb]], y0: float = 0.0, y1: float = 1.0) -> None:
        top, bottom = round(y0 * self.px), round(y1 * self.px)
        t = np.linspace(0, 1, max(1, bottom - top))
        ys, colors = zip(*stops, strict=True)
        column = np.stack([np.interp(t, ys, [c[k] for c in colors]) for k in range(3)], 1)
        self.canvas[top:bottom] = cv2.repeat(np.rint(column).astype(np.uint8)[:, None], 1, self.canvas.shape[1])

    def fill(self, points: Points | list, color: Rgb, line: Rgb | None = None) -> None:
        fixed = np.rint(np.asarray(points, float) * (self.px << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(self.canvas, [fixed], color, cv2.LINE_AA, SUBPIXEL_BITS)
        if line is not None:
            cv2.polylines(self.canvas, [fixed], True, line, max(1, self.px // 360), cv2.LINE_AA, SUBPIXEL_BITS)

    def rect(self, x: float, y: float, w: float, h: float, color: Rgb, line: Rgb | None = None) -> None:
        self.fill([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color, line)

    def line(self, points: Points | list, color: Rgb, width: float) -> None:
        fixed = np.rint(np.asarray(points, float) * (self.px << SUBPIXEL_BITS)).astype(np.int32)
        thickness = max(1, round(width * self.px))
        cv2.polylines(self.canvas, [fixed], False, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def tint(self, hue: float, saturation: float, value: float) -> Rgb:
        r, g, b = colorsys.hsv_to_rgb(hue % 1.0, max(0.0, min(1.0, saturation)), max(0.0, min(1.0, value)))
        return round(r * 255), round(g * 255), round(b * 255)

    def steps(self, low: float, high: float, start: float = 0.0) -> list[tuple[float, float]]:
        """Stretches of random width between `low` and `high` that fill the picture from left to right."""
        x, found = start - self.rng.uniform(0, low), []
        while x < self.wide:
            width = self.rng.uniform(low, high)
            found.append((x, width))
            x += width
        return found

    def clouds(self, count: int, y0: float, y1: float, color: Rgb, shade: Rgb) -> None:
        rng = self.rng
        for _ in range(count):
            x, y, size = rng.uniform(-0.1, self.wide), rng.uniform(y0, y1), rng.uniform(0.05, 0.14)
            puffs = [
                (x + rng.uniform(-1.6, 1.6) * size, y - rng.uniform(0, 0.6) * size, size * rng.uniform(0.45, 0.9))
                for _ in range(6)
            ]
            for cx, cy, r in puffs:
                self.fill(ellipse(cx, cy + r * 0.22, r * 1.15, r * 0.75), shade)
            for cx, cy, r in puffs:
                self.fill(ellipse(cx, cy, r * 1.1, r * 0.68), color)

    def ridge(self, base: float, rise: float, color: Rgb, step: float, sharp: bool = False) -> None:
        rng = self.rng
        tops = [(x, base - rng.uniform(0, rise)) for x in np.arange(-step, self.wide + 2 * step, step)]
        shape = np.array(tops) if sharp else curve(tops, 8, closed=False)
        self.fill(np.concatenate([shape, [(self.wide + step, 1.0), (-step, 1.0)]]), color)

    def tree(self, x: float, y: float, size: float, leaf: Rgb, trunk: Rgb) -> None:
        rng = self.rng
        self.fill(
            [
                (x - size * 0.06, y),
                (x + size * 0.06, y),
                (x + size * 0.04, y - size * 0.5),
                (x - size * 0.04, y - size * 0.5),
            ],
            trunk,
        )
        blobs = [
            (x + rng.uniform(-0.28, 0.28) * size, y - size * rng.uniform(0.45, 0.95), size * rng.uniform(0.18, 0.3))
            for _ in range(6)
        ]
        for cx, cy, r in blobs:
            self.fill(ellipse(cx, cy, r * 1.1, r, 16), mix(leaf, (10, 30, 50), 0.3))
        for cx, cy, r in blobs:
            self.fill(ellipse(cx - r * 0.15, cy - r * 0.2, r * 0.9, r * 0.75, 16), leaf)

    def pine(self, x: float, y: float, size: float, leaf: Rgb) -> None:
        self.rect(x - size * 0.04, y - size * 0.16, size * 0.08, size * 0.16, (92, 66, 50))
        for k in range(3):
            top, wide = y - size * (0.45 + 0.26 * k), size * (0.34 - 0.07 * k)
            tier = [(x - wide, top + size * 0.34), (x, top - size * 0.04), (x + wide, top + size * 0.34)]
            self.fill(tier, mix(leaf, (255, 255, 255), 0.06 * k))
            self.fill([tier[1], tier[2], (x + wide * 0.1, tier[2][1])], mix(leaf, (10, 20, 50), 0.28))

    def grass(self, y0: float, color: Rgb, count: int) -> None:
        rng = self.rng
        for _ in range(round(count * self.wide)):
            x, y = rng.uniform(0, self.wide), rng.uniform(y0, 1.0)
            size = 0.012 + 0.03 * (y - y0)
            self.fill(
                [(x - size * 0.5, y), (x + rng.uniform(-0.4, 0.4) * size, y - size * 1.6), (x + size * 0.5, y)], color
            )

    def window(self, x: float, y: float, w: float, h: float, frame: Rgb, glass: Rgb, panes: int = 2) -> None:
        self.rect(x, y, w, h, frame, mix(frame, (0, 0, 0), 0.45))
        pad = min(w, h) * 0.07
        pane = (w - pad * (panes + 1)) / panes
        for k in range(panes):
            left = x + pad + k * (pane + pad)
            self.rect(left, y + pad, pane, h - 2 * pad, glass)
            shine = mix(glass, (255, 255, 255), 0.45)
            self.fill(
                [
                    (left + pane * 0.15, y + h - pad),
                    (left + pane * 0.45, y + pad),
                    (left + pane * 0.7, y + pad),
                    (left + pane * 0.4, y + h - pad),
                ],
                shine,
            )


def _sky(place: Place) -> tuple[Rgb, Rgb]:
    """A sky by the hour; returns its horizon colour and the colour of distance."""
    rng = place.rng
    top, low = rng.choice(
        (
            ((86, 152, 226), (206, 234, 248)),
            ((64, 128, 214), (176, 222, 244)),
            ((126, 186, 226), (244, 240, 220)),
            ((92, 84, 160), (250, 176, 128)),
            ((240, 150, 110), (254, 226, 164)),
            ((150, 168, 190), (218, 224, 228)),
        )
    )
    place.gradient([(0.0, top), (0.75, low), (1.0, low)])
    return low, mix(top, low, 0.55)


def _room(place: Place) -> None:
    rng = place.rng
    hue = rng.random()
    wall, trim = place.tint(hue, rng.uniform(0.12, 0.42), rng.uniform(0.7, 0.95)), (246, 240, 230)
    place.gradient([(0.0, mix(wall, (255, 255, 255), 0.12)), (1.0, mix(wall, (0, 0, 0), 0.1))])
    if rng.random() < 0.6:
        stripe = mix(wall, (255, 255, 255), 0.16)
        gap = rng.uniform(0.06, 0.16)
        for x in np.arange(rng.uniform(0, gap), place.wide, gap):
            place.rect(float(x), 0, gap * 0.3, 0.76, stripe)
    floor_y = rng.uniform(0.72, 0.82)
    floor = place.tint(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.55), rng.uniform(0.45, 0.75))
    place.rect(0, floor_y, place.wide, 1 - floor_y, floor)
    for k in range(1, 6):
        y = floor_y + (1 - floor_y) * (k / 5.5) ** 1.5
        place.line([(0, y), (place.wide, y)], mix(floor, (0, 0, 0), 0.22), 0.003)
    place.rect(0, floor_y - 0.03, place.wide, 0.03, trim, mix(trim, (0, 0, 0), 0.4))
    glass = rng.choice(((170, 216, 244), (250, 206, 150), (56, 66, 120), (206, 230, 210)))
    for x, w in place.steps(0.42, 0.75, rng.uniform(0, 0.3)):
        what = rng.random()
        if what < 0.34:
            _curtained_window(place, x, w, hue, trim, glass)
        elif what < 0.62:
            _bookshelf(place, x, w, floor_y)
        elif what < 0.82:
            _sofa(place, x, w, floor_y, hue)
        else:
            _picture_and_plant(place, x, w, floor_y)


def _curtained_window(place: Place, x: float, w: float, hue: float, trim: Rgb, glass: Rgb) -> None:
    rng = place.rng
    y, h = rng.uniform(0.1, 0.2), rng.uniform(0.28, 0.4)
    place.window(x + 0.06, y, w * 0.72, h, trim, glass, rng.choice((2, 3)))
    drape = place.tint(hue + rng.uniform(0.2, 0.7), 0.5, 0.8)
    for side in (0, 1):
        left = x + 0.02 + side * (w * 0.72)
        place.fill(
            curve(
                [
                    (left, y - 0.04, 1),
                    (left + 0.09, y - 0.04, 1),
                    (left + (0.05 if side == 0 else 0.07), y + h * 0.6),
                    (left + 0.08, y + h + 0.06, 1),
                    (left, y + h + 0.06, 1),
                ]
            ),
            drape,
            FURNITURE_LINE,
        )


def _bookshelf(place: Place, x: float, w: float, floor_y: float) -> None:
    rng = place.rng
    wood = place.tint(rng.uniform(0.03, 0.1), 0.5, rng.uniform(0.35, 0.6))
    y, width = floor_y - rng.uniform(0.4, 0.58), min(0.36, w * 0.8)
    h = floor_y - y
    place.rect(x + 0.04, y, width, h, wood, FURNITURE_LINE)
    rows = rng.choice((3, 4))
    for r in range(rows):
        place.rect(x + 0.06, y + 0.02 + r * h / rows, width - 0.04, h / rows - 0.03, mix(wood, (0, 0, 0), 0.4))
        spine_x = x + 0.065
        while spine_x < x + width - 0.01:
            spine = rng.uniform(0.012, 0.026)
            tall = (h / rows - 0.03) * rng.uniform(0.65, 0.95)
            place.rect(
                spine_x,
                y + r * h / rows + h / rows - 0.01 - tall,
                spine,
                tall,
                place.tint(rng.random(), 0.55, 0.8),
            )
            spine_x += spine + 0.002


def _sofa(place: Place, x: float, w: float, floor_y: float, hue: float) -> None:
    rng = place.rng
    color = place.tint(hue + rng.uniform(0.25, 0.75), rng.uniform(0.35, 0.6), rng.uniform(0.55, 0.85))
    place.fill(
        curve(
            [
                (x, floor_y - 0.26),
                (x + w * 0.9, floor_y - 0.26),
                (x + w * 0.9, floor_y + 0.08, 1),
                (x, floor_y + 0.08, 1),
            ]
        ),
        color,
        FURNITURE_LINE,
    )
    place.fill(
        curve(
            [
                (x - 0.04, floor_y - 0.1),
                (x + w * 0.9 + 0.04, floor_y - 0.1),
                (x + w * 0.9 + 0.04, floor_y + 0.1, 1),
                (x - 0.04, floor_y + 0.1, 1),
            ]
        ),
        mix(color, (0, 0, 0), 0.18),
        FURNITURE_LINE,
    )


def _picture_and_plant(place: Place, x: float, w: float, floor_y: float) -> None:
    rng = place.rng
    art = place.tint(rng.random(), 0.5, 0.85)
    place.rect(x + 0.05, 0.16, w * 0.5, 0.22, (122, 88, 60), FURNITURE_LINE)
    place.rect(x + 0.07, 0.18, w * 0.5 - 0.04, 0.18, art)
    place.fill(ellipse(x + 0.05 + w * 0.25, 0.29, 0.05, 0.04), mix(art, (255, 255, 255), 0.5))
    place.fill(ellipse(x + w * 0.3, floor_y - 0.16, 0.09, 0.14), (74, 142, 84), (40, 80, 50))
    place.fill(
        [
            (x + w * 0.3 - 0.06, floor_y - 0.06),
            (x + w * 0.3 + 0.06, floor_y - 0.06),
            (x + w * 0.3 + 0.04, floor_y + 0.06),
            (x + w * 0.3 - 0.04, floor_y + 0.06),
        ],
        (196, 112, 74),
        FURNITURE_LINE,
    )


def _classroom(place: Place) -> None:
    rng = place.rng
    wall = rng.choice(((242, 234, 212), (226, 236, 230), (236, 226, 236), (220, 228, 242)))
    place.gradient([(0.0, mix(wall, (0, 0, 0), 0.06)), (1.0, wall)])
    floor_y = rng.uniform(0.66, 0.74)
    floor = rng.choice(((196, 150, 104), (176, 132, 96), (206, 170, 122)))
    place.rect(0, floor_y, place.wide, 1 - floor_y, floor)
    for k in range(1, 7):
        y = floor_y + (1 - floor_y) * (k / 6.5) ** 1.6
        place.line([(0, y), (place.wide, y)], mix(floor, (60, 30, 20), 0.35), 0.0025)
    offset = rng.uniform(-0.4, 0.2)
    board = rng.choice(((44, 92, 72), (52, 78, 70), (60, 70, 88)))
    x = offset
    while x < place.wide:
        if rng.random() < 0.55:
            place.rect(x, 0.14, 0.95, 0.38, (150, 106, 70), (84, 58, 44))
            place.rect(x + 0.02, 0.16, 0.91, 0.34, board)
            for row in range(rng.randint(2, 4)):
                y = 0.21 + row * 0.075
                chalk = [(x + 0.08 + k * 0.03, y + rng.uniform(-0.014, 0.014)) for k in range(rng.randint(5, 24))]
                place.line(chalk, (216, 226, 216), 0.006)
            place.rect(x, 0.52, 0.95, 0.02, (170, 126, 84))
            x += 1.05
        else:
            glass = rng.choice(((168, 216, 246), (252, 214, 158)))
            place.window(x, 0.1, 0.62, 0.46, (236, 238, 240), glass, 3)
            place.fill(ellipse(x + 0.2, 0.5, 0.1, 0.05), (110, 170, 110))
            x += 0.72
    for row in range(2):
        y = floor_y + 0.06 + row * 0.12
        size = 0.2 + 0.07 * row
        gap = size * 1.75
        for x in np.arange(rng.uniform(-0.3, 0.0), place.wide, gap):
            x = float(x)
            place.line([(x + size * 0.1, y), (x + size * 0.1, y + size * 0.7)], (110, 116, 126), 0.009)
            place.line([(x + size * 0.9, y), (x + size * 0.9, y + size * 0.7)], (110, 116, 126), 0.009)
            place.fill(
                [(x + size * 0.08, y - size * 0.18), (x + size * 0.92, y - size * 0.18), (x + size, y), (x, y)],
                (214, 172, 116),
                (110, 74, 50),
            )
            place.rect(x, y, size, size * 0.16, (180, 134, 86), (110, 74, 50))


def _street(place: Place) -> None:
    rng = place.rng
    low, far = _sky(place)
    place.clouds(round(3 * place.wide), 0.05, 0.25, mix(low, (255, 255, 255), 0.6), mix(low, far, 0.4))
    ground = rng.uniform(0.7, 0.78)
    for x, w in place.steps(0.2, 0.4):
        place.rect(x, rng.uniform(0.2, 0.45), w, 0.6, mix(far, place.tint(rng.random(), 0.3, 0.6), 0.3))
    for x, w in place.steps(0.3, 0.6):
        _house(place, x, w, ground)
    pavement = (200, 196, 192)
    place.rect(0, ground, place.wide, 0.08, pavement)
    for x in np.arange(0, place.wide, 0.14):
        place.line([(float(x), ground), (float(x) - 0.05, ground + 0.08)], (160, 156, 156), 0.003)
    place.rect(0, ground + 0.08, place.wide, 0.015, (150, 148, 150))
    place.rect(0, ground + 0.095, place.wide, 1, rng.choice(((112, 114, 124), (96, 100, 112), (124, 120, 120))))
    for x in np.arange(rng.uniform(-0.3, 0), place.wide, 0.45):
        place.fill([(x, 0.92), (x + 0.22, 0.92), (x + 0.2, 0.945), (x - 0.02, 0.945)], (236, 234, 222))
    for x in np.arange(rng.uniform(0.1, 0.5), place.wide, rng.uniform(0.8, 1.1)):
        x = float(x)
        if rng.random() < 0.5:
            place.line([(x, ground + 0.06), (x, 0.22), (x + 0.09, 0.2)], (72, 76, 90), 0.014)
            place.fill(ellipse(x + 0.11, 0.215, 0.035, 0.018), (255, 240, 190), (72, 76, 90))
        else:
            place.tree(
                x, ground + 0.05, 0.4, rng.choice(((104, 170, 92), (240, 170, 196), (226, 150, 70))), (112, 82, 62)
            )


def _house(place: Place, x: float, w: float, ground: float) -> None:
    """A house with windows, and a shop with an awning below."""
    rng = place.rng
    color = place.tint(rng.choice((0.04, 0.08, 0.12, 0.55, 0.6, 0.95)), rng.uniform(0.12, 0.5), rng.uniform(0.6, 0.95))
    top = rng.uniform(0.1, 0.36)
    edge = mix(color, (30, 20, 40), 0.6)
    place.rect(x, top, w, ground - top, color, edge)
    place.rect(x - 0.01, top - 0.02, w + 0.02, 0.035, mix(color, (0, 0, 0), 0.25), edge)
    columns = max(2, int(w / 0.13))
    for r in range(int((ground - top - 0.22) / 0.14)):
        for c in range(columns):
            lit = rng.random() < 0.25
            glass = (252, 226, 150) if lit else (124, 164, 196)
            place.rect(x + (c + 0.25) * w / columns, top + 0.05 + r * 0.14, w / columns * 0.5, 0.085, glass, edge)
    sign = place.tint(rng.random(), 0.6, 0.85)
    place.rect(x + w * 0.1, ground - 0.19, w * 0.8, 0.05, sign, edge)
    for k in range(6):
        stripe = sign if k % 2 else (248, 246, 240)
        place.fill(
            [
                (x + w * (0.1 + k * 0.133), ground - 0.14),
                (x + w * (0.1 + (k + 1) * 0.133), ground - 0.14),
                (x + w * (0.1 + (k + 1) * 0.133) - 0.005, ground - 0.1),
                (x + w * (0.1 + k * 0.133) - 0.005, ground - 0.1),
            ],
            stripe,
        )
    place.rect(x + w * 0.15, ground - 0.1, w * 0.4, 0.1, (96, 126, 150), edge)
    place.rect(x + w * 0.65, ground - 0.11, w * 0.18, 0.11, mix(color, (60, 30, 20), 0.6), edge)


def _field(place: Place) -> None:
    rng = place.rng
    low, far = _sky(place)
    place.clouds(round(4 * place.wide), 0.06, 0.34, (250, 250, 252), mix(low, (200, 210, 230), 0.6))
    horizon = rng.uniform(0.5, 0.62)
    place.ridge(horizon + 0.02, 0.24, mix(far, (90, 120, 150), 0.45), rng.uniform(0.2, 0.4), sharp=rng.random() < 0.4)
    place.ridge(horizon + 0.05, 0.12, mix(far, (90, 160, 110), 0.7), 0.3)
    grass = rng.choice(((132, 192, 92), (168, 196, 86), (214, 186, 96), (96, 172, 104)))
    place.ridge(horizon + 0.1, 0.05, grass, 0.5)
    place.ridge(horizon + 0.26, 0.06, mix(grass, (40, 110, 60), 0.25), 0.45)
    for _ in range(round(rng.uniform(1, 4) * place.wide)):
        place.tree(
            rng.uniform(0, place.wide),
            horizon + rng.uniform(0.05, 0.16),
            rng.uniform(0.14, 0.42),
            mix(grass, (40, 120, 60), rng.uniform(0.3, 0.7)),
            (104, 78, 58),
        )
    if rng.random() < 0.5:
        for x in np.arange(rng.uniform(-0.1, 0), place.wide + 0.1, 0.13):
            place.rect(float(x), horizon + 0.14, 0.025, 0.14, (246, 240, 226), (140, 120, 100))
        for y in (0.165, 0.22):
            place.rect(0, horizon + y, place.wide, 0.022, (246, 240, 226), (140, 120, 100))
    place.grass(horizon + 0.16, mix(grass, (20, 90, 50), 0.4), 40)
    petal = rng.choice(((252, 214, 90), (248, 150, 180), (250, 250, 250), (190, 150, 240)))
    for _ in range(round(18 * place.wide)):
        y = rng.uniform(horizon + 0.18, 1.0)
        place.fill(
            ellipse(rng.uniform(0, place.wide), y, 0.006 + 0.016 * (y - horizon), 0.005 + 0.013 * (y - horizon), 10),
            petal,
        )


def _rooftop(place: Place) -> None:
    rng = place.rng
    low, far = _sky(place)
    place.clouds(round(6 * place.wide), 0.1, 0.5, mix((255, 255, 255), low, 0.25), mix(low, far, 0.6))
    for x, w in place.steps(0.08, 0.24):
        place.rect(x, rng.uniform(0.5, 0.66), w, 0.4, mix(far, (70, 90, 130), rng.uniform(0.25, 0.45)))
    floor_y = rng.uniform(0.76, 0.82)
    floor = rng.choice(((176, 178, 176), (150, 168, 160), (188, 170, 156)))
    place.rect(0, floor_y, place.wide, 1, floor)
    for k in range(1, 5):
        y = floor_y + (1 - floor_y) * (k / 4.5) ** 1.4
        place.line([(0, y), (place.wide, y)], mix(floor, (60, 60, 70), 0.35), 0.003)
    for x in np.arange(-0.3, place.wide + 0.3, 0.24):
        place.line([(x, floor_y), (x + (x - place.wide / 2) * 0.35, 1.0)], mix(floor, (60, 60, 70), 0.3), 0.003)
    rail = rng.choice(((84, 112, 104), (116, 120, 132), (200, 206, 210)))
    top = floor_y - rng.uniform(0.24, 0.34)
    place.rect(0, floor_y - 0.03, place.wide, 0.03, mix(floor, (0, 0, 0), 0.15))
    if rng.random() < 0.5:
        for k in np.arange(-0.5, place.wide + 0.5, 0.05):
            place.line([(k, floor_y - 0.03), (k + 0.3, top)], rail, 0.002)
            place.line([(k + 0.3, floor_y - 0.03), (k, top)], rail, 0.002)
    else:
        for k in np.arange(0, place.wide, 0.045):
            place.line([(k, floor_y - 0.03), (k, top)], rail, 0.006)
    place.line([(0, top), (place.wide, top)], rail, 0.014)
    for x in np.arange(rng.uniform(0, 0.3), place.wide, 0.5):
        place.line([(x, floor_y), (x, top - 0.01)], rail, 0.012)
    if rng.random() < 0.6:
        x = rng.uniform(0, place.wide - 0.4)
        color = place.tint(rng.random(), 0.2, 0.8)
        place.rect(x, top - 0.16, 0.36, floor_y - top + 0.17, color, (70, 70, 84))
        place.rect(x + 0.1, top - 0.02, 0.14, floor_y - top + 0.03, mix(color, (40, 50, 80), 0.5), (70, 70, 84))


def _forest(place: Place) -> None:
    rng = place.rng
    light = rng.choice(((196, 230, 190), (232, 236, 180), (170, 214, 210), (240, 206, 150)))
    deep = rng.choice(((36, 92, 66), (52, 98, 48), (30, 82, 88), (120, 72, 40)))
    place.gradient([(0.0, mix(deep, light, 0.45)), (0.5, light), (1.0, mix(deep, light, 0.3))])
    for layer in range(3):
        tone = mix(light, deep, 0.25 + 0.3 * layer)
        ground = 0.62 + 0.09 * layer
        place.ridge(ground, 0.04, mix(tone, deep, 0.25), 0.3)
        for x, w in place.steps(0.14 + 0.1 * layer, 0.3 + 0.16 * layer):
            trunk = 0.02 + 0.022 * layer
            lean = rng.uniform(-0.03, 0.03)
            if rng.random() < 0.6:
                bark = mix(tone, (70, 46, 40), 0.5)
                cx = x + w / 2
                place.fill(
                    [
                        (cx - trunk, ground + 0.03),
                        (cx + trunk, ground + 0.03),
                        (cx + lean + trunk * 0.7, -0.02),
                        (cx + lean - trunk * 0.7, -0.02),
                    ],
                    bark,
                )
                place.fill(
                    [
                        (cx + trunk * 0.3, ground + 0.03),
                        (cx + trunk, ground + 0.03),
                        (cx + lean + trunk * 0.7, -0.02),
                        (cx + lean + trunk * 0.3, -0.02),
                    ],
                    mix(bark, (20, 16, 40), 0.35),
                )
            else:
                place.pine(x + w / 2, ground + 0.04, 0.4 + 0.16 * layer, tone)
    for _ in range(round(14 * place.wide)):
        cx, r = rng.uniform(0, place.wide), rng.uniform(0.05, 0.12)
        place.fill(ellipse(cx, rng.uniform(-0.03, 0.08), r * 1.3, r, 14), mix(deep, light, rng.uniform(0.1, 0.4)))
    if rng.random() < 0.6:
        for _ in range(3):
            x = rng.uniform(0, place.wide)
            overlay = place.canvas.copy()
            beam = np.array([(x, 0), (x + 0.1, 0), (x - 0.12, 0.9), (x - 0.34, 0.9)]) * place.px
            cv2.fillPoly(overlay, [np.rint(beam).astype(np.int32)], mix(light, (255, 255, 255), 0.5), cv2.LINE_AA)
            cv2.addWeighted(overlay, 0.22, place.canvas, 0.78, 0, place.canvas)
    place.fill(
        curve(
            [
                (place.wide * 0.42, 0.8, 1),
                (place.wide * 0.55, 0.8, 1),
                (place.wide * 0.75, 1.02, 1),
                (place.wide * 0.2, 1.02, 1),
            ]
        ),
        mix(light, (150, 120, 84), 0.55),
    )
    place.grass(0.8, mix(deep, light, 0.25), 36)


def _night_city(place: Place) -> None:
    rng = place.rng
    top = rng.choice(((16, 18, 52), (30, 18, 62), (10, 30, 60)))
    low = rng.choice(((86, 60, 130), (60, 84, 150), (150, 84, 120)))
    place.gradient([(0.0, top), (0.8, low), (1.0, low)])
    for _ in range(round(36 * place.wide)):
        x, y = rng.uniform(0, place.wide), rng.uniform(0, 0.5)
        place.fill(ellipse(x, y, 0.0028, 0.0028, 8), (236, 236, 255))
    x, r = rng.uniform(0.15, place.wide - 0.15), rng.uniform(0.05, 0.09)
    place.fill(ellipse(x, 0.18, r, r), (252, 246, 214))
    if rng.random() < 0.5:
        place.fill(ellipse(x + r * 0.45, 0.16, r * 0.85, r * 0.85), mix(top, low, 0.2))
    for layer in range(2):
        for x, w in place.steps(0.14, 0.34):
            _tower(place, x, w, layer, mix(top, low, 0.5 - 0.3 * layer))
    place.rect(0, 0.8, place.wide, 0.2, (40, 38, 62))
    place.rect(0, 0.8, place.wide, 0.015, (88, 84, 116))
    for x in np.arange(rng.uniform(0, 0.4), place.wide, 0.55):
        x = float(x)
        place.line([(x, 0.84), (x, 0.5)], (24, 24, 40), 0.012)
        place.fill(ellipse(x, 0.49, 0.03, 0.03), (255, 236, 176))
        place.fill(ellipse(x, 0.9, 0.16, 0.025), (92, 80, 96))


def _tower(place: Place, x: float, w: float, layer: int, sky: Rgb) -> None:
    """A tall house at night, layer 0 behind layer 1; some windows are lit."""
    rng = place.rng
    color = mix(sky, (0, 0, 10), 0.3 + 0.15 * layer)
    y = rng.uniform(0.24, 0.5) + 0.1 * layer
    place.rect(x, y, w, 1 - y, color, mix(color, (0, 0, 0), 0.4))
    columns = max(2, int(w / 0.045))
    for row in range(int((0.8 - y) / 0.055)):
        for c in range(columns):
            if rng.random() < 0.4:
                lit = rng.choice(((255, 222, 130), (255, 240, 190), (150, 210, 250)))
                place.rect(x + (c + 0.25) * w / columns, y + 0.02 + row * 0.055, w / columns * 0.5, 0.028, lit)


def _beach(place: Place) -> None:
    rng = place.rng
    low, far = _sky(place)
    place.clouds(round(4 * place.wide), 0.05, 0.34, (255, 255, 255), mix(low, far, 0.5))
    horizon, shore = rng.uniform(0.42, 0.5), rng.uniform(0.66, 0.74)
    sea = rng.choice(((46, 142, 196), (64, 176, 190), (52, 104, 176)))
    place.rect(0, horizon, place.wide, shore - horizon + 0.1, sea)
    for k in range(9):
        y = horizon + (shore - horizon) * (k / 9) ** 1.3
        for _ in range(round(4 * place.wide)):
            x, w = rng.uniform(-0.1, place.wide), rng.uniform(0.03, 0.12)
            place.line([(x, y), (x + w, y)], mix(sea, (255, 255, 255), 0.35), 0.004)
    if rng.random() < 0.6:
        x = rng.uniform(0.1, place.wide - 0.4)
        place.fill(
            curve([(x, horizon, 1), (x + 0.1, horizon - 0.08), (x + 0.24, horizon - 0.05), (x + 0.4, horizon, 1)]),
            mix(far, (70, 120, 100), 0.6),
        )
    sand = rng.choice(((244, 222, 166), (234, 206, 156), (250, 234, 200)))
    place.ridge(shore + 0.03, 0.04, (246, 252, 252), 0.35)
    place.ridge(shore + 0.06, 0.04, sand, 0.4)
    for _ in range(round(26 * place.wide)):
        place.fill(
            ellipse(rng.uniform(0, place.wide), rng.uniform(shore + 0.08, 1.0), 0.006, 0.003, 8),
            mix(sand, (140, 100, 60), 0.4),
        )
    for _ in range(round(rng.uniform(0.6, 1.8) * place.wide)):
        x, y = rng.uniform(0, place.wide), rng.uniform(shore + 0.06, 0.92)
        if rng.random() < 0.5:
            colors = (place.tint(rng.random(), 0.65, 0.9), (250, 248, 244))
            place.line([(x, y), (x + 0.03, y - 0.32)], (150, 120, 90), 0.01)
            for k in range(6):
                a, b = math.pi * (1 + k / 6), math.pi * (1 + (k + 1) / 6)
                cx, cy = x + 0.03, y - 0.27
                place.fill(
                    [
                        (cx, cy - 0.08),
                        (cx + 0.22 * math.cos(a), cy + 0.05 * math.sin(a)),
                        (cx + 0.22 * math.cos(b), cy + 0.05 * math.sin(b)),
                    ],
                    colors[k % 2],
                    (90, 70, 70),
                )
        else:
            trunk = curve([(x, y), (x + 0.04, y - 0.2), (x + 0.1, y - 0.42)], closed=False)
            place.line(trunk, (150, 110, 74), 0.03)
            for k in range(6):
                a = math.pi * (0.95 + k * 0.22)
                tip = (x + 0.1 + 0.2 * math.cos(a), y - 0.42 + 0.16 * math.sin(a) + 0.06)
                place.fill(
                    curve(
                        [
                            (x + 0.1, y - 0.44, 1),
                            (x + 0.1 + 0.12 * math.cos(a), y - 0.47 + 0.12 * math.sin(a)),
                            (*tip, 1),
                            (x + 0.1 + 0.1 * math.cos(a), y - 0.41 + 0.1 * math.sin(a)),
                        ]
                    ),
                    (72, 150, 84),
                    (36, 84, 56),
                )


def _corridor(place: Place) -> None:
    rng = place.rng
    wall = place.tint(rng.uniform(0.08, 0.6), rng.uniform(0.06, 0.22), rng.uniform(0.78, 0.94))
    cx, cy = place.wide * rng.uniform(0.35, 0.65), rng.uniform(0.38, 0.5)
    half_w, half_h = 0.14 * place.wide / 1.78, 0.15
    x0, x1, y0, y1 = cx - half_w, cx + half_w, cy - half_h, cy + half_h * 1.2
    place.canvas[:] = wall
    line = mix(wall, (40, 30, 50), 0.6)
    floor = place.tint(rng.uniform(0.05, 0.6), rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.75))
    place.fill([(0, 0), (place.wide, 0), (x1, y0), (x0, y0)], mix(wall, (255, 255, 255), 0.4))
    place.fill([(0, 1), (place.wide, 1), (x1, y1), (x0, y1)], floor)
    place.fill([(place.wide, 0), (x1, y0), (x1, y1), (place.wide, 1)], mix(wall, (40, 30, 60), 0.16))
    place.rect(x0, y0, x1 - x0, y1 - y0, mix(wall, (150, 190, 230), 0.4), line)
    place.window(x0 + half_w * 0.4, y0 + 0.05, half_w * 1.2, half_h, (240, 240, 240), (190, 226, 250), 2)
    bars = [0.0, 0.16, 0.4, 0.62, 0.9]
    for side, edge in ((0, x0), (1, x1)):
        outer = 0.0 if side == 0 else place.wide

        def at(depth: float, level: float, outer: float = outer, edge: float = edge) -> tuple[float, float]:
            x = edge + (outer - edge) * depth
            return x, y0 + (0 - y0) * depth + level * ((y1 - y0) + ((1 - 0) - (y1 - y0)) * depth)

        glow = rng.choice(((186, 222, 248), (252, 224, 160), (168, 206, 196)))
        for a, b in pairwise(bars):
            near, far = b - 0.03, a + 0.03
            if side == 0:
                place.fill([at(near, 0.2), at(far, 0.2), at(far, 0.62), at(near, 0.62)], glow, line)
                mid = (near + far) / 2
                place.line([at(mid, 0.2), at(mid, 0.62)], (244, 244, 244), 0.01)
            else:
                place.fill(
                    [at(near, 0.18), at(far, 0.18), at(far, 1.0), at(near, 1.0)], mix(wall, (150, 100, 60), 0.55), line
                )
                place.fill(
                    [at(near - 0.03, 0.26), at(far + 0.03, 0.26), at(far + 0.03, 0.5), at(near - 0.03, 0.5)],
                    (214, 232, 240),
                    line,
                )
    for depth in (0.1, 0.28, 0.55, 0.95):
        left, right = x0 * (1 - depth), x1 + (place.wide - x1) * depth
        y = y1 + (1 - y1) * depth
        place.line([(left, y), (right, y)], mix(floor, (30, 30, 50), 0.3), 0.004)


def _snow(place: Place) -> None:
    rng = place.rng
    top = rng.choice(((120, 140, 176), (90, 104, 150), (166, 184, 206), (60, 66, 110)))
    low = mix(top, (240, 236, 244), 0.72)
    place.gradient([(0.0, top), (0.7, low), (1.0, low)])
    place.ridge(0.58, 0.36, mix(low, (110, 130, 170), 0.5), rng.uniform(0.25, 0.4), sharp=True)
    place.ridge(0.62, 0.14, mix(low, (140, 160, 196), 0.4), 0.3)
    place.ridge(0.68, 0.05, (236, 242, 250), 0.5)
    for _ in range(round(rng.uniform(4, 9) * place.wide)):
        x, y, size = rng.uniform(0, place.wide), rng.uniform(0.62, 0.78), rng.uniform(0.16, 0.42)
        place.pine(x, y, size, (62, 104, 98))
        place.fill(
            [
                (x - size * 0.12, y - size * 0.84),
                (x, y - size * 1.02),
                (x + size * 0.12, y - size * 0.84),
                (x, y - size * 0.88),
            ],
            (246, 250, 255),
        )
    if rng.random() < 0.7:
        x = rng.uniform(0.1, place.wide - 0.5)
        wood = rng.choice(((150, 92, 64), (120, 72, 62), (170, 130, 90)))
        place.rect(x, 0.5, 0.36, 0.24, wood, (70, 46, 44))
        place.fill([(x - 0.05, 0.52), (x + 0.18, 0.33), (x + 0.41, 0.52)], (240, 246, 252), (110, 110, 140))
        place.rect(x + 0.05, 0.57, 0.09, 0.08, (255, 224, 130), (70, 46, 44))
        place.rect(x + 0.22, 0.58, 0.09, 0.16, mix(wood, (30, 16, 16), 0.4), (70, 46, 44))
    place.ridge(0.82, 0.05, (248, 250, 255), 0.6)
    place.ridge(0.94, 0.05, (226, 234, 248), 0.5)
    for _ in range(round(50 * place.wide)):
        r = rng.uniform(0.002, 0.007)
        place.fill(ellipse(rng.uniform(0, place.wide), rng.uniform(0, 1), r, r, 8), (255, 255, 255))


def _shrine(place: Place) -> None:
    rng = place.rng
    low, far = _sky(place)
    place.clouds(round(3 * place.wide), 0.05, 0.3, mix((255, 255, 255), low, 0.2), mix(low, far, 0.5))
    place.ridge(0.66, 0.3, mix(far, (60, 110, 96), 0.5), 0.26)
    blossom = rng.choice(((250, 186, 206), (226, 106, 64), (110, 176, 98), (238, 196, 80)))
    for _ in range(round(5 * place.wide)):
        place.tree(rng.uniform(0, place.wide), rng.uniform(0.68, 0.74), rng.uniform(0.3, 0.5), blossom, (96, 66, 56))
    place.rect(0, 0.72, place.wide, 0.28, rng.choice(((200, 192, 176), (170, 184, 130), (186, 180, 186))))
    for k in range(5):
        y = 0.74 + 0.05 * k + 0.008 * k * k
        place.line([(0, y), (place.wide, y)], (146, 138, 130), 0.003)
    red = rng.choice(((206, 62, 50), (190, 80, 60), (120, 110, 116)))
    for x in np.arange(rng.uniform(0.15, 0.5), place.wide, 1.3):
        x = float(x)
        for dx in (0.0, 0.5):
            place.rect(x + dx, 0.26, 0.05, 0.52, red, (76, 30, 36))
            place.rect(x + dx - 0.012, 0.74, 0.074, 0.05, (60, 50, 56))
        place.rect(x - 0.05, 0.34, 0.65, 0.04, red, (76, 30, 36))
        place.fill(
            curve(
                [
                    (x - 0.12, 0.2, 1),
                    (x + 0.275, 0.235),
                    (x + 0.67, 0.2, 1),
                    (x + 0.65, 0.265, 1),
                    (x + 0.275, 0.285),
                    (x - 0.1, 0.265, 1),
                ]
            ),
            mix(red, (40, 20, 30), 0.45),
            (50, 24, 30),
        )
        place.rect(x + 0.245, 0.265, 0.06, 0.08, (70, 60, 66), (40, 30, 36))
    for x in np.arange(rng.uniform(0, 0.3), place.wide, 0.62):
        x = float(x)
        place.rect(x, 0.68, 0.05, 0.14, (172, 170, 164), (96, 92, 92))
        place.fill([(x - 0.03, 0.67), (x + 0.025, 0.62), (x + 0.08, 0.67)], (150, 148, 146), (96, 92, 92))
    for _ in range(round(26 * place.wide)):
        place.fill(
            ellipse(rng.uniform(0, place.wide), rng.uniform(0.1, 1.0), 0.008, 0.005, 8),
            mix(blossom, (255, 255, 255), 0.3),
        )


KINDS: dict[str, Callable[[Place], None]] = {
    "room": _room,
    "street": _street,
    "field": _field,
    "classroom": _classroom,
    "rooftop": _rooftop,
    "forest": _forest,
    "night_city": _night_city,
    "beach": _beach,
    "corridor": _corridor,
    "snow": _snow,
    "shrine": _shrine,
}
