"""Cuts of a video: hard ones and fades, found on small copies of the frames.

Hard cuts follow the rule of PySceneDetect's AdaptiveDetector, its scores in hue, saturation and value included. Frames
are counted; times are the frames' own timestamps, so that a variable frame rate moves no cut.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from typing import Literal, Protocol

import cv2
import numpy as np

Transition = Literal["start", "cut", "fade"]

_WINDOW = 2  # frames on both sides that a change is compared with
_FLASH_FRAMES = 6  # a picture that is back within so many was interrupted, not cut
_FLASH_SHARE = 0.35  # of the change at the cut: what is back differs by less
_ABRUPT = 25  # grey levels from one frame to the next: no fade
_MIN_CHANGE, _STANDS_OUT = 3.0, 2.0  # grey levels; times the change between the frames around
_NO_CHANGE = 0.00001  # mean grey levels
_SPECKS = 0.001  # share of a frame's pixels that are noise
_FLATNESS = 4.0  # a standard deviation below a quarter of the fade level is flat
_PICTURE_SPREAD = 12.0  # standard deviation of grey levels
_LOGO_SHARE = 0.05  # of a frame's pixels: what is left on a blank frame is a logo at most so large
_LOGO_MARGIN = 0.25  # of a frame's sides, in which logos lie
_LOGO_LIKENESS = 0.3  # correlation of its edges with those that were there before the blank
_FADING_FRAMES = 2 * _FLASH_FRAMES  # looked at on both sides of a blank
_FADING_STEP = 0.25  # grey levels that the mean of a fading frame changes by at least
SIGNATURE_PX = 32, 18  # columns and rows


class CutSettings(Protocol):
    """A cut changes the picture by `cut_change` (mean of the changes in hue, saturation and value, of 255) and by
    `cut_ratio` times as much as the frames around it. A fade goes through frames within `fade_level` of black or white,
    of 255, or flat ones. A cut less than `min_shot_s` after the one before is none."""

    @property
    def cut_ratio(self) -> float: ...
    @property
    def cut_change(self) -> float: ...
    @property
    def min_shot_s(self) -> float: ...
    @property
    def fade_level(self) -> int: ...


@dataclass(frozen=True)
class Cuts:
    """`CutSettings` that serve drawn and filmed pictures; PySceneDetect's own thresholds."""

    cut_ratio: float = 3.0
    cut_change: float = 15.0
    min_shot_s: float = 0.25
    fade_level: int = 12


DEFAULT_CUTS = Cuts()


@dataclass(frozen=True)
class Cut:
    """`number` of the first frame of a new shot and how it came; a fade's lies in the middle of its blank frames."""

    number: int
    transition: Transition


