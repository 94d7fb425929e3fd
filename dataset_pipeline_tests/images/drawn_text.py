"""Drawn stills with and without burnt-in text, whose boxes are known: subtitles, credits, logos in a corner.

Letters are those of fonts that come with installed packages: Pillow's own, DejaVu of matplotlib, OpenCV's strokes.
"""

from __future__ import annotations

import functools
import importlib.util
import random
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.demo.backdrops import TEST_BACKDROP_SEEDS
from dataset_pipeline.demo.scenes import draw_scene

SAID = (
    "I told you to wait", "Where did everybody go?", "No.", "It is raining again, isn't it", "Hm?", "We leave at dawn!",
    "That is not what I meant at all", "Дождь опять идёт, да?", "Я же говорила тебе ждать", "Πού πήγαν όλοι;",
    "- Are you coming?\n- In a minute.", "If we take the road by the river\nwe can be there before noon.",
    "Nobody has seen her\nsince the day of the fair.", "Мы уходим на рассвете,\nи никто не узнает.",
)  # fmt: skip
NAMES = (
    "Mira Holt", "Jonas Weber", "Aiko Tanabe", "Lena Fors", "Pavel Orlov", "Ines Duarte", "Tom Archer", "Yuna Seki",
    "drawn by", "painted places", "key animation", "music", "sound", "in-between", "colour", "produced by", "with",
)  # fmt: skip
STATIONS = ("TOKI 7", "Hikari TV", "N3", "ANI HD", "Canal K", "KIDO", "STAR4", "mono")


@dataclass(frozen=True)
class Written:
    """A still [height, width, 3] uint8 and the boxes of what is written on it, in pixels."""

    picture: np.ndarray
    boxes: tuple[Box, ...] = ()


@functools.cache
def font(name: str, height_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font for the empty name, else a file of DejaVu."""
    if not name:
        return ImageFont.load_default(height_px)
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"), height_px)


def scene(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A place of the tests' own, with nobody to four people in it, as video keeps it: JPEG's losses stand for those."""
    rng = random.Random(seed * 31 + 7)
    picture = draw_scene(seed, size, backdrop_seed=rng.choice(TEST_BACKDROP_SEEDS)).image
    ok, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, rng.randint(78, 95)])
    assert ok
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def subtitled(picture: np.ndarray, seed: int) -> Written:
    """One or two lines at the bottom, with a rim, a shadow or a box behind them."""
    rng = random.Random(seed * 17 + 3)
    height, width = picture.shape[:2]
    text = rng.choice(SAID)
    latin = text.isascii()
    letters = font(rng.choice(("", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif") if latin else ("DejaVuSans",)),
                   round(height * rng.uniform(0.042, 0.065)))  # fmt: skip
    color = rng.choice(((255, 255, 255), (250, 240, 120), (235, 235, 235)))
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    style = rng.choice(("rim", "rim", "box", "shadow"))
    rim = max(1, round(height / 360)) if style == "rim" else 0
    x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=letters, stroke_width=rim, align="center")
    x, y = (width - (x1 - x0)) / 2 - x0, height * rng.uniform(0.93, 0.97) - y1
    box = (x + x0, y + y0, x + x1, y + y1)
    if style == "box":
        pad = height * 0.012
        draw.rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), fill=(0, 0, 0, rng.choice((150, 255))))
    if style == "shadow":
        draw.multiline_text((x + height / 300, y + height / 300), text, (0, 0, 0, 220), letters, align="center")
    draw.multiline_text((x, y), text, color, letters, align="center", stroke_width=rim, stroke_fill=(16, 16, 16))
    return Written(np.asarray(image), (box,))


def credited(picture: np.ndarray, seed: int) -> Written:
    """Names that roll up, on black or over the picture, which may be darkened for them."""
    rng = random.Random(seed * 13 + 5)
    height, width = picture.shape[:2]
    ground = rng.choice(("black", "dark", "picture"))
    if ground != "picture":
        picture = (picture * (0.0 if ground == "black" else 0.45)).astype(np.uint8)
    size_px = round(height * rng.uniform(0.03, 0.05))
    letters = font(rng.choice(("", "DejaVuSans", "DejaVuSerif")), size_px)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    x, y = width * rng.choice((0.28, 0.5, 0.7)), height * rng.uniform(0.0, 0.2)
    rim = max(1, round(height / 480)) if ground == "picture" else 0
    boxes = []
    for text in rng.sample(NAMES, rng.randint(3, 9)):
        where = {"font": letters, "anchor": "ma", "stroke_width": rim}
        boxes.append(draw.textbbox((x, y), text, **where))
        draw.text((x, y), text, (246, 244, 236), stroke_fill=(16, 16, 16), **where)
        y += size_px * rng.choice((1.5, 1.5, 3.0))
    return Written(np.asarray(image), tuple(box for box in boxes if box[3] < height))


