"""What the camera does in a shot: nothing, a pan, a zoom, or something else.

Corners spread over the picture are followed by pyramidal Lucas-Kanade flow from a reference frame that stays until too
little of it is left; similarities are fitted to them by RANSAC (OpenCV's `estimateAffinePartial2D`).
Which one is the camera's is decided by area: in how many parts of the picture the two frames then look alike. So a
detailed figure that moves over a plain background has no more votes than the area it takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import cv2
import numpy as np

Motion = Literal["static", "pan", "zoom", "other"]
Direction = Literal["left", "right", "up", "down", "in", "out", ""]

_PARTS = 8  # along each side
_CORNERS_PER_PART = 3
_MIN_CORNERS = 8
_CORNER_QUALITY, _CORNER_DISTANCE_PX = 0.004, 4
_FLOW = {
    "winSize": (8, 12),  # OpenCV takes eight pixels of a row at a time, and those left over one by one
    "maxLevel": 4,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.02),
}
_SAME_PX = 1.0  # corners this near to where a similarity puts them agree with it
_SAME_SHARE = 0.5
_DETAIL_FROM, _DETAIL_OVER_NOISE = 1.5, 2.0  # grey levels; times the noise
_NOISE_QUANTILE = 0.25
_BLUR_PX, _SURROUNDINGS_PX = 0.5, 13
_SHOWN_FROM = 0.5  # of a part
_LEVELS, _OUTSIDE = 256.0, 1e6  # no line differs so much from its surroundings; stands for what is out of the picture
_MIN_PARTS = 3
# Figures stand in the middle and on the lower edge; what lies at the other edges is background more often.
_WEIGHTS = np.ones((_PARTS, _PARTS))
_WEIGHTS[0] = _WEIGHTS[:-1, 0] = _WEIGHTS[:-1, -1] = 2.0
_NOTHING_MOVED_FROM = 0.95  # agreement
_KEEP_REFERENCE_FROM = 0.5  # agreement
_TRACKED_FROM = 0.3  # agreement
_HELD_BELOW = 0.5  # mean difference in grey levels: nothing was redrawn

_STILL_SHARE = 0.015  # of the diagonal: less than this is no movement
_ZOOM_FROM = 0.03
_REACH_PERCENTILE = 90  # single frames may be lost
_STRAIGHT_FROM = 0.7
_CENTRE_WITHIN = 0.75  # of the picture's sides from its middle: a zoom's fixed point
_PATH_POINTS = 12


@dataclass(frozen=True)
class Step:
    """The picture's movement between two sampled frames: x' = matrix @ (x, 1), x from the picture's middle.

    `agreement`: share of the parts of the picture that move so; 0 where nothing could be followed.
    """

    first: int
    last: int
    matrix: np.ndarray
    agreement: float


@dataclass(frozen=True)
class CameraMotion:
    """`dx_px`, `dy_px`: how far the camera went over the picture, to the right and down, in pixels of the frames that
    were measured; the picture itself moves the other way. `zoom`: how much larger the content got. `direction`: the
    camera's, `left`, `right`, `up` or `down` of a pan, `in` or `out` of a zoom. `confidence`: 0..1, the share of the
    picture that agrees, less for a crooked path and for stretches that could not be followed."""

    motion: Motion
    direction: Direction
    dx_px: float
    dy_px: float
    zoom: float
    confidence: float


class Tracker:
    """Follows the picture through sampled frames; `forget` it at a cut."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._reference: _Picture | None = None
        self._before: tuple[int, _Picture, np.ndarray] | None = None  # number, frame, place in the reference

    def feed(self, number: int, grey: np.ndarray) -> Step | None:
        """The step from the frame fed before to this one, uint8 [height, width]; None for the first."""
        if self._reference is None or self._before is None or self._before[1].grey.shape != grey.shape:
            self._reference = _Picture(grey)
            self._before = number, self._reference, np.eye(3)
            return None
        first, previous, place_before = self._before
        if cv2.norm(previous.grey, grey, cv2.NORM_L1) < _HELD_BELOW * grey.size:
            self._before = number, _Picture(grey), place_before
            return Step(first, number, np.eye(3)[:2], 1.0)
        picture = _Picture(grey)
        place, agreement = self._reference.locate(picture, place_before)
        if agreement < _KEEP_REFERENCE_FROM:
            nearer_place, nearer_agreement = place, agreement
            if self._reference is not previous:
                nearer_place, nearer_agreement = previous.locate(picture, np.eye(3))
            if nearer_agreement < _TRACKED_FROM:
                nearer_place, nearer_agreement = previous.locate(picture, _shift(previous.grey, grey))
            if nearer_agreement > agreement:
                self._reference, place, agreement = previous, nearer_place, nearer_agreement
                place_before = np.eye(3)
        if agreement < _TRACKED_FROM:
            self._reference, place, place_before = picture, np.eye(3), np.eye(3)
            agreement = 0.0
        self._before = number, picture, place
        return Step(first, number, (place @ _inverse(place_before))[:2], agreement)


