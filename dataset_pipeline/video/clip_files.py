"""Clips as files: H.264 in MP4, without sound, in the colour that stills have.

Frames come from the project's own decoding, converted as stills are: upright, with square pixels, in sRGB, without
bars. They are encoded by libx264, which PyAV's wheels bring along; BT.709 with limited range is written into stream and
file, so that whoever decodes a clip gets the same colours back. x264 is GPL: that holds for the library, not for files
that it has encoded. One thread and no dates: equal frames give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.images.resize import fitted_size
from dataset_pipeline.settings import ResizeBy
from dataset_pipeline.video.color import Conversion, to_yuv
from dataset_pipeline.video.decode import DecodeReport, Frame, VideoError, iter_frames

SIDE_STEP_PX = 16  # video models take sides that are multiples of it
ENCODER, PRESET = "libx264", "veryfast"
_BT709, _LIMITED = 1, 1
_TIE_S = 1e-6  # of two frames as near, the later one, whatever floats make of it


class ClipFileSettings(Protocol):
    """A section [training_clips]; see settings.toml."""

    @property
    def resize_by(self) -> ResizeBy: ...
    @property
    def max_side_px(self) -> int: ...
    @property
    def crf(self) -> int: ...


class NoEncoder(PermanentError, RuntimeError):
    """This build of PyAV cannot write H.264."""


@dataclass(frozen=True)
class ClipFile:
    """An encoded clip: its bytes, width and height."""

    data: bytes
    width_px: int
    height_px: int


def clip_files(
    path: Path,
    wanted: Iterable[Mapping[str, Any]],
    conversion: Conversion,
    frame_rate: float | None,
    settings: ClipFileSettings,
    hardware: str = "none",
) -> Iterator[tuple[str, ClipFile | ValueError]]:
    """(id, file) of each clip of a video, in one pass over it up to the last; instead of a file why there is none.

    wanted: image_id, start_s, frames and fps. frame_rate: the video's, per second. A clip's frame is the one nearest in
    time; what stands longer than the rate says is shown until the next one comes. Raises FileNotFoundError, NoEncoder.
    """
    waiting = sorted(wanted, key=lambda row: (row["start_s"], row["image_id"]))
    usual_s = 1 / frame_rate if frame_rate else 1 / 24
    begun: list[_Clip] = []
    before: Frame | None = None
    broken = "the video ends before it"
    try:
        for frame in _to_the_end(iter_frames(path, report=DecodeReport(), conversion=conversion, hardware=hardware)):
            if before is None:
                before = frame
                continue
            until_s = before.pts_s + usual_s if frame is None else _gives_way_s(before, frame, usual_s)
            while waiting and waiting[0]["start_s"] < until_s:
                begun.append(_Clip(waiting.pop(0), settings))
            for clip in begun:
                clip.show(before, until_s)
            yield from ((clip.image_id, clip.result()) for clip in begun if clip.is_over)
            begun = [clip for clip in begun if not clip.is_over]
            if frame is None or not (waiting or begun):
                break
            before = frame
    except VideoError as error:
        broken = error.reason
    for image_id in [*(clip.image_id for clip in begun), *(row["image_id"] for row in waiting)]:
        yield image_id, ValueError(broken)


def _to_the_end(frames: Iterator[Frame]) -> Iterator[Frame | None]:
    yield from frames
    yield None


def _gives_way_s(before: Frame, frame: Frame, usual_s: float) -> float:
    """Until when a frame is the one to show, before the next one."""
    return frame.pts_s - min(frame.pts_s - before.pts_s, usual_s) / 2


class _Clip:
    """A clip that is being made, frame by frame."""

    def __init__(self, row: Mapping[str, Any], settings: ClipFileSettings) -> None:
        self.image_id: str = row["image_id"]
        self._start_s, self._fps, self._frames = row["start_s"], row["fps"], row["frames"]
        self._settings = settings
        self._shown = 0
        self._encoder: _Encoder | None = None
        self._source_px: tuple[int, ...] = ()
        self._fault = ""

    @property
    def is_over(self) -> bool:
        return self._shown == self._frames or bool(self._fault)

    def show(self, frame: Frame, until_s: float) -> None:
        """Take a frame for all the times that come before `until_s`."""
        count = 0
        until_s -= _TIE_S
        while self._shown + count < self._frames and self._start_s + (self._shown + count) / self._fps < until_s:
            count += 1
        if not count or self._fault:
            return
        if frame.corrupt:
            self._fault = f"the video is damaged at {frame.pts_s:.3f} s"
            return
        rgb = frame.rgb()
        self._source_px = self._source_px or rgb.shape
        if rgb.shape != self._source_px:
            self._fault = f"the picture changes its size at {frame.pts_s:.3f} s"
            return
        if self._encoder is None:
            width, height = clip_size(rgb.shape[1], rgb.shape[0], self._settings)
            if min(width, height) < SIDE_STEP_PX:
                self._fault = f"{rgb.shape[1]}x{rgb.shape[0]} px are too few"
                return
            self._encoder = _Encoder(width, height, self._fps, self._settings.crf)
        self._encoder.add(_covering(rgb, self._encoder.width_px, self._encoder.height_px), count)
        self._shown += count

    def result(self) -> ClipFile | ValueError:
        if self._fault or self._encoder is None:
            return ValueError(self._fault)
        return self._encoder.finished()


def clip_size(width_px: int, height_px: int, settings: ClipFileSettings) -> tuple[int, int]:
    """Width and height of a clip: those of `[training_clips]`, cut to multiples of `SIDE_STEP_PX`, never enlarged."""
    width, height = fitted_size(width_px, height_px, settings.resize_by, settings.max_side_px)
    return width // SIDE_STEP_PX * SIDE_STEP_PX, height // SIDE_STEP_PX * SIDE_STEP_PX


def _covering(rgb: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Scaled so that it just covers the size, and what sticks out is cut off on both sides."""
    height, width = rgb.shape[:2]
    scale = max(width_px / width, height_px / height)
    size = max(width_px, round(width * scale)), max(height_px, round(height * scale))
    if size != (width, height):
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width_px) // 2, (size[1] - height_px) // 2
    return rgb[top : top + height_px, left : left + width_px]


