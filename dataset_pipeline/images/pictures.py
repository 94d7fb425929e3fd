"""Folders of pictures: which files are pictures, and each as upright RGB in sRGB. Pictures are known by content."""

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from dataset_pipeline.base.file_names import is_ignored, is_text, posix_path
from dataset_pipeline.images.jxl import jxl_header
from dataset_pipeline.images.png import without_ballast

# Formats whose files say little of themselves are read by their ending alone.
_BY_ENDING = {
    ".tga": "TGA", ".icb": "TGA", ".vda": "TGA", ".vst": "TGA", ".pcx": "PCX",
    ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
}  # fmt: skip
PICTURE_ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
    | {".jp2", ".j2k", ".jpf", ".jpx", ".heic", ".heif", ".hif", ".jxl", ".qoi", ".dds", *_BY_ENDING}
)
# Pictures of cameras and drawing programs, of which a reader would get a preview or a wrong picture, if any.
UNREAD_ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("psd", "psb", "clip", "kra", "xcf", "sai", "sai2", "mdp", "ora", "ai", "svg", "svgz", "eps", "exr", "hdr"),
        *("dng", "cr2", "cr3", "nef", "nrw", "arw", "sr2", "orf", "rw2", "raf", "pef", "srw", "x3f", "3fr", "raw"),
    )
)
WHITE = (255, 255, 255)
MAX_PIXELS = 2 * 89_478_485  # twice Pillow's warning, where Pillow itself refuses
MAX_FRAMES = 10_000  # of one animation: seven minutes at 24 frames a second
MAX_ANIMATION_PIXELS = 100 * MAX_PIXELS  # decoded of one animation in all

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "MPO", "HEIF", "QOI", "DDS")
_STILLS = ("MPO", "DDS", "JXL")  # what else such a file holds are other views, previews and smaller copies of the first
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # ITU-T H.273
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# By the orientation of EXIF.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_SAME_LEVELS = 2  # a profile that moves no colour further, of 255, is sRGB: converting would only add rounding
_DEEP_JPEG2000 = {"RGB": cv2.COLOR_BGR2RGB, "RGBA": cv2.COLOR_BGRA2RGBA}
_REDUCED = 254, 1  # TIFF: tag NewSubfileType, bit of a smaller copy of another page
# What Pillow's decoders raise for broken content.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, RuntimeError, struct.error
)  # fmt: skip


class PictureError(ValueError):
    """A file that gives no picture. `path` and `reason` name it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


@dataclass(frozen=True)
class PictureFile:
    """`relative`: the path inside its folder as the system gave it, with forward slashes."""

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
    pictures = [
        PictureFile(path.relative_to(folder).as_posix(), path)
        for path in _files(folder)
        if is_text(path.name) and is_picture(path)
    ]
    return sorted(pictures, key=lambda picture: (posix_path(PurePath(picture.relative)), picture.relative))


def is_picture(path: Path) -> bool:
    """By the file's ending, else by its first bytes; cheap, nothing is decoded."""
    ending = path.suffix.lower()
    if ending in PICTURE_ENDINGS or ending in UNREAD_ENDINGS:
        return ending in PICTURE_ENDINGS
    try:
        if jxl_header(path):
            return True
        with _opened(path):
            return True
    except (*_BROKEN, UnidentifiedImageError, Image.DecompressionBombError):
        return False


def open_picture(
    path: Path, background: Sequence[int] = WHITE, *, max_pixels: int = MAX_PIXELS, frame: int = 0
) -> np.ndarray:
    """The picture as RGB uint8 HxWx3 in sRGB: turned by its EXIF orientation, transparency laid over `background`.

    16 bits per channel keep their high byte. An embedded colour profile is followed (relative colorimetric with black
    point compensation); one that cannot be read or does not fit the pixels counts as sRGB, ink without a profile is
    converted naively. frame: which frame of an animation, as numbered by `iter_pictures`. Raises FileNotFoundError for
    a missing file and PictureError for a broken, truncated or oversized (more than `max_pixels`) one or no such frame.
    """
    with _named_errors(path), _opened(path, max_pixels) as image:
        if not 0 <= frame < _frame_count(image):
            raise PictureError(path, f"has no frame {frame}, only {_frame_count(image)}")
        if frame or _frame_count(image) > 1:
            image.seek(frame)
        _refuse_bomb(path, image.size, max_pixels)
        return _rgb(_upright(image), background)


