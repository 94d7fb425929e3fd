"""What a video file is, from its headers and from frames of some twenty places of it."""

import math
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.cadence import decide_cadence, luma, vote
from dataset_pipeline.video.color import AS_LABELLED, PRIMARIES, Cadence, is_mirrored, side_data, square_size
from dataset_pipeline.video.containers import (
    FORMATS_BY_ENDING,
    SNIFF_BYTES,
    is_encrypted,
    missing_end,
    sniff_container,
    what_else,
)
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.durations import duration_of, measured, promised_duration_s, steady
from dataset_pipeline.video.letterbox import Bars, find_bars
from dataset_pipeline.video.sampling import sample_runs
from dataset_pipeline.video.stream import JUMP_BACK_S, Frame, VideoError, open_video, plain_reason
from dataset_pipeline.video.tonemap import HLG_PEAK_NITS

ENCRYPTED = "is encrypted (DRM): only a player that has its key shows it"
SAMPLED_PACKETS = 240  # at each of two places, for the guess whether the frame rate varies
FIELD_ROWS = 16  # pictures of fewer rows have no fields or bars to be told
MARGIN_PACKETS = 8  # at both ends of a sample in decoding order, neighbours in time may be missing

# Names of ITU-T H.273 code points, as ffprobe prints them.
_SPACES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
           10: "bt2020c"}  # fmt: skip
_TRANSFERS = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
              13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428",
              18: "arib-std-b67"}  # fmt: skip
_RANGES = {1: "tv", 2: "pc"}
_UNTAGGED = "unknown"
_BAR_FRAMES_PX = 2_200_000  # of larger pictures one frame of a place looks for bars, of others two
_RATE_SLACK = 0.015  # timestamps rounded to milliseconds miss the rate by less


@dataclass(frozen=True)
class Chapter:
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True)
class VideoProbe:
    """Facts of one video file. Where it is not `readable` only `container` and `damage` say anything.

    `width_px`, `height_px`: as coded; `display_*`: upright with square pixels. `rotation_deg`: the counterclockwise
    turn that makes it upright. Colour tags are raw, `unknown` where absent; `used_*` is what decoding goes by, tag or
    guess: swscale's matrix, `tv` or `pc`, primaries, `sdr`, `pq` or `hlg`; `peak_nits` is the brightest light of PQ,
    from its mastering data. `cadence` and `bar_*_px` are seen in the pixels; the bars are those of the upright picture
    with square pixels. `frame_rate`: frames per second on average; `is_vfr` is a guess from packets at many places.
    `duration_s` is measured where the header lacks it or the file is cut off. `damage`: sentences.
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
    used_matrix: str = ""
    used_primaries: str = ""
    used_transfer: str = ""
    used_range: str = ""
    peak_nits: float = HLG_PEAK_NITS
    cadence: Cadence = "progressive"
    bar_left_px: int = 0
    bar_top_px: int = 0
    bar_right_px: int = 0
    bar_bottom_px: int = 0
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

    def row(self) -> dict[str, Any]:
        """The columns of `video_probe` that the file's pictures and headers tell."""
        renamed = {
            "sample_aspect": float(self.sar),
            "pixel_format": self.pix_fmt,
            "variable_frame_rate": self.is_vfr,
            "start_s": self.start_pts_s,
            "chapters": [asdict(chapter) for chapter in self.chapters],
            "damage": list(self.damage),
        }
        other = ("sar", "pix_fmt", "is_vfr", "start_pts_s", "stream_index", "chapters", "damage")
        return {name: value for name, value in vars(self).items() if name not in other} | renamed


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
        if container == "mp4" and is_encrypted(path):
            return VideoProbe(readable=False, container=container, damage=(ENCRYPTED, *damage))
        try:
            frame = next(iter_frames(path), None)
            if frame is None:
                raise VideoError(path, "no frame can be decoded")
            found = _probed(path, frame, damage)
            if not container and found.container == FORMATS_BY_ENDING.get(path.suffix.lower()):
                return replace(found, damage=(f"its beginning is damaged: {what_else(path)}", *damage))
            return found
        except VideoError as error:
            reasons = (error.reason, *damage)
            if not container and path.is_file() and path.stat().st_size:
                reasons = (f"is not a video: {what_else(path)}",)
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
        used = AS_LABELLED.resolved(image, sar)
        start_s = float(frame.pts * (stream.time_base or Fraction(1)))
        promised_s = duration_of(path, promised_duration_s(container, stream), start_s)
        seen = _sampled(path, image, promised_s, used.range == "pc")
        rate, is_vfr = _timing(container, stream, seen, promised_s)
        duration_s = promised_s
        if duration_s is None or damage or (is_vfr and not stream.frames):
            rate, duration_s = measured(path, rate)
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
            color_primaries=PRIMARIES.get(image.color_primaries, _UNTAGGED),
            color_transfer=_TRANSFERS.get(image.color_trc, _UNTAGGED),
            color_range=_RANGES.get(image.color_range, _UNTAGGED),
            used_matrix=used.matrix or "",
            used_primaries=used.primaries or "",
            used_transfer=used.transfer or "",
            used_range=used.range or "",
            peak_nits=_peak_nits(image),
            cadence=seen.cadence,
            **_upright_bars(seen.bars, image, sar),
            frame_rate=round(rate, 6),
            is_vfr=is_vfr,
            duration_s=duration_s,
            start_pts_s=start_s,
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


