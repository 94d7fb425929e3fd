"""Whole frames from fields: inverse telecine by matching fields, deinterlacing where fields were taken apart in time.

What becomes of a frame depends on it and its two neighbours alone, so the same timestamp gives the same picture however
it was reached. A telecined file keeps all its frames and timestamps: of five, one shows the film picture of another.
"""

from fractions import Fraction

import av
import cv2
import numpy as np
from av.filter import Graph

from dataset_pipeline.video.cadence import combing, luma, moving, woven
from dataset_pipeline.video.color import Cadence

COMBED_BLOCK_PX = 16
COMBED_ABOVE = 8  # grey levels of 255
MAX_COMBED_IN_BLOCK = 10  # of 256 pixels, where something moves
MAX_COMBED_AT_REST = 100  # a frozen frame keeps its combing, but fine lines at rest look alike


def restored(
    before: av.VideoFrame | None, image: av.VideoFrame, after: av.VideoFrame | None, cadence: Cadence
) -> av.VideoFrame:
    """The picture freed from combing. `before`, `after`: its neighbours in time, None at the ends of the video.

    What is not combed stays as it is. Telecined pictures get the other field from the neighbour where it fits, and are
    deinterlaced where none fits; interlaced ones are deinterlaced (bwdif), their first field kept. Neighbours of
    another size or pixel format count as none.
    """
    if cadence == "progressive":
        return image
    before, after = (other if other is not None and _alike(other, image) else None for other in (before, after))
    lines = [luma(frame) if frame is not None else None for frame in (before, image, after)]
    picture = lines[1]
    assert picture is not None
    if picture.shape[0] < 4 or (before is None and after is None):
        return image
    mask = moving(*(picture if one is None else one for one in lines))  # type: ignore[misc]
    if not _is_combed(picture, mask):
        return image
    if cadence in ("telecined", "telecined_bff"):
        neighbours = [(before, lines[0]), (after, lines[2])]
        for neighbour, other in neighbours if cadence == "telecined" else reversed(neighbours):
            if neighbour is not None and other is not None and not _is_combed(woven(picture, other), mask):
                return _woven_frame(image, neighbour)
    return _deinterlaced(before, image, after, "bff" if cadence in ("bff", "telecined_bff") else "tff")


def combed_in_block(picture: np.ndarray, mask: np.ndarray | None = None) -> int:
    """The most combed pixels in a block of 16x16, of luma uint8 [height, width]; where `mask` is 255, if given."""
    combed = cv2.threshold(combing(picture), COMBED_ABOVE, 1, cv2.THRESH_BINARY)[1]
    if mask is not None:
        combed = cv2.bitwise_and(combed, mask)
    side = COMBED_BLOCK_PX
    sums = cv2.boxFilter(combed, cv2.CV_16U, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return int(sums.max()) if sums.size else 0


def _is_combed(picture: np.ndarray, mask: np.ndarray) -> bool:
    return combed_in_block(picture, mask) > MAX_COMBED_IN_BLOCK or combed_in_block(picture) > MAX_COMBED_AT_REST


def _alike(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return (one.width, one.height, one.format.name) == (other.width, other.height, other.format.name)


def _woven_frame(top: av.VideoFrame, bottom: av.VideoFrame) -> av.VideoFrame:
    """A frame of the one's even and the other's odd lines, in all planes; labels from `top`."""
    frame = av.VideoFrame(top.width, top.height, top.format.name)
    for into, even, odd in zip(frame.planes, top.planes, bottom.planes, strict=True):
        lines = np.zeros((into.height, into.line_size), np.uint8)
        used = min(plane.line_size for plane in (into, even, odd))
        for first, plane in ((0, even), (1, odd)):
            lines[first::2, :used] = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[
                first::2, :used
            ]
        into.update(lines.tobytes())
    frame.pts, frame.time_base = top.pts, top.time_base
    for label in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(frame, label, getattr(top, label))
    return frame


def _deinterlaced(
    before: av.VideoFrame | None, image: av.VideoFrame, after: av.VideoFrame | None, parity: str
) -> av.VideoFrame:
    frames = [frame for frame in (before, image, after) if frame is not None]
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=image.width, height=image.height, format=image.format, time_base=image.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(
        source, graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all"), graph.add("buffersink")
    ).configure()
    for frame in frames:
        graph.vpush(frame)
    if after is None:
        graph.vpush(None)
    for _ in range(before is not None):
        graph.vpull()
    return graph.vpull()