class CutFinder:
    """Finds cuts in frames fed one after another.

    A hard cut is a change that PySceneDetect's AdaptiveDetector finds and that stands out from the frames around it in
    brightness too, since hues of dark frames are noise; the two sides of a flash are none. A fade goes through frames
    that are blank but for a logo: black, white or, in a video that has other pictures, flat. Hard cuts are known
    `LATE_FRAMES` after their first frame, fades so many after the picture is back.
    """

    LATE_FRAMES = _FLASH_FRAMES

    def __init__(self, settings: CutSettings) -> None:
        self._settings = settings
        self._hard = _AdaptiveChanges(settings.cut_ratio, settings.cut_change)
        self._blanks = _Blanks(settings.fade_level)
        self._changes: list[_Change] = []
        self._recent: deque[_Seen] = deque(maxlen=2 * _FADING_FRAMES)
        self._number = -1
        self._last_cut_s: float | None = None

    def feed(self, small: np.ndarray, grey: np.ndarray, pts_s: float) -> list[Cut]:
        """The cuts that the next frame has made certain, in order; the frame as BGR uint8 [height, width, 3] and as its
        luma [height, width]."""
        self._number += 1
        if self._last_cut_s is None:
            self._last_cut_s = pts_s
        faded = self._blanks.feed(grey)
        thumbnail = cv2.resize(small, SIGNATURE_PX, interpolation=cv2.INTER_AREA)
        self._recent.append(_Seen(self._number, pts_s, self._blanks.inside, thumbnail))
        if self._hard.feed(small, thumbnail):
            number = self._number - _WINDOW
            self._changes.append(_Change(number, "cut", number - 1, number))
        self._changes += [faded] if faded else []
        return self._certain(self._number)

    def finish(self) -> list[Cut]:
        """The cuts left when there are no more frames."""
        return self._certain(None)

    @property
    def in_blank(self) -> bool:
        """Whether the last frame was blank."""
        return self._blanks.inside

    @property
    def signature(self) -> np.ndarray:
        """The last frame in luma, uint8 [18, 32]."""
        return cv2.cvtColor(self._recent[-1].thumbnail, cv2.COLOR_BGR2GRAY)

    def _certain(self, number: int | None) -> list[Cut]:
        """What no later frame can revoke."""
        if not self._changes:
            return []
        cuts = []
        self._changes.sort(key=lambda change: change.number)
        seen = {one.number: one for one in self._recent}
        while self._changes and (number is None or self._changes[0].settled <= number):
            change = self._changes.pop(0)
            assert self._last_cut_s is not None
            # The middle of a long black lies before what is remembered.
            cut_s = seen[max(change.number, self._recent[0].number)].pts_s
            if cut_s - self._last_cut_s >= self._settings.min_shot_s and _holds(change, seen):
                self._last_cut_s = cut_s
                cuts.append(Cut(change.number, self._kind(change, seen)))
        return cuts

    def _kind(self, change: _Change, seen: dict[int, _Seen]) -> Transition:
        """A blank that comes and goes from one frame to the next is no fade."""
        sides = [seen.get(n) for n in (change.before, change.before + 1, change.after - 1, change.after)]
        if change.transition == "cut" or None in sides:
            return change.transition
        out, black, last, back = (one.thumbnail for one in sides if one)
        return "cut" if min(_difference(out, black), _difference(last, back)) > _ABRUPT else "fade"


class _AdaptiveChanges:
    """Changes by at least `least`, of 255, that are at least `ratio` times the mean of those around them. What is
    too little to be a cut by its thumbnails is not measured in colour, which takes longest."""

    def __init__(self, ratio: float, least: float) -> None:
        self._ratio, self._least = ratio, least
        self._frames: deque[_Coloured] = deque(maxlen=2 * _WINDOW + 2)

    def feed(self, small: np.ndarray, thumbnail: np.ndarray) -> bool:
        """Whether such a change led to the frame `_WINDOW` before this one, BGR uint8 [height, width, 3]."""
        self._frames.append(_Coloured(small, thumbnail))
        if len(self._frames) == 1:
            self._frames[0].change = 0.0
        middle = len(self._frames) - 1 - _WINDOW
        if middle < _WINDOW:
            return False
        before, after = self._frames[max(0, middle - 1)], self._frames[middle]
        if _difference(before.thumbnail, after.thumbnail) < _MIN_CHANGE:
            return False
        changes = [self._change_to(place) for place in range(middle - _WINDOW, middle + _WINDOW + 1)]
        score = changes[_WINDOW]
        around = (sum(changes) - score) / (2 * _WINDOW)
        return score >= self._least and (around < _NO_CHANGE or score >= self._ratio * around)

    def _change_to(self, place: int) -> float:
        """The mean change of hue, saturation and value that leads to one of the frames."""
        frame = self._frames[place]
        if frame.change is None:
            frame.change = cv2.norm(frame.hsv, self._frames[place - 1].hsv, cv2.NORM_L1) / frame.bgr.size
        return frame.change


class _Coloured:
    """A frame with its hues and how far they lie from those of the frame before, once that is asked for."""

    def __init__(self, bgr: np.ndarray, thumbnail: np.ndarray) -> None:
        self.bgr, self.thumbnail = bgr, thumbnail
        self.change: float | None = None

    @cached_property
    def hsv(self) -> np.ndarray:
        return cv2.cvtColor(self.bgr, cv2.COLOR_BGR2HSV)


