"""What a video file is, without decoding more than its first frame."""

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.color import square_size
from dataset_pipeline.video.containers import SNIFF_BYTES, missing_end, sniff_container
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.stream import Frame, VideoError, open_video, plain_reason, promised_duration_s

SAMPLED_PACKETS = 240  # at each of two places, for the guess whether the frame rate varies
MARGIN_PACKETS = 8  # at both ends of a sample in decoding order, neighbours in time may be missing

# Names of ITU-T H.273 code points, as ffprobe prints them.
_SPACES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
           10: "bt2020c"}  # fmt: skip
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
              10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213"}  # fmt: skip
_TRANSFERS = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
              13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428",
              18: "arib-std-b67"}  # fmt: skip
_RANGES = {1: "tv", 2: "pc"}
_UNTAGGED = "unknown"


@dataclass(frozen=True)
class Chapter:
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True)
class VideoProbe:
    """Facts of one video file. Where it is not `readable` only `container` and `damage` say anything.

    `width_px`, `height_px`: as coded; `display_*`: upright with square pixels. `rotation_deg`: the counterclockwise
    turn that makes it upright. Colour tags are raw, `unknown` where absent. `frame_rate`: frames per second on
    average; `is_vfr` is a guess from packets at two places. `duration_s` is measured where the header lacks it or the
    file is cut off. `damage`: sentences.
    """

    readable: bool
    container: str = ""
    codec: str = ""
    width_px: int = 0
    height_px: int = 0
    display_width_px: int = 0
    display_height_px: int = 0
    sar: Fraction = Fraction(1)
    rotation_deg: int = 0
    pix_fmt: str = ""
    bit_depth: int = 0
    color_space: str = _UNTAGGED
    color_primaries: str = _UNTAGGED
    color_transfer: str = _UNTAGGED
    color_range: str = _UNTAGGED
    frame_rate: float = 0.0
    is_vfr: bool = False
    duration_s: float = 0.0
    start_pts_s: float = 0.0
    stream_index: int = -1
    video_streams: int = 0
    audio_streams: int = 0
    subtitle_streams: int = 0
    chapters: tuple[Chapter, ...] = ()
    damage: tuple[str, ...] = ()