class _Picture:
    """A frame with what is measured on it, once it is asked for. Lines are compared at half its size, where they say
    as much for a quarter of the work; places are in pixels of the frame all the same."""

    def __init__(self, grey: np.ndarray) -> None:
        self.grey = grey
        height, width = grey.shape
        self._size = max(_PARTS, width // 2), max(_PARTS, height // 2)
        self._scale = np.array(self._size) / (width, height)
        self._middle = np.array([width / 2, height / 2], np.float32)

    @cached_property
    def lines(self) -> np.ndarray:
        """What stands out from its surroundings, float32: the same in a fade's next frame, whatever else is covered."""
        smooth = cv2.GaussianBlur(
            cv2.resize(self.grey, self._size, interpolation=cv2.INTER_AREA).astype(np.float32), (3, 3), _BLUR_PX
        )
        return smooth - cv2.blur(smooth, (_SURROUNDINGS_PX, _SURROUNDINGS_PX))

    @cached_property
    def _detail(self) -> np.ndarray:
        aside = (cv2.absdiff(self.lines, np.roll(self.lines, 1, axis)) for axis in (0, 1))
        return np.maximum(*(_by_part(one) for one in aside))

    @cached_property
    def _levelled(self) -> np.ndarray:
        """The same contrast at each moment of a fade; what has none stays as it is."""
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(self.grey))
        if deviation < 2:
            return self.grey
        levels = np.clip((np.arange(256) - mean) * (45 / deviation) + 128, 0, 255)
        return cv2.LUT(self.grey, levels.round().astype(np.uint8))

    @cached_property
    def _points(self) -> np.ndarray:
        """Its corners, float32 [n, 2]: the strongest of each part."""
        found = cv2.goodFeaturesToTrack(self._levelled, 0, _CORNER_QUALITY, _CORNER_DISTANCE_PX)
        points = np.empty((0, 2), np.float32) if found is None else found[:, 0]
        part = (points * _PARTS / self.grey.shape[::-1]).astype(int) @ (1, _PARTS)
        # Strongest first: the first few of each part stay.
        order = np.argsort(part, kind="stable")
        rank = np.arange(len(part)) - np.searchsorted(part[order], part[order])
        return points[order[rank < _CORNERS_PER_PART]]

    def locate(self, other: _Picture, guess: np.ndarray) -> tuple[np.ndarray, float]:
        """Where this frame's picture lies in another, as a 3x3 matrix, and the share of its parts that agree.

        Of the guess, the similarity most corners follow and that of the others, the one that most parts agree with. A
        part with detail agrees if it differs from what is there by less than half of what it differs from itself 2
        pixels away.
        """
        places, differences = [guess], [self._differences(other, guess)]
        still, agreement = self._best(places, differences)
        if agreement >= _NOTHING_MOVED_FROM:
            return still, agreement
        for place in self._similarities(other, guess):
            places.append(place)
            differences.append(self._differences(other, place))
        return self._best(places, differences)

    def _best(self, places: list[np.ndarray], differences: list[np.ndarray]) -> tuple[np.ndarray, float]:
        by_place = np.array(differences)
        # Parts without detail differ by noise alone, wherever they are taken from.
        least = np.fmin.reduce(by_place, axis=0)
        noise = _quantile(least[~np.isnan(least)], _NOISE_QUANTILE)
        judged = self._detail > _DETAIL_FROM + _DETAIL_OVER_NOISE * noise
        shown = ~np.isnan(by_place) & judged
        agree = shown & (by_place < _SAME_SHARE * (self._detail - noise) + noise)
        best = int(np.argmax((agree * _WEIGHTS).sum(axis=(1, 2))))
        judges = int(np.count_nonzero(shown[best]))
        agreement = np.count_nonzero(agree[best]) / judges if judges >= _MIN_PARTS else 0.0
        return places[best], agreement

    def _similarities(self, other: _Picture, guess: np.ndarray) -> Iterator[np.ndarray]:
        points = self._points
        if len(points) < _MIN_CORNERS:
            return
        here, grey = self._levelled, other._levelled
        expected = _moved(points - self._middle, guess) + self._middle
        there, found, _ = cv2.calcOpticalFlowPyrLK(
            here, grey, points, expected.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **_FLOW
        )
        sure = (found[:, 0] > 0) & ((there >= 0) & (there < grey.shape[::-1])).all(axis=1)
        origin, target = (points - self._middle)[sure], (there - self._middle)[sure]
        for _ in range(2):
            if len(origin) < _MIN_CORNERS:
                return
            matrix, inliers = cv2.estimateAffinePartial2D(origin, target, ransacReprojThreshold=_SAME_PX)
            if matrix is None:
                return
            yield np.vstack([matrix, (0, 0, 1)])
            others = inliers[:, 0] == 0
            origin, target = origin[others], target[others]

    def _differences(self, other: _Picture, place: np.ndarray) -> np.ndarray:
        """Mean difference of each part to what is where `place` puts it; not a number for parts out of the picture."""
        lines = other.lines
        if (place == np.eye(3)).all():
            return _by_part(cv2.absdiff(lines, self.lines))
        # From pixels of the frame around its middle to those of the lines from their corner.
        there = place[:2] * (self._scale[:, None] / (*self._scale, 1))
        middle = self._middle * self._scale
        there[:, 2] += middle - there[:, :2] @ middle
        # What is there, brought back to its place in the reference; what blends with its surroundings is out of it.
        brought = cv2.warpAffine(
            lines, there, self._size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=(_OUTSIDE,)
        )
        inside = cv2.threshold(brought, _LEVELS, 1, cv2.THRESH_BINARY_INV)[1]
        shown = _by_part(inside)
        total = _by_part(cv2.multiply(cv2.absdiff(brought, self.lines), inside))
        return np.where(shown > _SHOWN_FROM, total / np.maximum(shown, _SHOWN_FROM), np.nan)