class _Blanks:
    """Finds fades: frames that are blank within `level`, of 255, between others.

    A fade's cut lies in the middle of the blank. Between two pictures it lies half way, those frames counting too that
    grow dimmer before the blank or brighter after it. Small bright things are content (titles, lamps), unless they lie
    at the edge and were there on the last picture before: a logo.
    """

    def __init__(self, level: int) -> None:
        self.inside = False  # whether the last frame was blank
        self._level = level
        self._number = -1
        self._first, self._last = 0, -1  # of the blank
        self._before: float = 0  # dimming frames before it
        self._dimming: float = 0  # frames in a row that only grew dimmer since a picture; inf if others lie between
        self._brightening = 0  # frames in a row
        self._mean = 255.0
        self._ends = False  # the blank is over, and brightening frames are counted
        self._has_pictures = False
        self._picture: np.ndarray | None = None

    def feed(self, grey: np.ndarray) -> _Change | None:
        """The fade that the next frame, uint8 [height, width], has ended."""
        self._number += 1
        was_inside, (self.inside, mean) = self.inside, self._is_blank_and_mean(grey)
        is_dim, step = mean < self._level and not self.inside, mean - self._mean
        ended = None
        if was_inside and not self.inside:
            self._last, self._ends, self._brightening = self._number - 1, True, 0
        if self._ends:
            if is_dim and step >= _FADING_STEP and self._brightening < _FADING_FRAMES:
                self._brightening += 1
            else:
                ended, self._ends = self._fade(is_between_pictures=mean >= self._level), False
        if self.inside and not was_inside:
            self._first, self._before = self._number, self._dimming
        if not is_dim:
            self._dimming = 0 if mean >= self._level else inf
        else:
            self._dimming += 1 if step <= -_FADING_STEP else inf
        self._mean = mean
        return ended

    def _fade(self, is_between_pictures: bool) -> _Change | None:
        if self._first == 0:
            return None  # what the video begins with
        after, before = self._last + 1, self._first
        if is_between_pictures and self._before <= _FADING_FRAMES:
            after, before = after + self._brightening, before - int(self._before)
        middle = min(max((before + after + 1) // 2, self._first), self._last)
        return _Change(middle, "fade", self._first - 1, self._last + 1)

    def _is_blank_and_mean(self, grey: np.ndarray) -> tuple[bool, float]:
        """Whether a frame is blank, and how far its mean is from black or white, in grey levels and but for a logo."""
        mean, spread = _mean_and_spread(grey)
        if spread * _FLATNESS >= self._level and _is_split(grey, mean, self._level):
            # As the histogram would say: the median is far from the one side or the other, and so are both ends.
            self._picture = grey
            self._has_pictures = self._has_pictures or spread > _PICTURE_SPREAD
            return False, min(mean, 255 - mean)
        seen, counts = grey, _histogram(grey)
        median = int(counts.cumsum().searchsorted(grey.size / 2))
        share = 1 - counts[max(0, median - self._level + 1) : median + self._level].sum() / grey.size
        if share > _LOGO_SHARE:
            self._picture = grey
        elif share > _SPECKS:
            residue = cv2.absdiff(grey, np.full_like(grey, median)) >= self._level
            if self._is_logo(grey, residue):
                seen = grey[cv2.dilate(residue.view(np.uint8), np.ones((5, 5), np.uint8)) == 0]
                counts = _histogram(seen)
        darkest, brightest = counts.cumsum().searchsorted((_SPECKS * seen.size, (1 - _SPECKS) * seen.size))
        if seen is not grey:
            mean, spread = _mean_and_spread(seen)
        self._has_pictures = self._has_pictures or spread > _PICTURE_SPREAD
        flat = _FLATNESS * spread if self._has_pictures else 255.0
        return min(brightest, 255 - darkest, flat) < self._level, min(mean, 255 - mean)

    def _is_logo(self, grey: np.ndarray, residue: np.ndarray) -> bool:
        if self._picture is None or self._picture.shape != grey.shape:
            return False
        high, wide = (round(_LOGO_MARGIN * side) for side in grey.shape)
        if residue[high:-high, wide:-wide].mean() > _SPECKS:
            return False
        around = cv2.dilate(residue.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        one, other = (_edges(picture)[:, around].ravel() for picture in (grey, self._picture))
        return abs(float(one @ other)) >= _LOGO_LIKENESS * float(np.sqrt((one @ one) * (other @ other)))


def _mean_and_spread(grey: np.ndarray) -> tuple[float, float]:
    mean, spread = cv2.meanStdDev(grey)
    return float(mean[0, 0]), float(spread[0, 0])


def _is_split(grey: np.ndarray, mean: float, level: int) -> bool:
    """Whether pixels on both sides of a gap of `2 * level` around the mean are more than a logo has: most pictures, for
    a tenth of the work of a histogram."""
    low = int(mean) - level
    most = _LOGO_SHARE * grey.size + 1
    above = _pixels_above(grey, low + 2 * level - 1)
    return above > most and grey.size - _pixels_above(grey, low) > most


def _pixels_above(grey: np.ndarray, level: int) -> int:
    return cv2.countNonZero(cv2.threshold(grey, level, 1, cv2.THRESH_BINARY)[1])


def _histogram(grey: np.ndarray) -> np.ndarray:
    """How many pixels have each level, float64 [256]."""
    return cv2.calcHist([grey], [0], None, [256], [0, 256])[:, 0].astype(float)


def _edges(grey: np.ndarray) -> np.ndarray:
    """Gradients to the right and downwards, float32 [2, height, width]."""
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)])


