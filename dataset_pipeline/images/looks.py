"""How a picture looks, in 128 bits that hardly change when it is encoded or scaled again."""

from __future__ import annotations

import numpy as np

SIDE = 8
ALIKE_BITS = 24  # of 128: pictures of which no more differ show the same


def look_of(picture: np.ndarray) -> str:
    """32 hex digits: whether each of 8 x 8 fields is darker than its right and than its lower neighbour (difference
    hash, Krawetz 2013). picture: [height, width, 3] uint8 RGB."""
    import cv2

    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (SIDE + 1, SIDE + 1), interpolation=cv2.INTER_AREA)
    levels = small.astype(np.int16)
    right, down = levels[:SIDE, 1:] > levels[:SIDE, :SIDE], levels[1:, :SIDE] > levels[:SIDE, :SIDE]
    return np.packbits(np.concatenate([right.ravel(), down.ravel()])).tobytes().hex()


def bits_apart(one: str, other: str) -> int:
    """In how many bits two looks differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
