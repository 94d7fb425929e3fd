"""Where the 133 points of COCO-WholeBody lie on drawn people: what a net for poses is taught.

Order (Jin et al. 2020): 17 of the body, 6 of the feet, 68 of the face as iBUG numbers them, 21 of the left hand, 21 of
the right. Left is the person's own; who faces the picture has it at the picture's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from dataset_pipeline.demo.back_view import BackFigure
from dataset_pipeline.demo.figure import Figure
from dataset_pipeline.demo.scenes import SEEN_SHARE, Placement
from dataset_pipeline.demo.shapes import Pen, Points, Rgb

POINTS = 133
FEET, FACE, LEFT_HAND, RIGHT_HAND = 17, 23, 91, 112  # where each begins
EYES_HIGH, EYES_LOW = (0.3, 0.7), (0.7, 0.3)  # where the points of an eye's edges lie between its corners
# Fingers from the forefinger on: where they begin across the hand, as `Figure._hand` draws them, and how long they are.
SPREADS, LENGTHS = (-0.42, -0.14, 0.14, 0.42), (0.13, 0.16, 0.15, 0.11)
FOLDED = (0.0, 0.05, 0.03, 0.0)  # how far the joints of a folded finger lie before the knuckles
REACH = {"open": LENGTHS, "point": (0.17, 0.0, 0.0, 0.0), "relaxed": (0.08, 0.1, 0.09, 0.06), "fist": (0.0,) * 4}


class NotingPen(Pen):
    """A pen that also remembers its strokes and what it merged, in pixels."""

    def __init__(self, *pen: object, noted: dict[str, list[list[Points]]] | None = None) -> None:
        super().__init__(*pen)  # type: ignore[arg-type]
        self.noted = {"strokes": [], "merged": []} if noted is None else noted

    def turned(self, degrees: float, cx: float, cy: float) -> Pen:
        pen = super().turned(degrees, cx, cy)
        return NotingPen(pen.canvas, pen.matrix, pen.unit_px, pen.parts, pen.filled, noted=self.noted)

    def stroke(self, points: Points, color: Rgb, width: float = 0.0, closed: bool = False) -> None:
        self.noted["strokes"].append([self.to_px(points)])
        super().stroke(points, color, width, closed)

    def merge(self, shapes: Sequence[Points], color: Rgb, part: str | None = "body") -> None:
        self.noted["merged"].append([self.to_px(shape) for shape in shapes])
        super().merge(shapes, color, part)


class _Noting(Figure):
    """Keeps where what it draws lies; `at`: outlines and joints in pixels, by name and the picture's side (-1, 1)."""

    def __init__(self, pen: NotingPen, placement: Placement) -> None:
        super().__init__(pen, placement.character, placement.pose)
        self.noted = pen.noted
        self.at: dict[tuple[str, int], np.ndarray] = {}

    def _leg(self, side: int) -> None:
        before = len(self.noted["merged"])
        super()._leg(side)
        upper, lower = self.noted["merged"][before]
        self.at["leg", side] = np.stack([*_ends(upper), _ends(lower)[1]])

    def _brow(self, side: int, x: float, width: float) -> None:
        super()._brow(side, x, width)
        self.at["brow", side] = self.noted["strokes"][-1][0]

    def _mouth(self) -> None:
        self.at["nose", 0] = self.noted["strokes"][-1][0]
        strokes, filled = len(self.noted["strokes"]), len(self.pen.filled)
        super()._mouth()
        is_line = len(self.noted["strokes"]) > strokes
        self.at["mouth", 0] = self.noted["strokes"][strokes][0] if is_line else self.pen.filled[filled][1]


class _Facing(_Noting):
    pass


class _TurnedAway(_Noting, BackFigure):
    pass


@dataclass(frozen=True)
class Posed:
    """A drawn person: points [133, 2] in pixels, which of them are seen [133], and the box of all that was drawn."""

    points: np.ndarray
    seen: np.ndarray
    box: tuple[float, float, float, float]
    outlines: list[Points] = field(repr=False)