@dataclass(frozen=True)
class _Change:
    """A cut that is to be; `before` and `after` are the frames on its two sides."""

    number: int
    transition: Transition
    before: int
    after: int

    @property
    def settled(self) -> int:
        return self.after + _FLASH_FRAMES


@dataclass(frozen=True)
class _Seen:
    number: int
    pts_s: float
    is_blank: bool
    thumbnail: np.ndarray


def _holds(change: _Change, seen: dict[int, _Seen]) -> bool:
    """Whether the picture really changed to another one there."""
    before, after = seen.get(change.before), seen.get(change.after)
    if before is None or after is None:
        return True  # the two sides of a long black
    moved = _difference(before.thumbnail, after.thumbnail)
    if change.transition == "fade":
        away = _difference(before.thumbnail, seen[change.number].thumbnail)
        return change.after - change.before > _FLASH_FRAMES or not _is_near(before.thumbnail, after.thumbnail, away)
    if before.is_blank or after.is_blank:
        return False  # the fade's cut stands for it
    return _stands_out(change, moved, seen) and not _is_flash(change, moved, seen)


def _stands_out(change: _Change, moved: float, seen: dict[int, _Seen]) -> bool:
    """Whether a change by so much is larger than those between the frames around it."""
    around = (
        _pictures(change.before - _WINDOW, change.before, seen),
        _pictures(change.after, change.after + _WINDOW, seen),
    )
    usual = sorted(_difference(one, other) for side in around for one, other in pairwise(side))
    return moved >= _MIN_CHANGE and not (usual and moved < _STANDS_OUT * usual[len(usual) // 2])


def _is_flash(change: _Change, moved: float, seen: dict[int, _Seen]) -> bool:
    """Whether the picture before is soon back, or the one after was there shortly before."""
    before, after = seen[change.before].thumbnail, seen[change.after].thumbnail
    later = _pictures(change.after + 1, change.after + _FLASH_FRAMES, seen)
    earlier = _pictures(change.before - _FLASH_FRAMES, change.before - 1, seen)
    is_back = any(_is_near(before, one, moved) for one in later)
    return is_back or any(_is_near(after, one, moved) for one in earlier)


def _pictures(first: int, last: int, seen: dict[int, _Seen]) -> list[np.ndarray]:
    return [seen[number].thumbnail for number in range(first, last + 1) if number in seen]


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def _is_near(one: np.ndarray, other: np.ndarray, change: float) -> bool:
    return _difference(one, other) < _FLASH_SHARE * change
