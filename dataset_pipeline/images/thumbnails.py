"""Small copies of pictures for pages; whoever wrote the picture may have meant it to fill the memory."""

from __future__ import annotations

import io

from PIL import Image

from dataset_pipeline.images.pictures import MAX_PIXELS

QUALITY = 78


def thumbnail(encoded: bytes, side_px: int) -> bytes:
    """A JPEG of the picture whose longer side is at most `side_px`. Raises ValueError for what is no picture of webp,
    png or jpg, or one of too many pixels."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("WEBP", "PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are more than the {MAX_PIXELS} allowed")
            image.draft("RGB", (2 * side_px, 2 * side_px))  # a JPEG is decoded no larger than it need be
            small = image.convert("RGB")
            small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"these {len(encoded)} bytes are no readable picture: {error}") from error
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
