"""Where a still is full of detail: windows on clothes and on objects, chosen by their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box, area, iou, middle, share_inside, shared_area
from dataset_pipeline.base.pairing import owners_of
from dataset_pipeline.images.detail_windows import Surroundings, Window, show_the_same

SIGMA_PX, CAP_LEVELS = 1.5, 12.0  # finer than that is detail; a hard edge counts no more than that
BORDER_SHARE, BORDER_WEIGHT = 1 / 16, 0.15  # of a window's side; what is cut off there is half shown
LEAST_RATIO = 1.15  # by the mean of the still
MOST, MOST_IOU = 2, 0.1  # windows of a kind, and what two of them share
STRIDES = 12  # windows that begin within one side of another
CLOTHES_PERSON, CLOTHES_HEAD, OBJECT_PERSON = 0.6, 0.12, 0.08  # shares of a window
CLOTHES_ASIDE = 0.25  # of a window's side: so far from its middle a person's middle may be
OBJECT_PART = 0.05  # of a head or a hand


def detail_map(picture: np.ndarray) -> np.ndarray:
    """float32 [height, width]: how much each pixel differs from what is around it, in brightness and in colour, each
    up to 12 levels. picture: uint8 [height, width, 3] RGB."""
    channels = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    fine = np.abs(channels - cv2.GaussianBlur(channels, (0, 0), SIGMA_PX))
    return np.minimum(fine[..., 0], CAP_LEVELS) + np.minimum(fine[..., 1] + fine[..., 2], CAP_LEVELS)


class Details:
    """Sums over the detail of a still, so that a window costs the same whatever its size."""

    def __init__(self, picture: np.ndarray) -> None:
        self._sums = cv2.integral(detail_map(picture), sdepth=cv2.CV_64F)
        self.mean = float(self._sums[-1, -1]) / max(1, picture.shape[0] * picture.shape[1])

    def mean_of(self, window: Window) -> float:
        """Of the window's pixels."""
        return self._sum(window) / window.side**2

    def score(self, window: Window) -> float:
        """The mean of the window less a part of that on its border: motifs that lie inside are worth more."""
        border = max(1, round(window.side * BORDER_SHARE))
        inner = Window(window.x + border, window.y + border, window.side - 2 * border)
        whole, inside = self._sum(window), self._sum(inner)
        edge = (whole - inside) / (window.side**2 - inner.side**2)
        return whole / window.side**2 - BORDER_WEIGHT * edge

    def _sum(self, window: Window) -> float:
        x, y, side = window
        sums = self._sums
        return float(sums[y + side, x + side] - sums[y, x + side] - sums[y + side, x] + sums[y, x])


class People:
    """Who is on a still: where their bodies and heads lie, and the middle of each body from left to right, which is
    that of its head if there is one, for arms and hair make boxes wide. hands: of anybody. doubtful: boxes that are
    hardly sure enough to be somebody."""

    def __init__(
        self, bodies: Sequence[Box], heads: Sequence[Box], hands: Sequence[Box] = (), doubtful: Sequence[Box] = ()
    ) -> None:
        head_of = {body: heads[head] for head, body in owners_of(heads, bodies).items()}
        self._heads, self._bodies, self._hands, self._doubtful = heads, bodies, hands, doubtful
        self._middles = [middle(head_of.get(number, body))[0] for number, body in enumerate(bodies)]

    def wear(self, window: Window) -> bool:
        """Whether a window is one of clothes: most of it lies on one person whose middle it shows, and little on
        heads."""
        box = window.box
        if sum(shared_area(head, box) for head in self._heads) > CLOTHES_HEAD * area(box):
            return False
        return any(
            abs(x - middle(box)[0]) <= CLOTHES_ASIDE * window.side and share_inside(box, body) >= CLOTHES_PERSON
            for body, x in zip(self._bodies, self._middles, strict=True)
        )

    def are_absent(self, window: Window) -> bool:
        """Whether a window is one of objects: next to nothing of it lies on what may be people, no head and no hand."""
        box = window.box
        on_people = sum(shared_area(it, box) for it in (*self._bodies, *self._heads, *self._doubtful))
        no_part = all(share_inside(part, box) <= OBJECT_PART for part in (*self._heads, *self._hands))
        return on_people <= OBJECT_PERSON * area(box) and no_part


def windows_of(side: int, size_px: tuple[int, int]) -> list[Window]:
    """Windows of a side all over a still, a twelfth of it apart."""
    stride = max(1, side // STRIDES)
    xs, ys = ([*range(0, length - side, stride), length - side] for length in size_px)
    return [Window(x, y, side) for y in ys for x in xs]


def busiest(windows: Iterable[Window], details: Details, there: Surroundings, taken: Sequence[Box]) -> list[Window]:
    """At most two windows, the best first: those with the most detail, clearly more than the still has, that show
    nothing of what is taken and lie apart."""
    least = LEAST_RATIO * details.mean
    scored = sorted((-details.score(window), window) for window in windows)
    found: list[Window] = []
    for negative, window in scored:
        if len(found) == MOST or -negative < least or not negative:
            break
        apart = all(iou(window.box, other.box) <= MOST_IOU for other in found)
        if apart and not there.fault(window) and not any(show_the_same(window.box, box) for box in taken):
            found.append(window)
    return found