def iter_pictures(
    path: Path,
    background: Sequence[int] = WHITE,
    *,
    max_pixels: int = MAX_PIXELS,
    max_frames: int = MAX_FRAMES,
    max_animation_pixels: int = MAX_ANIMATION_PIXELS,
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame index, picture as `open_picture` gives it) of every frame that shows something new.

    A still gives one; GIF, APNG, WebP and AVIF animations give their frames as a player shows them, TIFF its pages
    without the reduced ones; a frame equal to an earlier one is left out. Only one frame is held at a time. Raises
    what `open_picture` does, at the frame where it happens: the frames before it are good. An animation longer than
    `max_frames`, or of more than `max_animation_pixels` in all frames, ends there with a PictureError.
    """
    with _named_errors(path), _opened(path, max_pixels) as image:
        count, seen, pixels = _frame_count(image), set(), 0
        for index in range(count):
            if index == max_frames:
                raise PictureError(path, f"{count} frames are more than the {max_frames} allowed")
            if count > 1:
                image.seek(index)
            _refuse_bomb(path, image.size, max_pixels)
            pixels += image.width * image.height
            if index and pixels > max_animation_pixels:
                raise PictureError(
                    path, f"{count} frames of {image.width}x{image.height} are more than "
                    f"{max_animation_pixels} pixels in all, frame {index} is where it was left"
                )  # fmt: skip
            if image.format == "TIFF" and index and image.tag_v2.get(_REDUCED[0], 0) & _REDUCED[1]:  # type: ignore[attr-defined]
                continue
            picture = _rgb(_upright(image), background)
            digest = hashlib.sha256(picture.data).digest() + struct.pack("<II", *picture.shape[:2])
            if digest not in seen:
                seen.add(digest)
                yield index, picture
        if image.format == "GIF" and not _gif_ends(path.read_bytes()):
            raise PictureError(path, f"is cut off behind its {count} frames: its end mark is missing")


def _gif_ends(data: bytes) -> bool:
    """Whether a GIF's blocks go on to its trailer; Pillow takes one that is cut off between two frames for whole."""
    at = 13 + _gif_colors(data[10])
    try:
        while data[at] in (0x21, 0x2C):  # extension, frame
            at += 2 if data[at] == 0x21 else 11 + _gif_colors(data[at + 9])
            while data[at]:
                at += data[at] + 1
            at += 1
        return data[at] == 0x3B
    except IndexError:
        return False


def _gif_colors(packed: int) -> int:
    """Bytes of the colour table that a GIF's packed field announces."""
    return 3 << (1 + (packed & 7)) if packed & 0x80 else 0


def _frame_count(image: Image.Image) -> int:
    return 1 if image.format in _STILLS else getattr(image, "n_frames", 1)


