"""Drawing one person as seen from behind; the units are those of `dataset_pipeline.demo.figure`."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.demo.figure import Figure
from dataset_pipeline.demo.shapes import Points, curve, cut, ellipse, ink_of, mirrored, mix, shade_of

# Arms that reach before the body, which hides them from behind.
REACHING_FORWARD = ("chest", "chin", "present")


class BackFigure(Figure):
    """A person who turns their back: no face, hair over the nape, hood and collar over the shoulders."""

    def draw(self) -> None:
        forward = [arm in REACHING_FORWARD for arm in self.pose.arms]
        self._arms_where(forward)
        self._legs()
        self._lower()
        self._neck()
        self._torso()
        self._arms_where([not reaches for reaches in forward])
        if self.character.accessory == "scarf":
            self._scarf()
        self._ears()
        self._hair_from_behind()
        self._headwear()

    def _arms_where(self, drawn: list[bool]) -> None:
        for side, wanted in zip((-1, 1), drawn, strict=True):
            if wanted:
                self._arm(side, self._arm_joints(side))

    def _torso_details(self, kind: str, hem: float, waist: float, hip: float) -> None:
        main, trim = self._top_color(), self.outfit.trim
        seam = np.array([(0.0, 1.3), (0.0, hem)])
        if kind in ("jacket", "shirt") or (kind == "uniform" and not self.girl):
            self.pen.stroke(seam, mix(main, ink_of(main), 0.5))
        elif kind == "hoodie":
            self._band(hip, hem, shade_of(main))
            hood = curve([(-0.36, 1.08), (0.0, 1.0), (0.36, 1.08), (0.4, 1.3), (0.2, 1.62), (-0.2, 1.62), (-0.4, 1.3)])
            self.pen.fill(hood, shade_of(main), shade=cut(hood, 1.45, 0.05, 1, 1))
        elif kind == "sweater":
            self._band(hip, hem, trim)
        elif kind == "dress":
            self._band(waist + 0.01, 2.06, trim)
        else:
            collar = curve([(-0.3, 1.16, 1), (0.3, 1.16, 1), (0.34, 1.62, 1), (-0.34, 1.62, 1)], 2)
            self.pen.fill(collar, self.outfit.lower)
            self.pen.stroke(np.array([(-0.29, 1.56), (0.29, 1.56)]), (240, 242, 252))

    def _band(self, wide: float, low: float, color: tuple[int, int, int]) -> None:
        self.pen.fill(np.array([(-wide, low - 0.13), (wide, low - 0.13), (wide, low), (-wide, low)]), color)

    def _ears(self) -> None:
        for side in (-1, 1):
            self.head.fill(ellipse(side * 0.43, 0.64, 0.065, 0.1, 16), self.skin, "head")

    def _hair_from_behind(self) -> None:
        style = self.character.hair_style
        if style == "twintails":
            self._twintails(0.0)
        if style == "spiky_hair":
            self._spikes(0.0)
        if style == "long_hair":
            self._fall()
        cap = self._cap_from_behind(style)
        self.head.fill(cap, self.hair, "head", shade=cut(cap, 0.24 * self.light, 0.06 * self.light, self.light))
        for x in (-0.26, -0.1, 0.1, 0.26):
            strand = curve([(x * 0.7, 0.16), (x, 0.5), (x * 1.1, 0.84)], 5, closed=False)
            self.head.stroke(strand, mix(self.hair, ink_of(self.hair), 0.4))
        self._gloss(0.0)
        if style == "ponytail":
            self._tail_from_behind()
        elif style == "single_braid":
            self._braid_from_behind()
        elif style == "double_bun":
            self._buns(0.0)
        elif style == "twintails":
            self._hair_ties()

    def _cap_from_behind(self, style: str) -> Points:
        """The hair on the skull, from the crown to the nape."""
        half: list[tuple[float, ...]] = [(0.0, -0.06), (0.36, 0.05), (0.48, 0.3), (0.49, 0.58)]
        if style == "bob_cut":
            half += [(0.56, 0.86), (0.53, 1.06), (0.4, 1.12, 1), (0.2, 1.08), (0.0, 1.12)]
        elif style in ("short_hair", "spiky_hair"):
            low = 1.02 if self.girl else 0.92
            half += [(0.46, 0.76), (0.36, low, 1), (0.26, low - 0.08), (0.14, low + 0.03, 1), (0.0, low - 0.06)]
        else:
            half += [(0.46, 0.78), (0.3, 1.0), (0.0, 1.04)]
        return curve([*half, *[(-p[0], *p[1:]) for p in reversed(half[1:-1])]])

    def _fall(self) -> None:
        """Long hair down the back, before the clothes."""
        falls = [(0.49, 0.5), (0.54, 1.0), (0.58, 1.6), (0.6, 2.2), (0.48, 2.62, 1), (0.4, 2.34), (0.28, 2.7, 1)]
        shape = mirrored([*falls, (0.14, 2.4), (0.0, 2.66, 1)])
        self._lock(shape)
        for x in (-0.3, 0.0, 0.3):
            strand = curve([(x * 0.8, 0.9), (x, 1.6), (x, 2.3)], closed=False)
            self.head.stroke(strand, mix(self.hair, ink_of(self.hair), 0.5))

    def _tail_from_behind(self) -> None:
        side = -1 if self.turn > 0 else 1
        middle = 0.14 * side
        tail = [(0.0, 0.1), (0.16, 0.16), (0.24 + middle, 0.7), (0.22 + middle, 1.3), (0.06 + middle, 1.86, 1)]
        tail += [(0.0 + middle, 1.54), (-0.12 + middle, 1.66, 1), (-0.2 + middle, 1.0), (-0.14, 0.2)]
        self._lock(tail)
        self.head.fill(ellipse(0.0, 0.14, 0.13, 0.07, 16), self._tie_color(), "head")

    def _braid_from_behind(self) -> None:
        sway = self.pose.sway * 0.06
        for k in range(7):
            x, y = 0.03 * (1 if k % 2 else -1) + sway * k / 5, 0.86 + k * 0.2
            shape = ellipse(x, y, 0.15 - 0.008 * k, 0.125, 18)
            self.pen.fill(shape, self.hair, shade=cut(shape, x + 0.03 * self.light, 0.03 * self.light, self.light))
            self.pen.stroke(np.array([(x - 0.09, y - 0.05), (x + 0.02, y + 0.06)]), ink_of(self.hair))
        self.pen.fill(ellipse(sway * 1.4, 2.18, 0.075, 0.05, 14), self._tie_color())
