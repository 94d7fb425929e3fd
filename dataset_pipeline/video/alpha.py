"""Transparency of video: planes of the picture itself, or a second stream of pictures beside each packet (VP8, VP9)."""

from collections.abc import Sequence
from contextlib import suppress

import av
import numpy as np
from av.codec import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_CODECS = frozenset({"vp8", "vp9"})
_ID_BYTES = 8  # before the picture; 1 is that of transparency
_HELD = 64  # more than a decoder holds of pictures that it has not shown yet


def has_side_alpha(stream: VideoStream) -> bool:
    """Whether the transparency of its pictures is coded beside them, which ffmpeg's own decoders leave out."""
    return stream.metadata.get("alpha_mode") == "1" and stream.codec_context.codec.canonical_name in _CODECS


class SideAlpha:
    """Decodes what is coded beside the packets of a stream. Of streams without that it knows nothing."""

    def __init__(self, stream: VideoStream) -> None:
        self._context: VideoCodecContext | None = None
        if has_side_alpha(stream):
            self._context = CodecContext.create(stream.codec_context.codec.canonical_name, "r")  # type: ignore[assignment]
        self._planes: dict[int, np.ndarray] = {}

    def feed(self, packet: av.Packet) -> None:
        """Every packet, before its pictures are asked about."""
        if self._context is None or not packet.has_sidedata("matroska_block_additional"):
            return
        beside = bytes(packet.get_sidedata("matroska_block_additional"))
        if int.from_bytes(beside[:_ID_BYTES], "big") != 1:
            return
        coded = av.Packet(beside[_ID_BYTES:])
        coded.pts, coded.dts, coded.time_base = packet.pts, packet.dts, packet.time_base
        with suppress(FFmpegError):  # without it the picture is opaque
            for image in self._context.decode(coded):
                if image.pts is not None:
                    self._planes[image.pts] = _luma(image)
        while len(self._planes) > _HELD:
            del self._planes[next(iter(self._planes))]

    def of(self, image: av.VideoFrame) -> np.ndarray | None:
        """Opacity of the picture, uint8 [height, width] as coded, or None for an opaque one. Each is given once."""
        return self._planes.pop(image.pts, None) if image.pts is not None else None


def is_transparent(image: av.VideoFrame) -> bool:
    """Whether the picture's own pixels may be transparent."""
    return image.format.name == "pal8" or any(component.is_alpha for component in image.format.components)


def laid_over(rgb: np.ndarray, opacity: np.ndarray, background: Sequence[int]) -> np.ndarray:
    """RGB uint8 HxWx3 over one colour; `opacity`: uint8 [height, width]."""
    share = opacity[..., None].astype(np.uint16)
    mixed = rgb * share + np.array(background, np.uint16) * (255 - share)
    return ((mixed + 127) // 255).astype(np.uint8)


def _luma(image: av.VideoFrame) -> np.ndarray:
    plane = image.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].copy()
