"""Vector drawing on numpy pictures: smooth closed curves, cel shading by cutting shapes, a pen with a transform."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
Points = np.ndarray  # N x 2 floats

SUBPIXEL_BITS = 4
INK: Rgb = (46, 28, 44)


def mix(a: Rgb, b: Rgb, share_of_b: float) -> Rgb:
    """A colour between two colours."""
    red, green, blue = (round(p + (q - p) * share_of_b) for p, q in zip(a, b, strict=True))
    return red, green, blue


@lru_cache(4096)
def shade_of(color: Rgb) -> Rgb:
    """The one shade tone of a flat colour: darker, and colder unless the colour is a warm light one, like skin."""
    if color[0] > color[1] > color[2] and color[2] > 0.48 * color[0]:
        return int(color[0] * 0.88), int(color[1] * 0.76), int(color[2] * 0.75)
    return int(color[0] * 0.76), int(color[1] * 0.73), int(min(255, color[2] * 0.80 + 6))


@lru_cache(4096)
def light_of(color: Rgb) -> Rgb:
    return mix(color, (255, 255, 255), 0.45)


@lru_cache(4096)
def ink_of(color: Rgb) -> Rgb:
    """The outline colour of a fill: ink warmed by the fill."""
    return mix(INK, (int(color[0] * 0.55), int(color[1] * 0.45), int(color[2] * 0.5)), 0.35)


@lru_cache(16)
def _catmull_rom_basis(samples: int) -> np.ndarray:
    t = np.arange(samples) / samples
    return 0.5 * np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], 1)


@lru_cache(4096)
def _curve(points: tuple[tuple[float, ...], ...], samples: int, closed: bool) -> Points:
    doubled: list[tuple[float, float]] = []
    for point in points:
        # A doubled control point makes the spline turn sharply there.
        doubled += [(point[0], point[1])] * (2 if len(point) == 3 else 1)
    control = np.array(doubled, float)
    if closed:
        segments = np.stack([np.roll(control, 1, 0), control, np.roll(control, -1, 0), np.roll(control, -2, 0)], 1)
    else:
        padded = np.concatenate([control[:1], control, control[-1:]])
        segments = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], 1)
    segments = segments[np.abs(segments[:, 1] - segments[:, 2]).sum(1) > 0]
    flat = (_catmull_rom_basis(samples) @ segments).reshape(-1, 2)
    flat = flat if closed else np.concatenate([flat, control[-1:]])
    flat.setflags(write=False)
    return flat


def curve(points: Iterable[Sequence[float]], samples: int = 6, closed: bool = True) -> Points:
    """A Catmull-Rom spline through `points`, flattened to N x 2; a point with a third member is a sharp corner."""
    return _curve(tuple(tuple(float(v) for v in point) for point in points), samples, closed)


def mirrored(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Points of a right half, followed by the same points mirrored at x = 0 in reverse order."""
    return [*points, *((-p[0], *p[1:]) for p in reversed(points))]


@lru_cache(64)
def _circle(steps: int) -> Points:
    angle = np.arange(steps) * (2 * math.pi / steps)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@lru_cache(1)
def _round_cap() -> Points:
    angle = np.linspace(math.pi / 2, 3 * math.pi / 2, 9)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def ellipse(cx: float, cy: float, rx: float, ry: float, steps: int = 24) -> Points:
    return _circle(steps) * (rx, ry) + (cx, cy)