class _Encoder:
    def __init__(self, width_px: int, height_px: int, fps: int, crf: int) -> None:
        self.width_px, self.height_px = width_px, height_px
        self._buffer, self._frames, self._fps = io.BytesIO(), 0, fps
        self._container = av.open(self._buffer, "w", format="mp4", options={"fflags": "+bitexact"})
        # With its macroblock tree x264 gives other bytes from run to run, even on one thread (seen with AVX-512).
        options = {"crf": str(crf), "preset": PRESET, "threads": "1", "x264-params": "mbtree=0"}
        try:
            self._stream = self._container.add_stream(ENCODER, rate=fps, options=options)
        except UnknownCodecError:
            raise NoEncoder(
                f"this build of PyAV has no {ENCODER}, which writes clips: install the wheel of `av` from PyPI, or set "
                "[clips] enabled = false"
            ) from None
        self._stream.width, self._stream.height, self._stream.pix_fmt = width_px, height_px, "yuv420p"
        self._stream.time_base = Fraction(1, fps)
        context = self._stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED

    def add(self, rgb: np.ndarray, count: int) -> None:
        """Show a picture, RGB uint8 [height, width, 3], for some frames."""
        image = to_yuv(rgb)
        image.time_base = Fraction(1, self._fps)
        for _ in range(count):
            image.pts = self._frames
            self._container.mux(self._stream.encode(image))
            self._frames += 1

    def finished(self) -> ClipFile:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return ClipFile(self._buffer.getvalue(), self.width_px, self.height_px)
