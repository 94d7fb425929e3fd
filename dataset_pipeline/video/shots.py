"""Shots of a video: where each begins and ends, how the camera moves in it, and its sharpest frames.

No frame is kept, only 670 bytes of each for the table: its times and its signature, 23 MB for 24 minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from dataset_pipeline.video.camera import Step, Tracker, camera_motion
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.cuts import DEFAULT_CUTS, Cut, CutFinder, CutSettings
from dataset_pipeline.video.decode import DecodeReport, Frame
from dataset_pipeline.video.frame_pass import Seen, View, Viewer, run_pass, shown_to
from dataset_pipeline.video.keyframes import Detector

SMALL_SIDE_PX = 180  # short side of the frames that cuts and motion are sought on
TRACKED_PER_S = 12.0
_TRACKED_AHEAD = 16  # frames that wait for the tracker


def find_shots(
    path: Path,
    conversion: Conversion | None,
    settings: CutSettings,
    report: DecodeReport,
    viewers: Sequence[Viewer] = (),
    hardware: str = "none",
    whole: bool = False,
) -> list[dict[str, Any]]:
    """The shots of a video in order, as rows of `shots` without their episode.

    They cover the frames without a gap: `start_pts` is a shot's first frame, `end_s` the start of the next shot or the
    end of the last frame. `transition` says how the shot begins. `dx_px` and `dy_px` are in pixels of the full upright
    picture, `motion` and the rest as in `CameraMotion`. `frame_pts`, `frame_pts_s` and `signatures` are of each
    of its frames, the last its luma at `SIGNATURE_PX`, uint8 row by row. The `viewers` look on in the same pass, which
    is `whole` as in `run_pass`. Damage is written into `report`; a video without a readable frame gives none. Raises
    FileNotFoundError and HardwareMissing.
    """
    with closing(ShotFinder(settings)) as finder:
        run_pass(path, [finder, *viewers], report, conversion, hardware, whole)
        return finder.finished()


class CutWatch:
    """Finds the cuts of a pass, once for all who ask for them while it goes on."""

    view = View(SMALL_SIDE_PX)

    def __init__(self, settings: CutSettings) -> None:
        self.finder = CutFinder(settings)
        self.certain: list[Cut] = []  # what the last frame has made certain, or the end of all frames
        self._is_over = False

    def feed(self, seen: Seen) -> None:
        self.certain = self.finder.feed(seen.bgr, seen.grey, seen.pts_s)

    def finish(self) -> list[Cut]:
        """The cuts left when there are no more frames, whoever asks first."""
        if not self._is_over:
            self._is_over, self.certain = True, self.finder.finish()
        return self.certain


class ShotFinder:
    """Puts a video's frames, cuts and camera motion together to rows, one shot after another.

    The camera is followed in a thread of its own, frame after frame, until it is closed.
    """

    view = View(SMALL_SIDE_PX)

    def __init__(self, settings: CutSettings) -> None:
        self.watch = CutWatch(settings)
        self._tracker, self._tracking = Tracker(), ThreadPoolExecutor(1)
        self._rows: list[dict[str, Any]] = []
        self._first, self._transition = 0, "start"  # of the shot that goes on
        self._frames: list[tuple[int, float, bytes]] = []  # pts, pts_s and signature from its first on
        self._steps: deque[tuple[int, Future[Step | None]]] = deque()  # by the number of the frame that they lead to
        self._waiting: deque[tuple[int, float, np.ndarray | None]] = deque()  # to be tracked: number, pts_s, grey
        self._tracked_s = -1.0
        self._begins = True  # with the next tracked frame the camera is followed anew
        self._last: Seen | None = None

    def feed(self, seen: Seen) -> None:
        self._last = seen
        self.watch.feed(seen)
        finder = self.watch.finder
        self._frames.append((seen.pts, seen.pts_s, finder.signature.tobytes()))
        self._waiting.append((seen.number, seen.pts_s, None if finder.in_blank else seen.grey))
        self._cut(self.watch.certain)
        self._track(seen.number - finder.LATE_FRAMES)  # no cut can come to lie before it any more

    def finished(self) -> list[dict[str, Any]]:
        """The rows of all shots, when there are no more frames."""
        if self._last is not None:
            self._cut(self.watch.finish())
            self._track(self._last.number)
            self._close(self._last.number + 1)
        return self._rows

    def close(self) -> None:
        """End the thread, without waiting for what nobody asks for any more."""
        self._tracking.shutdown(wait=False, cancel_futures=True)

    def _cut(self, cuts: list[Cut]) -> None:
        for cut in cuts:
            self._track(cut.number - 1)
            self._close(cut.number)
            self._first, self._transition = cut.number, cut.transition

    def _close(self, end: int) -> None:
        """End the shot before the frame of that number."""
        assert self._last is not None
        length = end - self._first
        shot, self._frames = self._frames[:length], self._frames[length:]
        steps = [future.result() for number, future in self._steps if number < end]
        self._steps = deque(one for one in self._steps if one[0] >= end)
        height, width = self._last.grey.shape
        motion = camera_motion([step for step in steps if step and step.first >= self._first], width, height)
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
                "dx_px": motion.dx_px * self._last.factor,
                "dy_px": motion.dy_px * self._last.factor,
                "zoom": motion.zoom,
                "confidence": motion.confidence,
                "frame_pts": [pts for pts, _, _ in shot],
                "frame_pts_s": [pts_s for _, pts_s, _ in shot],
                "signatures": b"".join(signature for _, _, signature in shot),
            }
        )

    def _track(self, until: int) -> None:
        """Follow the camera up to the frame of that number."""
        while self._waiting and self._waiting[0][0] <= until:
            number, pts_s, grey = self._waiting.popleft()
            if grey is None or number == self._first:
                self._begins, self._tracked_s = True, -1.0
            if grey is not None and pts_s - self._tracked_s >= 1 / TRACKED_PER_S - 0.001:
                self._tracked_s = pts_s
                self._steps.append((number, self._tracking.submit(self._followed, number, grey, self._begins)))
                self._begins = False
                if len(self._steps) > _TRACKED_AHEAD:
                    self._steps[-_TRACKED_AHEAD][1].result()  # so that no more of them wait

    def _followed(self, number: int, grey: np.ndarray, begins: bool) -> Step | None:
        if begins:
            self._tracker.forget()
        return self._tracker.feed(number, grey)


@dataclass(frozen=True, kw_only=True)
class Shot(Detector):
    """The sharpest frames of each shot: what is not blank of it is cut into `frames_per_shot` equal parts, and the
    sharpest frame of each is taken, unless it is a fade's: of less than `FADED_SHARE` of the shot's best contrast.

    `watch`: who finds the cuts by looking on in the same pass, for one video; without it they are found by `cuts`."""

    frames_per_shot: int = 2
    cuts: CutSettings = DEFAULT_CUTS
    watch: CutWatch | None = None

    FADED_SHARE: ClassVar[float] = 0.6

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        watch, sharpest = self.watch, _Sharpest(4 * self.frames_per_shot)
        if watch is None:
            watch = CutWatch(self.cuts)
            frames = shown_to([watch], frames)
        waiting: deque[tuple[int, Frame]] = deque()
        number = -1
        for number, frame in enumerate(frames):
            if not (watch.finder.in_blank or frame.corrupt):
                waiting.append((number, frame))
            yield from self._before(watch.certain, waiting, sharpest)
            sharpest.add(_taken(waiting, number - CutFinder.LATE_FRAMES))
        yield from self._before([*watch.finish(), Cut(number + 1, "cut")], waiting, sharpest)

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
