"""Intra frames alone: each intra packet is decoded by itself, and nothing else is decoded."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.alpha import has_side_alpha
from dataset_pipeline.video.bitstream import intra_test
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.durations import early_end
from dataset_pipeline.video.pictures import packets_of, tells_no_times, to_the_last
from dataset_pipeline.video.stream import Clock, Cropper, DecodeReport, Frame, open_video

_OUTPUT_CORRUPT = 1 << 3  # AV_CODEC_FLAG_OUTPUT_CORRUPT


class CannotSkip(Exception):
    """This stream's intra frames are not to be had without decoding the others."""


def intra_frames(path: Path, first: int, report: DecodeReport, how: Conversion, hardware: str) -> Iterator[Frame]:
    """Intra frames alone, in order. Raises CannotSkip where they might not be those that `all_frames` gives.

    first: the timestamp of the file's first frame.
    Each intra packet is decoded by itself: told to skip the others, the H.264 decoder puts intra frames out of order
    and drops some, and the HEVC decoder knows no other than key frames.
    """
    with open_video(path, "SLICE", hardware) as (container, stream):
        is_intra = _intra_test_of(container, stream)
        clock, cropped = Clock(stream, first), Cropper(path, container, stream)
        waiting: list[tuple[int, int, Frame]] = []
        last_dts, end = None, first
        for packet, damage in to_the_last(packets_of(path, container, stream, report)):
            if packet is not None:
                last_dts, pts = _stamps_in_order(packet, last_dts)
                end = max(end, pts + (packet.duration or 0))
                while waiting and waiting[0][0] < last_dts:
                    yield from _placed(clock, heapq.heappop(waiting)[2], report)
            for image in cropped(_decode_alone(stream, packet, is_intra, report)):
                if image.pts is None or image.interlaced_frame:
                    raise CannotSkip  # the second field of an interlaced intra picture may be predicted
                corrupt = damage != "none" or (image.is_corrupt and bool(image.key_frame))
                report.frames += 1
                report.corrupt_frames += corrupt
                heapq.heappush(waiting, (image.pts, report.frames, clock.frame(image.pts, image, corrupt, how)))
        while waiting:
            yield from _placed(clock, heapq.heappop(waiting)[2], report)
        report.seconds = float((end - first) * clock.time_base)
        report.reasons += early_end(path, container, stream, clock.start_s, report.seconds)


def _intra_test_of(container: InputContainer, stream: VideoStream) -> Callable[[bytes], bool] | None:
    """Which packets are intra pictures; None where the decoder is told to skip all others. Raises CannotSkip."""
    if has_side_alpha(stream) or tells_no_times(container, stream):
        raise CannotSkip  # whose intra pictures, or their times, may be others
    context = stream.codec_context
    codec = context.codec.canonical_name
    is_intra = intra_test(codec, context.extradata)
    if codec == "av1":
        context.skip_frame = "NONINTRA"  # its decoder does not reorder
    elif is_intra is None:
        raise CannotSkip
    context.flags |= _OUTPUT_CORRUPT  # without the pictures before it, what is no key frame counts as corrupt
    return is_intra


def _stamps_in_order(packet: av.Packet, last_dts: int | None) -> tuple[int, int]:
    """Its dts and pts. Raises CannotSkip without an order of time in the packets: only the decoder can tell it."""
    dts, pts = packet.dts, packet.pts
    if dts is None or pts is None or pts < dts or (last_dts is not None and dts < last_dts):
        raise CannotSkip
    return dts, pts


def _placed(clock: Clock, frame: Frame, report: DecodeReport) -> Iterator[Frame]:
    if clock.place(frame.image) == frame.pts:
        yield frame
    else:
        report.misplaced_frames += 1


def _decode_alone(
    stream: VideoStream, packet: av.Packet | None, is_intra: Callable[[bytes], bool] | None, report: DecodeReport
) -> list[av.VideoFrame]:
    """The picture of an intra packet, decoded with no other; nothing for other packets."""
    try:
        if is_intra is None:
            return stream.decode(packet)
        if packet is None or packet.is_discard or not is_intra(bytes(packet)):
            return []
        images = [*stream.decode(packet), *stream.decode(None)]
    except FFmpegError:
        images = []
    except ValueError as error:
        raise CannotSkip from error
    if is_intra is not None:
        stream.codec_context.flush_buffers()
    if len(images) > 1:
        raise CannotSkip
    report.bad_packets += not images
    return images
