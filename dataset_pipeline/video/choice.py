"""Which of a file's video streams is the video: one that moves and lasts, never its cover."""

from collections import Counter
from contextlib import suppress

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

PICTURE_CODECS = frozenset({"mjpeg", "mjpegb", "jpegls", "jpegxl", "jpeg2000", "png", "gif", "bmp", "webp", "tiff"})
PEEKED_PACKETS = 200  # in which a stream that moves has shown its second picture
LASTING_SHARE = 0.5  # of the longest stream: what is shorter is an extra
DENSE_SHARE = 0.25  # of the highest frame rate: what has less shows thumbnails or slides
_BESIDE_THE_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails


def video_candidates(container: InputContainer) -> list[VideoStream]:
    """The streams that may be the video: not those marked as a cover or as thumbnails."""
    return [stream for stream in container.streams.video if not stream.disposition & _BESIDE_THE_VIDEO]


def needs_peek(container: InputContainer) -> bool:
    """Whether the headers alone do not tell which stream is the video."""
    streams = video_candidates(container)
    return len(streams) > 1 or (bool(container.streams.audio) and any(map(_is_picture, streams)))


def first_pictures(container: InputContainer) -> dict[int, int]:
    """Packets by stream index among the first ones of a freshly opened file, up to the second of each stream."""
    streams = video_candidates(container)
    counts: Counter[int] = Counter()
    with suppress(FFmpegError, OSError):  # what cannot be read is named by whoever decodes it
        for packet in container.demux(streams):
            counts[packet.stream_index] += packet.size > 0
            if all(counts[stream.index] > 1 for stream in streams) or counts.total() > PEEKED_PACKETS:
                break
    return counts


def pick_stream(container: InputContainer, pictures: dict[int, int] | None = None) -> VideoStream | None:
    """The video stream to read, or None for a file that has none: sound with a cover, whatever the cover is marked as.

    The one that this ffmpeg knows, moves, lasts at its full rate, is marked default, is the largest, comes first, in
    this order.
    `pictures`: what `first_pictures` gives of the file, where `needs_peek`.
    """
    streams = video_candidates(container)
    if pictures is None:
        return streams[0] if streams else None
    longest_s = max((_duration_s(stream) for stream in streams), default=0.0)
    highest_rate = max((_rate(stream) for stream in streams), default=0.0)

    def rank(stream: VideoStream) -> tuple[bool, bool, bool, bool, int, int]:
        is_known = stream.codec_context is not None
        is_still = pictures.get(stream.index, 0) < 2 or bool(stream.disposition & Disposition.still_image)
        lasts = _duration_s(stream) >= LASTING_SHARE * longest_s and _rate(stream) >= DENSE_SHARE * highest_rate
        area_px = (stream.width or 0) * (stream.height or 0) if is_known else 0
        is_default = bool(stream.disposition & Disposition.default)
        return is_known, not is_still, lasts, is_default, area_px, -stream.index

    best = max(streams, key=rank, default=None)
    is_cover = best is not None and _is_picture(best) and pictures.get(best.index, 0) < 2
    return None if is_cover and container.streams.audio else best


def _is_picture(stream: VideoStream) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec.canonical_name in PICTURE_CODECS


def _duration_s(stream: VideoStream) -> float:
    """By the stream's own header or tag; 0 where it has none."""
    return own_duration_s(stream) or 0.0


def _rate(stream: VideoStream) -> float:
    """Frames per second; 0 where nothing is said of them."""
    duration_s = _duration_s(stream)
    return stream.frames / duration_s if stream.frames and duration_s else float(stream.average_rate or 0)


def own_duration_s(stream: VideoStream) -> float | None:
    """By the stream's own header or tag, or None."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    return duration_tag_s(stream)


def duration_tag_s(stream: VideoStream) -> float | None:
    """By the tag that Matroska's writers give to streams, or None."""
    tag = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in tag)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
