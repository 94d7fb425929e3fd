"""What a JPEG XL file says of itself before it is decoded: the decoder at hand decodes as soon as it opens one.

Bits and fields by ISO/IEC 18181-1 (SizeHeader, ImageMetadata) and 18181-2 (boxes).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"
_READ_BYTES = 65_536
_SIDES = (9, 13, 18, 30)  # bits of a side by its selector
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


@dataclass(frozen=True)
class JxlHeader:
    """Size as coded, before it is turned upright; `animated`: it holds more than one picture."""

    width: int
    height: int
    animated: bool


def jxl_header(path: Path) -> JxlHeader | None:
    """The header of a JPEG XL file, or None of any other. Raises OSError, and ValueError where it is cut off."""
    with path.open("rb") as file:
        start = file.read(_READ_BYTES)
    if start.startswith(_CONTAINER):
        start = _codestream(start)
    elif not start.startswith(_CODESTREAM):
        return None
    bits = _Bits(start[len(_CODESTREAM) :])
    width, height = _size(bits)
    if bits.take(1) or not bits.take(1):  # all as usual, or nothing beyond depth and colour
        return JxlHeader(width, height, False)
    bits.take(3)  # orientation
    if bits.take(1):
        _size(bits)  # at which it is to be shown
    has_preview, has_animation = bits.take(1), bits.take(1)
    # The animation's bit follows the preview's size, if there is one.
    return JxlHeader(width, height, bool(has_animation and not has_preview))


def _codestream(container: bytes) -> bytes:
    """The beginning of the picture's own bytes, in the first box that holds any."""
    at = len(_CONTAINER)
    while at + 8 <= len(container):
        size, kind = struct.unpack(">I4s", container[at : at + 8])
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", container[at + 8 : at + 16]), 16
        if kind == b"jxlc":
            return container[at + head :]
        if kind == b"jxlp":
            return container[at + head + 4 :]
        if size < head:
            break
        at += size
    raise ValueError("the JPEG XL picture has no beginning")


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height of a SizeHeader."""
    small = bits.take(1)

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.take(_SIDES[bits.take(2)]) + 1

    height, ratio = side(), bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio]
        return height * over // under, height
    return side(), height


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data[:64], "little"), 8 * len(data[:64])

    def take(self, count: int) -> int:
        if count > self.left:
            raise ValueError("the JPEG XL picture is cut off in its header")
        taken = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return taken
