"""Shots of a video: cuts and fades by PySceneDetect's detectors on frames that are decoded here, and camera motion.

The detectors get frames by number and answer by number; times are the frames' own timestamps, so that a variable frame
rate moves no cut. Memory does not grow with the length of the video, only with that of a shot, by a few bytes a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from dataset_pipeline.video.camera import Step, Tracker, camera_motion
from dataset_pipeline.video.color import Conversion, square_size, upright
from dataset_pipeline.video.decode import DecodeReport, Frame, VideoError, iter_frames
from dataset_pipeline.video.keyframes import Detector

Transition = Literal["start", "cut", "fade"]

SMALL_SIDE_PX = 180  # short side of the frames that cuts and motion are sought on
TRACKED_PER_S = 12.0

_WINDOW = 2  # frames on both sides that AdaptiveDetector compares with
_FLASH_FRAMES = 6  # a picture that is back within so many was interrupted, not cut
_FLASH_SHARE = 0.35  # of the change at the cut: what is back differs by less
_ABRUPT = 25  # grey levels from one frame to the next: no fade
_MIN_CHANGE, _STANDS_OUT = 3.0, 2.0  # grey levels; times the change between the frames around
_SPECKS = 0.001  # share of a frame's pixels that are noise
_FLATNESS = 4.0  # a standard deviation below a quarter of the fade level is flat
_PICTURE_SPREAD = 12.0  # standard deviation of grey levels
_LOGO_SHARE = 0.05  # of a frame's pixels: what is left on a blank frame is a logo at most so large
_LOGO_MARGIN = 0.25  # of a frame's sides, in which logos lie
_LOGO_LIKENESS = 0.3  # correlation of its edges with those that were there before the blank
_FADING_FRAMES = 2 * _FLASH_FRAMES  # looked at on both sides of a blank
_FADING_STEP = 0.25  # grey levels that the mean of a fading frame changes by at least
_THUMBNAIL_PX = 32


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
        from scenedetect import AdaptiveDetector

        self._settings = settings
        self._hard = AdaptiveDetector(settings.cut_ratio, 0, _WINDOW, settings.cut_change)
        self._blanks = _Blanks(settings.fade_level)
        self._changes: list[_Change] = []
        self._recent: deque[_Seen] = deque(maxlen=2 * _FADING_FRAMES)
        self._number = -1
        self._last_cut_s: float | None = None

    def feed(self, small: np.ndarray, pts_s: float) -> list[Cut]:
        """The cuts that the next frame, BGR uint8 [height, width, 3], has made certain, in order."""
        from scenedetect import FrameTimecode

        self._number += 1
        at = FrameTimecode(self._number, fps=24.0)
        if self._last_cut_s is None:
            self._last_cut_s = pts_s
        faded = self._blanks.feed(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
        self._recent.append(_Seen(self._number, pts_s, self._blanks.inside, _thumbnail(small)))
        for cut in self._hard.process_frame(at, small):
            number = cut.frame_num
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

    def _certain(self, number: int | None) -> list[Cut]:
        """What no later frame can revoke."""
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
        content, mean = self._look(grey)
        was_inside, self.inside = self.inside, content < self._level
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

    def _look(self, grey: np.ndarray) -> tuple[float, float]:
        """How far a frame is from blank, and its mean from black or white, in grey levels and but for a logo."""
        median = int(np.searchsorted(np.cumsum(np.bincount(grey.ravel(), minlength=256)), grey.size / 2))
        residue = cv2.absdiff(grey, np.full_like(grey, median)) >= self._level
        share, seen = np.count_nonzero(residue) / residue.size, grey.ravel()
        if share > _LOGO_SHARE:
            self._picture = grey
        elif share > _SPECKS and self._is_logo(grey, residue):
            seen = grey[cv2.dilate(residue.view(np.uint8), np.ones((5, 5), np.uint8)) == 0]
        shares = np.cumsum(np.bincount(seen, minlength=256)) / seen.size
        darkest, brightest = np.searchsorted(shares, (_SPECKS, 1 - _SPECKS))
        mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(seen))
        self._has_pictures = self._has_pictures or spread > _PICTURE_SPREAD
        flat = _FLATNESS * spread if self._has_pictures else 255.0
        return float(min(brightest, 255 - darkest, flat)), min(mean, 255 - mean)

    def _is_logo(self, grey: np.ndarray, residue: np.ndarray) -> bool:
        if self._picture is None or self._picture.shape != grey.shape:
            return False
        high, wide = (round(_LOGO_MARGIN * side) for side in grey.shape)
        if residue[high:-high, wide:-wide].mean() > _SPECKS:
            return False
        around = cv2.dilate(residue.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
        one, other = (_edges(picture)[:, around].ravel() for picture in (grey, self._picture))
        return abs(float(one @ other)) >= _LOGO_LIKENESS * float(np.sqrt((one @ one) * (other @ other)))


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

    def pictures(first: int, last: int) -> list[np.ndarray]:
        return [seen[n].thumbnail for n in range(first, last + 1) if n in seen]

    if change.before not in seen or change.after not in seen:
        return True  # the two sides of a long black
    before, after = seen[change.before].thumbnail, seen[change.after].thumbnail
    if change.transition == "fade":
        blank = seen[change.number].thumbnail
        return change.after - change.before > _FLASH_FRAMES or not _is_near(before, after, _difference(before, blank))
    if seen[change.before].is_blank or seen[change.after].is_blank:
        return False  # the fade's cut stands for it
    moved = _difference(before, after)
    around = pictures(change.before - _WINDOW, change.before), pictures(change.after, change.after + _WINDOW)
    usual = [_difference(one, other) for side in around for one, other in pairwise(side)]
    if moved < _MIN_CHANGE or (usual and moved < _STANDS_OUT * sorted(usual)[len(usual) // 2]):
        return False
    back = any(_is_near(before, one, moved) for one in pictures(change.after + 1, change.after + _FLASH_FRAMES))
    return not back and not any(
        _is_near(after, one, moved) for one in pictures(change.before - _FLASH_FRAMES, change.before - 1)
    )


def find_shots(
    path: Path,
    conversion: Conversion | None,
    settings: CutSettings,
    report: DecodeReport,
    watch: Callable[[float, np.ndarray], None] = lambda pts_s, small: None,
    hardware: str = "none",
) -> list[dict[str, Any]]:
    """The shots of a video in order, as rows of `shots` without their episode.

    They cover the frames without a gap: `start_pts` is a shot's first frame, `end_s` the start of the next shot or the
    end of the last frame. `transition` says how the shot begins. `dx_px` and `dy_px` are in pixels of the full upright
    picture, `motion` and the rest as in `CameraMotion`. `watch` sees each frame's seconds and small copy, BGR uint8
    [h, w, 3], so that one decoding serves for more. Damage is written into `report`; a video without a readable
    frame gives none. Raises FileNotFoundError.
    """
    finder, shrink, tracker = CutFinder(settings), Shrinker(), Tracker()
    rows: list[dict[str, Any]] = []
    frames: list[tuple[int, float]] = []  # pts and pts_s from number `first` on
    steps: list[Step] = []
    waiting: deque[tuple[int, float, np.ndarray | None]] = deque()
    first, kind, tracked_s, number = 0, "start", -1.0, -1

    def close(end: int, transition: str) -> None:
        nonlocal first, kind, frames, steps
        shot, frames = frames[: end - first], frames[end - first :]
        inside = [step for step in steps if step.last < end]
        steps = [step for step in steps if step.first >= end]
        motion = camera_motion(inside, *shrink.size_px)
        last_s = shot[-1][1]
        step_s = last_s - shot[-2][1] if len(shot) > 1 else 0.0
        rows.append(
            {
                "number": len(rows),
                "start_s": shot[0][1],
                "end_s": frames[0][1] if frames else last_s + step_s,
                "start_pts": shot[0][0],
                "frames": len(shot),
                "transition": kind,
                "motion": motion.motion,
                "direction": motion.direction,
                "dx_px": motion.dx_px * shrink.factor,
                "dy_px": motion.dy_px * shrink.factor,
                "zoom": motion.zoom,
                "confidence": motion.confidence,
            }
        )
        first, kind = end, transition

    def follow(until: int) -> None:
        """Track what no cut can come to lie in any more."""
        nonlocal tracked_s
        while waiting and waiting[0][0] <= until:
            at, pts_s, grey = waiting.popleft()
            if grey is None or at == first:
                tracker.forget()
                tracked_s = -1.0
            if grey is not None and pts_s - tracked_s >= 1 / TRACKED_PER_S - 0.001:
                tracked_s = pts_s
                step = tracker.feed(at, grey)
                steps.extend([step] if step else [])

    try:
        for number, frame in enumerate(iter_frames(path, report=report, conversion=conversion, hardware=hardware)):
            small = shrink(frame)
            watch(frame.pts_s, small)
            frames.append((frame.pts, frame.pts_s))
            cuts = finder.feed(small, frame.pts_s)
            waiting.append((number, frame.pts_s, None if finder.in_blank else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)))
            for cut in cuts:
                follow(cut.number - 1)
                close(cut.number, cut.transition)
            follow(number - finder.LATE_FRAMES)
    except VideoError as error:
        report.reasons.append(error.reason)
        return []
    for cut in finder.finish():
        follow(cut.number - 1)
        close(cut.number, cut.transition)
    follow(number)
    if frames:
        close(number + 1, "")
    return rows


@dataclass(frozen=True, kw_only=True)
class Shot(Detector):
    """The sharpest frames of each shot: what is not blank of it is cut into `frames_per_shot` equal parts, and the
    sharpest frame of each is taken, unless it is a fade's: of less than `FADED_SHARE` of the shot's best contrast."""

    frames_per_shot: int = 2
    cuts: CutSettings = Cuts()

    FADED_SHARE: ClassVar[float] = 0.6

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        finder, shrink = CutFinder(self.cuts), Shrinker()
        shot = _Spread(4 * self.frames_per_shot)
        waiting: deque[tuple[int, Frame]] = deque()

        def take(until: int) -> None:
            while waiting and waiting[0][0] <= until:
                shot.add(waiting.popleft()[1])

        def end(cuts: list[Cut]) -> Iterator[Frame]:
            nonlocal shot
            for cut in cuts:
                take(cut.number - 1)
                yield from shot.best(self.frames_per_shot, self.FADED_SHARE)
                shot = _Spread(4 * self.frames_per_shot)

        number = -1
        for number, frame in enumerate(frames):
            cuts = finder.feed(shrink(frame), frame.pts_s)
            if not (finder.in_blank or frame.corrupt):
                waiting.append((number, frame))
            yield from end(cuts)
            take(number - finder.LATE_FRAMES)
        yield from end([*finder.finish(), Cut(number + 1, "cut")])


class _Spread:
    """The sharpest frame of each of at most `places` equal stretches of a shot whose length is not known beforehand:
    when there are too many stretches, neighbours are joined."""

    FIRST_STRETCH_S = 0.1

    def __init__(self, places: int) -> None:
        self._places = places
        self._stretch_s = self.FIRST_STRETCH_S
        self._start_s: float | None = None
        self._end_s = 0.0
        self._best: dict[int, tuple[float, float, Frame]] = {}  # stretch: sharpness, contrast, frame
        self._measure = VideoReformatter()

    def add(self, frame: Frame) -> None:
        if self._start_s is None:
            self._start_s = frame.pts_s
        self._end_s = frame.pts_s
        self._take(self._place(frame), (*self._sharpness(frame), frame))
        while len(self._best) > self._places:
            self._stretch_s *= 2
            kept, self._best = self._best, {}
            for one in kept.values():
                self._take(self._place(one[2]), one)

    def best(self, count: int, faded_share: float) -> list[Frame]:
        """At most `count` frames, in order."""
        if not self._best or self._start_s is None:
            return []
        contrast = max(one[1] for one in self._best.values())
        clear = [one for one in self._best.values() if one[1] >= faded_share * contrast]
        parts: dict[int, tuple[float, float, Frame]] = {}
        first_s, last_s = clear[0][2].pts_s, clear[-1][2].pts_s
        for one in clear:
            share = (one[2].pts_s - first_s) / (last_s - first_s) if last_s > first_s else 0.0
            part = min(count - 1, int(share * count))
            if part not in parts or one[0] > parts[part][0]:
                parts[part] = one
        return [parts[part][2] for part in sorted(parts)]

    def _place(self, frame: Frame) -> int:
        assert self._start_s is not None
        return int((frame.pts_s - self._start_s) / self._stretch_s)

    def _take(self, place: int, one: tuple[float, float, Frame]) -> None:
        if place not in self._best or one[0] > self._best[place][0]:
            self._best[place] = one

    def _sharpness(self, frame: Frame) -> tuple[float, float]:
        """Variance of the Laplacian and standard deviation of the luma at half size, where noise counts for less."""
        image = frame.image
        size = {"width": max(2, image.width // 2), "height": max(2, image.height // 2)}
        grey = self._measure.reformat(image, **size, format="gray", interpolation="AREA").to_ndarray()
        edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]
        return float(edges) ** 2, float(cv2.meanStdDev(grey)[1][0, 0])


class Shrinker:
    """Small copies of frames, BGR uint8, upright, with square pixels, without bars; all of the first one's size."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self.factor = 1.0  # side of the full picture by that of the copy
        self.size_px = (0, 0)

    def __call__(self, frame: Frame) -> np.ndarray:
        how = frame.conversion.resolved(frame.image, frame.sar)
        full = square_size(frame.image.width, frame.image.height, how.sar or frame.sar)
        factor = max(1.0, min(full) / SMALL_SIDE_PX)
        width, height = (max(8, round(side / factor)) for side in full)
        copy = self._reformatter.reformat(frame.image, width, height, "bgr24", interpolation="AREA").to_ndarray()
        shown = upright(copy, how.rotation_deg or 0, bool(how.mirrored))
        if (full[::-1] if round((how.rotation_deg or 0) / 90) % 2 else full) == how.bars_size_px:
            # One more pixel of each side with a bar: its edge is blurred into it.
            left, top, right, bottom = (int(-(-bar // factor)) + 1 if bar else 0 for bar in how.bars_px)
            shown = shown[top : shown.shape[0] - bottom, left : shown.shape[1] - right]
        small = np.ascontiguousarray(shown)
        size_px = (small.shape[1], small.shape[0])
        if self.size_px == (0, 0):
            self.factor, self.size_px = factor, size_px
        return small if size_px == self.size_px else cv2.resize(small, self.size_px, interpolation=cv2.INTER_AREA)


def _thumbnail(small: np.ndarray) -> np.ndarray:
    return cv2.resize(small, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(np.int16)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def _is_near(one: np.ndarray, other: np.ndarray, change: float) -> bool:
    return _difference(one, other) < _FLASH_SHARE * change