@dataclass(frozen=True)
class Place:
    """Where an opening shows its credits one by one. x, y: of the lower line's left edge, middle or right edge by
    `anchor` (PIL's), in shares of the picture; height: of the letters, of the picture's height."""

    x: float
    y: float
    anchor: str
    height: float
    font: str

    @staticmethod
    def of(seed: int) -> Place:
        rng = random.Random(seed * 23 + 9)
        x, anchor = rng.choice(((0.06, "ls"), (0.94, "rs"), (0.25, "ms"), (0.76, "ms")))
        return Place(x, rng.choice((0.18, 0.55, 0.9)), anchor, rng.uniform(0.04, 0.06), rng.choice(("", "DejaVuSans")))

    def on(self, picture: np.ndarray, seed: int) -> Written:
        """One line, or what somebody did above their name."""
        rng = random.Random(seed * 29 + 1)
        height, width = picture.shape[:2]
        letters = font(self.font, round(height * self.height))
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        boxes, y = [], height * self.y
        for text in rng.sample(NAMES, rng.randint(1, 2)):
            where = {"font": letters, "anchor": self.anchor, "stroke_width": max(1, round(height / 480))}
            boxes.append(draw.textbbox((width * self.x, y), text, **where))
            draw.text((width * self.x, y), text, (246, 244, 236), stroke_fill=(16, 16, 16), **where)
            y -= height * self.height * 1.4
        return Written(np.asarray(image), tuple(boxes))


def with_sign(picture: np.ndarray, seed: int) -> np.ndarray:
    """A board with a word in the scene itself, aside, where no subtitle stands."""
    rng = random.Random(seed * 19 + 4)
    height, width = picture.shape[:2]
    text, ground = rng.choice(STATIONS + NAMES), rng.choice(((250, 240, 210), (60, 90, 140), (140, 40, 40)))
    letters = font(rng.choice(("", "DejaVuSans-Bold", "DejaVuSerif")), round(height * rng.uniform(0.035, 0.08)))
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    where = width * rng.choice((rng.uniform(0.1, 0.33), rng.uniform(0.67, 0.9))), height * rng.uniform(0.15, 0.8)
    x0, y0, x1, y1 = draw.textbbox(where, text, letters, anchor="mm")
    pad = height * 0.015
    draw.rectangle((x0 - pad, y0 - pad, x1 + pad, y1 + pad), fill=ground, outline=(30, 30, 30), width=2)
    draw.text(where, text, (30, 30, 30) if sum(ground) > 400 else (245, 240, 230), letters, anchor="mm")
    return np.asarray(image)


@dataclass(frozen=True)
class Logo:
    """What a station puts into a corner of all pictures: `levels` uint8 [height, width] over them in a colour."""

    levels: np.ndarray
    color: tuple[int, int, int]
    opacity: float
    corner: tuple[int, int]

    def box(self, size: tuple[int, int]) -> Box:
        (width, height), (high, wide) = size, self.levels.shape
        margin = round(height * 0.04)
        x = margin if self.corner[0] == 0 else width - margin - wide
        y = margin if self.corner[1] == 0 else height - margin - high
        return (x, y, x + wide, y + high)

    def on(self, picture: np.ndarray) -> Written:
        box = self.box((picture.shape[1], picture.shape[0]))
        x0, y0, x1, y1 = (round(side) for side in box)
        drawn = picture.copy()
        weight = self.levels[..., None] / 255 * self.opacity
        drawn[y0:y1, x0:x1] = np.rint(picture[y0:y1, x0:x1] * (1 - weight) + np.array(self.color) * weight)
        return Written(drawn, (box,))


def logo(seed: int, size: tuple[int, int]) -> Logo:
    """A name, a sign without letters, or both; opaque or half transparent."""
    rng = random.Random(seed * 11 + 1)
    height_px = round(size[1] * rng.uniform(0.045, 0.075))
    kind = rng.choice(("name", "sign", "both"))
    image = Image.new("L", (size[0] // 3, height_px + 2))
    draw = ImageDraw.Draw(image)
    x = 0.0
    if kind != "name":
        draw.ellipse((0, 0, height_px, height_px), outline=255, width=max(2, height_px // 7))
        draw.rectangle((height_px * 0.4, height_px * 0.3, height_px * 0.6, height_px * 0.72), fill=255)
        x = height_px * 1.25
    if kind != "sign":
        letters = font(rng.choice(("", "DejaVuSans-Bold")), round(height_px * 0.8))
        draw.text((x, height_px / 2), rng.choice(STATIONS), 255, letters, anchor="lm")
    levels = np.asarray(image)
    columns = np.flatnonzero(levels.max(axis=0))
    levels = levels[:, : columns[-1] + 1]
    return Logo(
        levels,
        rng.choice(((255, 255, 255), (240, 240, 240), (240, 90, 70))),
        rng.choice((1.0, 0.75, 0.5, 0.35)),
        rng.choice(((0, 0), (1, 0), (0, 1), (1, 1))),
    )
