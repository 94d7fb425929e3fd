"""Sizes and bytes of pictures. Pictures are uint8 [height, width, 3], RGB."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from dataset_pipeline.images.png import encode_png

WEBP_MAX_SIDE_PX = 16_383


def fit_short_side(picture: np.ndarray, max_short_side_px: int) -> np.ndarray:
    """Scaled down with Lanczos so that the short side is `max_short_side_px`; a smaller picture is returned as it is.
    The long side is cut to a whole pixel: 1920x1080 at 768 gives 1365x768."""
    height, width = picture.shape[:2]
    short = min(height, width)
    if short <= max_short_side_px:
        return picture
    size = (width * max_short_side_px // short, height * max_short_side_px // short)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def encode(picture: np.ndarray, format: str, quality: int = 95) -> bytes:
    """The picture as webp, png or jpg; equal pictures give equal bytes. quality: 1..100, 100 in webp is lossless.
    jpg keeps full colour resolution, since drawn outlines are coloured. Raises ValueError."""
    if format == "png":
        return encode_png(picture)
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if format == "webp":
        if max(image.size) > WEBP_MAX_SIDE_PX:
            raise ValueError(f"webp holds at most {WEBP_MAX_SIDE_PX} px a side, not {image.size}; use png or jpg")
        image.save(buffer, "WEBP", quality=quality, lossless=quality == 100, method=4)
    elif format == "jpg":
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        raise ValueError(f"unknown picture format {format!r}; known: webp, png, jpg")
    return buffer.getvalue()


def decode(data: bytes) -> np.ndarray:
    """The picture held in webp, png or jpg bytes. Raises ValueError if they cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"these {len(data)} bytes are no readable picture: {error}") from error


def pixel_sha256(picture: np.ndarray) -> str:
    """Hash of shape, type and values: equal pictures have equal hashes however they were stored."""
    shape = "x".join(map(str, picture.shape))
    digest = hashlib.sha256(f"{shape} {picture.dtype.str.lstrip('<>|=')}\n".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()
