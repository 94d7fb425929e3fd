"""Excerpts of sources: windows of a video joined in one file, packets copied as they are, or some pictures of a folder.

An excerpt has the source's codec, size and rate of key frames, and goes through the graph as the source would.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.images.pictures import PictureFile
from dataset_pipeline.video.stream import VideoError, open_video, plain_reason

Window = tuple[float, float]  # from and to, in seconds from the first frame


@dataclass(frozen=True)
class Excerpt:
    """What was cut: the file, how many windows it holds, how long they are together, and their key frames."""

    path: Path
    windows: int
    seconds: float
    key_frames: int


def spread(length: float, share: float, at_most: int, shortest: float) -> list[Window]:
    """Windows that are together `share` of a length, each in the middle of its part: as many as `at_most` and the
    `shortest` allow, or one."""
    count = max(1, min(at_most, int(length * share / shortest)))
    part, half = length / count, length * share / count / 2
    return [((number + 0.5) * part - half, (number + 0.5) * part + half) for number in range(count)]


def cut(source: Path, target: Path, windows: Sequence[Window]) -> Excerpt:
    """Copy the packets of the windows, in order of time, into one Matroska file. Each begins at the key frame before
    its start and ends before one. Raises VideoError if nothing can be cut.
    """
    taken = key_frames = 0
    try:
        with open_video(source) as (container, stream), av.open(str(target), "w", format="matroska") as out:
            copy, unit = out.add_stream_from_template(stream), stream.time_base
            assert unit is not None
            first = stream.start_time or 0
            reached, end, last = None, 0, None  # time read up to; time and decoding time written up to
            for start_s, end_s in windows:
                container.seek(first + round(start_s / unit), stream=stream)
                shift = None
                for packet in _until(container, stream, first + round(end_s / unit)):
                    assert packet.pts is not None
                    assert packet.dts is not None
                    if shift is None:
                        if reached is not None and packet.pts < reached:
                            break  # the window before went on up to here
                        shift, taken = end - packet.pts, taken + 1
                    reached = max(reached or 0, packet.pts + (packet.duration or 1))
                    key_frames += packet.is_keyframe
                    packet.pts += shift
                    packet.dts = packet.dts + shift if last is None else max(last + 1, packet.dts + shift)
                    packet.pts = max(packet.pts, packet.dts)
                    end, last = max(end, packet.pts + (packet.duration or 1)), packet.dts
                    packet.stream = copy
                    out.mux(packet)
            seconds = float(end * unit)
    except FFmpegError as error:
        raise VideoError(source, f"no window can be cut out of it: {plain_reason(error)}") from error
    if not taken:
        raise VideoError(source, "no window can be cut out of it: there is no key frame with a time")
    return Excerpt(target, taken, seconds, key_frames)


def _until(container: InputContainer, stream: VideoStream, end: int) -> Iterator[av.Packet]:
    """Packets from the next key frame on, up to the first key frame at `end` or later."""
    begun = False
    for packet in container.demux(stream):
        if not packet.size or packet.pts is None or packet.dts is None:
            continue
        if packet.is_keyframe and begun and packet.pts >= end:
            return
        begun = begun or packet.is_keyframe
        if begun:
            yield packet


def key_frames_of(path: Path, seconds: float, within_s: float) -> float:
    """How many key frames a video of so many seconds has, without decoding: of all packets, or of as many as can be
    read within that time, and in proportion. Raises VideoError."""
    until_s, count, reached_s = time.monotonic() + within_s, 0, 0.0
    with open_video(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                count += packet.is_keyframe and bool(packet.size)
                if packet.pts is not None and packet.is_keyframe:
                    reached_s = float((packet.pts - (stream.start_time or 0)) * packet.time_base)
                if time.monotonic() > until_s and reached_s > 0:
                    return count * seconds / reached_s
        except FFmpegError:
            pass  # it is cut off there, which the run tells of; what was counted stands
    return float(count)


def copied(pictures: Sequence[PictureFile], target: Path, count: int, runs: int = 4) -> Excerpt:
    """Some pictures of a folder in a folder of their own: `count` of them in runs of neighbours, spread over all."""
    many = len(pictures)
    chosen: list[PictureFile] = []
    for start, end in spread(many, min(1.0, count / many), runs, 1):
        chosen += pictures[round(start) : round(end)]
    for picture in chosen:
        place = target / picture.relative
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture.path, place)
    return Excerpt(target, min(runs, len(chosen)), 0.0, 0)
