"""One pass over the frames of a video for all who look at them: each is decoded once and made small once for each size.

A viewer declares of which size and how often it wants to see the picture; to add one is to hand it to `run_pass` with
the others. The decoder's threads, one that makes small copies and the viewers work at the same time, on frames in their
order: a file is not cut into segments, since the damage and the time line of a place depend on what came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, inf, log2
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

import av
import cv2
import numpy as np
from av.filter import Graph
from av.video.reformatter import VideoReformatter

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.video.color import Conversion, is_mirrored, square_size, upright
from dataset_pipeline.video.decode import DecodeReport, Frame, VideoError, iter_frames

Kept = TypeVar("Kept")

_FRAMES_AHEAD = 3  # made small while viewers look at the one before
# Rows of a frame to one of its copy that are enough: to fetch rows from memory takes longer than all sums over them.
_ENOUGH_ROWS = 3.0


@dataclass(frozen=True)
class View:
    """What a viewer wants: copies with that short side, of each frame or of the first in each `1 / per_s` seconds."""

    short_side_px: int
    per_s: float = inf


@dataclass(frozen=True, eq=False)
class Seen:
    """A small copy of a frame: upright, with square pixels, without bars, of the same size all along.

    `number` counts all frames of the video. `bgr`: uint8 [height, width, 3]; `grey`: its luma, uint8 [height, width].
    `factor`: pixels of the full upright picture to one of the copy, at least 1.
    """

    number: int
    pts: int
    pts_s: float
    bgr: np.ndarray
    grey: np.ndarray
    factor: float


class Viewer(Protocol):
    """Who looks at the frames of a pass."""

    @property
    def view(self) -> View: ...

    def feed(self, seen: Seen) -> None:
        """The next frame that is due, in order."""
        ...


def run_pass(
    path: Path,
    viewers: Sequence[Viewer],
    report: DecodeReport,
    conversion: Conversion | None = None,
    hardware: str = "none",
    whole: bool = False,
) -> None:
    """Show the frames of a video to all viewers, each what it is due.

    `whole`: copies are made of the very pixels that `shown_to` makes them of; else of frames that are decoded for small
    copies, and of no more of their rows than are enough, which is faster. Damage is written into `report`, also that no
    frame can be read. A few frames are held at a time, however long the video. Raises FileNotFoundError and
    HardwareMissing.
    """
    frames = iter_frames(path, report=report, conversion=conversion, hardware=hardware, for_small=not whole)
    try:
        for _ in _looked_at(frames, viewers, lambda frame: None, whole):
            pass
    except VideoError as error:
        report.reasons.append(error.reason)


def shown_to(viewers: Sequence[Viewer], frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames of a whole video as they come, each when all viewers have seen what they are due of it: for who needs
    them at full size. They are read a few ahead. Raises what reading them raises."""
    return _looked_at(frames, viewers, lambda frame: frame, whole=True)


def _looked_at(
    frames: Iterator[Frame], viewers: Sequence[Viewer], kept: Callable[[Frame], Kept], whole: bool
) -> Iterator[Kept]:
    """What is `kept` of each frame, after it was looked at."""
    shrinkers = {side: Shrinker(side, whole) for side in sorted({viewer.view.short_side_px for viewer in viewers})}

    def shrunk(due: tuple[int, Frame, list[Viewer]]) -> tuple[list[tuple[Viewer, Seen]], Kept]:
        number, frame, now = due
        sides = {viewer.view.short_side_px for viewer in now}
        seen = {side: shrinkers[side](number, frame) for side in sorted(sides)}
        return [(viewer, seen[viewer.view.short_side_px]) for viewer in now], kept(frame)

    with _ONE_THREAD:
        # One thread: the size of all copies is that of the first.
        for shown, frame in map_ahead(shrunk, _timetable(frames, viewers), threads=1, ahead=_FRAMES_AHEAD):
            for viewer, seen in shown:
                viewer.feed(seen)
            yield frame


def _timetable(frames: Iterator[Frame], viewers: Sequence[Viewer]) -> Iterator[tuple[int, Frame, list[Viewer]]]:
    """Each frame with its number and the viewers that are due to see it."""
    stretches = [-1] * len(viewers)
    for number, frame in enumerate(frames):
        now = []
        for place, viewer in enumerate(viewers):
            rate = viewer.view.per_s
            stretch = number if rate == inf else floor(frame.pts_s * rate + 1e-6)
            if stretch > stretches[place]:
                stretches[place] = stretch
                now.append(viewer)
        yield number, frame, now