def draw_posed(canvas: np.ndarray, placements: Sequence[Placement]) -> list[Posed]:
    """Draw people back to front, in place, as `draw_people` does, and tell their points. Those beyond the picture, and
    those that somebody in front hides, are not seen; nor are those of a hand that its own sleeve or body hides."""
    drawn = [_drawn(canvas, placement) for placement in placements]
    height, width = canvas.shape[:2]
    people = []
    for number, person in enumerate(drawn):
        inside = ((person.points >= 0) & (person.points < (width, height))).all(1)
        in_front = [outline for other in drawn[number + 1 :] for outline in other.outlines]
        hidden = np.array([_covered(point, in_front) for point in person.points])
        people.append(Posed(person.points, person.seen & inside & ~hidden, person.box, person.outlines))
    return people


def _drawn(canvas: np.ndarray, placement: Placement) -> Posed:
    pen = NotingPen.at(canvas, placement.x_px, placement.top_px, placement.head_px)
    figure = (_TurnedAway if placement.pose.behind else _Facing)(pen, placement)  # type: ignore[arg-type]
    figure.draw()
    points, seen = np.zeros((POINTS, 2)), np.zeros(POINTS, bool)
    own_left = -1 if placement.pose.behind else 1
    for side in (-1, 1):
        _note_limbs(figure, side, int(side != own_left), points, seen)
        first = LEFT_HAND if side == own_left else RIGHT_HAND
        hand = _hand(figure, side)
        if hand is not None:
            points[first : first + 21], seen[first : first + 21] = hand
    if not placement.pose.behind:
        points[FACE:LEFT_HAND], seen[FACE:LEFT_HAND] = _face(figure), True
        face = points[FACE:LEFT_HAND]
        points[:5] = face[30], face[42:48].mean(0), face[36:42].mean(0), face[16], face[0]
        seen[:5] = True
    body = np.concatenate([s for part, shapes in pen.parts.items() if not part.startswith("eye") for s in shapes])
    box = (*body.min(0).tolist(), *body.max(0).tolist())
    return Posed(points, seen, box, [shape for _, shape in pen.filled])


def _note_limbs(figure: _Noting, side: int, is_right: int, points: np.ndarray, seen: np.ndarray) -> None:
    """Shoulder, elbow, wrist, hip, knee, ankle and the foot of one side of the picture."""
    top, elbow, wrist, _ = figure._arm_joints(side)
    arm, leg, foot = (5, 7, 9), (11, 13, 15), FEET + 3 * is_right
    points[[at + is_right for at in arm]] = figure.pen.to_px(np.stack([top, elbow, wrist]))
    points[[at + is_right for at in leg]] = figure.at["leg", side]
    shoe = np.concatenate(figure.pen.parts["foot0" if side < 0 else "foot1"])
    (x0, _), (x1, y1) = shoe.min(0), shoe.max(0)
    inner, outer = (x1, x0) if side < 0 else (x0, x1)
    points[foot : foot + 3] = (inner, y1), (outer, y1), figure.at["leg", side][2]
    seen[[at + is_right for at in (*arm, *leg)]] = True
    seen[foot : foot + 3] = True


def _hand(figure: _Noting, side: int) -> tuple[np.ndarray, bool] | None:
    """The 21 points of a hand and whether most of them are seen: wrist, thumb, and the fingers from the forefinger on,
    each from the palm to the tip. None where the arm ends behind the body."""
    form = figure._hand_form(side)
    if form == "hidden":
        return None
    _, _, wrist, fore = figure._arm_joints(side)
    ahead = np.array([side * np.sin(np.radians(fore)), np.cos(np.radians(fore))])
    across = np.array([ahead[1], -ahead[0]]) * -side
    thumb = 0.05 if form == "fist" else 0.14
    points = [wrist, *(wrist + ahead * (0.05 + 0.03 * k) - across * thumb * k / 3 for k in range(4))]
    for spread, reach in zip(SPREADS, REACH[form], strict=True):
        root = wrist + ahead * 0.15 + across * spread * 0.17
        steps = [reach * k / 3 for k in range(4)] if reach else FOLDED
        points += [root + (ahead + across * spread * 0.7 * (form == "open")) * step for step in steps]
    px = figure.pen.to_px(np.stack(points))
    last = max(at for at, (part, _) in enumerate(figure.pen.filled) if part == ("hand0" if side < 0 else "hand1"))
    above = [shape for _, shape in figure.pen.filled[last + 1 :]]
    return px, float(np.mean([not _covered(point, above) for point in px])) >= SEEN_SHARE


