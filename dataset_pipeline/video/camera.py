"""What the camera does in a shot: nothing, a pan, a zoom, or something else.

Corners spread over the picture are followed by pyramidal Lucas-Kanade flow, forth and back, from a reference frame that
stays until too little of it is left; a similarity is fitted to them by RANSAC (as OpenCV's `estimateAffinePartial2D`).
Each part of the picture has at most a few corners, and agreement is counted in parts: a detailed figure that moves
over a plain background has no more votes than the area it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Motion = Literal["static", "pan", "zoom", "other"]
Direction = Literal["left", "right", "up", "down", "in", "out", ""]

_PARTS = 8  # along each side
_CORNERS_PER_PART = 4
_MIN_CORNERS = 8
_CORNER_QUALITY, _CORNER_DISTANCE_PX = 0.004, 4
_FLOW = {"winSize": (15, 15), "maxLevel": 4}
_SAME_PX = 1.0  # corners this near to where the similarity puts them agree with it
_KEEP_REFERENCE_FROM = 0.5  # agreement
_TRACKED_FROM = 0.3  # agreement
_HELD_BELOW = 0.5  # mean difference in grey levels: nothing was redrawn

_STILL_SHARE = 0.015  # of the diagonal: less than this is no movement
_ZOOM_FROM = 0.03
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
        self._reference: _Reference | None = None
        self._before: tuple[int, np.ndarray, np.ndarray] | None = None  # number, frame, place in the reference

    def feed(self, number: int, grey: np.ndarray) -> Step | None:
        """The step from the frame fed before to this one, uint8 [height, width]; None for the first."""
        grey = _levelled(grey)
        if self._reference is None or self._before is None or self._before[1].shape != grey.shape:
            self._reference, self._before = _Reference(grey), (number, grey, np.eye(3))
            return None
        first, previous, place_before = self._before
        if float(cv2.absdiff(previous, grey).mean()) < _HELD_BELOW:
            self._before = number, grey, place_before
            return Step(first, number, np.eye(3)[:2], 1.0)
        place, agreement = self._reference.locate(grey, place_before)
        if agreement < _KEEP_REFERENCE_FROM:
            nearer = _Reference(previous)
            nearer_place, nearer_agreement = nearer.locate(grey, np.eye(3))
            if nearer_agreement < _TRACKED_FROM:
                nearer_place, nearer_agreement = nearer.locate(grey, _shift(previous, grey))
            if nearer_agreement > agreement:
                self._reference, place, agreement = nearer, nearer_place, nearer_agreement
                place_before = np.eye(3)
        if agreement < _TRACKED_FROM:
            self._reference, place, place_before = _Reference(grey), np.eye(3), np.eye(3)
            agreement = 0.0
        self._before = number, grey, place
        return Step(first, number, (place @ np.linalg.inv(place_before))[:2], agreement)


class _Reference:
    """A frame and its corners."""

    def __init__(self, grey: np.ndarray) -> None:
        height, width = grey.shape
        self._grey = grey
        self._middle = np.array([width / 2, height / 2], np.float32)
        found = cv2.goodFeaturesToTrack(grey, 0, _CORNER_QUALITY, _CORNER_DISTANCE_PX)
        points = np.empty((0, 2), np.float32) if found is None else found[:, 0]
        part = (points * _PARTS / (width, height)).astype(int) @ (1, _PARTS)
        # Strongest first: the first few of each part stay.
        order = np.argsort(part, kind="stable")
        rank = np.arange(len(part)) - np.searchsorted(part[order], part[order])
        chosen = np.sort(order[rank < _CORNERS_PER_PART])
        self._points, self._part = points[chosen], part[chosen]

    def locate(self, grey: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, float]:
        """Where this frame's picture lies in another, as a 3x3 matrix, and the share of its parts that agree."""
        if len(self._points) < _MIN_CORNERS:
            return guess, 0.0
        expected = _moved(self._points - self._middle, guess) + self._middle
        there, found, _ = cv2.calcOpticalFlowPyrLK(
            self._grey, grey, self._points, expected.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **_FLOW
        )
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(
            grey, self._grey, there, self._points.copy(), flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **_FLOW
        )
        height, width = grey.shape
        inside = ((there >= 0) & (there < (width, height))).all(axis=1)
        sure = (found[:, 0] > 0) & (found_back[:, 0] > 0) & inside
        sure &= np.linalg.norm(back - self._points, axis=1) < _SAME_PX
        if np.count_nonzero(sure) < _MIN_CORNERS:
            return guess, 0.0
        origin, target = self._points - self._middle, there - self._middle
        matrix, _ = cv2.estimateAffinePartial2D(origin[sure], target[sure], ransacReprojThreshold=_SAME_PX)
        if matrix is None:
            return guess, 0.0
        place = np.vstack([matrix, (0, 0, 1)])
        agrees = sure & (np.linalg.norm(_moved(origin, place) - target, axis=1) < _SAME_PX)
        # What left the picture has no vote; a part agrees as far as its corners do.
        expected = _moved(origin, place) + self._middle
        votes = ((expected >= 0) & (expected < (width, height))).all(axis=1)
        corners = np.bincount(self._part[votes], minlength=_PARTS**2)
        agreeing = np.bincount(self._part[votes & agrees], minlength=_PARTS**2)
        seen = corners > 0
        return place, float((agreeing[seen] / corners[seen]).mean()) if seen.any() else 0.0


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
    reach = float(np.hypot(*np.array(path).T).max()) / diagonal
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


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return (points @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)


def _shift(previous: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """The whole picture's shift by phase correlation, as a 3x3 matrix."""
    height, width = grey.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(previous.astype(np.float32), grey.astype(np.float32), window)
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]])


def _levelled(grey: np.ndarray) -> np.ndarray:
    """The same contrast at each moment of a fade; what has none stays as it is."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    if deviation < 2:
        return grey
    return cv2.convertScaleAbs(np.clip((grey - mean) * (45 / deviation) + 128, 0, 255))
