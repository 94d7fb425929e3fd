"""Every picture of a video as a decoder gives it, packet by packet, with what the packets say of damage."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.alpha import SideAlpha
from dataset_pipeline.video.bitstream import second_field_test
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.durations import early_end
from dataset_pipeline.video.groups import CannotGroup, group_decoder
from dataset_pipeline.video.losses import PACKETS_AHEAD, Damage, DamagedReferences, Gaps, Holds, damage_of, stamp_of
from dataset_pipeline.video.stream import Clock, Cropper, DecodeReport, Frame, open_video, plain_reason

# Whose edges stay: of H.264 all B frames, on which none but other B frames beside them is built.
_UNFILTERED = {"h264": "bidir"}
Window = tuple[av.VideoFrame | None, av.VideoFrame, av.VideoFrame | None]


class CannotThread(Exception):
    """A packet failed or a picture is damaged: what a decoder on several threads loses with it, makes of it and says of
    it depends on the machine and on chance, as it gives pictures that another thread of it is still at work on."""


def packets_of(
    path: Path, container: InputContainer, stream: VideoStream, report: DecodeReport
) -> Iterator[tuple[av.Packet, Damage]]:
    """The stream's packets up to its end, or to the first place that cannot be read, which is written down; with each
    what the container and the packets beside it say of its damage."""
    gaps = Gaps(Fraction(stream.time_base or Fraction(1, av.time_base)), Holds(path, stream))
    is_second_field = second_field_test(stream.codec_context.codec.canonical_name, stream.codec_context.extradata)
    begun, may_be_joined = False, container.format.name == "mpegts"
    ahead: deque[tuple[av.Packet, bool]] = deque()
    for packet in _read(container, stream, report):
        begun = begun or packet.is_keyframe
        completes = is_second_field is not None and is_second_field(bytes(packet))
        if not packet.is_discard and not completes:  # what lies before the cut of an edit list is never shown
            report.packets += 1
            report.key_packets += packet.is_keyframe
            report.leading_packets += not begun
        ahead.append((packet, gaps.before(packet)))
        if len(ahead) > PACKETS_AHEAD:
            yield ahead[0][0], damage_of(ahead, may_be_joined)
            ahead.popleft()
    while ahead:
        yield ahead[0][0], damage_of(ahead, may_be_joined)
        ahead.popleft()
    report.reasons += gaps.found


def _read(container: InputContainer, stream: VideoStream, report: DecodeReport) -> Iterator[av.Packet]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (FFmpegError, OSError) as error:
            report.reasons.append(f"reading stopped early: {plain_reason(error)}")
            return
        if packet is None:
            return
        if packet.size:
            yield packet
        elif packet.pts is None and packet.dts is None:
            return  # the end; others without content are dropped frames


def to_the_last(packets: Iterator[tuple[av.Packet, Damage]]) -> Iterator[tuple[av.Packet | None, Damage]]:
    """The packets, and None, with which a decoder gives what it still holds."""
    yield from packets
    yield None, "none"


def all_frames(
    path: Path, threads: str, report: DecodeReport, how: Conversion, hardware: str, for_small: bool
) -> Iterator[Frame]:
    """Every frame, in the order the decoder shows them.

    `threads` as of `open_video`, or `GROUPS`: several decoders where the stream allows. Raises CannotThread, and with
    `GROUPS` CannotGroup.
    """
    with ExitStack() as stack:
        container, stream = stack.enter_context(open_video(path, "AUTO" if threads == "GROUPS" else threads, hardware))
        if for_small:
            stream.codec_context.options |= {"skip_loop_filter": _UNFILTERED.get(stream.codec_context.name, "noref")}
        clock = Clock(stream)
        pictures = _Pictures(path, container, stream, threads, report)
        stack.callback(pictures.close)
        for before, image, after in windows_of(pictures.decoded(), how):
            if image.is_corrupt and threads != "NONE":
                raise CannotThread
            report.frames += 1
            report.corrupt_frames += image.is_corrupt
            mispredicted = pictures.references.damaged_for(image)
            report.mispredicted_frames += mispredicted and not image.is_corrupt
            pts = clock.place(image)
            if pts is None:
                report.misplaced_frames += 1
            else:
                marked, opacity = pictures.is_marked(image), pictures.alpha.of(image)
                yield clock.frame(pts, image, mispredicted, how, before, after, marked, opacity)
        if threads != "NONE" and report.frames < report.packets - report.leading_packets:
            raise CannotThread  # some decoders on several threads say nothing of a packet that they lost
        report.seconds = clock.seconds_shown
        report.reasons += early_end(path, container, stream, clock.start_s, clock.seconds_shown)


class _Pictures:
    """Pictures as a decoder gives them, with what their packets said of them."""

    def __init__(
        self, path: Path, container: InputContainer, stream: VideoStream, threads: str, report: DecodeReport
    ) -> None:
        self.references = DamagedReferences(Fraction(stream.time_base or Fraction(1, 1000)))
        self.alpha = SideAlpha(stream)
        self._path, self._container, self._stream = path, container, stream
        self._is_threaded, self._report = threads != "NONE", report
        self._cropped = Cropper(path, container, stream)
        may_group = threads == "GROUPS" and not tells_no_times(container, stream)
        self._groups = group_decoder(path, stream) if may_group else None
        self._marks: set[int] = set()  # stamps of packets that the container calls key frames
        self._first: int | None = None  # and the last stamp of all packets
        self._last = 0
        # Stamps of packets, as a heap, where the next picture that is shown has the earliest of them.
        self._stamps: list[int] | None = [] if tells_no_times(container, stream) else None

    def decoded(self) -> Iterator[av.VideoFrame]:
        """All pictures. Raises CannotThread and CannotGroup."""
        for packet, damage in to_the_last(packets_of(self._path, self._container, self._stream, self._report)):
            if self._groups and damage != "none":
                raise CannotGroup
            if packet is not None:
                self._note(packet, damage)
            elif self._is_threaded and self._is_cut_short():
                # The last packet may be half there, which threads find out after giving its frame.
                raise CannotThread
            yield from self._pictures_of(packet)

    def close(self) -> None:
        if self._groups:
            self._groups.close()

    def is_marked(self, image: av.VideoFrame) -> bool:
        """Whether the container calls its packet a key frame; said once."""
        stamp = stamp_of(image)
        if stamp not in self._marks:
            return False
        self._marks.remove(stamp)
        return True

    def _note(self, packet: av.Packet, damage: Damage) -> None:
        self.references.feed(packet, damage)
        self.alpha.feed(packet)
        stamp = stamp_of(packet)
        if stamp is None:
            return
        self._first, self._last = stamp if self._first is None else min(self._first, stamp), max(self._last, stamp)
        if self._stamps is not None:
            heapq.heappush(self._stamps, stamp)
        if packet.is_keyframe:
            self._marks.add(stamp)

    def _is_cut_short(self) -> bool:
        if self._first is None:
            return False
        time_base = self._stream.time_base or Fraction(0)
        start_s, length_s = float(self._first * time_base), float((self._last - self._first) * time_base)
        return bool(early_end(self._path, self._container, self._stream, start_s, length_s))

    def _pictures_of(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        try:
            for image in self._cropped((self._groups or self._stream).decode(packet)):
                if image.time_base is None:
                    image.time_base = self._stream.time_base  # of what comes after the last packet
                if self._stamps:
                    image.pts = heapq.heappop(self._stamps)
                yield image
        except FFmpegError as error:
            if self._is_threaded:
                raise CannotThread from error
            self._report.bad_packets += 1
            if packet is not None:
                self.references.feed(packet, "spreads")
                self._forget(stamp_of(packet))

    def _forget(self, stamp: int | None) -> None:
        if self._stamps and stamp in self._stamps:
            self._stamps.remove(stamp)
            heapq.heapify(self._stamps)


def tells_no_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a picture's time is its place in the order of showing: AVI knows none, and libavformat guesses those
    of H.264 by their place in the file."""
    return container.format.name == "avi" and stream.codec_context.codec.canonical_name == "h264"


def windows_of(images: Iterable[av.VideoFrame], how: Conversion) -> Iterator[Window]:
    """Each picture between its neighbours: None at both ends, and where the conversion has no use for them."""
    if how.cadence == "progressive":
        for image in images:
            yield None, image, None
        return
    before: av.VideoFrame | None = None
    image: av.VideoFrame | None = None
    for after in images:
        if image is not None:
            yield before, image, after
        before, image = image, after
    if image is not None:
        yield before, image, None