def _face(figure: _Noting) -> np.ndarray:
    """The 68 points of a face, in pixels: worked out in the head's own units, so that a tilted face is no other."""
    paper = cv2.invertAffineTransform(figure.head.matrix)

    def local(px: np.ndarray) -> np.ndarray:
        return px @ paper[:, :2].T + paper[:, 2]

    outline = local(figure.pen.parts["face"][0])
    centre = np.array([(outline[:, 0].min() + outline[:, 0].max()) / 2, 0.6])
    jaw = [_crossing(outline, centre, angle) for angle in np.linspace(np.pi, 0.0, 17)]
    brows = [_along(local(figure.at["brow", side]), 5) for side in (-1, 1)]
    eyes = [_eye(local(figure.pen.parts[part][0])) for part in ("eye0", "eye1")]
    between, tip = np.mean([eye.mean(0) for eye in eyes], 0), local(figure.at["nose", 0])[-1]
    bridge = [between + (tip - between) * k / 3 for k in range(4)]
    below = [tip + np.array([x, 0.03]) for x in (-0.05, -0.025, 0.0, 0.025, 0.05)]
    points = np.concatenate([jaw, *brows, bridge, below, *eyes, _lips(local(figure.at["mouth", 0]))])
    return figure.head.to_px(points)


def _crossing(outline: Points, centre: np.ndarray, angle: float) -> np.ndarray:
    """The point of a convex outline that lies at an angle from its centre: pi at the left, half pi below."""
    turned = np.arctan2(outline[:, 1] - centre[1], outline[:, 0] - centre[0])
    order = np.argsort(turned)
    far = np.hypot(*(outline - centre).T)
    reach = np.interp(angle, turned[order], far[order], period=2 * np.pi)
    return centre + reach * np.array([np.cos(angle), np.sin(angle)])


def _along(line: Points, count: int) -> np.ndarray:
    """Points at equal distances of x along a line, from left to right."""
    line = line[np.argsort(line[:, 0])]
    x = np.linspace(line[0, 0], line[-1, 0], count)
    return np.stack([x, np.interp(x, line[:, 0], line[:, 1])], 1)


def _edges(outline: Points, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The upper and the lower y of a closed outline, or of a line, at each x."""
    left, right = int(outline[:, 0].argmin()), int(outline[:, 0].argmax())
    first, second = sorted((left, right))
    one, other = outline[first : second + 1], np.concatenate([outline[second:], outline[: first + 1]])
    found = [np.interp(x, *it[np.argsort(it[:, 0], kind="stable")].T) for it in (one, other) if len(it) > 2]
    return np.min(found, 0), np.max(found, 0)


def _eye(outline: Points) -> np.ndarray:
    """The six points of an eye: its left corner, two above, the right corner, two below."""
    x0, x1 = outline[:, 0].min(), outline[:, 0].max()
    x = x0 + (x1 - x0) * np.array([*EYES_HIGH, *EYES_LOW])
    upper, lower = _edges(outline, x)
    middle = outline[:, 1].mean()
    return np.array(
        [(x0, middle), *zip(x[:2], upper[:2], strict=True), (x1, middle), *zip(x[2:], lower[2:], strict=True)]
    )


def _lips(outline: Points) -> np.ndarray:
    """The twenty points of a mouth: twelve around it and eight within. Drawn mouths have no lips; the inner ones are a
    little nearer to the middle."""
    x0, x1 = outline[:, 0].min(), outline[:, 0].max()

    def around(upper: int, lower: int, share: float) -> list[tuple[float, float]]:
        there = x0 + (x1 - x0) * (0.5 + share * (np.linspace(0, 1, upper + 2) - 0.5))
        back = x0 + (x1 - x0) * (0.5 + share * (np.linspace(1, 0, lower + 2)[1:-1] - 0.5))
        return [*zip(there, _edges(outline, there)[0], strict=True), *zip(back, _edges(outline, back)[1], strict=True)]

    return np.array([*around(5, 5, 1.0), *around(3, 3, 0.8)])


def _ends(limb: Points) -> tuple[np.ndarray, np.ndarray]:
    """The middles of both round ends of a `limb`, whose caps have nine points each."""
    return (limb[0] + limb[8]) / 2, (limb[9] + limb[17]) / 2


def _covered(point: np.ndarray, outlines: Sequence[Points]) -> bool:
    at = (float(point[0]), float(point[1]))
    return any(
        cv2.pointPolygonTest(outline.astype(np.float32), at, False) > 0 for outline in outlines if len(outline) > 2
    )