def _refuse_bomb(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(path, f"{width}x{height} pixels are more than the {max_pixels} allowed")


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Whatever Pillow raises for this file as a PictureError."""
    if not path.exists():
        raise FileNotFoundError(f"no such picture: {path}")
    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(path, _unknown(path)) from None
    except Image.DecompressionBombError as error:
        raise PictureError(path, f"refused as a decompression bomb: {error}") from error
    except _BROKEN as error:
        raise PictureError(path, f"cannot be decoded: {error}") from error


def _unknown(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty (0 bytes)"
    with path.open("rb") as file:
        start = file.read(12)
    unknown = "is no picture of a known format"
    is_mp4 = start[4:8] == b"ftyp" and start[8:12] not in _PICTURE_BRANDS
    if is_mp4 or start[:4] == b"\x1aE\xdf\xa3" or (start[:4], start[8:12]) == (b"RIFF", b"AVI "):
        return f"{unknown}: it looks like a video: give it a video's ending, such as .mp4, in a folder of its own"
    return unknown


@contextmanager
def _opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Raises PictureError for a JPEG XL picture that must not be decoded, which opening one does."""
    if header := jxl_header(path):
        _refuse_bomb(path, (header.width, header.height), max_pixels)
        if header.animated:
            raise PictureError(path, "is an animation in JPEG XL, which is not read: save it as WebP or PNG")
        formats: Sequence[str] = ("JXL",)
    else:
        formats = (*_FORMATS, _BY_ENDING.get(path.suffix.lower(), "PNG"))
    _load_formats()
    with warnings.catch_warnings(action="ignore"):  # the size of a picture is judged here, so Pillow's warning is not
        with path.open("rb") as file:
            lighter = without_ballast(file)
        source, profile = lighter or (path, None)
        image = Image.open(source, formats=[name for name in formats if name in Image.OPEN])
    if profile:
        image.info["icc_profile"] = profile
    with image:
        yield image


@cache
def _load_formats() -> None:
    """What Pillow has by itself, HEIC and JPEG XL."""
    import pillow_heif
    import pillow_jxl  # noqa: F401  (importing it registers the format)

    Image.init()
    pillow_heif.register_heif_opener()


def _upright(image: Image.Image) -> Image.Image:
    """Turned by its EXIF orientation. Pillow's own function writes the EXIF again, which fails where it is broken."""
    image.load()  # some formats are turned while they are loaded
    if image.format == "JPEG2000" and image.mode in _DEEP_JPEG2000:
        image = _without_wrapped_whites(image)
    if image.format == "JXL" and not image.jpeg:  # type: ignore[attr-defined]
        return image  # turned by its own header, which goes before EXIF; not so a JPEG packed into JPEG XL
    transfer = image.info.get("nclx_profile", {}).get("transfer_characteristics")
    if image.format == "HEIF" and transfer in _HDR_TRANSFERS and not image.info.get("icc_profile"):
        raise ValueError(f"its brightness is coded for HDR ({_HDR_TRANSFERS[transfer]}): save it as PNG or JPEG")
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _without_wrapped_whites(image: Image.Image) -> Image.Image:
    """The same of more than 8 bits per channel, whose brightest values Pillow (12.3) wraps around to black.

    The depth stands in the codestream's second marker (ITU-T T.800, A.5.1).
    """
    data = Path(image.filename).read_bytes()  # type: ignore[attr-defined]
    start = data.find(b"\xff\x4f\xff\x51")
    bits = (data[start + 42] & 127) + 1 if 0 <= start < len(data) - 42 else 8
    if bits <= 8:
        return image
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.shape[2:] != (len(image.mode),):
        raise ValueError(f"{bits} bits per channel of this kind of JPEG 2000 are not known here: save it as PNG")
    ordered = np.asarray(cv2.cvtColor(deep, _DEEP_JPEG2000[image.mode]), np.uint16)
    whole = Image.fromarray((ordered >> (bits - 8)).astype(np.uint8))
    whole.info = image.info
    return whole


def _rgb(image: Image.Image, background: Sequence[int]) -> np.ndarray:
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I;16", "I")):
        # Pillow clips instead of scaling where it turns 16 bits into 8.
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed white")
    if image.has_transparency_data:
        layer = _in_srgb(image.convert("RGBA"), profile, "RGBA")
        canvas = Image.new("RGBA", layer.size, (*background, 255))
        return np.array(Image.alpha_composite(canvas, layer).convert("RGB"))
    return np.array(_in_srgb(image.convert("RGB") if image.mode in ("P", "1", "YCbCr") else image, profile, "RGB"))


def _in_srgb(image: Image.Image, profile: bytes | None, mode: str) -> Image.Image:
    """The picture in sRGB and the given mode."""
    try:
        if image.mode == "LAB":
            found = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif profile:
            found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        else:
            return image.convert(mode)
        transform = ImageCms.buildTransform(
            found,
            _SRGB,
            image.mode,
            mode,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode == mode and _changes_nothing(transform, mode):
            return image
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # a copy was asked for
        return converted
    except (ImageCms.PyCMSError, OSError):
        return image.convert(mode)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Judged on a cube of colours."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(64, 64, 3)
    colors = Image.fromarray(cube).convert(mode)
    moved = ImageCms.applyTransform(colors, transform)
    return int(np.abs(np.asarray(moved, np.int16) - np.asarray(colors, np.int16)).max()) <= _SAME_LEVELS


def _files(folder: Path, within: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Files below a folder that are neither hidden nor half-loaded; a link back to a folder above is not followed."""
    real = os.path.realpath(folder)
    if real in within:
        return
    for entry in sorted(folder.iterdir()):
        if is_ignored(entry.name):
            continue
        if is_text(entry.name) and entry.is_dir():
            yield from _files(entry, within | {real})
        elif entry.is_file():
            yield entry
