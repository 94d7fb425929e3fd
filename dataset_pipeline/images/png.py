"""PNG for many large pictures: fast, and of frames of a video no larger than ffmpeg makes it of the same pixels. And
PNG of others, without what would keep Pillow from reading its pixels.

Every row is filtered with Paeth's predictor (PNG specification, 9.4) and deflated as runs and Huffman codes alone: in
what a lossy codec leaves of a picture the search for longer matches costs most of the time and finds little.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA
_PAETH = 4
_BAND_ROWS = 32  # their rows and what is computed of them fit a core's cache
# What the pixels depend on. All else in lower case may be left out (PNG specification, 5.4).
_OF_PIXELS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_OF_TURNS = frozenset({b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp"})  # texts that may say what is up
MAX_TEXT_BYTES = 1 << 20  # where Pillow gives up
MAX_PROFILE_BYTES = 16 << 20


def encode_png(picture: np.ndarray) -> bytes:
    """A PNG file of a picture, uint8 [height, width] or [height, width, 1 | 3 | 4]; equal pictures give equal bytes.

    Raises ValueError for any other array.
    """
    height, width, channels = (*picture.shape, 1)[:3] if picture.ndim in (2, 3) else (0, 0, 0)
    if picture.dtype != np.uint8 or channels not in _COLOR_TYPES or not picture.size:
        raise ValueError(f"png takes uint8 pictures of 1, 3 or 4 channels, not {picture.dtype} {picture.shape}")
    deflate = zlib.compressobj(level=1, memLevel=9, strategy=zlib.Z_RLE)
    rows = _filtered(picture.reshape(height, width * channels), channels)
    header = struct.pack(">2I5B", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    data = deflate.compress(rows.data) + deflate.flush()
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def is_whole(data: bytes) -> bool:
    """Whether it is a PNG file to its end, each part with the checksum that it should have."""
    file = io.BytesIO(data)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return False
    last = b""
    for name, content, checksum in _chunks(file):
        if checksum != struct.pack(">I", zlib.crc32(content, zlib.crc32(name))):
            return False
        last = name
    return last == b"IEND" and file.read(1) == b""


def without_ballast(file: BinaryIO) -> tuple[io.BytesIO, bytes | None] | None:
    """A PNG file without what is not needed to show it, which Pillow would refuse if it is long or damaged: texts, but
    for a short one that may say how the picture is turned, and chunks with a wrong checksum that no pixel depends on.

    Its colour profile comes extra, as Pillow takes only short ones; None if it has none that can be read. Gives None
    for a file that is no PNG, or has nothing of the kind.
    """
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return None
    kept, profile, changed, left = io.BytesIO(), None, False, MAX_TEXT_BYTES
    kept.write(_SIGNATURE)
    for name, data, checksum in _chunks(file):
        beside = name[:1].islower() and name not in _OF_PIXELS
        if beside:
            sound = checksum == struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
            if name == b"iCCP" and sound:
                profile = _inflated(data.partition(b"\0")[2], MAX_PROFILE_BYTES)
            text = _turning_text(name, data, left) if sound and name in _TEXTS else None
            left -= len(text or b"")
            if not sound or name == b"iCCP" or (name in _TEXTS and text is None):
                changed = True
                continue
        kept.write(struct.pack(">I", len(data)) + name + data + checksum)
    if not changed:
        return None
    kept.write(file.read())
    kept.seek(0)
    return kept, profile


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, content and checksum of each whole chunk, up to the end or where the file breaks; it is left there."""
    while True:
        start = file.tell()
        head = file.read(8)
        length = int.from_bytes(head[:4])
        data = file.read(length) if len(head) == 8 else b""
        checksum = file.read(4)
        if len(checksum) < 4 or len(data) < length or not head[4:].isalpha():
            file.seek(start)
            return
        yield head[4:], data, checksum


def _turning_text(name: bytes, data: bytes, max_bytes: int) -> bytes | None:
    """A text that may say how the picture is turned, if it is whole and short; None for any other."""
    keyword, _, text = data.partition(b"\0")
    if keyword not in _OF_TURNS:
        return None
    if name == b"iTXt":
        packed, rest = text[:1] == b"\1", text[1:]
        text = rest[:1] + b"".join(rest[1:].split(b"\0", 2)[2:]) if packed else rest
        name = b"zTXt" if packed else name
    found = _inflated(text, max_bytes) if name == b"zTXt" else text
    return found if found is not None and len(found) <= max_bytes else None


def _inflated(packed: bytes, max_bytes: int) -> bytes | None:
    """What follows the number of the method, unpacked; None if that is another, or the rest is broken or too long."""
    if packed[:1] != b"\0":
        return None
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(packed[1:], max_bytes)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail else data


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _filtered(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """uint8 [height, 1 + bytes]: the filter's number, then each byte less what Paeth's predictor says of it.

    Of left a, above b and above left c the predictor takes the one nearest to a + b - c. With p = max(a, b) - c and
    q = c - min(a, b), cut off at 0, that is min(a, b) where 2p <= q, max(a, b) where 2q <= p, and else c.
    """
    height, width = rows.shape
    padded = np.zeros((height + 1, pixel_bytes + width), np.uint8)
    padded[1:, pixel_bytes:] = rows
    filtered = np.empty((height, 1 + width), np.uint8)
    filtered[:, 0] = _PAETH
    for top in range(0, height, _BAND_ROWS):
        above, here = padded[top : top + _BAND_ROWS][: height - top], padded[top + 1 : top + 1 + _BAND_ROWS]
        a, b, c = here[:, :-pixel_bytes], above[:, pixel_bytes:], above[:, :-pixel_bytes]
        low, high = cv2.min(a, b), cv2.max(a, b)
        p, q = cv2.subtract(high, c), cv2.subtract(c, low)
        predicted = c.copy()
        cv2.copyTo(low, cv2.compare(cv2.add(p, p), q, cv2.CMP_LE), predicted)
        cv2.copyTo(high, cv2.compare(cv2.add(q, q), p, cv2.CMP_LE), predicted)
        np.subtract(here[:, pixel_bytes:], predicted, out=filtered[top : top + _BAND_ROWS, 1:])
    return filtered
