"""Frames that differ from the last one kept: the rule of ffmpeg's `mpdecimate` filter, which PyAV's wheels lack.

Written from the filter's documentation (hi, lo, frac, max) and from its answers to frames made for the purpose, which
settle what the documentation leaves open: 8x8 blocks begin every 4 pixels and the first 8 columns are not looked at;
each plane, chroma and alpha too, is judged for itself; of a plane of W x H pixels (W // 16) * (H // 16) * frac blocks
may differ by more than `lo`; all else than 8-bit planar YUV and RGB is converted to it first; what is kept because
`max` frames were dropped is not compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.filter import Graph

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.video.color import upright
from dataset_pipeline.video.decode import Frame
from dataset_pipeline.video.keyframes import Detector

HI, LO, FRAC = 64 * 12, 64 * 5, 0.33

# The pixel formats whose planes the filter compares as they are.
_PLANAR = (
    *("yuv444p", "yuv440p", "yuv422p", "yuv420p", "yuv411p", "yuv410p"),
    *("yuvj444p", "yuvj440p", "yuvj422p", "yuvj420p", "yuva444p", "yuva422p", "yuva420p", "gbrp"),
)
_SKIPPED_COLUMNS, _CELL_PX, _BLOCK_SAMPLES, _BAND_PX = 8, 4, 64, 128
_FRAMES_AHEAD = 4  # decoded while one is compared
_ODD_BYTES = np.uint64(0x00FF00FF00FF00FF)


@dataclass(frozen=True, kw_only=True)
class MpDecimate(Detector):
    """Every frame that `ffmpeg -vf mpdecimate=hi=...:lo=...:frac=...:max=...` keeps.

    A frame is dropped if no block differs from the last kept frame by more than `hi` (sum of the absolute differences
    of 64 samples) and no more than the share `frac` of them by more than `lo`. `max_drop`: so many in a row are
    dropped at most; 0 sets no limit.
    """

    hi: int = HI
    lo: int = LO
    frac: float = FRAC
    max_drop: int = 0

    def chosen(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        planes_of = _Planes()
        reference: list[np.ndarray] = []
        dropped = 0

        def judged(frame: Frame) -> tuple[Frame, bool]:
            nonlocal reference, dropped
            planes = planes_of(frame)
            if self._differ(planes, reference):
                reference, dropped = planes, 0
            elif self.max_drop and dropped == self.max_drop:
                dropped = 0
            else:
                dropped += 1
                return frame, False
            return frame, True

        # One thread, as each answer depends on those before it; the decoder is fed meanwhile.
        for frame, is_kept in map_ahead(judged, frames, threads=1, ahead=_FRAMES_AHEAD):
            if is_kept:
                yield frame

    def _differ(self, planes: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> bool:
        if [plane.shape for plane in planes] != [plane.shape for plane in reference]:
            return True  # the first frame; a stream that changes its size begins again
        return any(
            plane_differs(one, other, self.hi, self.lo, self.frac) for one, other in zip(planes, reference, strict=True)
        )


def plane_differs(plane: np.ndarray, reference: np.ndarray, hi: int, lo: int, frac: float) -> bool:
    """Whether two planes, uint8 [height, width], differ by more than the thresholds allow."""
    height, width = (side - side % _CELL_PX for side in plane.shape)
    allowed = int(np.float32((plane.shape[1] // 16) * (plane.shape[0] // 16)) * np.float32(frac))
    columns = slice(_SKIPPED_COLUMNS, width)
    blocks_above_lo = 0
    # Bands fit the cache, and most frames that differ do so in the first. Each takes in the first cells of the next,
    # which its last blocks reach into.
    for top in range(0, height - _CELL_PX, _BAND_PX):
        rows = slice(top, min(height, top + _BAND_PX + _CELL_PX))
        one, other = plane[rows, columns], reference[rows, columns]
        # The largest difference alone tells of most bands that none of their blocks is above a threshold.
        largest = cv2.norm(one, other, cv2.NORM_INF) if one.size else 0
        if largest * _BLOCK_SAMPLES <= min(hi, lo):
            continue
        difference = cv2.absdiff(one, other)
        if _BLOCK_SAMPLES * (_highest_cell_mean(difference) + 1) <= min(hi, lo):
            continue
        cells = _cell_sums(difference, largest)
        pairs = cells[:-1] + cells[1:]
        blocks = pairs[:, :-1] + pairs[:, 1:]
        blocks_above_lo += np.count_nonzero(blocks > lo)
        if blocks_above_lo > allowed or (blocks.size and blocks.max() > hi):
            return True
    return False


def _highest_cell_mean(difference: np.ndarray) -> float:
    """The highest mean of a 4x4 cell, at most 1 off: halved twice, which is much faster than exact sums."""
    height, width = difference.shape
    for factor in (2, 4):
        size = width // factor, height // factor
        difference = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
    return cv2.norm(difference, cv2.NORM_INF)


def _cell_sums(difference: np.ndarray, largest: float) -> np.ndarray:
    """Sums of 4x4 cells, uint32, of differences up to `largest`; the sides are multiples of 4.

    Eight bytes are added at a time, as 16-bit lanes of one number: a row of a cell sums to at most 4 * 255, a cell to
    4080, so that no lane overflows.
    """
    width = difference.shape[1]
    if width % 8:
        difference = np.pad(difference, ((0, 0), (0, 8 - width % 8)))
    if largest * 4 <= 255:  # four rows fit a byte, and adding them first leaves a quarter to widen
        pairs = _pair_sums(_sums_of_four_rows(difference))
    else:
        pairs = _sums_of_four_rows(_pair_sums(difference))
    halves = pairs.view(np.uint32)
    return ((halves + (halves >> np.uint32(16))) & np.uint32(0xFFFF))[:, : width // _CELL_PX]


def _sums_of_four_rows(rows: np.ndarray) -> np.ndarray:
    sums = rows[0::4] + rows[1::4]
    sums += rows[2::4]
    sums += rows[3::4]
    return sums


def _pair_sums(samples: np.ndarray) -> np.ndarray:
    """Bytes added to their neighbours: four 16-bit sums in each uint64."""
    eights = samples.view(np.uint64)
    sums = eights >> np.uint64(8)
    sums &= _ODD_BYTES
    sums += eights & _ODD_BYTES
    return sums


class _Planes:
    """The 8-bit planes of frames, upright, converted as ffmpeg's filter graphs do where the frame has others."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._takes: tuple[int, int, str] | None = None

    def __call__(self, frame: Frame) -> list[np.ndarray]:
        image, mirrored = frame.image, bool(frame.conversion.mirrored)
        rotation_deg = image.rotation
        if image.format.name not in _PLANAR:
            image = self._converted(image)
        planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
            for plane in image.planes
        ]
        if not mirrored and not round(rotation_deg / 90) % 4:
            return planes
        return [np.ascontiguousarray(upright(plane, rotation_deg, mirrored)) for plane in planes]

    def _converted(self, image: av.VideoFrame) -> av.VideoFrame:
        takes = image.width, image.height, image.format.name
        if self._graph is None or takes != self._takes:
            self._graph, self._takes = Graph(), takes
            self._graph.threads = 1
            source = self._graph.add_buffer(
                width=image.width, height=image.height, format=image.format, time_base=image.time_base
            )
            planar = self._graph.add("format", "|".join(_PLANAR))
            self._graph.link_nodes(source, planar, self._graph.add("buffersink")).configure()
        self._graph.vpush(image)
        return self._graph.vpull()
