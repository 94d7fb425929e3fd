"""Runs of successive frames from many places of a video, for the price of a few hundred decoded frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.stream import Cropper, VideoError, open_video

PLACES = 24
RUN_FRAMES = 7  # a whole cycle of telecine, five frames, each between its neighbours
RUN_PACKETS = 24  # that time is read from: reading costs little, decoding much
_MIN_RUNS = 8
_SEQUENTIAL_FRAMES = 400  # decoded where seeking reaches too few places


@dataclass
class Sample:
    """Frames of one place, in the order they are shown, and the times in seconds of the packets around them."""

    frames: list[av.VideoFrame]
    times_s: list[float] = field(default_factory=list)


def sample_runs(path: Path, duration_s: float | None) -> Iterator[Sample]:
    """Runs of `RUN_FRAMES` frames from up to `PLACES` places, each from a key frame on.

    A file with few key frames, or one that cannot be sought in, is decoded from its start for a while instead. Ends
    early, without an error, where the file cannot be read.
    """
    given = 0
    for sample in _sought(path, duration_s) if duration_s else ():
        given += 1
        yield sample
    if given < _MIN_RUNS:
        yield from _sequential(path, skip=given > 0)


def _sought(path: Path, duration_s: float) -> Iterator[Sample]:
    with open_video(path) as (container, stream):
        time_base = stream.time_base
        if time_base is None:
            return
        start = stream.start_time or 0
        reached, cropped = None, Cropper(path, container, stream)
        for place in range(PLACES):
            target = start + round(duration_s * (place + 0.5) / PLACES / time_base)
            try:
                container.seek(target, stream=stream)
                packets = _from_key_frame(container, stream)
            except (FFmpegError, OSError):
                return
            if not packets or packets[0].pts is None or (reached is not None and packets[0].pts <= reached):
                continue
            frames = _decoded(stream, packets, cropped)
            if len(frames) > 2:
                reached = frames[-1].pts
                times = sorted(packet.pts for packet in packets if packet.pts is not None)
                yield Sample(frames, [float(pts * time_base) for pts in times])


def _from_key_frame(container: InputContainer, stream: VideoStream) -> list[av.Packet]:
    packets = (packet for packet in container.demux(stream) if packet.size)
    first = next((packet for packet in islice(packets, 2 * RUN_PACKETS) if packet.is_keyframe), None)
    return [] if first is None else [first, *islice(packets, RUN_PACKETS - 1)]


def _decoded(stream: VideoStream, packets: list[av.Packet], cropped: Cropper) -> list[av.VideoFrame]:
    """The first frames of these packets that lean on nothing before them."""
    frames: list[av.VideoFrame] = []
    for packet in packets:
        try:
            images = cropped(stream.decode(packet))
        except FFmpegError:
            break
        frames += [image for image in images if image.pts is not None and image.pts >= (packets[0].pts or 0)]
        if len(frames) >= RUN_FRAMES:
            break
    sound = [image.is_corrupt for image in frames[:RUN_FRAMES]]
    return frames[: sound.index(True)] if True in sound else frames[:RUN_FRAMES]


def _sequential(path: Path, skip: bool) -> Iterator[Sample]:
    """Runs end to end from the start of the file on; `skip`: without the first, which was given already."""
    try:
        images = (frame.image for frame in islice(iter_frames(path), _SEQUENTIAL_FRAMES))
        while run := list(islice(images, RUN_FRAMES)):
            if not skip:
                yield Sample(run)
            skip = False
    except VideoError:
        return