def probe(path: Path) -> VideoProbe:
    """The facts of a video file. What it holds raises nothing: `readable` and `damage` say it.

    Raises FileNotFoundError for a missing file.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such video file: {path}")
    container = ""
    try:
        if path.is_file():
            with path.open("rb") as file:
                container = sniff_container(file.read(SNIFF_BYTES)) or ""
            cut = missing_end(path)
        else:
            cut = None
        damage = (cut,) if cut else ()
        try:
            frame = next(iter_frames(path), None)
            if frame is None:
                raise VideoError(path, "no frame can be decoded")
            return _probed(path, frame, damage)
        except VideoError as error:
            reasons = (error.reason, *damage)
            if not container and path.is_file() and path.stat().st_size:
                reasons = ("is not a video: its content is of no known container", *damage)
            return VideoProbe(readable=False, container=container, damage=reasons)
    except (OSError, FFmpegError) as error:
        return VideoProbe(readable=False, container=container, damage=(f"cannot be read: {plain_reason(error)}",))


def has_video(path: Path) -> bool:
    """Whether the content is a video with a moving picture in it: by its first bytes, then by its list of streams."""
    with path.open("rb") as file:
        if sniff_container(file.read(SNIFF_BYTES)) is None:
            return False
    try:
        with open_video(path):
            return True
    except VideoError:
        return False


def _probed(path: Path, frame: Frame, damage: tuple[str, ...]) -> VideoProbe:
    with open_video(path) as (container, stream):
        image, sar = frame.image, frame.sar
        width, height = square_size(image.width, image.height, sar)
        if round(image.rotation / 90) % 2:
            width, height = height, width
        rate, is_vfr, duration_s = _timing(container, stream)
        if duration_s is None or damage or (is_vfr and not stream.frames):
            rate, duration_s = _measured(path, rate)
        time_base = stream.time_base or Fraction(1)
        return VideoProbe(
            readable=True,
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            width_px=image.width,
            height_px=image.height,
            display_width_px=width,
            display_height_px=height,
            sar=sar,
            rotation_deg=image.rotation,
            pix_fmt=image.format.name,
            bit_depth=image.format.components[0].bits,
            color_space=_SPACES.get(image.colorspace, _UNTAGGED),
            color_primaries=_PRIMARIES.get(image.color_primaries, _UNTAGGED),
            color_transfer=_TRANSFERS.get(image.color_trc, _UNTAGGED),
            color_range=_RANGES.get(image.color_range, _UNTAGGED),
            frame_rate=round(rate, 6),
            is_vfr=is_vfr,
            duration_s=duration_s,
            start_pts_s=float(frame.pts * time_base),
            stream_index=stream.index,
            video_streams=len(container.streams.video),
            audio_streams=len(container.streams.audio),
            subtitle_streams=len(container.streams.subtitles),
            chapters=tuple(
                Chapter(
                    float(chapter["start"] * (chapter["time_base"] or 1)),
                    float(chapter["end"] * (chapter["time_base"] or 1)),
                    chapter["metadata"].get("title", ""),
                )
                for chapter in container.chapters()
            ),
            damage=damage,
        )


def _timing(container: InputContainer, stream: VideoStream) -> tuple[float, bool, float | None]:
    """Average frame rate, guess whether it varies, and the header's duration in seconds or None."""
    duration_s = promised_duration_s(container, stream)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if stream.frames and duration_s:
        rate = stream.frames / duration_s
    gaps = _gaps_s(container, stream)
    if duration_s and stream.time_base:
        try:
            container.seek(round(duration_s / 2 / stream.time_base), stream=stream)
            gaps += _gaps_s(container, stream)
        except FFmpegError:
            pass  # no seeking in this container: the first place has to do
    if not gaps:
        return rate, False, duration_s
    # Timestamps are rounded to the time base (1 ms in Matroska), which makes steady frames look uneven by one unit.
    usual_s = sorted(gaps)[len(gaps) // 2]
    slack_s = float(stream.time_base or 0) + 0.05 * usual_s
    # A single odd gap is a dropped frame.
    return rate, sum(abs(gap - usual_s) > slack_s for gap in gaps) > 1, duration_s


def _gaps_s(container: InputContainer, stream: VideoStream) -> list[float]:
    """Times between successive frames of the next packets."""
    packets: list[av.Packet] = []
    with suppress(FFmpegError):  # what cannot be read is named by whoever decodes it
        packets.extend(packet for packet in islice(container.demux(stream), SAMPLED_PACKETS) if packet.size)
    stamps = [packet.pts for packet in packets]
    if None in stamps:
        stamps = [packet.dts for packet in packets]
    ordered = sorted(stamp for stamp in stamps if stamp is not None)
    if len(ordered) > 4 * MARGIN_PACKETS:
        ordered = ordered[MARGIN_PACKETS:-MARGIN_PACKETS]
    return [float((b - a) * (stream.time_base or 1)) for a, b in pairwise(ordered)]


def _measured(path: Path, header_rate: float) -> tuple[float, float]:
    """Average frame rate and duration in seconds from the timestamps of all packets, or from their number."""
    stamps: list[int] = []
    packets = last_duration = 0
    with open_video(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.size:
                    stamps.append(stamp)
                    last_duration = packet.duration or last_duration
        except FFmpegError:
            pass  # up to here it can be read
        time_base = stream.time_base or Fraction(1, av.time_base)
    if len(stamps) < 2:
        return header_rate, packets / header_rate if header_rate else 0.0
    span = max(stamps) - min(stamps)
    duration_s = float((span + (last_duration or span / (len(stamps) - 1))) * time_base)
    return len(stamps) / duration_s, duration_s