@dataclass(frozen=True)
class _Seen:
    """What the frames of many places show; `frame_gaps_s` and `packet_gaps_s` are the times between successive ones."""

    cadence: Cadence
    bars: Bars
    frame_gaps_s: tuple[float, ...]
    packet_gaps_s: tuple[float, ...]


def _sampled(path: Path, first: av.VideoFrame, duration_s: float | None, full_range: bool) -> _Seen:
    votes, stills, frame_gaps, packet_gaps = [], [], [], []
    for sample in sample_runs(path, duration_s):
        frames = [frame for frame in sample.frames if (frame.width, frame.height) == (first.width, first.height)]
        pictures = [luma(frame) for frame in frames if frame.height >= FIELD_ROWS]
        votes.append([vote(*pictures[n : n + 3]) for n in range(len(pictures) - 2)])
        if pictures:
            stills += [picture.copy() for picture in pictures[-1:]]
            if pictures[0].size <= _BAR_FRAMES_PX and len(pictures) > 1:
                stills.append(pictures[0].copy())
        packet_gaps += [b - a for a, b in pairwise(sample.times_s[:-MARGIN_PACKETS])]
        stamps = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base]
        frame_gaps += [float(b - a) for a, b in pairwise(stamps) if b > a]  # not where time starts over
    pixel_format = first.format
    chroma_px = 2 if "420" in pixel_format.name or pixel_format.name.startswith(("nv12", "p0")) else 1
    bars = find_bars(stills, 0 if full_range else 16, chroma_px)
    return _Seen(decide_cadence(votes), bars, tuple(frame_gaps), tuple(packet_gaps))


def _upright_bars(bars: Bars, image: av.VideoFrame, sar: Fraction) -> dict[str, int]:
    """`bar_*_px` of the upright picture with square pixels; scaled edges lose one pixel more to the scaler's filter."""
    width, height = square_size(image.width, image.height, sar)

    def scaled(bar_px: int, coded_px: int, shown_px: int) -> int:
        return bar_px if coded_px == shown_px or not bar_px else math.ceil(bar_px * shown_px / coded_px) + 1

    sides = [
        scaled(bars.left_px, image.width, width),
        scaled(bars.top_px, image.height, height),
        scaled(bars.right_px, image.width, width),
        scaled(bars.bottom_px, image.height, height),
    ]
    turns = round(image.rotation / 90) % 4  # counterclockwise: each turn brings the top to the left
    if is_mirrored(image):
        sides[1], sides[3] = sides[3], sides[1]
    sides = sides[turns:] + sides[:turns]
    return dict(zip(("bar_left_px", "bar_top_px", "bar_right_px", "bar_bottom_px"), sides, strict=True))


