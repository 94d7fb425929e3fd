"""From a decoded picture to a still: RGB of its own matrix and range, square pixels, upright, sRGB, without bars.

What a file says of its colours is believed; what it does not say is guessed from the picture's size, as players do.
Primaries of standard definition (SMPTE 170M, BT.470 BG) are shown as if they were BT.709's, as players do too: the
difference is small and the tags are often wrong. Wide ones (BT.2020, P3) are converted.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, get_args

import av
import cv2
import numpy as np
from av.filter import Graph

from dataset_pipeline.video.alpha import is_transparent, laid_over
from dataset_pipeline.video.tonemap import DEEP_FORMAT, HLG_PEAK_NITS, WIDE_PRIMARIES, Transfer, to_srgb

Cadence = Literal["progressive", "tff", "bff", "telecined", "telecined_bff"]
ChromaUpsampling = Literal["smooth", "nearest"]

_HIGH_QUALITY = "accurate_rnd+full_chroma_int+full_chroma_inp"
# Pixels along and down to a chroma sample, as pixel formats name them.
_SUBSAMPLINGS = {(2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411", (4, 4): "410"}

# ITU-T H.273 code points to the matrices swscale has.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.7152, 0.0722),
    "bt2020": (0.2627, 0.6780, 0.0593),
    "smpte240m": (0.212, 0.701, 0.087),
}
# ITU-T H.273 code points as ffprobe prints them.
PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
             10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213"}  # fmt: skip
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
_NO_TRANSFER = frozenset({0, 2, 3})  # code points that say nothing
_LIMITED, _FULL = 1, 2  # AVColorRange
_BAR_BLACK_BELOW = 24  # of 255
_BAR_BLACK_SHARE = 0.65  # subtitles may take the rest


@dataclass(frozen=True)
class Shape:
    """Size as coded and pixel format of the picture that a row of `video_probe` was read from."""

    width_px: int
    height_px: int
    pixel_format: str

    def is_of(self, image: av.VideoFrame) -> bool:
        return (self.width_px, self.height_px, self.pixel_format) == (image.width, image.height, image.format.name)


@dataclass(frozen=True)
class Conversion:
    """How pictures of one file become stills. What is None is taken from each picture's own labels.

    `matrix`: swscale's name. `range`: `tv` or `pc`. `primaries`: ffprobe's name. `peak_nits`: the brightest light of a
    PQ picture. `rotation_deg`: the counterclockwise turn that makes it upright; `mirrored`: before that it is flipped
    upside down. `cadence`: how its frames lie in fields; telecined is top field first unless it says otherwise.
    `bars_px`: what to cut off the left, top, right and bottom of the upright picture with square pixels, if that is
    `bars_size_px` wide and high. `chroma_upsampling`: `nearest` repeats each chroma sample over the pixels that share
    it, `smooth` interpolates between samples.
    `measured_on`: the shape of the file's first picture, where all this was read from it. A file may change inside:
    then a picture's own labels go before, and one of another shape has only its own.
    `background`: red, green and blue, 0..255, that transparent pictures are laid over; None leaves them opaque.
    """

    matrix: str | None = None
    range: str | None = None
    primaries: str | None = None
    transfer: Transfer | None = None
    peak_nits: float = HLG_PEAK_NITS
    sar: Fraction | None = None
    rotation_deg: int | None = None
    cadence: Cadence = "progressive"
    bars_px: tuple[int, int, int, int] = (0, 0, 0, 0)
    bars_size_px: tuple[int, int] = (0, 0)
    chroma_upsampling: ChromaUpsampling = "smooth"
    mirrored: bool | None = None
    measured_on: Shape | None = None
    background: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        probe_row: Mapping[str, Any],
        chroma_upsampling: ChromaUpsampling = "smooth",
        background: Sequence[int] | None = None,
    ) -> "Conversion":
        """The conversion a row of `video_probe` asks for; columns that are absent or null leave it to the pictures.

        Raises ValueError on a cadence there is not.
        """
        get = probe_row.get
        cadence = get("cadence") or "progressive"
        if cadence not in get_args(Cadence):
            raise ValueError(f"video_probe: cadence {cadence!r} is none of {', '.join(get_args(Cadence))}")
        sar, width_px, height_px = get("sample_aspect"), get("width_px"), get("height_px")
        return cls(
            matrix=get("used_matrix"),
            range=get("used_range"),
            primaries=get("used_primaries"),
            transfer=get("used_transfer"),
            peak_nits=get("peak_nits") or HLG_PEAK_NITS,
            sar=Fraction(sar).limit_denominator(4096) if sar else None,
            rotation_deg=get("rotation_deg"),
            cadence=cadence,
            bars_px=(
                get("bar_left_px") or 0,
                get("bar_top_px") or 0,
                get("bar_right_px") or 0,
                get("bar_bottom_px") or 0,
            ),
            bars_size_px=(get("display_width_px") or 0, get("display_height_px") or 0),
            chroma_upsampling=chroma_upsampling,
            measured_on=Shape(width_px, height_px, get("pixel_format") or "") if width_px and height_px else None,
            background=tuple(background) if background is not None else None,
        )

    def as_coded(self) -> "Conversion":
        """The same with the pixels that are coded: neither made square nor without bars."""
        return replace(self, sar=Fraction(1), bars_px=(0, 0, 0, 0), measured_on=None)

    def resolved(self, image: av.VideoFrame, sar: Fraction | int = 1) -> "Conversion":
        """The same with nothing left open, for this picture. `sar`: its own, if none is set or the file may change."""
        how = self if self.measured_on is None else self._followed(image, Fraction(sar))
        transfer = how.transfer or _TRANSFERS.get(image.color_trc, "sdr")
        matrix = how.matrix or _MATRICES.get(image.colorspace) or _guessed_matrix(image, transfer)
        labelled = PRIMARIES.get(image.color_primaries)
        return replace(
            how,
            matrix=matrix,
            range=how.range or range_of(image),
            primaries=how.primaries or labelled or _guessed_primaries(image, matrix),
            transfer=transfer,
            sar=how.sar or Fraction(sar),
            rotation_deg=image.rotation if how.rotation_deg is None else how.rotation_deg,
            mirrored=is_mirrored(image) if how.mirrored is None else how.mirrored,
            measured_on=None,
        )

    def _followed(self, image: av.VideoFrame, sar: Fraction) -> "Conversion":
        """The same without what the picture says of itself, or what was read from one of another shape."""
        alike = self.measured_on is not None and self.measured_on.is_of(image)
        return replace(
            self,
            matrix=self.matrix if alike and image.colorspace not in _MATRICES else None,
            range=self.range if alike and image.color_range not in (_LIMITED, _FULL) else None,
            primaries=self.primaries if alike and image.color_primaries not in PRIMARIES else None,
            transfer=self.transfer if alike and image.color_trc in _NO_TRANSFER else None,
            sar=sar,
        )


AS_LABELLED = Conversion()


def to_rgb(
    image: av.VideoFrame,
    conversion: Conversion = AS_LABELLED,
    sar: Fraction | int = 1,
    opacity: np.ndarray | None = None,
) -> np.ndarray:
    """The picture as RGB uint8 HxWx3 sRGB. Its fields are taken as they are: see `restore.restored`.

    `opacity`: uint8 [height, width] as coded, of pictures that have it beside them.

    Pixels are made square by growing the shorter-sampled side, so that no detail is lost. Bars are cut off where this
    picture has them: a scene that fills the frame is left whole.
    """
    how = conversion.resolved(image, sar)
    assert how.sar is not None
    converted_light = how.transfer != "sdr" or how.primaries in WIDE_PRIMARIES
    rgb = _rgb(image, how, DEEP_FORMAT if converted_light else "rgb24")
    if converted_light:
        rgb = to_srgb(rgb, how.transfer or "sdr", how.primaries or "", how.peak_nits)
    if how.background is not None and (opacity is not None or is_transparent(image)):
        if opacity is None:
            opacity = _scaled(image, _square(image, how), "rgba").to_ndarray()[..., 3]
        opacity = cv2.resize(opacity, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        rgb = laid_over(rgb, opacity, how.background)
    return np.ascontiguousarray(_without_bars(upright(rgb, how.rotation_deg or 0, bool(how.mirrored)), how))


def to_yuv(rgb: np.ndarray) -> av.VideoFrame:
    """The way back: RGB uint8 [height, width, 3] as a picture in yuv420p by BT.709's matrix, limited range."""
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return _scaled(image, f"out_color_matrix=bt709:in_range=pc:out_range=tv:flags=bicubic+{_HIGH_QUALITY}", "yuv420p")


