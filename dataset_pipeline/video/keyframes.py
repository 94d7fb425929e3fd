"""Candidate frames of a video. A detector is one class with one method, `chosen(frames)`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import cv2
import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.images.defects import Defects, defects
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.decode import DecodeReport, Frame, iter_frames
from dataset_pipeline.video.frame_pass import Viewer, shown_to
from dataset_pipeline.video.stream import MAX_THREADS

Item = TypeVar("Item")
Answer = TypeVar("Answer")

WORKING_SHORT_SIDE_PX = 288
BLACK_BELOW = 32  # of 255: ffmpeg's blackframe filter counts the same pixels


@dataclass(frozen=True)
class Signals:
    """Cheap measures of one picture at full size, taken on its luma (BT.601 weights of its RGB).

    `sharpness`: variance of the Laplacian, in squared grey levels of 255 (Pech-Pacheco et al. 2000).
    `brightness`, `contrast`: mean and standard deviation, 0..1. `blackness`: share of pixels darker than 32/255.
    `entropy`: Shannon entropy of the 256-bin histogram, in bits. `defects`: what is wrong with it.
    """

    sharpness: float
    brightness: float
    contrast: float
    blackness: float
    entropy: float
    defects: Defects


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate frame: a small working copy (RGB uint8 HxWx3) and signals taken at full size.

    `pts` is in the stream's time base and finds the frame again with `frames_at`; `pts_ms` and `pts_s` count from
    the first video frame; `width_px`, `height_px` are of the full picture, upright with square pixels.
    """

    pts: int
    pts_ms: int
    pts_s: float
    image: np.ndarray
    width_px: int
    height_px: int
    signals: Signals


@dataclass(frozen=True, kw_only=True)
class Detector(ABC):
    """Says which frames of a video are candidates: a subclass writes `chosen`.

    `conversion` says how frames become pictures (`iter_frames`); `hardware` is a device to decode on, or `none`.
    """

    short_side_px: int = WORKING_SHORT_SIDE_PX
    conversion: Conversion | None = None
    hardware: str = "none"

    intra_only: ClassVar[bool] = False

    @abstractmethod
    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The candidates among all frames (all intra frames, if `intra_only`), in the same order."""

    def candidates(
        self, path: Path, report: DecodeReport | None = None, viewers: Sequence[Viewer] = ()
    ) -> Iterator[Candidate]:
        """In the order of their timestamps, less those that decode with errors; damage is written into `report`.

        Frames are converted and measured on all cores while decoding goes on; as many are held as there are threads,
        and one more. The `viewers` look on in the same pass, at every frame; of intra frames alone there is none to be
        had. Raises FileNotFoundError and VideoError.
        """
        if viewers and self.intra_only:
            raise ValueError(f"{type(self).__name__} decodes intra frames alone: viewers would miss the others")
        frames = iter_frames(
            path,
            intra_only=self.intra_only,
            or_marked=True,
            report=report,
            conversion=self.conversion,
            hardware=self.hardware,
        )
        if viewers:
            frames = shown_to(viewers, frames)
        whole = (frame for frame in self.chosen(frames) if not frame.corrupt)
        return ahead(lambda frame: candidate(frame, self.short_side_px), whole)


@dataclass(frozen=True, kw_only=True)
class IFrames(Detector):
    """Every intra frame, as `ffmpeg -vf select=eq(pict_type\\,I)` picks them, and where it finds next to none, the
    container's key frames."""

    intra_only: ClassVar[bool] = True

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        return frames


@dataclass(frozen=True, kw_only=True)
class Interval(Detector):
    """The first frame of every `every_s` seconds, by timestamps, counted from the first frame. Seconds in which no
    frame begins (variable frame rates) have none."""

    every_s: float

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        taken = -1
        for frame in frames:
            # Timestamps are rounded: a frame half a millisecond early is on time.
            stretch = math.floor((frame.pts_s + 0.0005) / self.every_s)
            if stretch > taken and not frame.corrupt:
                taken = stretch
                yield frame


@dataclass(frozen=True, kw_only=True)
class Picked(Detector):
    """The frames with these timestamps, in the stream's time base, which somebody else has picked."""

    pts: frozenset[int]

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        waiting = len(self.pts)
        for frame in frames if waiting else ():
            if frame.pts in self.pts:
                yield frame
                waiting -= 1
                if not waiting:
                    return


def ahead(function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """`map(function, items)` with the function on all cores, a few items ahead of what is taken from it."""
    threads = min(MAX_THREADS, usable_cores())
    return map_ahead(function, items, threads, ahead=threads)


def candidate(frame: Frame, short_side_px: int) -> Candidate:
    """The frame's working copy and signals."""
    rgb = frame.rgb()
    height, width = rgb.shape[:2]
    return Candidate(
        frame.pts, frame.pts_ms, frame.pts_s, working_copy(rgb, short_side_px), width, height, measure(rgb)
    )


def working_copy(rgb: np.ndarray, short_side_px: int) -> np.ndarray:
    """The picture area-averaged to that short side; a smaller one as it is."""
    height, width = rgb.shape[:2]
    scale = short_side_px / min(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def measure(rgb: np.ndarray) -> Signals:
    """Signals of an RGB uint8 picture, HxWx3."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    histogram = np.bincount(luma.ravel(), minlength=256)
    share = histogram / luma.size
    levels = np.arange(256)
    mean = float(share @ levels)
    _, edge_std = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    present = share[share > 0]
    return Signals(
        sharpness=float(edge_std[0, 0] ** 2),
        brightness=mean / 255,
        contrast=float(np.sqrt(share @ (levels - mean) ** 2)) / 255,
        blackness=float(share[:BLACK_BELOW].sum()),
        entropy=float(-(present * np.log2(present)).sum()),
        defects=defects(luma),
    )