def camera_motion(steps: Sequence[Step], width_px: int, height_px: int) -> CameraMotion:
    """The motion of a shot from its steps between frames of that size."""
    tracked = [step for step in steps if step.agreement > 0]
    if not tracked:
        return CameraMotion("other" if steps else "static", "", 0.0, 0.0, 1.0, 0.0)
    diagonal = float(np.hypot(width_px, height_px))
    followed = sum(step.last - step.first for step in tracked) / sum(step.last - step.first for step in steps)
    certainty = float(np.mean([step.agreement for step in tracked])) * followed
    places, path = np.eye(3), [np.zeros(2)]
    shift = np.zeros(2)
    for step in tracked:
        places = np.vstack([step.matrix, (0, 0, 1)]) @ places
        shift = shift + step.matrix[:, 2]
        path.append(shift)
    scale, turn = float(np.hypot(places[0, 0], places[1, 0])), float(np.arctan2(places[1, 0], places[0, 0]))
    travelled, straight = _straightness(np.array(path))
    dx, dy = (float(-value) for value in shift)

    def answer(motion: Motion, direction: Direction, confidence: float) -> CameraMotion:
        return CameraMotion(motion, direction, dx, dy, scale, round(min(1.0, max(0.0, confidence)), 6))

    if abs(turn) * diagonal / 2 > max(_STILL_SHARE * diagonal, travelled, abs(np.log(scale)) * diagonal / 2):
        return answer("other", "", certainty)  # it rolls
    reach = float(np.percentile(np.hypot(*np.array(path).T), _REACH_PERCENTILE)) / diagonal
    grown = abs(np.log(scale))
    if grown > _ZOOM_FROM:
        fixed = np.linalg.solve(np.eye(2) - places[:2, :2], places[:2, 2])
        if (np.abs(fixed) <= _CENTRE_WITHIN * np.array([width_px, height_px])).all():
            steadiness = _straightness(np.cumsum([[_growth(step), 0.0] for step in tracked], axis=0))[1]
            return answer("zoom", "in" if scale > 1 else "out", certainty * steadiness)
    if reach < _STILL_SHARE:
        return answer("static", "", certainty)
    if straight < _STRAIGHT_FROM or travelled < _STILL_SHARE * diagonal:
        return answer("other", "", certainty * (1 - straight))
    if abs(dx) >= abs(dy):
        return answer("pan", "right" if dx > 0 else "left", certainty * straight)
    return answer("pan", "down" if dy > 0 else "up", certainty * straight)