def upright(pixels: np.ndarray, rotation_deg: int, mirrored: bool) -> np.ndarray:
    """The array [height, width, ...] as it is shown; a view of it."""
    turns = round(rotation_deg / 90) % 4
    flipped = pixels[::-1] if mirrored else pixels
    return np.rot90(flipped, turns) if turns else flipped


def aspect_of(image: av.VideoFrame) -> float:
    """The sample aspect ratio that the decoder gave the picture, to a thousandth; 1 where it gave none."""
    scaled = _scaled(image, r"w=max(1\,round(1000*sar)):h=2:eval=frame:flags=fast_bilinear", image.format.name)
    return scaled.width / 1000


def is_mirrored(image: av.VideoFrame) -> bool:
    """Whether its display matrix turns it over, which its rotation does not tell."""
    matrix = side_data(image, "DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    return a * d < b * c


def luma_weights(matrix: str | None) -> tuple[float, float, float]:
    """How much of red, green and blue is in the luma that a file codes by that matrix (swscale's name), 1 together;
    without one BT.601's, as JPEG has it."""
    return _LUMA_WEIGHTS.get(matrix or "", (0.299, 0.587, 0.114))


def side_data(image: av.VideoFrame, kind: str) -> Any:
    """The picture's side data of a kind by PyAV's name; None where there are none, or beside others that PyAV does not
    know (EXIF), which it cannot list."""
    try:
        return image.side_data.get(kind)
    except ValueError:
        return None


def range_of(image: av.VideoFrame) -> str:
    """`tv` or `pc`: the picture's sample range; unlabelled it is limited unless its pixel format says full."""
    if image.color_range in (_LIMITED, _FULL):
        return "pc" if image.color_range == _FULL else "tv"
    return "pc" if image.format.name.startswith("yuvj") or image.format.is_rgb else "tv"


def square_size(width: int, height: int, sar: Fraction) -> tuple[int, int]:
    """Width and height in square pixels; one of the two sides grows, none shrinks."""
    if sar >= 1:
        return round(width * sar), height
    return width, round(height / sar)


def _guessed_matrix(image: av.VideoFrame, transfer: Transfer) -> str:
    if transfer != "sdr" or image.color_primaries == 9:
        return "bt2020"
    return "bt709" if image.width >= 1280 or image.height > 576 else "bt601"


def _guessed_primaries(image: av.VideoFrame, matrix: str) -> str:
    if matrix == "bt601":
        return "bt470bg" if image.height in (288, 576) else "smpte170m"
    return matrix


def _rgb(image: av.VideoFrame, how: Conversion, pixel_format: str) -> np.ndarray:
    """Full-range R'G'B' with square pixels, HxWx3."""
    if how.range == "tv" and image.format.name.startswith("yuvj"):
        image = _without_range(image)
    if how.chroma_upsampling == "nearest":
        image = _repeated_chroma(image, how)
    # The filter, not the frame's own reformat: only the filter knows where chroma samples lie between luma samples.
    return _scaled(image, _square(image, how), pixel_format).to_ndarray()


def _square(image: av.VideoFrame, how: Conversion) -> str:
    """Options of ffmpeg's filter `scale` that make square pixels of full-range R'G'B'."""
    width, height = square_size(image.width, image.height, how.sar or Fraction(1))
    scaler = "bicubic" if (width, height) == (image.width, image.height) else "lanczos"
    return (
        f"w={width}:h={height}:in_color_matrix={how.matrix}:in_range={how.range}:out_range=pc"
        f":flags={scaler}+{_HIGH_QUALITY}"
    )


def _without_range(image: av.VideoFrame) -> av.VideoFrame:
    """The picture in a pixel format that says nothing of its range: a decoder keeps full range's when that changes."""
    frame = av.VideoFrame(image.width, image.height, image.format.name.replace("yuvj", "yuv"))
    for into, plane in zip(frame.planes, image.planes, strict=True):
        samples = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
        lines = np.zeros((into.height, into.line_size), np.uint8)
        lines[:, : into.width] = samples
        into.update(lines.tobytes())
    return frame


def _scaled(image: av.VideoFrame, options: str, pixel_format: str) -> av.VideoFrame:
    """What ffmpeg's filter `scale` makes of the picture, in that pixel format."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=image.width, height=image.height, format=image.format, time_base=image.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(
        source, graph.add("scale", options), graph.add("format", pixel_format), graph.add("buffersink")
    ).configure()
    graph.vpush(image)
    return graph.vpull()


def _repeated_chroma(image: av.VideoFrame, how: Conversion) -> av.VideoFrame:
    """The picture in 4:4:4, every pixel with the chroma sample that covers it; as it is where each has its own."""
    kind = image.format
    samples = kind.chroma_width(64), kind.chroma_height(64)
    if kind.is_rgb or samples in ((64, 64), (0, 0)):
        return image
    along, down = (64 // side for side in samples)
    bits = kind.components[0].bits
    depth, sample = ("", np.uint8) if bits == 8 else (f"{bits}le", np.uint16)
    if len(image.planes) < 3 or kind.is_big_endian:
        labels = (
            f"in_color_matrix={how.matrix}:out_color_matrix={how.matrix}:in_range={how.range}:out_range={how.range}"
        )
        image = _scaled(image, f"{labels}:flags=neighbor", f"yuv{_SUBSAMPLINGS[along, down]}p{depth}")
    # Not a scaler: of a side that is no multiple it would stretch the samples a little.
    frame = av.VideoFrame(image.width, image.height, f"yuv444p{depth}")
    for number, (into, plane) in enumerate(zip(frame.planes, image.planes, strict=False)):
        values = np.frombuffer(memoryview(plane), sample).reshape(plane.height, -1)[:, : plane.width]
        if number:
            values = cv2.resize(values, None, fx=along, fy=down, interpolation=cv2.INTER_NEAREST)
        lines = np.zeros((into.height, into.line_size // values.itemsize), sample)
        lines[:, : into.width] = values[: into.height, : into.width]
        into.update(lines.tobytes())
    return frame


def _without_bars(rgb: np.ndarray, how: Conversion) -> np.ndarray:
    height, width = rgb.shape[:2]
    if (width, height) != how.bars_size_px:
        return rgb  # measured on pictures of another size
    left, top, right, bottom = how.bars_px
    inside = slice(top, height - bottom)
    return rgb[
        _cut(rgb[:top], top) : height - _cut(rgb[height - bottom :], bottom),
        _cut(rgb[inside, :left], left) : width - _cut(rgb[inside, width - right :], right),
    ]


def _cut(side: np.ndarray, bar_px: int) -> int:
    """How much to cut off a side whose bar, if it has one, is this picture's part `side`."""
    if not bar_px or not side.size:
        return 0
    dark = (side[::2, ::2] < _BAR_BLACK_BELOW).all(axis=2)
    return bar_px if dark.mean() >= _BAR_BLACK_SHARE else 0