class _OneThread:
    """OpenCV on one thread while any pass is under way: of pictures so small its threads wait longer for one another
    than they work. The number is the whole process's, so the last pass gives it back."""

    def __init__(self) -> None:
        self._lock, self._passes, self._threads_before = Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._passes:
                self._threads_before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._passes += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._passes -= 1
            if not self._passes:
                cv2.setNumThreads(self._threads_before)


_ONE_THREAD = _OneThread()


class Shrinker:
    """Makes the small copies of a video's frames, of the `whole` or of as many rows as are enough; all are of the first
    one's size."""

    def __init__(self, short_side_px: int, whole: bool) -> None:
        self._short_side_px = short_side_px
        self._thinned = _no_thinner if whole else _Thinner()
        self._reformatter = VideoReformatter()
        self._shapes: dict[tuple[int, int, Fraction], _Shape] = {}
        self._factor = 1.0
        self._size_px = (0, 0)

    def __call__(self, number: int, frame: Frame) -> Seen:
        image, how = frame.image, frame.conversion
        sar = frame.sar if how.measured_on is not None or how.sar is None else how.sar
        shape = self._shapes.get(key := (image.width, image.height, sar))
        if shape is None:
            shape = self._shapes[key] = self._shape_of(*key)
        width, height = shape.size_px
        area = {"interpolation": "AREA", "threads": 1}
        copy = self._reformatter.reformat(self._thinned(image, height), width, height, "bgr24", **area).to_ndarray()
        rotation_deg = image.rotation if how.rotation_deg is None else how.rotation_deg
        shown = upright(copy, rotation_deg, is_mirrored(image) if how.mirrored is None else how.mirrored)
        if (shape.full_px[::-1] if round(rotation_deg / 90) % 2 else shape.full_px) == how.bars_size_px:
            # One more pixel of each side with a bar: its edge is blurred into it.
            left, top, right, bottom = (int(-(-bar // shape.factor)) + 1 if bar else 0 for bar in how.bars_px)
            shown = shown[top : shown.shape[0] - bottom, left : shown.shape[1] - right]
        bgr = np.ascontiguousarray(shown)
        if self._size_px == (0, 0):
            self._factor, self._size_px = shape.factor, (bgr.shape[1], bgr.shape[0])
        if (bgr.shape[1], bgr.shape[0]) != self._size_px:
            bgr = cv2.resize(bgr, self._size_px, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        return Seen(number, frame.pts, frame.pts_s, bgr, grey, self._factor)

    def _shape_of(self, width: int, height: int, sar: Fraction) -> _Shape:
        full_px = square_size(width, height, sar)
        factor = max(1.0, min(full_px) / self._short_side_px)
        return _Shape(full_px, factor, (max(8, round(full_px[0] / factor)), max(8, round(full_px[1] / factor))))


class _Thinner:
    """Leaves out every other row of pictures, again and again, while there are enough for a copy of that height. No
    pixel is copied for it: the rows of what is given lie further apart."""

    def __init__(self) -> None:
        self._graphs: dict[tuple[object, ...], Graph] = {}

    def __call__(self, image: av.VideoFrame, height_px: int) -> av.VideoFrame:
        times = max(0, floor(log2(image.height / (_ENOUGH_ROWS * height_px))))
        if not times or not image.format.name.startswith("yuv"):
            return image
        key = image.width, image.height, image.format.name, image.colorspace, image.color_range, times
        graph = self._graphs.get(key)
        if graph is None:
            graph = self._graphs[key] = self._graph_for(image, times)
        graph.vpush(image)
        return graph.vpull()

    @staticmethod
    def _graph_for(image: av.VideoFrame, times: int) -> Graph:
        graph = Graph()
        graph.threads = 1
        time_base = image.time_base or Fraction(1, 1000)
        source = graph.add_buffer(width=image.width, height=image.height, format=image.format, time_base=time_base)
        halves = [graph.add("field", "top") for _ in range(times)]
        graph.link_nodes(source, *halves, graph.add("buffersink")).configure()
        return graph


def _no_thinner(image: av.VideoFrame, height_px: int) -> av.VideoFrame:
    return image


class _Shape(NamedTuple):
    """Of pictures with square pixels, as coded: their size, and how many times smaller a copy is, and its size."""

    full_px: tuple[int, int]
    factor: float
    size_px: tuple[int, int]