def limb(a: Sequence[float] | Points, b: Sequence[float] | Points, width_a: float, width_b: float) -> Points:
    """A tapered capsule from a to b with round ends."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = math.hypot(dx, dy) or 1.0
    c, s = dx / length, dy / length
    cap = _round_cap() @ np.array([[c, s], [-s, c]])
    return np.concatenate([cap * (width_a / 2) + (a[0], a[1]), cap * (-width_b / 2) + (b[0], b[1])])


def cut(points: Points, at: float, bend: float = 0.0, side: int = 1, axis: int = 0) -> Points:
    """The part of a closed shape beyond a bent line: where `side * (p[axis] - at - bend * bow) > 0`.

    The bow runs from 0 at both ends of the shape's other axis to 1 in its middle. Used as the edge of a shade.
    """
    other = points[:, 1 - axis]
    low, span = float(other.min()), max(float(np.ptp(other)), 1e-6)
    bow = (other - low) / span
    depth = side * (points[:, axis] - at - bend * 4 * bow * (1 - bow))
    inside = depth > 0
    after = np.concatenate([inside[1:], inside[:1]])
    crossed = np.flatnonzero(inside != after)
    if not len(crossed):
        return points if inside[0] else points[:0]
    following = (crossed + 1) % len(points)
    share = depth[crossed] / (depth[crossed] - depth[following])
    crossings = points[crossed] + (points[following] - points[crossed]) * share[:, None]
    # Every point gets its place along the outline; what is new lies between two old ones.
    kept = np.flatnonzero(inside)
    places, pieces = [kept, crossed + 0.5], [points[kept], crossings]
    if bend:
        leaving = inside[crossed]
        for k in np.flatnonzero(leaving):
            entry = crossings[(k + 1) % len(crossings)]
            v = crossings[k, 1 - axis] + (entry[1 - axis] - crossings[k, 1 - axis]) * _EDGE_STEPS
            edge = np.empty((len(v), 2))
            u = (v - low) / span
            edge[:, axis], edge[:, 1 - axis] = at + bend * 4 * u * (1 - u), v
            places.append(crossed[k] + 0.5 + _EDGE_STEPS * 0.1)
            pieces.append(edge)
    return np.concatenate(pieces)[np.argsort(np.concatenate(places), kind="stable")]


_EDGE_STEPS = np.arange(1, 7) / 7


def extent(shapes: Sequence[Points]) -> Box:
    joined = np.concatenate(shapes)
    x0, y0 = joined.min(0)
    x1, y1 = joined.max(0)
    return float(x0), float(y0), float(x1), float(y1)


class Pen:
    """Draws shapes given in local units through an affine transform, and remembers what it filled, by part.

    `parts` maps a part's name to the filled outlines in pixels (not clipped to the picture), and `filled` lists all
    outlines in the order they were filled, with their part or None. Both are shared by the pens made with `turned`, so
    that a figure drawn with several pens is one record.
    """

    def __init__(
        self,
        canvas: np.ndarray,
        matrix: np.ndarray,
        unit_px: float,
        parts: dict | None = None,
        filled: list[tuple[str | None, Points]] | None = None,
    ) -> None:
        self.canvas = canvas
        self.matrix = matrix
        self.unit_px = unit_px
        self.line_px = max(1, round(1.7 * (unit_px / 100) ** 0.8))
        # Thin figures get lighter lines in place of lines thinner than a pixel.
        self.ink_share = min(1.0, 0.35 + unit_px / 80)
        self.parts: dict[str, list[Points]] = defaultdict(list) if parts is None else parts
        self.filled: list[tuple[str | None, Points]] = [] if filled is None else filled

    @classmethod
    def at(cls, canvas: np.ndarray, x_px: float, y_px: float, unit_px: float) -> Pen:
        return cls(canvas, np.array([[unit_px, 0.0, x_px], [0.0, unit_px, y_px]]), unit_px)

    def turned(self, degrees: float, cx: float, cy: float) -> Pen:
        """A pen whose paper is turned around a local point."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[c, -s, cx - c * cx + s * cy], [s, c, cy - s * cx - c * cy], [0.0, 0.0, 1.0]])
        return Pen(self.canvas, self.matrix @ turn, self.unit_px, self.parts, self.filled)

    def to_px(self, points: Points) -> Points:
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def _fixed(self, px: Points) -> np.ndarray:
        return np.rint(px * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def fill(
        self, points: Points, color: Rgb, part: str | None = "body", line: float = 1.0, shade: Points | None = None
    ) -> None:
        """Fill a closed shape, lay a shade over it, and outline it with `line` times the figure's line width."""
        px = self.to_px(points)
        fixed = self._fixed(px)
        cv2.fillPoly(self.canvas, [fixed], color, cv2.LINE_AA, SUBPIXEL_BITS)
        if shade is not None and len(shade) > 2:
            cv2.fillPoly(self.canvas, [self._fixed(self.to_px(shade))], shade_of(color), cv2.LINE_AA, SUBPIXEL_BITS)
        if line:
            self._outline(fixed, color, max(1, round(self.line_px * line)), True)
        self.filled.append((part, px))
        if part:
            self.parts[part].append(px)

    def merge(self, shapes: Sequence[Points], color: Rgb, part: str | None = "body") -> None:
        """Fill several shapes under one common outline."""
        px = [self.to_px(shape) for shape in shapes]
        fixed = [self._fixed(shape) for shape in px]
        for shape in fixed:
            self._outline(shape, color, self.line_px * 2, True)
        for shape in fixed:
            cv2.fillPoly(self.canvas, [shape], color, cv2.LINE_AA, SUBPIXEL_BITS)
        self.filled.extend((part, shape) for shape in px)
        if part:
            self.parts[part].extend(px)

    def stroke(self, points: Points, color: Rgb, width: float = 0.0, closed: bool = False) -> None:
        """A line of `width` local units, or of the figure's line width when 0."""
        thickness = max(1, round(width * self.unit_px)) if width else self.line_px
        cv2.polylines(
            self.canvas, [self._fixed(self.to_px(points))], closed, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS
        )

    def _outline(self, fixed: np.ndarray, color: Rgb, thickness: int, closed: bool) -> None:
        ink = mix(color, ink_of(color), self.ink_share)
        cv2.polylines(self.canvas, [fixed], closed, ink, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def box(self, points: Points) -> Box:
        return extent([self.to_px(points)])
