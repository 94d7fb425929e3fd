"""Drawing one person: a five-heads-tall cel figure in a pose.

Local units are heads: y 0 is the crown, 1 the chin, about 5 the soles; x 0 is the middle of the body. `turn` runs from
-1 (looks to the picture's left) to 1 (right).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.demo.characters import EYE_COLORS, HAIR_COLORS, OUTFITS, SKINS, Character, Outfit
from dataset_pipeline.demo.shapes import (
    Pen,
    Points,
    Rgb,
    curve,
    cut,
    ellipse,
    ink_of,
    light_of,
    limb,
    mirrored,
    mix,
    shade_of,
)

WAIST_Y = 2.12
SOLES_Y = 5.0

# Arm poses: angle of the upper arm and of the forearm in degrees outward from hanging down, and the hand's form.
ARM_POSES: dict[str, tuple[float, float, str]] = {
    "down": (13, 7, "relaxed"),
    "back": (16, -18, "hidden"),
    "hip": (46, -52, "fist"),
    "wave": (58, 162, "open"),
    "raised": (146, 172, "open"),
    "chest": (14, -112, "relaxed"),
    "chin": (30, -146, "fist"),
    "point": (82, 88, "point"),
    "present": (34, 82, "open"),
    "swing": (24, 30, "fist"),
}
# Where an arm is drawn: 0 behind the legs, 1 behind the torso, 2 before it, 3 before the head.
ARM_LAYERS = {"back": 0, "down": 1, "swing": 1, "chin": 3}
EXPRESSIONS = ("smile", "neutral", "surprised", "angry", "sad")

# Lower edges of fringes before the face turns, from the picture's right temple to the left one; a third number marks a
# corner. Parted fringes are mirrored when the face turns right.
_STRAIGHT: tuple[tuple[float, ...], ...] = (
    (0.36, 0.47, 1),
    (0.28, 0.36),
    (0.2, 0.5, 1),
    (0.125, 0.36),
    (0.05, 0.47, 1),
    (-0.025, 0.36),
    (-0.1, 0.5, 1),
    (-0.175, 0.36),
    (-0.25, 0.47, 1),
    (-0.305, 0.36),
    (-0.36, 0.5, 1),
)
_THREE_TIPS: tuple[tuple[float, ...], ...] = (
    (0.37, 0.58, 1),
    (0.27, 0.38),
    (0.17, 0.5, 1),
    (0.1, 0.3),
    (0.02, 0.52, 1),
    (-0.07, 0.3),
    (-0.19, 0.51, 1),
    (-0.27, 0.37),
    (-0.37, 0.58, 1),
)
_SWEPT: tuple[tuple[float, ...], ...] = (
    (0.38, 0.6, 1),
    (0.32, 0.36),
    (0.2, 0.18, 1),
    (0.02, 0.38),
    (-0.08, 0.53, 1),
    (-0.15, 0.38),
    (-0.27, 0.57, 1),
    (-0.31, 0.42),
    (-0.38, 0.66, 1),
)
_SPIKY: tuple[tuple[float, ...], ...] = (
    (0.4, 0.62, 1),
    (0.3, 0.34),
    (0.24, 0.53, 1),
    (0.12, 0.3),
    (0.05, 0.57, 1),
    (-0.06, 0.28),
    (-0.15, 0.5, 1),
    (-0.23, 0.3),
    (-0.33, 0.55, 1),
    (-0.36, 0.42),
    (-0.42, 0.6, 1),
)
_SHORT: tuple[tuple[float, ...], ...] = (
    (0.38, 0.56, 1),
    (0.3, 0.33),
    (0.22, 0.4, 1),
    (0.16, 0.28),
    (0.02, 0.5, 1),
    (-0.06, 0.36),
    (-0.17, 0.54, 1),
    (-0.24, 0.4),
    (-0.38, 0.6, 1),
)
FRINGES = {
    "bob_cut": _STRAIGHT,
    "long_hair": _STRAIGHT,
    "twintails": _THREE_TIPS,
    "double_bun": _THREE_TIPS,
    "ponytail": _SWEPT,
    "single_braid": _SWEPT,
    "spiky_hair": _SPIKY,
    "short_hair": _SHORT,
}
PARTED_FRINGES = ("ponytail", "single_braid", "short_hair")


@dataclass(frozen=True)
class Pose:
    """How a person stands. Angles are degrees, shares run from 0 to 1."""

    turn: float = 0.0
    arms: tuple[str, str] = ("down", "down")  # picture left, picture right
    arm_shift: tuple[float, float] = (0.0, 0.0)  # degrees added to the forearms, for waving and walking
    stride: float = 0.0  # -1..1, which leg is forward
    mouth: float = 0.0  # 0 closed, 1 wide open
    eyes_open: float = 1.0
    expression: str = "smile"
    head_tilt: float = 0.0
    sway: float = 0.0  # loose hair blown to the right
    behind: bool = False  # seen from behind; `dataset_pipeline.demo.back_view` draws it


class Figure:
    def __init__(self, pen: Pen, character: Character, pose: Pose) -> None:
        self.pen = pen
        self.pose = pose
        self.character = character
        self.girl = character.sex == "girl"
        self.turn = max(-1.0, min(1.0, pose.turn))
        self.skin: Rgb = SKINS[character.skin]
        self.hair: Rgb = HAIR_COLORS[character.hair_color]
        self.iris: Rgb = EYE_COLORS[character.eye_color]
        self.outfit: Outfit = OUTFITS[character.outfit]
        self.head = pen.turned(pose.head_tilt, 0.0, 1.05)
        self.shoulder = 0.43 if self.girl else 0.54
        self.light = 1 if self.turn <= 0 else -1  # the side in shade, away from where the face looks

    def draw(self) -> None:
        self._back_hair()
        if self.outfit.kind == "hoodie":
            self._hood()
        self._arms(0)
        self._legs()
        self._lower()
        self._arms(1)
        self._neck()
        self._torso()
        if self.character.hair_style == "single_braid":
            self._braid()
        self._arms(2)
        if self.character.accessory == "scarf":
            self._scarf()
        self._face()
        self._front_hair()
        self._headwear()
        self._arms(3)

    # Body

    def _arms(self, layer: int) -> None:
        """The arms whose pose lies in this layer, see ARM_LAYERS."""
        for side, pose in zip((-1, 1), self.pose.arms, strict=True):
            if ARM_LAYERS.get(pose, 2) == layer:
                self._arm(side, self._arm_joints(side))

    def _arm_joints(self, side: int) -> tuple[Points, Points, Points, float]:
        name = self.pose.arms[0 if side < 0 else 1]
        upper, fore, _ = ARM_POSES[name]
        shift = self.pose.arm_shift[0 if side < 0 else 1]
        fore += shift
        if name in ("swing", "down"):
            upper += shift * 0.5

        def along(degrees: float) -> np.ndarray:
            return np.array([side * math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])

        top = np.array([side * (self.shoulder - 0.07), 1.3])
        elbow = top + 0.62 * along(upper)
        wrist = elbow + 0.56 * along(fore)
        return top, elbow, wrist, fore

    def _arm(self, side: int, joints: tuple[Points, Points, Points, float]) -> None:
        thick = 0.2 if self.girl else 0.24
        if self.outfit.kind in ("hoodie", "jacket", "sweater"):
            thick += 0.06
        if self.outfit.kind in ("dress", "shirt"):
            self._short_sleeve(side, joints, thick)
        else:
            self._long_sleeve(side, joints, thick)

    def _hand_form(self, side: int) -> str:
        return ARM_POSES[self.pose.arms[0 if side < 0 else 1]][2]

    def _short_sleeve(self, side: int, joints: tuple[Points, Points, Points, float], thick: float) -> None:
        top, elbow, wrist, fore = joints
        form, sleeve, bare = self._hand_form(side), self._top_color(), self.outfit.kind == "dress"
        forearm = limb(elbow, wrist, 0.15, 0.12)
        self.pen.merge([limb(top, elbow, 0.17, 0.15), forearm], self.skin)
        if form != "hidden":
            self._hand(side, wrist, fore, form)
            self.pen.fill(forearm, self.skin, None, 0)
        end = top + (elbow - top) * (0.38 if bare else 0.72)
        wide = 0.32 if bare else thick + 0.06
        shape = limb(top, end, wide, wide + (0.02 if bare else 0.04))
        self.pen.fill(shape, sleeve, shade=cut(shape, float(shape[:, 0].mean()) + 0.04 * side, 0, self.light))

    def _long_sleeve(self, side: int, joints: tuple[Points, Points, Points, float], thick: float) -> None:
        top, elbow, wrist, fore = joints
        form, sleeve = self._hand_form(side), self._top_color()
        cuff = wrist - (wrist - elbow) * 0.14
        self.pen.merge([limb(top, elbow, thick + 0.02, thick), limb(elbow, cuff, thick, thick - 0.03)], sleeve)
        # Both halves are in shade on the same side of the arm's run, whichever way the elbow bends.
        hang = 1 if (self.light > 0) == (elbow[1] < top[1]) else -1
        for a, b, w in ((top, elbow, thick), (elbow, cuff, thick - 0.03)):
            normal = np.array([-(b - a)[1], (b - a)[0]]) / max(1e-6, float(np.hypot(*(b - a))))
            off = normal * hang * w * 0.3
            self.pen.fill(limb(a + off, b + off, w * 0.4, w * 0.36), shade_of(sleeve), None, 0)
        if form != "hidden":
            self._hand(side, wrist, fore, form)
        back = cuff - (cuff - elbow) * 0.12
        self.pen.fill(limb(back, cuff, thick, thick - 0.02), self._cuff_color())

    def _hand(self, side: int, wrist: Points, fore: float, form: str) -> None:
        a = math.radians(fore)
        ahead = np.array([side * math.sin(a), math.cos(a)])
        across = np.array([ahead[1], -ahead[0]]) * -side
        part = "hand0" if side < 0 else "hand1"
        palm_end = wrist + ahead * 0.15
        shapes = [limb(wrist, palm_end, 0.13, 0.17)]
        if form == "open":
            for k, spread in enumerate((-0.42, -0.14, 0.14, 0.42)):
                root = palm_end + across * (spread * 0.17)
                length = (0.13, 0.16, 0.15, 0.11)[k]
                shapes.append(limb(root, root + ahead * length + across * spread * 0.12, 0.05, 0.042))
            shapes.append(limb(wrist + ahead * 0.07, wrist + ahead * 0.14 - across * 0.15, 0.06, 0.045))
        elif form == "point":
            shapes.append(limb(palm_end, palm_end + ahead * 0.17 - across * 0.03, 0.055, 0.045))
            shapes.append(limb(wrist + ahead * 0.06, wrist + ahead * 0.12 - across * 0.12, 0.06, 0.045))
        elif form == "relaxed":
            shapes.append(limb(palm_end, palm_end + ahead * 0.08, 0.16, 0.09))
            shapes.append(limb(wrist + ahead * 0.05, wrist + ahead * 0.17 - across * 0.09, 0.06, 0.045))
        else:
            fist = wrist + ahead * 0.13
            shapes.append(ellipse(float(fist[0]), float(fist[1]), 0.1, 0.1, 16))
        self.pen.merge(shapes, self.skin, part)
        if form in ("fist", "relaxed"):
            for k in (-0.03, 0.03):
                start = palm_end + across * k
                self.pen.stroke(np.stack([start, start + ahead * 0.05]), ink_of(self.skin))

    def _top_color(self) -> Rgb:
        if self.outfit.kind == "uniform" and not self.girl:
            return self.outfit.lower
        return self.outfit.main

    def _cuff_color(self) -> Rgb:
        if self.outfit.kind == "uniform":
            return self.outfit.lower if self.girl else shade_of(self.outfit.lower)
        if self.outfit.kind == "sweater":
            return self.outfit.trim
        return shade_of(self.outfit.main)

    def _legs(self) -> None:
        for side in (-1, 1) if self.pose.stride >= 0 else (1, -1):
            self._leg(side)

    def _leg(self, side: int) -> None:
        stride = self.pose.stride
        trousers = self._wears_trousers()
        hip_x = 0.17 if self.girl else 0.19
        lift = max(0.0, -side * stride) if abs(stride) > 0 else 0.0
        swing = side * stride * 0.42 * (self.turn if abs(self.turn) > 0.3 else 0.25)
        hip = np.array([side * hip_x, 2.5])
        knee = np.array([side * (hip_x + 0.01) + swing * 0.8, 3.58 - 0.1 * lift])
        ankle = np.array([side * hip_x + swing * (0.7 if lift else 1.7), 4.74 - 0.3 * lift])
        self._shoe(side, ankle, 0.35 * self.turn + side * 0.05 * (1 - abs(self.turn)))
        color = self.outfit.lower if trousers else self.skin
        w = (0.36, 0.29, 0.24) if trousers else (0.31, 0.22, 0.15)
        self.pen.merge([limb(hip, knee, w[0], w[1]), limb(knee, ankle, w[1], w[2])], color)
        for a, b, wa, wb in ((hip, knee, w[0], w[1]), (knee, ankle, w[1], w[2])):
            off = np.array([self.light * 0.27, 0.0])
            self.pen.fill(limb(a + off * wa, b + off * wb, wa * 0.44, wb * 0.44), shade_of(color), None, 0)
        if not trousers:
            self._sock(knee, ankle, w[1])

    def _shoe(self, side: int, ankle: Points, toe: float) -> None:
        shoe_color = (92, 62, 50) if self.outfit.kind in ("dress", "uniform") else (235, 235, 240)
        shoe = curve(
            [
                (ankle[0] - 0.11, ankle[1] + 0.02),
                (ankle[0] + 0.11, ankle[1] + 0.02),
                (ankle[0] + 0.14 + max(0, toe) * 0.6, ankle[1] + 0.17),
                (ankle[0] + 0.12 + max(0, toe) * 0.6, ankle[1] + 0.25),
                (ankle[0] - 0.12 + min(0, toe) * 0.6, ankle[1] + 0.25),
                (ankle[0] - 0.14 + min(0, toe) * 0.6, ankle[1] + 0.17),
            ]
        )
        part = "foot0" if side < 0 else "foot1"
        self.pen.fill(shoe, shoe_color, part, shade=cut(shoe, ankle[1] + 0.18, 0, 1, 1))

    def _sock(self, knee: Points, ankle: Points, knee_width: float) -> None:
        sock_top = knee + (ankle - knee) * (0.16 if self.outfit.kind != "dress" else 0.74)
        sock = (250, 250, 252) if self.outfit.kind in ("dress", "sweater") else (58, 56, 76)
        top_w = knee_width * 0.98 if self.outfit.kind != "dress" else 0.19
        shape = limb(sock_top, ankle + np.array([0, 0.03]), top_w, 0.17)
        self.pen.fill(shape, sock, shade=cut(shape, float(shape[:, 0].mean()) + 0.03 * self.light, 0, self.light))

    def _wears_trousers(self) -> bool:
        return self.outfit.kind in ("hoodie", "jacket") or (
            not self.girl and self.outfit.kind in ("shirt", "sweater", "uniform")
        )

    def _lower(self) -> None:
        """Skirt, or the seat of the trousers."""
        color = self.outfit.lower
        sway = self.pose.sway * 0.1
        if self._wears_trousers():
            hip = 0.36 if self.girl else 0.38
            seat = curve(
                [(-0.3, 2.1, 1), (0.3, 2.1, 1), (hip, 2.5), (hip, 2.72, 1), (0.0, 2.74), (-hip, 2.72, 1), (-hip, 2.5)]
            )
            self.pen.fill(seat, color, shade=cut(seat, 0.12 * self.light, 0, self.light))
            return
        dress = self.outfit.kind == "dress"
        hem, wide = (3.42, 0.82) if dress else (2.98, 0.66)
        top = 1.96
        folds = [
            (wide * x + sway, hem + dy, 1)
            for x, dy in ((1, -0.03), (0.6, 0.05), (0.2, 0.0), (-0.2, 0.06), (-0.6, 0.0), (-1, -0.03))
        ]
        skirt = curve([(-0.28, top, 1), (0.28, top, 1), (0.46, 2.3), *folds, (-0.46, 2.3)])
        self.pen.fill(skirt, color, shade=cut(skirt, 0.2 * self.light, 0.16 * self.light, self.light))
        pleats = (-0.5, -0.18, 0.16, 0.5) if dress else (-0.66, -0.33, 0.0, 0.33, 0.66)
        for x in pleats:
            line = curve(
                [
                    (0.2 * x * 1.6, top + (0.5 if dress else 0.25)),
                    (wide * x * 0.8, (top + hem) / 2 + 0.2),
                    (wide * x + sway, hem - 0.05),
                ],
                closed=False,
            )
            self.pen.stroke(line, mix(color, ink_of(color), 0.55))
        if self.outfit.kind in ("dress", "uniform"):
            band = np.array([(x * 0.97, y - 0.14) for x, y, _ in folds])
            trim = self.outfit.trim if dress else (235, 238, 250)
            self.pen.stroke(band, trim, 0.045)

    def _neck(self) -> None:
        lean = 0.03 * self.turn
        neck = curve(
            [
                (-0.1 + lean, 0.85, 1),
                (0.1 + lean, 0.85, 1),
                (0.1, 1.12),
                (0.2, 1.22, 1),
                (0.0, 1.36),
                (-0.2, 1.22, 1),
                (-0.1, 1.12),
            ]
        )
        shadow = cut(neck, 1.13, 0.03, -1, 1)
        self.pen.fill(neck, self.skin, shade=shadow)

    def _torso(self) -> None:
        kind = self.outfit.kind
        s = self.shoulder
        waist, hip = (0.29, 0.35) if self.girl else (0.37, 0.37)
        hem = {"dress": 2.02, "uniform": 2.16 if self.girl else 2.52, "shirt": 2.12}.get(kind, 2.5)
        if kind in ("hoodie", "jacket", "sweater"):
            waist, hip = waist + 0.08, hip + 0.08
        bottom = waist if hem < 2.2 else hip
        outline = [
            (0.16, 1.14),
            (s - 0.12, 1.2),
            (s, 1.33),
            (s - 0.07, 1.55),
            (waist + 0.02, 1.95),
            (bottom, hem, 1),
        ]
        body = curve([*outline, *((-x, *rest) for x, *rest in reversed(outline))])
        shade = cut(body, 0.16 * self.light, 0.04 * self.light, self.light)
        self.pen.fill(body, self._top_color(), shade=shade)
        self._torso_details(kind, hem, waist, hip)

    def _torso_details(self, kind: str, hem: float, waist: float, hip: float) -> None:
        """What tells a kind of top from others."""
        lean = 0.06 * self.turn
        if kind == "jacket":
            self._jacket(lean, hem)
        elif kind == "hoodie":
            self._hoodie(lean, hem, hip)
        elif kind == "sweater":
            self._sweater(hem, hip)
        elif kind == "dress":
            self._dress(waist)
        elif kind == "shirt":
            self._shirt(lean, hem)
        elif self.girl:
            self._girl_uniform(lean)
        else:
            self._boy_uniform(lean, hem)

    def _jacket(self, lean: float, hem: float) -> None:
        main, trim = self._top_color(), self.outfit.trim
        gap = curve(
            [
                (-0.13, 1.12, 1),
                (0.13, 1.12, 1),
                (0.15 + lean, 1.7),
                (0.13 + lean, hem, 1),
                (-0.13 + lean, hem, 1),
                (-0.15 + lean, 1.7),
            ]
        )
        self.pen.fill(gap, trim, shade=cut(gap, lean + 0.04 * self.light, 0, self.light))
        for side in (-1, 1):
            lapel = curve(
                [
                    (side * 0.1, 1.12, 1),
                    (side * 0.26, 1.16, 1),
                    (side * 0.31, 1.46, 1),
                    (side * 0.15 + lean, 1.78, 1),
                ],
                2,
            )
            self.pen.fill(lapel, mix(main, (255, 255, 255), 0.1))
            pocket = np.array([(side * 0.26, 2.14), (side * 0.38, 2.1)])
            self.pen.stroke(pocket, ink_of(main), 0.02)

    def _hoodie(self, lean: float, hem: float, hip: float) -> None:
        main, trim = self._top_color(), self.outfit.trim
        pouch = curve(
            [(-0.17, 2.0, 1), (0.17, 2.0, 1), (0.28, 2.3, 1), (0.27, 2.4, 1), (-0.27, 2.4, 1), (-0.28, 2.3, 1)], 2
        )
        self.pen.fill(pouch, mix(main, shade_of(main), 0.5), None, 0.8)
        collar = curve([(-0.2, 1.1), (0.0, 1.2), (0.2, 1.1), (0.25, 1.22), (0.0 + lean, 1.42), (-0.25, 1.22)])
        self.pen.fill(collar, shade_of(main))
        for side in (-1, 1):
            cord = curve(
                [(side * 0.1 + lean, 1.36), (side * 0.12 + lean, 1.6), (side * 0.1 + lean, 1.76)], closed=False
            )
            self.pen.stroke(cord, trim, 0.03)
        band = np.array([(-hip, hem - 0.12), (hip, hem - 0.12), (hip, hem), (-hip, hem)])
        self.pen.fill(band, shade_of(main))

    def _sweater(self, hem: float, hip: float) -> None:
        trim = self.outfit.trim
        for y in (1.62, 1.72):
            zigzag = np.array([(x / 10 * (self.shoulder - 0.1), y + (0.05 if x % 2 else 0)) for x in range(-10, 11)])
            self.pen.stroke(zigzag, trim, 0.035)
        band = np.array([(-hip, hem - 0.13), (hip, hem - 0.13), (hip, hem), (-hip, hem)])
        self.pen.fill(band, trim)
        roll = curve([(-0.17, 1.0), (0.17, 1.0), (0.2, 1.14), (0.0, 1.22), (-0.2, 1.14)])
        self.pen.fill(roll, trim, shade=cut(roll, 0.05 * self.light, 0, self.light))

    def _dress(self, waist: float) -> None:
        trim = self.outfit.trim
        neckline = curve([(-0.19, 1.12, 1), (0.19, 1.12, 1), (0.16, 1.28), (0.0, 1.36), (-0.16, 1.28)])
        self.pen.fill(neckline, self.skin, shade=cut(neckline, 1.18, 0.03, -1, 1))
        self.pen.stroke(
            curve([(-0.19, 1.14), (-0.16, 1.29), (0.0, 1.38), (0.16, 1.29), (0.19, 1.14)], closed=False), trim, 0.05
        )
        belt = np.array([(-waist - 0.01, 1.93), (waist + 0.01, 1.93), (waist + 0.01, 2.06), (-waist - 0.01, 2.06)])
        self.pen.fill(belt, trim)

    def _girl_uniform(self, lean: float) -> None:
        trim = self.outfit.trim
        collar = curve(
            [
                (-0.2, 1.12, 1),
                (-0.36, 1.22, 1),
                (-0.33, 1.42, 1),
                (lean, 1.72, 1),
                (0.33, 1.42, 1),
                (0.36, 1.22, 1),
                (0.2, 1.12, 1),
                (lean, 1.5, 1),
            ],
            2,
        )
        self.pen.fill(collar, self.outfit.lower)
        self.pen.stroke(np.array([(-0.29, 1.39), (lean, 1.65), (0.29, 1.39)]), (240, 242, 252))
        self._ribbon(lean, 1.7, 0.19, trim)

    def _boy_uniform(self, lean: float, hem: float) -> None:
        main, trim = self._top_color(), self.outfit.trim
        self._shirt_front(lean, (250, 250, 254), trim, 1.8)
        for side in (-1, 1):
            lapel = curve([(side * 0.1, 1.12, 1), (side * 0.25, 1.15, 1), (side * 0.27, 1.42, 1), (lean, 1.84, 1)], 2)
            self.pen.fill(lapel, mix(main, (255, 255, 255), 0.08))
        self.pen.stroke(np.array([(lean, 1.84), (lean, hem)]), ink_of(main))
        for y in (1.98, 2.2):
            self.pen.fill(ellipse(lean + 0.07, y, 0.028, 0.028, 12), (232, 200, 110), None, 0.5)

    def _shirt(self, lean: float, hem: float) -> None:
        main, trim = self._top_color(), self.outfit.trim
        self.pen.stroke(np.array([(lean, 1.4), (lean, hem)]), mix(main, ink_of(main), 0.5))
        for y in (1.58, 1.78, 1.98):
            self.pen.fill(ellipse(lean + 0.04, y, 0.02, 0.02, 10), trim, None, 0)
        for side in (-1, 1):
            collar = curve([(side * 0.11, 1.08, 1), (side * 0.24, 1.15, 1), (side * 0.2, 1.36, 1), (lean, 1.36, 1)], 2)
            self.pen.fill(collar, light_of(main))
        if self.girl:
            self._ribbon(lean, 1.42, 0.13, trim)
        else:
            tie = np.array(
                [(lean - 0.04, 1.36), (lean + 0.04, 1.36), (lean + 0.08, 1.9), (lean, 2.0), (lean - 0.08, 1.9)]
            )
            self.pen.fill(tie, trim)

    def _shirt_front(self, lean: float, white: Rgb, tie_color: Rgb, depth: float) -> None:
        front = curve([(-0.13, 1.08, 1), (0.13, 1.08, 1), (0.17, 1.3), (lean, depth + 0.06, 1), (-0.17, 1.3)])
        self.pen.fill(front, white, shade=cut(front, lean + 0.05 * self.light, 0, self.light))
        tie = np.array(
            [
                (lean * 0.5 - 0.045, 1.26),
                (lean * 0.5 + 0.045, 1.26),
                (lean + 0.07, 1.68),
                (lean, 1.8),
                (lean - 0.07, 1.68),
            ]
        )
        self.pen.fill(tie, tie_color)

    def _ribbon(self, x: float, y: float, size: float, color: Rgb, pen: Pen | None = None, part: str = "body") -> None:
        pen = pen or self.pen
        for side in (-1, 1):
            tail = curve(
                [(x, y, 1), (x + side * size * 0.75, y + size * 1.5, 1), (x + side * size * 0.2, y + size * 1.3, 1)], 2
            )
            pen.fill(tail, shade_of(color), part)
        for side in (-1, 1):
            loop = curve([(x, y), (x + side * size, y - size * 0.62), (x + side * size * 1.1, y + size * 0.5)])
            pen.fill(loop, color, part, shade=cut(loop, y + size * 0.12, 0, 1, 1))
        pen.fill(ellipse(x, y, size * 0.26, size * 0.3, 14), color, part)

    def _hood(self) -> None:
        main = self.outfit.main
        hood = curve([(-0.36, 1.32), (-0.44, 1.02), (-0.2, 0.9), (0.2, 0.9), (0.44, 1.02), (0.36, 1.32)])
        self.pen.fill(hood, shade_of(main))

    def _scarf(self) -> None:
        color: Rgb = (226, 62, 66) if self.character.outfit not in ("red_dress", "red_hoodie") else (84, 150, 214)
        side = -1 if self.turn > 0 else 1
        end = curve(
            [
                (side * 0.1, 1.2, 1),
                (side * 0.3, 1.18, 1),
                (side * 0.36 + self.pose.sway * 0.08, 2.0, 1),
                (side * 0.12 + self.pose.sway * 0.08, 2.04, 1),
            ],
            3,
        )
        self.pen.fill(end, color, shade=cut(end, side * 0.2, 0, side))
        for y in (1.86, 1.93):
            self.pen.stroke(np.array([(side * 0.14, y), (side * 0.34, y - 0.03)]), (250, 240, 226))
        wrap = curve(
            [
                (-0.28, 1.02),
                (0.0, 1.08),
                (0.28, 1.02),
                (0.36, 1.18),
                (0.22, 1.32),
                (0.0, 1.36),
                (-0.22, 1.32),
                (-0.36, 1.18),
            ]
        )
        self.pen.fill(wrap, color, shade=cut(wrap, 1.22, 0.05, 1, 1))

    # Head

    def _face(self) -> None:
        t, pen, skin = self.turn, self.head, self.skin
        for side in (-1, 1):
            if side * t < 0.6:
                ear = ellipse(side * 0.405 - 0.05 * t, 0.62, 0.065, 0.1, 16)
                pen.fill(ear, skin, "head")
        dx = 0.05 * t
        jaw = 0.31 if self.girl else 0.325
        face = curve(
            [
                (0.0 + dx, 0.1),
                (0.33 + dx * 0.4, 0.18),
                (0.405 + dx * 0.2, 0.45),
                (0.39 + dx * 0.4, 0.66),
                (jaw + dx * 0.7, 0.83),
                (0.13 + dx * 1.3, 0.96),
                (0.0 + dx * 1.6, 1.0),
                (-0.13 + dx * 1.3, 0.96),
                (-jaw + dx * 0.7, 0.83),
                (-0.39 + dx * 0.4, 0.66),
                (-0.405 + dx * 0.2, 0.45),
                (-0.33 + dx * 0.4, 0.18),
            ]
        )
        pen.fill(face, skin, "head", shade=cut(face, 0.33 * self.light + dx, 0.05 * self.light, self.light))
        pen.parts["face"].append(pen.to_px(cut(face, 0.25, 0, 1, 1)))
        blush = mix(skin, (244, 110, 110), 0.34)
        if self.girl:
            for side in (-1, 1):
                pen.fill(ellipse(side * 0.25 + 0.1 * t, 0.8, 0.07, 0.035, 14), blush, None, 0)
        self._hair_shadow()
        for side in (-1, 1):
            self._eye(side)
        nose = np.array([(0.115 * t + 0.0, 0.775), (0.13 * t + 0.018 * (1 if t >= 0 else -1), 0.805)])
        pen.stroke(nose, mix(skin, ink_of(skin), 0.75))
        self._mouth()
        if self.character.accessory == "glasses":
            for side in (-1, 1):
                x = side * 0.19 + 0.1 * t
                rim = ellipse(x, 0.635, 0.155, 0.135, 28)
                pen.stroke(rim, (44, 44, 62), 0.024, closed=True)
            pen.stroke(
                np.array([(0.1 * t - 0.045, 0.62), (0.1 * t, 0.605), (0.1 * t + 0.045, 0.62)]), (44, 44, 62), 0.024
            )

    def _eye(self, side: int) -> None:
        t, pen, pose = self.turn, self.head, self.pose
        far = max(0.0, side * t)
        width = (0.115 if self.girl else 0.105) * (1 - 0.24 * far)
        height = 0.125 if self.girl else 0.098
        if pose.expression == "surprised":
            height *= 1.12
        x, y = side * 0.19 + 0.105 * t, 0.635
        open_share = max(0.0, min(1.0, pose.eyes_open))
        white = curve(
            [
                (x - width, y),
                (x - width * 0.55, y - height * 0.9),
                (x + width * 0.55, y - height * 0.9),
                (x + width, y),
                (x + width * 0.62, y + height * 0.86),
                (x - width * 0.62, y + height * 0.86),
            ],
            4,
        )
        part = "eye0" if side < 0 else "eye1"
        pen.parts[part].append(pen.to_px(white))
        if open_share < 0.25:
            lid = curve([(x - width, y + 0.02), (x, y + 0.065), (x + width, y + 0.02)], 8, closed=False)
            pen.stroke(lid, LASH, 0.028)
        else:
            pen.fill(white, (255, 255, 255), None, 0)
            self._iris(x, y, width, height)
            self._lids(side, x, y, width, height, (1 - open_share) * height * 1.3)
        self._brow(side, x, width)

    def _iris(self, x: float, y: float, width: float, height: float) -> None:
        t, pen = self.turn, self.head
        ix, iw, ih = x + 0.018 * t, width * 0.72, height * 0.93
        pen.fill(ellipse(ix, y, iw, ih, 20), mix(self.iris, (0, 0, 0), 0.52), None, 0)
        pen.fill(ellipse(ix, y + ih * 0.1, iw * 0.84, ih * 0.84, 18), self.iris, None, 0)
        pen.fill(ellipse(ix, y + ih * 0.45, iw * 0.56, ih * 0.42, 14), mix(self.iris, (255, 255, 255), 0.42), None, 0)
        pen.fill(ellipse(ix, y - ih * 0.02, iw * 0.36, ih * 0.42, 14), (24, 18, 30), None, 0)
        pen.fill(ellipse(ix - iw * 0.34, y - ih * 0.42, iw * 0.32, ih * 0.28, 12), (255, 255, 255), None, 0)
        pen.fill(ellipse(ix + iw * 0.36, y + ih * 0.44, iw * 0.16, ih * 0.14, 10), (255, 255, 255), None, 0)

    def _lids(self, side: int, x: float, y: float, width: float, height: float, drop: float) -> None:
        """drop: how far the upper lid hangs over the eye."""
        pen = self.head
        if drop > 0.01:
            top = y - height * 1.05
            lid = np.array(
                [
                    (x - width * 1.1, top),
                    (x + width * 1.1, top),
                    (x + width * 1.1, top + drop + height * 0.24),
                    (x + width * 0.5, top + drop),
                    (x - width * 0.5, top + drop),
                    (x - width * 1.1, top + drop + height * 0.24),
                ]
            )
            pen.fill(lid, mix(self.skin, shade_of(self.skin), 0.4), None, 0)
        top = y - height + drop
        outer = 1 if side > 0 else -1
        wing = outer * width
        lid_line = [
            (x - wing * 0.98, max(top + height * 0.12, y - height * 0.35)),
            (x - wing * 0.5, top + height * 0.08),
            (x + wing * 0.45, top + height * 0.06),
            (x + wing * 1.05, max(top + height * 0.14, y - height * 0.28)),
        ]
        thick = 0.06 if self.girl else 0.048
        back = [
            (px, py + thick * (0.35 if i in (0, 3) else 0.85), *(() if i in (1, 2) else (1,)))
            for i, (px, py) in enumerate(lid_line)
        ]
        shape: list[tuple[float, ...]] = [*lid_line]
        if self.girl:
            shape.append((x + wing * 1.28, y - height * 0.42 + drop * 0.9, 1))
        pen.fill(curve([*shape, *reversed(back)], 4), LASH, None, 0)
        pen.stroke(
            curve(
                [
                    (x - width * 0.5, y + height * 0.93),
                    (x, y + height * 0.98),
                    (x + width * 0.5, y + height * 0.93),
                ],
                4,
                closed=False,
            ),
            mix(self.skin, ink_of(self.skin), 0.8),
        )

    def _brow(self, side: int, x: float, width: float) -> None:
        pen, pose = self.head, self.pose
        slant = {"angry": 0.055, "sad": -0.05}.get(pose.expression, 0.0)
        lift = {"surprised": -0.05, "smile": -0.015}.get(pose.expression, 0.0)
        brow_y = (0.445 if self.girl else 0.47) + lift
        brow = curve(
            [
                (x - side * width * 0.8, brow_y + slant),
                (x, brow_y - 0.02),
                (x + side * width * 0.95, brow_y + 0.012 - slant),
            ],
            5,
            closed=False,
        )
        pen.stroke(brow, mix(self.hair, INK_BROW, 0.5), 0.022 if self.girl else 0.034)

    def _mouth(self) -> None:
        x, y = 0.12 * self.turn, 0.885
        opened = max(0.0, min(1.0, self.pose.mouth))
        lip = mix(ink_of(self.skin), (150, 40, 50), 0.35)
        if opened < 0.15:
            bow = {"smile": 0.028, "sad": -0.022, "angry": -0.012}.get(self.pose.expression, 0.006)
            line = curve([(x - 0.08, y - bow * 0.6), (x, y + bow), (x + 0.08, y - bow * 0.6)], 6, closed=False)
            self.head.stroke(line, lip)
            return
        wide, deep = 0.055 + 0.035 * opened, 0.02 + 0.085 * opened
        if self.pose.expression == "surprised":
            wide *= 0.7
        mouth = curve(
            [
                (x - wide, y - 0.03, 1),
                (x, y - 0.02),
                (x + wide, y - 0.03, 1),
                (x + wide * 0.6, y - 0.03 + deep * 0.8),
                (x, y - 0.03 + deep),
                (x - wide * 0.6, y - 0.03 + deep * 0.8),
            ]
        )
        self.head.fill(mouth, (150, 46, 58), None, 0.8)
        if opened > 0.45:
            self.head.fill(ellipse(x, y - 0.03 + deep * 0.76, wide * 0.5, deep * 0.2, 12), (236, 128, 124), None, 0)

    # Hair

    def _lock(
        self, points: Sequence[Sequence[float]], part: str = "body", pen: Pen | None = None, dark: bool = False
    ) -> None:
        """A loose strand; points below the shoulders follow the sway."""
        color = shade_of(self.hair) if dark else self.hair
        blown = [(p[0] + self.pose.sway * 0.16 * max(0.0, p[1] - 0.8), *p[1:]) for p in points]
        shape = curve(blown)
        middle = float(shape[:, 0].mean())
        shade = None if dark else cut(shape, middle + 0.05 * self.light, 0, self.light)
        (pen or self.head).fill(shape, color, part, shade=shade)

    def _back_hair(self) -> None:
        style = self.character.hair_style
        dx = -0.05 * self.turn
        if style == "long_hair":
            self._long_hair(dx)
        elif style == "twintails":
            self._twintails(dx)
        elif style == "ponytail":
            self._ponytail()
        if style == "spiky_hair":
            self._spikes(dx)
        else:
            self._symmetric_cap(self._cap_half(style, dx))
        if style == "double_bun":
            self._buns(dx)

    def _cap_half(self, style: str, dx: float) -> list[tuple[float, ...]]:
        """The right half of the hair at the back of the head, from the crown down."""
        cap: list[tuple[float, ...]] = [(0.0 + dx, -0.05), (0.3 + dx, 0.0), (0.47 + dx, 0.22), (0.5 + dx, 0.5)]
        if style == "bob_cut":
            return [*cap, (0.56 + dx, 0.82), (0.54 + dx, 1.04), (0.42 + dx, 1.1, 1), (0.3 + dx, 1.06), (0.0, 1.05)]
        if style == "short_hair":
            low = 1.0 if self.girl else 0.9
            return [
                *cap,
                (0.49 + dx, 0.74),
                (0.43 + dx, low, 1),
                (0.34 + dx, low - 0.06),
                (0.2 + dx, low + 0.03, 1),
                (0.0, low - 0.02),
            ]
        return [*cap, (0.48 + dx, 0.76), (0.36 + dx, 0.98), (0.0, 1.0)]

    def _long_hair(self, dx: float) -> None:
        falls = [
            (0.5 + dx, 0.5),
            (0.54, 1.0),
            (0.6, 1.6),
            (0.62, 2.2),
            (0.5, 2.62, 1),
            (0.42, 2.34),
            (0.3, 2.7, 1),
            (0.16, 2.4),
            (0.0, 2.66, 1),
        ]
        shape = mirrored(falls)
        self._lock([*shape[: len(falls)], *[(-p[0], p[1], *p[2:]) for p in reversed(falls[:-1])]], dark=True)

    def _twintails(self, dx: float) -> None:
        for side in (-1, 1):
            tail = [
                (side * 0.42 + dx, 0.12),
                (side * 0.62 + dx, 0.04),
                (side * 0.86, 0.36),
                (side * 0.98, 1.0),
                (side * 0.94, 1.6),
                (side * 0.78, 2.2, 1),
                (side * 0.74, 1.86),
                (side * 0.62, 2.0, 1),
                (side * 0.62, 1.3),
                (side * 0.58, 0.7),
                (side * 0.44, 0.34),
            ]
            self._lock(tail)
            strand = [
                (side * 0.68 + self.pose.sway * 0.0, 0.3),
                (side * 0.82 + self.pose.sway * 0.05, 0.9),
                (side * 0.8 + self.pose.sway * 0.12, 1.6),
            ]
            self.head.stroke(curve(strand, closed=False), mix(self.hair, ink_of(self.hair), 0.5))

    def _ponytail(self) -> None:
        side = -1 if self.turn > 0 else 1
        tail = [
            (side * 0.18, 0.06),
            (side * 0.4, -0.12),
            (side * 0.74, 0.1),
            (side * 0.9, 0.66),
            (side * 0.86, 1.3),
            (side * 0.66, 1.86, 1),
            (side * 0.66, 1.5),
            (side * 0.52, 1.6, 1),
            (side * 0.58, 1.0),
            (side * 0.5, 0.46),
        ]
        self._lock(tail)
        strand = [(side * 0.52, 0.16), (side * 0.72, 0.7), (side * 0.7 + self.pose.sway * 0.07, 1.3)]
        self.head.stroke(curve(strand, closed=False), mix(self.hair, ink_of(self.hair), 0.5))

    def _spikes(self, dx: float) -> None:
        """Spikes all round the crown and to the nape."""
        tips = []
        for k, degrees in enumerate(np.linspace(-118, 118, 11)):
            a = math.radians(float(degrees))
            reach = 0.66 if k % 2 else 0.6
            tips.append((math.sin(a) * reach + dx + 0.04 * self.turn, 0.48 - math.cos(a) * reach * 1.0, 1))
            if k < 10:
                b = math.radians(float(degrees) + 12)
                tips.append((math.sin(b) * 0.5 + dx, 0.48 - math.cos(b) * 0.5))
        self._cap([*tips, (0.3, 0.98), (-0.3, 0.98)])

    def _buns(self, dx: float) -> None:
        for side in (-1, 1):
            bun = ellipse(side * 0.42 + dx, 0.02, 0.23, 0.22, 24)
            self.head.fill(
                bun,
                self.hair,
                "head",
                shade=cut(bun, side * 0.42 + dx + 0.06 * self.light, 0.05 * self.light, self.light),
            )
            swirl = curve(
                [
                    (side * 0.42 + dx - 0.1, 0.02),
                    (side * 0.42 + dx, -0.08),
                    (side * 0.42 + dx + 0.1, 0.0),
                    (side * 0.42 + dx + 0.02, 0.08),
                ],
                closed=False,
            )
            self.head.stroke(swirl, ink_of(self.hair))

    def _symmetric_cap(self, half: Sequence[Sequence[float]]) -> None:
        dx = -0.05 * self.turn
        other = [(2 * dx - p[0], *p[1:]) for p in reversed(half[1:-1])]
        self._cap([*half, *other])

    def _cap(self, points: Sequence[Sequence[float]]) -> None:
        self.head.fill(curve(points), shade_of(self.hair), "head")

    def _fringe_edge(self) -> list[tuple[float, ...]]:
        """The lower edge of the fringe from the picture's right temple to the left one, tips as corners."""
        style = self.character.hair_style
        dx = 0.06 * self.turn
        side = -1 if style in PARTED_FRINGES and self.turn > 0 else 1
        edge = [(x * side + dx, *rest) for x, *rest in FRINGES[style]]
        return edge[::-1] if side < 0 else edge

    def _hair_shadow(self) -> None:
        edge = self._fringe_edge()
        lowered = [(max(-0.37, min(0.39, p[0])), p[1] + 0.055, *p[2:]) for p in edge]
        lifted = [(0.36 * (1 if edge[0][0] > 0 else -1), 0.3), (-0.36 * (1 if edge[0][0] > 0 else -1), 0.3)]
        self.head.fill(curve([*lowered, (lifted[1][0], 0.3, 1), (lifted[0][0], 0.3, 1)]), shade_of(self.skin), None, 0)

    def _front_hair(self) -> None:
        style, dx = self.character.hair_style, -0.03 * self.turn
        edge = self._fringe_edge()
        shape = curve([*self._crown(style, dx), *edge])
        if style != "spiky_hair" and (style != "short_hair" or self.girl):
            self._side_locks(style)
        shade = cut(shape, 0.27 * self.light + dx, 0.05 * self.light, self.light)
        self.head.fill(shape, self.hair, "head", shade=shade)
        # Strand lines rise from the notches between the tips.
        notches = [p for p in edge if len(p) == 2]
        for p in notches:
            strand = curve([p, (p[0] * 0.9, p[1] - 0.1), (p[0] * 0.72 + dx, p[1] - 0.2)], 4, closed=False)
            self.head.stroke(strand, mix(self.hair, ink_of(self.hair), 0.55))
        self._gloss(dx)
        if style == "single_braid" or (style == "ponytail" and self.girl) or (style == "short_hair" and not self.girl):
            self._ahoge(dx)
        if style == "twintails":
            self._hair_ties()

    def _crown(self, style: str, dx: float) -> list[tuple[float, ...]]:
        """The upper edge of the front hair from the picture's left temple to the right one."""
        if style != "spiky_hair":
            return [
                (-0.47 + dx, 0.56),
                (-0.48 + dx, 0.3),
                (-0.36 + dx, 0.05),
                (0.0 + dx, -0.06),
                (0.36 + dx, 0.05),
                (0.48 + dx, 0.3),
                (0.47 + dx, 0.56),
            ]
        crown: list[tuple[float, ...]] = []
        for k, degrees in enumerate(np.linspace(-84, 84, 9)):
            a = math.radians(float(degrees))
            reach = 0.6 if k % 2 else 0.53
            crown.append((math.sin(a) * reach + dx, 0.46 - math.cos(a) * reach, 1))
            if k < 8:
                b = math.radians(float(degrees) + 11)
                crown.append((math.sin(b) * 0.46 + dx, 0.46 - math.cos(b) * 0.46))
        return crown

    def _side_locks(self, style: str) -> None:
        """Locks over the cheeks, under the fringe."""
        length = {"long_hair": 1.32, "twintails": 1.12, "bob_cut": 0.98, "double_bun": 0.98}.get(style, 0.9)
        for side in (-1, 1):
            x = side * 0.4 + 0.02 * self.turn
            self._lock(
                [
                    (x + side * 0.07, 0.4),
                    (x + side * 0.1, 0.7),
                    (x + side * 0.05, length - 0.08),
                    (x - side * 0.02, length, 1),
                    (x - side * 0.05, 0.75),
                    (x - side * 0.05, 0.4),
                ],
                "head" if length < 1.05 else "body",
            )
            self.head.parts["head"].append(self.head.to_px(np.array([(x + side * 0.1, 0.7)])))

    def _gloss(self, dx: float) -> None:
        gloss = mix(self.hair, (255, 255, 255), 0.5 if sum(self.hair) > 260 else 0.28)
        ring = [
            (-0.31 + dx, 0.2),
            (-0.2 + dx, 0.13),
            (-0.05 + dx, 0.1),
            (0.1 + dx, 0.12),
            (0.2 + dx, 0.17, 1),
            (0.12 + dx, 0.155, 1),
            (0.08 + dx, 0.2, 1),
            (0.0 + dx, 0.15, 1),
            (-0.06 + dx, 0.21, 1),
            (-0.12 + dx, 0.165, 1),
            (-0.2 + dx, 0.235, 1),
            (-0.22 + dx, 0.19, 1),
        ]
        side = -self.light
        self.head.fill(curve([(p[0] * -side if side > 0 else p[0], *p[1:]) for p in ring]), gloss, None, 0)

    def _ahoge(self, dx: float) -> None:
        """The single hair that stands up."""
        ahoge = curve(
            [
                (dx - 0.02, -0.04),
                (dx + 0.05 * self.light, -0.17),
                (dx + 0.2 * self.light, -0.15, 1),
                (dx + 0.1 * self.light, -0.12),
                (dx + 0.05, -0.03),
            ]
        )
        self.head.fill(ahoge, self.hair, "head")

    def _hair_ties(self) -> None:
        for side in (-1, 1):
            tie = ellipse(side * 0.5 - 0.05 * self.turn, 0.1, 0.075, 0.095, 16)
            self.head.fill(tie, self._tie_color(), "head")

    def _tie_color(self) -> Rgb:
        return (214, 48, 70) if self.character.hair_color not in ("red_hair", "orange_hair") else (70, 110, 200)

    def _braid(self) -> None:
        side = -1 if self.turn > 0 else 1
        sway = self.pose.sway * 0.06
        for k in range(6):
            y = 0.98 + k * 0.2
            x = side * (0.4 - 0.05 * math.sin(k * 0.8)) + sway * k / 5
            shape = ellipse(x, y, 0.13 - 0.008 * k, 0.125, 18)
            self.pen.fill(shape, self.hair, shade=cut(shape, x + 0.03 * self.light, 0.03 * self.light, self.light))
            self.pen.stroke(np.array([(x - side * 0.09, y - 0.05), (x + side * 0.02, y + 0.06)]), ink_of(self.hair))
        x, y = side * 0.4 + sway, 2.16
        self.pen.fill(
            curve(
                [
                    (x - 0.06, y - 0.03, 1),
                    (x + 0.06, y - 0.03, 1),
                    (x + 0.09, y + 0.2, 1),
                    (x, y + 0.16),
                    (x - 0.09, y + 0.22, 1),
                ],
                3,
            ),
            self.hair,
        )
        self.pen.fill(ellipse(x, y - 0.02, 0.075, 0.05, 14), self._tie_color())

    def _headwear(self) -> None:
        t, worn, pen = self.turn, self.character.accessory, self.head
        if worn == "hair_ribbon":
            self._ribbon(0.3 if t <= 0 else -0.3, 0.02, 0.22, self._tie_color(), pen, "head")
        elif worn == "beret":
            color: Rgb = (176, 52, 66)
            beret = curve(
                [
                    (-0.44 + 0.05 * t, 0.16),
                    (-0.56, 0.0),
                    (-0.36, -0.2),
                    (0.1, -0.24),
                    (0.5, -0.1),
                    (0.5, 0.08),
                    (0.4 + 0.05 * t, 0.16),
                    (0.0, 0.06),
                ]
            )
            pen.fill(beret, color, "head", shade=cut(beret, 0.0, 0.03, 1, 1))
            pen.fill(limb((0.0, -0.22), (0.03, -0.31), 0.05, 0.04), color, "head")
        elif worn == "headphones":
            arc = curve(
                [(-0.5, 0.5), (-0.5, 0.1), (-0.3, -0.1), (0.0, -0.15), (0.3, -0.1), (0.5, 0.1), (0.5, 0.5)],
                closed=False,
            )
            pen.stroke(arc, (52, 54, 70), 0.08)
            for side in (-1, 1):
                cup = ellipse(side * 0.49, 0.58, 0.1, 0.16, 20)
                pen.fill(cup, (238, 92, 64), "head", shade=cut(cup, side * 0.49, 0, self.light))


INK_BROW: Rgb = (46, 30, 40)
LASH: Rgb = (40, 26, 38)
