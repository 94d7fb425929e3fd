"""Folders of pictures: which files are pictures, and each as upright RGB. Pictures are known by content."""

import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dataset_pipeline.names import is_ignored, posix_path

PICTURE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2"}
)
WHITE = (255, 255, 255)
MAX_PIXELS = 2 * 89_478_485  # twice Pillow's warning, where Pillow itself refuses

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "MPO")
# What Pillow's decoders raise for broken content.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, struct.error)


class PictureError(ValueError):
    """A file that gives no picture. `path` and `reason` name it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class PictureFile:
    """`relative`: the path inside its folder with forward slashes, the same on every system."""

    relative: str
    path: Path


def list_pictures(folder: Path) -> list[PictureFile]:
    """The pictures in a folder and its subfolders, sorted by relative path; hidden and half-loaded files are left out.

    A file with a picture's ending is listed even if it is broken, so that it can be named; others by their content.
    Raises FileNotFoundError for a missing folder and NotADirectoryError for a file.
    """
    if not folder.exists():
        raise FileNotFoundError(f"no such folder of pictures: {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"not a folder of pictures: {folder}")
    pictures = [PictureFile(posix_path(path.relative_to(folder)), path) for path in _files(folder) if is_picture(path)]
    return sorted(pictures, key=lambda picture: picture.relative)


def is_picture(path: Path) -> bool:
    """By the file's ending, else by its first bytes; cheap, nothing is decoded."""
    if path.suffix.lower() in PICTURE_ENDINGS:
        return True
    try:
        with _opened(path):
            return True
    except (*_BROKEN, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def open_picture(path: Path, background: Sequence[int] = WHITE, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture as RGB uint8 HxWx3: turned by its EXIF orientation, transparency laid over `background`.

    16 bits per channel keep their high byte, an animation gives its first frame. Raises FileNotFoundError for a
    missing file and PictureError for a broken, truncated or oversized (more than `max_pixels`) one.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such picture: {path}")
    try:
        with _opened(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(path, f"{width}x{height} pixels are more than the {max_pixels} allowed")
            return _rgb(ImageOps.exif_transpose(image), background)
    except PictureError:
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise PictureError(
            path, "the file is empty (0 bytes)" if empty else "is no picture of a known format"
        ) from None
    except Image.DecompressionBombError as error:
        raise PictureError(path, f"refused as a decompression bomb: {error}") from error
    except _BROKEN as error:
        raise PictureError(path, f"cannot be decoded: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    Image.init()  # loads the formats that Pillow has; the size of a picture is judged here, so its warning is not
    with warnings.catch_warnings(action="ignore"):
        image = Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
    with image:
        yield image


def _rgb(image: Image.Image, background: Sequence[int]) -> np.ndarray:
    if image.mode.startswith(("I;16", "I")):
        # Pillow clips instead of scaling where it turns 16 bits into 8.
        high_byte = (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(high_byte[:, :, None], 3, axis=2))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*background, 255))
        return np.array(Image.alpha_composite(canvas, layer).convert("RGB"))
    return np.array(image.convert("RGB"))


def _files(folder: Path, within: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Files below a folder that are neither hidden nor half-loaded; a link back to a folder above is not followed."""
    real = os.path.realpath(folder)
    if real in within:
        return
    for entry in sorted(folder.iterdir()):
        if is_ignored(entry.name):
            continue
        if entry.is_dir():
            yield from _files(entry, within | {real})
        elif entry.is_file():
            yield entry