def _straightness(path: np.ndarray) -> tuple[float, float]:
    """Distance between a path's ends, and that distance by the path's length, measured over a few points of it."""
    points = path[np.unique(np.linspace(0, len(path) - 1, _PATH_POINTS).round().astype(int))]
    travelled = float(np.hypot(*(points[-1] - points[0])))
    length = float(np.hypot(*np.diff(points, axis=0).T).sum())
    return travelled, travelled / length if length else 1.0


def _growth(step: Step) -> float:
    return float(np.log(np.hypot(step.matrix[0, 0], step.matrix[1, 0])))


def _by_part(values: np.ndarray) -> np.ndarray:
    """Mean of each part of float32 [height, width], float32 [`_PARTS`, `_PARTS`]."""
    height, width = values.shape
    return _shares_of_parts(height) @ values @ _shares_of_parts(width).T


@cache
def _shares_of_parts(length: int) -> np.ndarray:
    """By how much each of so many pixels in a row counts for the mean of each part, float32 [`_PARTS`, length]."""
    edges = np.linspace(0, length, _PARTS + 1)
    pixels = np.arange(length)
    inside = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    return (np.maximum(inside, 0) * _PARTS / length).astype(np.float32)


def _quantile(values: np.ndarray, share: float) -> float:
    """As NumPy's, for a few values in a tenth of its time; 0 of none."""
    if not values.size:
        return 0.0
    place = share * (values.size - 1)
    low, high = np.sort(values)[[int(place), math.ceil(place)]]
    return float(low + (high - low) * (place % 1))


def _inverse(place: np.ndarray) -> np.ndarray:
    """Of the 3x3 matrix of a similarity; for so few numbers LAPACK wakes its threads."""
    return np.vstack([cv2.invertAffineTransform(place[:2]), (0, 0, 1)])


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return (points @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)


def _shift(previous: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """The whole picture's shift by phase correlation, to a pixel or two, as a 3x3 matrix."""
    size = grey.shape[1] // 2, grey.shape[0] // 2
    one, other = (cv2.resize(it, size, interpolation=cv2.INTER_AREA).astype(np.float32) for it in (previous, grey))
    (dx, dy), _ = cv2.phaseCorrelate(one, other, _window(*size))
    return np.array([[1, 0, 2 * dx], [0, 1, 2 * dy], [0, 0, 1]])


@cache
def _window(width: int, height: int) -> np.ndarray:
    return cv2.createHanningWindow((width, height), cv2.CV_32F)
