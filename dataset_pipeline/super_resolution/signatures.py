"""How alike two pictures look, told by small copies in grey: no model, no weights. The size of a picture changes
little, so that a shrunk copy is found; one that is cropped or mirrored is not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SIDE_PX = 16
_LEAST_DEVIATION = 1.0  # levels: below, a small copy is one colour and says nothing


def signature(picture: np.ndarray) -> bytes:
    """16 x 16 luma values, one after another, of a picture uint8 [height, width, 3] RGB."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(luma, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).tobytes()


def as_vectors(signatures: Sequence[bytes]) -> np.ndarray:
    """float32 [n, values] of length 1, to compare by cosine: without their mean, so that brightness and contrast do not
    count. Of what is all one colour the vector is zero, which is like nothing. signatures: of equally many values."""
    if not signatures:
        return np.zeros((0, SIDE_PX * SIDE_PX), np.float32)
    levels = np.frombuffer(b"".join(signatures), np.uint8).reshape(len(signatures), -1)
    centred = levels.astype(np.float32) - levels.mean(axis=1, keepdims=True, dtype=np.float32)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = lengths < _LEAST_DEVIATION * levels.shape[1] ** 0.5
    return np.where(flat, 0, centred / np.maximum(lengths, 1e-6)).astype(np.float32)
