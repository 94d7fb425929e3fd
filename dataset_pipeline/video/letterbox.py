"""Black bars around the picture, found over many frames of a file.

A line belongs to a bar where it is as dark as the outermost lines. In a frame that is lit up to the bar the picture
begins at a straight edge over most of the width; a bar is an edge that many frames have at the same line. Dark scenes,
fades and title cards have no such edge and say nothing; scenes without bars say where they begin: at 0. Noise is
averaged along lines; subtitles in a bar light too little of a line to end it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SEGMENTS = 24  # along a line, each lit or dark on its own
LIT_ABOVE = 3.5  # grey levels of 255 over the bar
BRIGHTEST_BAR = 6  # grey levels of 255 over black: brighter borders are picture
_LIT_SHARE = 0.5  # of the segments of a line, for it to be picture
_CONTRAST = 8.0  # grey levels over the bar just inside an edge, for it to count
_EDGE_SHARE = 0.25  # of the lit frames that must have the edge at the same line
_LONE_EDGE_SHARE = 0.6  # the same where the opposite side has no bar: few pictures are cut off on one side only
_MAX_ALWAYS_LIT = 0.08  # of a bar, in all frames: a logo may stand in it
_MAX_UNEVEN = 1.0  # grey levels by which half of a bar may stray: a dark sky has more
FRAMES_THAT_AGREE = 3
_MAX_SHARE = 0.4  # of the side's length that a bar may take
_MIN_PX = 3
_SAME_PX = 1
_BLEND_PX = 3  # lines between bar and picture that a scaler may have mixed
_FULL_RISE = 0.8


@dataclass(frozen=True)
class Bars:
    """Lines and columns of black on each side of the coded picture."""

    left_px: int = 0
    top_px: int = 0
    right_px: int = 0
    bottom_px: int = 0


def find_bars(frames: Sequence[np.ndarray], black: float = 16, chroma_px: int = 2) -> Bars:
    """The bars that the frames of one file have, from luma uint8 [height, width] of frames at many places.

    `black`: the luma of black (16 limited, 0 full range). `chroma_px`: luma samples to a chroma sample: edges are
    rounded inwards to them, because a chroma sample astride an edge carries half the bar.
    """
    same_size = [frame for frame in frames if frame.shape == frames[0].shape]
    if not same_size:
        return Bars()
    height, width = same_size[0].shape
    top = bottom = left = right = 0
    for _ in range(2):  # with bars on all sides the first look at rows still has the columns' bars in it
        rows = [_segment_means(frame[:, left : width - right]) for frame in same_size]
        top, bottom = _pair(rows, black, chroma_px)
        columns = [_segment_means(frame[top : height - bottom], along_columns=True) for frame in same_size]
        left, right = _pair(columns, black, chroma_px)
        if not (left or right):
            break
    return Bars(left, top, right, bottom)


def _segment_means(picture: np.ndarray, along_columns: bool = False) -> np.ndarray:
    """Mean of each of up to `SEGMENTS` pieces of each line, float32 [lines, segments]."""
    height, width = picture.shape
    if along_columns:
        return cv2.resize(picture, (width, min(SEGMENTS, height)), interpolation=cv2.INTER_AREA).T.astype(np.float32)
    return cv2.resize(picture, (min(SEGMENTS, width), height), interpolation=cv2.INTER_AREA).astype(np.float32)


def _pair(frames: Sequence[np.ndarray], black: float, chroma_px: int) -> tuple[int, int]:
    """Bars at both ends of the lines."""
    reverse = [frame[::-1] for frame in frames]
    first, last = _edge(frames, black, chroma_px, _EDGE_SHARE), _edge(reverse, black, chroma_px, _EDGE_SHARE)
    if first and not last:
        first = _edge(frames, black, chroma_px, _LONE_EDGE_SHARE)
    if last and not first:
        last = _edge(reverse, black, chroma_px, _LONE_EDGE_SHARE)
    return first, last


def _edge(frames: Sequence[np.ndarray], black: float, chroma_px: int, share: float) -> int:
    """Lines of bar before the first line of picture, from the segment means of frames, [lines, segments] each."""
    length = len(frames[0])
    borders = sorted(float(np.median(frame[:2])) for frame in frames)
    bar = borders[(len(borders) - 1) // 4]
    if bar > black + BRIGHTEST_BAR:
        return 0
    edges = [_first_lit(frame, bar) for frame in frames]
    lit = sum(float(frame.mean()) > bar + _CONTRAST for frame in frames)
    bars = [edge for edge in edges if edge is not None and _MIN_PX <= edge <= _MAX_SHARE * length]
    if not bars:
        return 0
    together = {edge: sum(abs(edge - other) <= _SAME_PX for other in bars) for edge in set(bars)}
    edge = max(together, key=lambda candidate: (together[candidate], -candidate))
    if together[edge] < max(FRAMES_THAT_AGREE, share * lit):
        return 0
    having = [
        frame for frame, found in zip(frames, edges, strict=True) if found is not None and abs(found - edge) <= _SAME_PX
    ]
    if (np.min([frame[:edge] for frame in having], axis=0) > bar + LIT_ABOVE).mean() > _MAX_ALWAYS_LIT:
        return 0
    edge = max(edge, _end_of_blend(having, edge, bar))
    return -(-edge // chroma_px) * chroma_px


def _first_lit(frame: np.ndarray, bar: float) -> int | None:
    """The line at which this frame's picture begins, or None where it begins in the dark."""
    lit = (frame > bar + LIT_ABOVE).mean(axis=1) >= _LIT_SHARE
    if not lit.any():
        return None
    edge = int(lit.argmax())
    strays = np.abs(frame[:edge] - bar)
    if edge and np.median(strays) > _MAX_UNEVEN:
        return None
    inside = frame[edge + 1 : edge + 5]
    if not inside.size or np.median(inside) < bar + _CONTRAST:
        return None  # a gradient or a fade: no edge
    return edge


def _end_of_blend(frames: Sequence[np.ndarray], edge: int, bar: float) -> int:
    """The first line from `edge` on that has the brightness of those after it."""
    profile = np.mean([np.median(frame, axis=1) for frame in frames], axis=0) - bar
    inside = float(np.median(profile[edge + _BLEND_PX : edge + _BLEND_PX + 3]))
    line = edge
    while line < edge + _BLEND_PX and profile[line] < _FULL_RISE * min(inside, float(profile[line + 1])):
        line += 1
    return line
