"""Single frames by their timestamps, reached by seeking to the key frame before each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.alpha import has_side_alpha
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.containers import may_be_joined
from dataset_pipeline.video.pictures import Window, windows_of
from dataset_pipeline.video.stream import MAX_THREADS, Clock, Cropper, open_video, still

SEEK_AHEAD_S = 10.0  # where the container has no index: nearer frames are reached by decoding on
_IN_HAND_FRAMES = MAX_THREADS  # that a decoder on several threads works at besides the one it gives

_SEEKABLE = frozenset({"matroska", "mov"})  # containers whose seeks land on key frames by timestamp


class CannotSeek(Exception):
    """Exact frames of this file are only to be had from its beginning."""


def seek_frames(
    path: Path, wanted: Sequence[int], how: Conversion, hardware: str, first_pts: Callable[[], int | None]
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames at the ascending timestamps `wanted`; raises CannotSeek at the first that seeking does not reach.

    One way through the file: it is left for the next key frame where nothing is wanted before that one. first_pts:
    tells the timestamp of the very first frame, which alone has none before it.
    """
    needs_before = int(how.cadence != "progressive")
    with open_video(path, hardware=hardware) as (container, stream):
        _check_seekable(path, container, stream)
        clock, cropped = Clock(stream), Cropper(path, container, stream)
        way = _Way(container, stream, clock.step)
        windows: Iterator[Window] | None = None
        at: int | None = None
        for target in wanted:
            found = None  # gives its pictures back to the decoder
            if windows is not None and at is not None and not way.is_shorter_by_seeking(at, target - needs_before):
                found, at = _decode_until(windows, target)
            else:
                for windows in _decoded_from_before(way, target, how, cropped):
                    found, at = _decode_until(windows, target) if windows else (None, None)
                    if found and (not needs_before or found[0] is not None or target == first_pts()):
                        break
                    found = None
            if found is None:
                raise CannotSeek
            yield target, still(*found, clock.conversion(found[1], how), clock.aspect(found[1]))


def _check_seekable(path: Path, container: InputContainer, stream: VideoStream) -> None:
    """Raises CannotSeek for a file in which a timestamp does not lead to one frame with certainty."""
    if container.format.name.split(",")[0] not in _SEEKABLE or stream.time_base is None:
        raise CannotSeek
    if stream.codec_context.pix_fmt == "pal8":
        raise CannotSeek  # the palette may come with the first packet alone
    if has_side_alpha(stream):
        raise CannotSeek  # whose key frames may be others
    if may_be_joined(path) or not _is_timed(container, stream):
        raise CannotSeek  # several frames may have one timestamp


def _is_timed(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the first packet has a timestamp; Matroska's before zero are lost, and `Clock` counts these frames."""
    try:
        first = next((packet for packet in container.demux(stream) if packet.size), None)
    except (FFmpegError, OSError):
        return False
    return first is not None and first.pts is not None


class _Way:
    """Where decoding may begin in a container whose seeks land on key frames."""

    def __init__(self, container: InputContainer, stream: VideoStream, step: int) -> None:
        self.time_base = Fraction(stream.time_base or 1)
        self._container, self._stream = container, stream
        self._in_hand = _IN_HAND_FRAMES * step
        # From when a key frame is decoded to when it is shown: by the former MP4 finds it, by the latter Matroska.
        self._shown_after, self._is_found_by_dts = 0, container.format.name.startswith("mov")

    def is_shorter_by_seeking(self, at: int, target: int) -> bool:
        """Whether seeking to `target` gets there sooner than decoding on from `at`: not for a key frame that comes so
        soon that the decoder has it in hand."""
        entries = self._stream.index_entries
        index = entries.search_timestamp(target - self._shown_after) if len(entries) else -1
        if index >= 0 and entries[index].timestamp > at + self._in_hand:
            return True
        return (target - at) * self.time_base > SEEK_AHEAD_S

    def images_from(self, seek_pts: int, target: int, cropped: Cropper) -> Iterator[av.VideoFrame] | None:
        """Pictures from the key frame before `seek_pts` on; None where that key frame comes after `target`."""
        try:
            self._container.seek(seek_pts, stream=self._stream)
            packets = self._container.demux(self._stream)
            first = next((packet for packet in packets if packet.size), None)
        except (FFmpegError, OSError) as error:
            raise CannotSeek from error
        if first is None or first.pts is None or not first.is_keyframe:
            return None
        if self._is_found_by_dts and first.dts is not None:
            self._shown_after = max(self._shown_after, first.pts - first.dts)
        if first.pts > target:
            return None
        return self._images(first, packets, cropped)

    def _images(self, first: av.Packet, packets: Iterator[av.Packet], cropped: Cropper) -> Iterator[av.VideoFrame]:
        key_pts = first.pts or 0
        try:
            for packet in chain([first], packets):
                for image in cropped(self._stream.decode(packet)):
                    # Frames before the key frame lean on pictures that were not decoded.
                    if image.pts is not None and image.pts >= key_pts:
                        yield image
        except (FFmpegError, OSError) as error:
            raise CannotSeek from error


def _decoded_from_before(
    way: _Way, target: int, how: Conversion, cropped: Cropper
) -> Iterator[Iterator[Window] | None]:
    """Frames from the key frame before the target on, then from further and further before it; None where the key
    frame that is found comes after it."""
    needs_before = int(how.cadence != "progressive")
    for back_s in (0, 0.5, 5, 30):
        images = way.images_from(target - needs_before - round(back_s / way.time_base), target, cropped)
        yield None if images is None else windows_of(images, how)


def _decode_until(windows: Iterator[Window], target: int) -> tuple[Window | None, int | None]:
    """The sound frame at `target` with its neighbours, or None, and the timestamp that was reached."""
    at: int | None = None
    for window in windows:
        at = window[1].pts
        if at is not None and at >= target:
            sound = not any(frame is not None and frame.is_corrupt for frame in window)
            return (window if at == target and sound else None), at
    return None, at
