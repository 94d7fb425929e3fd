"""From a decoded frame to RGB: matrix, range, square pixels, upright.

The order is the order of the steps: what undoes interlacing comes before the conversion, tone mapping in its place.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

_HIGH_QUALITY = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP

# AVColorSpace (ITU-T H.273 matrix coefficients) to the matrices swscale has.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


def to_rgb(frame: av.VideoFrame, sar: Fraction = Fraction(1)) -> np.ndarray:
    """The frame as RGB uint8 HxWx3: its own matrix and range, square pixels, upright.

    An unlabelled matrix is BT.709 from HD size on and BT.601 below; an unlabelled range is limited. Pixels are made
    square by growing the shorter-sampled side, so that no detail is lost.
    """
    width, height = square_size(frame.width, frame.height, sar)
    scaler = Interpolation.BICUBIC if (width, height) == (frame.width, frame.height) else Interpolation.LANCZOS
    converted = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix_of(frame),
        src_color_range=range_of(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=scaler | _HIGH_QUALITY,
        threads=1,
    )
    rgb = converted.to_ndarray()
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def matrix_of(frame: av.VideoFrame) -> Colorspace:
    """The frame's YUV matrix, guessed from its size where it is not labelled (as players do)."""
    high_definition = frame.width >= 1280 or frame.height > 576
    return _MATRICES.get(frame.colorspace, Colorspace.ITU709 if high_definition else Colorspace.ITU601)


def range_of(frame: av.VideoFrame) -> ColorRange:
    """The frame's sample range; unlabelled YUV is limited unless its pixel format says full."""
    if frame.color_range in (ColorRange.MPEG, ColorRange.JPEG):
        return ColorRange(frame.color_range)
    return ColorRange.JPEG if frame.format.name.startswith("yuvj") else ColorRange.MPEG


def square_size(width: int, height: int, sar: Fraction) -> tuple[int, int]:
    """Width and height in square pixels; one of the two sides grows, none shrinks."""
    if sar >= 1:
        return round(width * sar), height
    return width, round(height / sar)
