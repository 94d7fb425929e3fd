"""How long a video is: what its headers promise, and what its packets say."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.choice import duration_tag_s, own_duration_s
from dataset_pipeline.video.containers import may_be_joined
from dataset_pipeline.video.stream import JUMP_BACK_S, open_file, open_video

LATE_BY_S, LATE_SHARE = 1.0, 0.02  # of what is promised, may be missing from a whole file
JUMP_S = 10.0  # a longer stretch without frames is none of their steps, but a jump of the clock
WRONG_BY_S = 0.5  # a header's duration that is further off is not the video's
_INDEXED = "mov"  # containers whose duration is the sum of their frames'
_SEEKABLE = frozenset({"matroska", "avi"})  # others are read whole: their timestamps may start over
_WITHOUT_OWN = frozenset({"matroska", "flv"})  # what ffmpeg calls the stream's duration is the container's there
_TAIL_S = 3.0


def promised_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """The video's duration by the file's header: the stream's own, else its tag, else the container's; or None."""
    own_s = own_duration_s(stream)
    if own_s is not None:
        return own_s
    return container.duration / av.time_base if container.duration and container.duration > 0 else None


@dataclass(frozen=True)
class Promise:
    """When the video ends by the headers, in seconds of the container's clock; `own`: by its stream's own words, not
    by the container's, which may be another stream's."""

    end_s: float
    own: bool


def promise_of(container: InputContainer, stream: VideoStream) -> Promise | None:
    """What the headers promise. Tags and durations of Matroska mean an end or a length, as their writers like."""
    time_base = stream.time_base or Fraction(1, av.time_base)
    start_s = float((stream.start_time or 0) * time_base)
    is_own = container.format.name.split(",")[0] not in _WITHOUT_OWN
    if is_own and stream.duration and stream.duration > 0:
        return Promise(start_s + float(stream.duration * time_base), True)
    tag_s = duration_tag_s(stream)
    if tag_s is not None:
        return Promise(_end_s(tag_s, start_s), True)
    if not container.duration or container.duration <= 0:
        return None
    whole_s, origin_s = container.duration / av.time_base, (container.start_time or 0) / av.time_base
    is_matroska = container.format.name.startswith("matroska")
    return Promise(_end_s(whole_s, origin_s) if is_matroska else origin_s + whole_s, False)


def _end_s(promised_s: float, start_s: float) -> float:
    """Of what may be an end or a length the shorter."""
    return promised_s if promised_s > start_s else start_s + promised_s


def early_end(path: Path, container: InputContainer, stream: VideoStream, start_s: float, shown_s: float) -> list[str]:
    """A sentence where the video, which begins at `start_s`, shows less than the headers promise; else nothing.

    Where only the container promises and another stream keeps it, nothing of the file is missing.
    """
    promise = promise_of(container, stream)
    if promise is None or shown_s <= 0:
        return []
    promised_s = promise.end_s - max(0.0, start_s)
    late_s = max(LATE_BY_S, LATE_SHARE * promised_s)
    if shown_s >= promised_s - late_s or (not promise.own and _others_reach(path, promise.end_s - late_s)):
        return []
    return [f"the video ends at {shown_s:.1f} s of {promised_s:.1f} s"]


def _others_reach(path: Path, end_s: float) -> bool:
    """Whether a stream that is no video has something at that second of the container's clock or later."""
    with open_file(path) as container:
        others = [stream for stream in container.streams if stream.type != "video"]
        try:
            container.seek(round((end_s - _TAIL_S) * av.time_base))
            for packet in container.demux(others) if others else ():
                if packet.pts is None or packet.time_base is None:
                    continue
                if (packet.pts + (packet.duration or 0)) * packet.time_base >= end_s:
                    return True
        except (FFmpegError, OSError):
            return False
    return False


def duration_of(path: Path, promised_s: float | None, start_s: float) -> float | None:
    """The video's duration in seconds from `start_s`, its first frame: `promised_s` unless its packets say otherwise.

    None where only reading all of it tells, as `measured` does.
    """
    with open_video(path) as (container, stream):
        kind = container.format.name.split(",")[0]
        if promised_s is None or (kind == _INDEXED and stream.frames):
            return promised_s
        is_one = kind in _SEEKABLE and not may_be_joined(path)
        end_s = _tail_end_s(container, stream) if is_one else None
    found_s = measured(path, 0.0)[1] if end_s is None else end_s - start_s
    return promised_s if found_s <= 0 or abs(found_s - promised_s) <= WRONG_BY_S else found_s


def _tail_end_s(container: InputContainer, stream: VideoStream) -> float | None:
    """When the last frame ends, by the container's clock, from the packets after the last seek point."""
    time_base, end, step = stream.time_base or Fraction(1, av.time_base), 0, 0
    try:
        container.seek(1 << 40, stream=stream)
        for packet in container.demux(stream):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None and packet.size:
                step = packet.duration or step
                end = max(end, stamp + step)
    except (FFmpegError, OSError):
        return None
    return float(end * time_base) if end else None


def steady(steps: Iterable[float]) -> list[float]:
    """The steps in seconds without jumps of the clock, unless the frames usually lie as far apart."""
    ordered = sorted(steps)
    longest = max(JUMP_S, 3 * ordered[len(ordered) // 2]) if ordered else 0.0
    return [step for step in ordered if step <= longest]


def measured(path: Path, header_rate: float) -> tuple[float, float]:
    """Average frame rate and duration in seconds from the timestamps of all packets, or from their number.

    Where timestamps start over (joined recordings) time goes on; jumps of the clock count for the duration alone.
    """
    stamps: list[int] = []
    packets = last_duration = offset = latest = 0
    with open_video(path) as (container, stream):
        time_base = stream.time_base or Fraction(1, av.time_base)
        jump_back = JUMP_BACK_S / time_base
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None or not packet.size:
                    continue
                if stamps and latest - stamp - offset > jump_back:
                    offset += latest + last_duration - stamp - offset
                latest = max(latest, stamp + offset) if stamps else stamp
                stamps.append(stamp + offset)
                last_duration = packet.duration or last_duration
        except FFmpegError:
            pass  # up to here it can be read
    if len(stamps) < 2:
        return header_rate, packets / header_rate if header_rate else 0.0
    stamps.sort()
    span = stamps[-1] - stamps[0]
    last = last_duration or span / (len(stamps) - 1)
    duration_s = float((span + last) * time_base)
    steps = [float((b - a) * time_base) for a, b in pairwise(stamps)]
    jumps_s = sum(steps) - sum(steady(steps))
    return len(stamps) / (duration_s - jumps_s) if jumps_s else len(stamps) / duration_s, duration_s
