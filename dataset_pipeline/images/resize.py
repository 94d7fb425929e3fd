"""Sizes and bytes of pictures. Pictures are uint8 [height, width, 3], RGB."""

from __future__ import annotations

import hashlib
import io
import math

import cv2
import numpy as np
from PIL import Image

from dataset_pipeline.images.png import encode_png
from dataset_pipeline.settings import ResizeBy, ResizeFilter

WEBP_MAX_SIDE_PX = 16_383
MAX_SIDES_PX = {"webp": WEBP_MAX_SIDE_PX, "jpg": 65_500}  # of a picture's sides, by format; libjpeg's is its own


def fit(picture: np.ndarray, resize_by: ResizeBy, max_side_px: int, filter: ResizeFilter = "lanczos") -> np.ndarray:
    """Scaled down so that the short or the long side is `max_side_px`, or the area at most that of a square of such
    sides; a smaller picture is returned as it is. Sides are cut to whole pixels: 1920x1080 by its short side at 768 is
    1365x768. filter: Lanczos, or the mean of the area that a pixel covers."""
    height, width = picture.shape[:2]
    size = fitted_size(width, height, resize_by, max_side_px)
    if size == (width, height):
        return picture
    if filter == "area":
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def fitted_size(width_px: int, height_px: int, resize_by: ResizeBy, max_side_px: int) -> tuple[int, int]:
    """Width and height in pixels that `fit` gives."""
    if resize_by == "area":
        if width_px * height_px <= max_side_px**2:
            return width_px, height_px
        width, height = (
            math.isqrt(max_side_px**2 * side // other) for side, other in ((width_px, height_px), (height_px, width_px))
        )
    else:
        side = (min if resize_by == "short_side" else max)(width_px, height_px)
        if side <= max_side_px:
            return width_px, height_px
        width, height = width_px * max_side_px // side, height_px * max_side_px // side
    return max(1, width), max(1, height)


def fit_format(picture: np.ndarray, format: str, filter: ResizeFilter = "lanczos") -> np.ndarray:
    """Scaled down so far that its long side is one that the format holds; any other is returned as it is."""
    return fit(picture, "long_side", MAX_SIDES_PX[format], filter) if format in MAX_SIDES_PX else picture


def encode(picture: np.ndarray, format: str, quality: int = 95) -> bytes:
    """The picture as webp, png or jpg; equal pictures give equal bytes. quality: 1..100, 100 in webp is lossless.
    jpg keeps full colour resolution, since drawn outlines are coloured. Raises ValueError."""
    if format == "png":
        return encode_png(picture)
    if format not in ("webp", "jpg"):
        raise ValueError(f"unknown picture format {format!r}; known: webp, png, jpg")
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if format == "webp" and max(image.size) > WEBP_MAX_SIDE_PX:
        raise ValueError(f"webp holds at most {WEBP_MAX_SIDE_PX} px a side, not {image.size}; use png or jpg")
    try:
        if format == "webp":
            image.save(buffer, "WEBP", quality=quality, lossless=quality == 100, method=4)
        else:
            image.save(buffer, "JPEG", quality=quality, subsampling=0)
    except OSError as error:  # an encoder's, as nothing is written to a disk
        raise ValueError(f"a picture of {image.size} px cannot be made {format}: {error}") from error
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
