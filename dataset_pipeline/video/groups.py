"""Groups of pictures that need nothing from before them, decoded side by side.

The threads of one decoder wait for rows of the frames before theirs: of a stream of few bits, as drawn animation is,
two of them are little faster than one. Where a picture restarts the stream (an instantaneous refresh of H.264 or HEVC)
another decoder goes on at once. The pictures are the same, in the same order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, RLock, Thread
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.video.bitstream import restart_test
from dataset_pipeline.video.stream import open_file

MAX_DECODERS = 4
_EARLY_BYTES = 256 << 20  # of pictures that are decoded before it is their turn
_FEWEST_EARLY = 4
_DUE = 8  # pictures whose turn it is, decoded before they are asked for
_PACKETS_AHEAD, _PACKET_BYTES_AHEAD = 600, 64 << 20  # read before a decoder takes them
_PACKETS_SEARCHED = 300  # for a second group; encoders make few that are longer


class CannotGroup(Exception):
    """What was met is not certain to come out of several decoders as it comes out of one."""


class _Group:
    """Packets for one decoder, and the pictures that came of them."""

    def __init__(self) -> None:
        self.packets: deque[av.Packet] = deque()
        self.is_whole = False  # no packet follows
        self.images: deque[av.VideoFrame] = deque()
        self.is_done = False  # no picture follows
        self.error: BaseException | None = None


class GroupDecoder:
    """Decodes a stream as `stream.decode` does, one group of pictures beside the other.

    `restarts` says of each packet, in order, whether a group begins with it.
    """

    def __init__(self, path: Path, stream: VideoStream, restarts: Callable[[av.Packet], bool]) -> None:
        self._path, self._stream, self._restarts = path, stream, restarts
        self._cores = usable_cores()
        self._options = dict(stream.codec_context.options)  # a decoder that is opened has none left
        self._lock = RLock()  # guards all that follows; may be closed by the collector amid it. What is waited for:
        self._has_packets, self._has_images, self._has_room = (Condition(self._lock) for _ in range(3))
        self._groups: deque[_Group] = deque()  # those whose pictures are not all given; the first has its turn
        self._untaken: deque[_Group] = deque()
        self._decoders = 0
        self._threads = 0  # of each of them; 0 until it is known whether there are groups
        self._early = 0  # pictures that wait for their turn, and how many may
        self._early_limit = 0
        self._packets = self._bytes = 0  # that no decoder has taken yet
        self._is_stopped = False
        self._last_pts: int | None = None

    def decode(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        """Pictures that are due after this packet, in order; None ends the stream and gives all that are left.

        They come later than those of a single decoder. Raises FFmpegError for packets that failed, and CannotGroup.
        """
        if packet is None or self._restarts(packet):
            self._end_group()
        if packet is not None:
            self._feed(packet)
        elif self._groups and self._threads == 0:
            self._threads = self._chosen_threads()
            self._start_decoders()
        while (image := self._due(to_the_end=packet is None)) is not None:
            yield image

    def close(self) -> None:
        """The decoders stop where they are."""
        with self._lock:
            self._is_stopped = True
            self._has_packets.notify_all()
            self._has_room.notify_all()

    def _end_group(self) -> None:
        with self._lock:
            if self._groups:
                self._groups[-1].is_whole = True
                self._has_packets.notify_all()

    def _feed(self, packet: av.Packet) -> None:
        with self._lock:
            if begins := not self._groups or self._groups[-1].is_whole:
                group = _Group()
                self._groups.append(group)
                self._untaken.append(group)
            if begins or not self._groups[-1].packets:
                self._has_packets.notify_all()
            self._groups[-1].packets.append(packet)
            self._packets += 1
            self._bytes += packet.size
        if self._threads == 0 and (len(self._groups) > 1 or self._is_far_ahead()):
            self._threads = self._chosen_threads()
        if self._threads:
            self._start_decoders()

    def _chosen_threads(self) -> int:
        """Of each decoder: a share of the cores if half a group can be decoded before its turn, else all of them."""
        context = self._stream.codec_context
        first, *others = self._groups
        bits = context.format.padded_bits_per_pixel if context.format else 24
        picture_bytes = context.width * context.height * bits // 8
        fits = bool(others) and len(first.packets) * picture_bytes <= 2 * _EARLY_BYTES
        return max(1, self._cores // MAX_DECODERS) if fits else context.thread_count

    def _start_decoders(self) -> None:
        while self._decoders < min(MAX_DECODERS, self._cores, len(self._groups)):
            context = self._another() if self._decoders else self._stream.codec_context
            context.thread_count = self._threads
            self._decoders += 1
            name = f"decoder of {self._path.name}"
            Thread(target=self._work, args=(context,), name=name, daemon=True).start()

    def _is_far_ahead(self) -> bool:
        packets = _PACKETS_AHEAD if self._last_pts is not None else _PACKETS_SEARCHED
        return self._packets > packets or self._bytes > _PACKET_BYTES_AHEAD

    def _another(self) -> VideoCodecContext:
        """A decoder with all that the container says of the stream, which the file is opened for once more."""
        with open_file(self._path) as container:
            (stream,) = container.streams.get(self._stream.index)
            context = cast(VideoStream, stream).codec_context
        context.options = self._options
        context.thread_type = self._stream.thread_type
        return context

    def _due(self, to_the_end: bool) -> av.VideoFrame | None:
        """The next picture, waited for while the decoders are far behind; None where it needs more packets."""
        with self._lock:
            while self._groups:
                group = self._groups[0]
                if group.images:
                    if len(group.images) == _DUE // 2:
                        self._has_room.notify_all()
                    return self._checked(group.images.popleft())
                if group.error is not None:
                    raise group.error
                if group.is_done:
                    self._groups.popleft()
                    if self._groups:
                        self._early -= len(self._groups[0].images)
                    self._has_room.notify_all()
                elif to_the_end or self._is_far_ahead():
                    self._has_images.wait()
                else:
                    return None
        return None

    def _checked(self, image: av.VideoFrame) -> av.VideoFrame:
        """Raises CannotGroup for what a decoder makes of an order that it has yet to find."""
        if image.pts is None or (self._last_pts is not None and image.pts <= self._last_pts):
            raise CannotGroup
        self._last_pts = image.pts
        return image

    def _work(self, context: VideoCodecContext) -> None:
        while (group := self._taken()) is not None:
            try:
                while (packet := self._next_packet(group)) is not None:
                    self._give(group, context.decode(packet))
                self._give(group, context.decode(None))
                context.flush_buffers()
            except BaseException as error:
                group.error = error  # raised where the group's turn comes
            with self._lock:
                group.is_done = True
                self._has_images.notify()

    def _taken(self) -> _Group | None:
        with self._lock:
            self._has_packets.wait_for(lambda: self._untaken or self._is_stopped)
            return None if self._is_stopped else self._untaken.popleft()

    def _next_packet(self, group: _Group) -> av.Packet | None:
        with self._lock:
            self._has_packets.wait_for(lambda: group.packets or group.is_whole or self._is_stopped)
            if not group.packets or self._is_stopped:
                return None
            packet = group.packets.popleft()
            self._packets -= 1
            self._bytes -= packet.size
            if not group.packets:
                self._has_images.notify()  # more packets may be needed for the next one
            return packet

    def _give(self, group: _Group, images: list[av.VideoFrame]) -> None:
        for image in images:
            with self._lock:
                self._early_limit = self._early_limit or max(_FEWEST_EARLY, _EARLY_BYTES // _bytes_of(image))
                self._has_room.wait_for(lambda: self._is_stopped or self._may_give(group))
                if self._is_stopped:
                    return
                self._early += group is not self._groups[0]
                group.images.append(image)
                if group is self._groups[0]:
                    self._has_images.notify()

    def _may_give(self, group: _Group) -> bool:
        return len(group.images) < _DUE if group is self._groups[0] else self._early < self._early_limit


def _bytes_of(image: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in image.planes)


def group_decoder(path: Path, stream: VideoStream) -> GroupDecoder | None:
    """None for streams that one decoder must have whole, and where there is one core."""
    context = stream.codec_context
    restarts = restart_test(context.codec.canonical_name, context.extradata)
    if restarts is None or usable_cores() == 1:
        return None

    def begins(packet: av.Packet) -> bool:
        """Raises CannotGroup for what one decoder alone would read, and the others would need."""
        if packet.has_sidedata("new_extradata"):
            raise CannotGroup
        try:
            return restarts(bytes(packet))
        except ValueError as error:
            raise CannotGroup from error

    return GroupDecoder(path, stream, begins)
