"""Shots of a video: where each begins and ends, how the camera moves in it, and its sharpest frames.

Memory does not grow with the length of the video, only with that of a shot, by a few bytes a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from dataset_pipeline.video.camera import Step, Tracker, camera_motion
from dataset_pipeline.video.color import Conversion, square_size, upright
from dataset_pipeline.video.cuts import DEFAULT_CUTS, Cut, CutFinder, CutSettings
from dataset_pipeline.video.decode import DecodeReport, Frame, VideoError, iter_frames
from dataset_pipeline.video.keyframes import Detector

SMALL_SIDE_PX = 180  # short side of the frames that cuts and motion are sought on
TRACKED_PER_S = 12.0


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
    shots = _Shots(settings)
    try:
        for frame in iter_frames(path, report=report, conversion=conversion, hardware=hardware):
            small = shots.shrink(frame)
            watch(frame.pts_s, small)
            shots.feed(frame, small)
    except VideoError as error:
        report.reasons.append(error.reason)
        return []
    return shots.finished()


class _Shots:
    """Puts a video's frames, cuts and camera motion together to rows, one shot after another."""

    def __init__(self, settings: CutSettings) -> None:
        self.shrink = Shrinker()
        self._finder, self._tracker = CutFinder(settings), Tracker()
        self._rows: list[dict[str, Any]] = []
        self._first, self._transition = 0, "start"  # of the shot that goes on
        self._frames: list[tuple[int, float]] = []  # pts and pts_s from its first on
        self._steps: list[Step] = []
        self._number = -1
        self._waiting: deque[tuple[int, float, np.ndarray | None]] = deque()  # to be tracked: number, pts_s, grey
        self._tracked_s = -1.0

    def feed(self, frame: Frame, small: np.ndarray) -> None:
        """The next frame and the small copy of it."""
        self._number += 1
        self._frames.append((frame.pts, frame.pts_s))
        cuts = self._finder.feed(small, frame.pts_s)
        grey = None if self._finder.in_blank else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        self._waiting.append((self._number, frame.pts_s, grey))
        self._cut(cuts)
        self._track(self._number - self._finder.LATE_FRAMES)  # no cut can come to lie before it any more

    def finished(self) -> list[dict[str, Any]]:
        """The rows of all shots, when there are no more frames."""
        self._cut(self._finder.finish())
        self._track(self._number)
        if self._frames:
            self._close(self._number + 1)
        return self._rows

    def _cut(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self._track(cut.number - 1)
            self._close(cut.number)
            self._first, self._transition = cut.number, cut.transition

    def _close(self, end: int) -> None:
        """End the shot before the frame of that number."""
        length = end - self._first
        shot, self._frames = self._frames[:length], self._frames[length:]
        inside = [step for step in self._steps if step.last < end]
        self._steps = [step for step in self._steps if step.first >= end]
        motion = camera_motion(inside, *self.shrink.size_px)
        last_s = shot[-1][1]
        step_s = last_s - shot[-2][1] if len(shot) > 1 else 0.0
        self._rows.append(
            {
                "number": len(self._rows),
                "start_s": shot[0][1],
                "end_s": self._frames[0][1] if self._frames else last_s + step_s,
                "start_pts": shot[0][0],
                "frames": len(shot),
                "transition": self._transition,
                "motion": motion.motion,
                "direction": motion.direction,
                "dx_px": motion.dx_px * self.shrink.factor,
                "dy_px": motion.dy_px * self.shrink.factor,
                "zoom": motion.zoom,
                "confidence": motion.confidence,
            }
        )

    def _track(self, until: int) -> None:
        """Follow the camera up to the frame of that number."""
        while self._waiting and self._waiting[0][0] <= until:
            number, pts_s, grey = self._waiting.popleft()
            if grey is None or number == self._first:
                self._tracker.forget()
                self._tracked_s = -1.0
            if grey is not None and pts_s - self._tracked_s >= 1 / TRACKED_PER_S - 0.001:
                self._tracked_s = pts_s
                step = self._tracker.feed(number, grey)
                self._steps += [step] if step else []


@dataclass(frozen=True, kw_only=True)
class Shot(Detector):
    """The sharpest frames of each shot: what is not blank of it is cut into `frames_per_shot` equal parts, and the
    sharpest frame of each is taken, unless it is a fade's: of less than `FADED_SHARE` of the shot's best contrast."""

    frames_per_shot: int = 2
    cuts: CutSettings = DEFAULT_CUTS

    FADED_SHARE: ClassVar[float] = 0.6

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        finder, shrink, sharpest = CutFinder(self.cuts), Shrinker(), _Sharpest(4 * self.frames_per_shot)
        waiting: deque[tuple[int, Frame]] = deque()
        number = -1
        for number, frame in enumerate(frames):
            cuts = finder.feed(shrink(frame), frame.pts_s)
            if not (finder.in_blank or frame.corrupt):
                waiting.append((number, frame))
            yield from self._before(cuts, waiting, sharpest)
            sharpest.add(_taken(waiting, number - finder.LATE_FRAMES))
        yield from self._before([*finder.finish(), Cut(number + 1, "cut")], waiting, sharpest)

    def _before(self, cuts: list[Cut], waiting: deque[tuple[int, Frame]], sharpest: _Sharpest) -> Iterator[Frame]:
        """The chosen frames of the shots that these cuts end."""
        for cut in cuts:
            sharpest.add(_taken(waiting, cut.number - 1))
            yield from sharpest.finish(self.frames_per_shot, self.FADED_SHARE)


def _taken(waiting: deque[tuple[int, Frame]], until: int) -> Iterator[Frame]:
    """Frames up to that number, off the queue."""
    while waiting and waiting[0][0] <= until:
        yield waiting.popleft()[1]


class _Sharpest:
    """The sharpest frame of each of at most `places` equal stretches of a shot whose length is not known beforehand:
    when there are too many stretches, neighbours are joined."""

    FIRST_STRETCH_S = 0.1

    def __init__(self, places: int) -> None:
        self._places = places
        self._measure = VideoReformatter()
        self._begin()

    def _begin(self) -> None:
        self._stretch_s = self.FIRST_STRETCH_S
        self._start_s: float | None = None
        self._best: dict[int, _Measured] = {}  # by stretch

    def add(self, frames: Iterable[Frame]) -> None:
        """The next frames of the shot."""
        for frame in frames:
            if self._start_s is None:
                self._start_s = frame.pts_s
            self._take(self._measured(frame))
            while len(self._best) > self._places:
                self._stretch_s *= 2
                kept, self._best = self._best, {}
                for one in kept.values():
                    self._take(one)

    def finish(self, count: int, faded_share: float) -> list[Frame]:
        """At most `count` frames of the shot, in order; the next shot begins."""
        best = list(self._best.values())
        self._begin()
        if not best:
            return []
        contrast = max(one.contrast for one in best)
        clear = [one for one in best if one.contrast >= faded_share * contrast]
        first_s, last_s = clear[0].frame.pts_s, clear[-1].frame.pts_s
        parts: dict[int, _Measured] = {}
        for one in clear:
            share = (one.frame.pts_s - first_s) / (last_s - first_s) if last_s > first_s else 0.0
            _keep_sharper(parts, min(count - 1, int(share * count)), one)
        return [parts[part].frame for part in sorted(parts)]

    def _take(self, one: _Measured) -> None:
        assert self._start_s is not None
        _keep_sharper(self._best, int((one.frame.pts_s - self._start_s) / self._stretch_s), one)

    def _measured(self, frame: Frame) -> _Measured:
        """At half size, where noise counts for less."""
        image = frame.image
        size = {"width": max(2, image.width // 2), "height": max(2, image.height // 2)}
        grey = self._measure.reformat(image, **size, format="gray", interpolation="AREA").to_ndarray()
        edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]
        return _Measured(float(edges) ** 2, float(cv2.meanStdDev(grey)[1][0, 0]), frame)


class _Measured(NamedTuple):
    """A frame with the variance of its Laplacian and the standard deviation of its luma."""

    sharpness: float
    contrast: float
    frame: Frame


def _keep_sharper(best: dict[int, _Measured], part: int, one: _Measured) -> None:
    if part not in best or one.sharpness > best[part].sharpness:
        best[part] = one


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
