"""From a decoded frame to RGB: matrix, range, square pixels, upright.

The order is the order of the steps: what undoes interlacing comes before the conversion, tone mapping in its place.
"""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

_HIGH_QUALITY = "accurate_rnd+full_chroma_int+full_chroma_inp"

# ITU-T H.273 matrix coefficients to the matrices swscale has.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_LIMITED, _FULL = 1, 2  # AVColorRange


def to_rgb(frame: av.VideoFrame, sar: Fraction = Fraction(1)) -> np.ndarray:
    """The frame as RGB uint8 HxWx3: its own matrix and range, square pixels, upright.

    An unlabelled matrix is BT.709 from HD size on and BT.601 below; an unlabelled range is limited. Pixels are made
    square by growing the shorter-sampled side, so that no detail is lost.
    """
    width, height = square_size(frame.width, frame.height, sar)
    scaler = "bicubic" if (width, height) == (frame.width, frame.height) else "lanczos"
    # The filter, not the frame's own reformat: only the filter knows where chroma samples lie between luma samples.
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    scale = graph.add(
        "scale",
        f"w={width}:h={height}:in_color_matrix={matrix_of(frame)}:in_range={range_of(frame)}:out_range=pc"
        f":flags={scaler}+{_HIGH_QUALITY}",
    )
    graph.link_nodes(source, scale, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    converted = graph.vpull()
    rgb = converted.to_ndarray()
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def matrix_of(frame: av.VideoFrame) -> str:
    """swscale's name of the frame's YUV matrix, guessed from its size where it is not labelled (as players do)."""
    high_definition = frame.width >= 1280 or frame.height > 576
    return _MATRICES.get(frame.colorspace, "bt709" if high_definition else "bt601")


def range_of(frame: av.VideoFrame) -> str:
    """`tv` or `pc`: the frame's sample range; unlabelled it is limited unless its pixel format says full."""
    if frame.color_range in (_LIMITED, _FULL):
        return "pc" if frame.color_range == _FULL else "tv"
    return "pc" if frame.format.name.startswith("yuvj") else "tv"


def square_size(width: int, height: int, sar: Fraction) -> tuple[int, int]:
    """Width and height in square pixels; one of the two sides grows, none shrinks."""
    if sar >= 1:
        return round(width * sar), height
    return width, round(height / sar)