def _peak_nits(image: av.VideoFrame) -> float:
    """The brightest light the content has (MaxCLL), else that its mastering display had, else that of HLG displays."""
    levels = side_data(image, "CONTENT_LIGHT_LEVEL")
    mastering = side_data(image, "MASTERING_DISPLAY_METADATA")
    if levels is not None:
        (max_cll,) = struct.unpack_from("=I", bytes(levels))
        if max_cll:
            return float(max_cll)
    if mastering is not None:
        # AVMasteringDisplayMetadata: ten pairs of numerator and denominator, the last of them the highest luminance.
        *_, numerator, denominator, _has_primaries, has_luminance = struct.unpack_from("=22i", bytes(mastering))
        if has_luminance and numerator > 0 and denominator > 0:
            return numerator / denominator
    return HLG_PEAK_NITS


def _timing(
    container: InputContainer, stream: VideoStream, seen: _Seen, duration_s: float | None
) -> tuple[float, bool]:
    """Average frame rate, and a guess whether it varies, of a video that lasts `duration_s`, if that is known."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if stream.frames and duration_s:
        cut = sum(entry.is_discard for entry in stream.index_entries)  # by an edit list
        rate = (stream.frames - cut) / duration_s
    gaps = [*_gaps_s(container, stream), *seen.packet_gaps_s]
    if not gaps:
        return rate, False
    # Timestamps are rounded to the time base (1 ms in Matroska), which makes steady frames look uneven by one unit.
    usual_s = sorted(gaps)[len(gaps) // 2]
    slack_s = float(stream.time_base or 0) + 0.05 * usual_s
    # A few odd gaps are dropped frames.
    is_vfr = sum(abs(gap - usual_s) > slack_s for gap in gaps) > max(1, len(gaps) // 100)
    shown = steady(seen.frame_gaps_s)
    shown_s = float(np.mean(shown)) if shown else 0.0
    if not is_vfr and shown_s > 0:
        is_counted = stream.frames and duration_s and not _jumps(stream)
        if not is_counted and abs(rate * shown_s - 1) > _RATE_SLACK:
            rate = 1 / shown_s  # the header is wrong
        elif abs(rate * shown_s - 2) <= _RATE_SLACK:
            rate /= 2  # it counts fields
    return rate, is_vfr


def _jumps(stream: VideoStream) -> bool:
    """Whether the container's index has a jump of the clock in it."""
    stamps = sorted(entry.timestamp for entry in stream.index_entries)
    steps = [float((b - a) * (stream.time_base or 1)) for a, b in pairwise(stamps)]
    return len(steady(steps)) < len(steps)


def _gaps_s(container: InputContainer, stream: VideoStream) -> list[float]:
    """Times between successive frames of the next packets."""
    packets: list[av.Packet] = []
    with suppress(FFmpegError):  # what cannot be read is named by whoever decodes it
        packets.extend(packet for packet in islice(container.demux(stream), SAMPLED_PACKETS) if packet.size)
    stamps = [packet.pts for packet in packets]
    if None in stamps:
        stamps = [packet.dts for packet in packets]
    ordered = sorted(_first_recording([stamp for stamp in stamps if stamp is not None], stream.time_base))
    if len(ordered) > 4 * MARGIN_PACKETS:
        ordered = ordered[MARGIN_PACKETS:-MARGIN_PACKETS]
    return [float((b - a) * (stream.time_base or 1)) for a, b in pairwise(ordered)]


def _first_recording(stamps: list[int], time_base: Fraction | None) -> list[int]:
    """The timestamps up to where they start over."""
    jump_back, latest = JUMP_BACK_S / (time_base or Fraction(1)), None
    for number, stamp in enumerate(stamps):
        if latest is not None and latest - stamp > jump_back:
            return stamps[:number]
        latest = stamp if latest is None else max(latest, stamp)
    return stamps
