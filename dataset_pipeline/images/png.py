"""PNG for many large pictures: fast, and of frames of a video no larger than ffmpeg makes it of the same pixels.

Every row is filtered with Paeth's predictor (PNG specification, 9.4) and deflated as runs and Huffman codes alone: in
what a lossy codec leaves of a picture the search for longer matches costs most of the time and finds little.
"""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA
_PAETH = 4
_BAND_ROWS = 32  # their rows and what is computed of them fit a core's cache


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
