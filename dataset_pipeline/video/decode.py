"""Frames of a video by their exact timestamps.

Time is the stream's own `pts`, never a frame count: `pts_ms` is the distance from the first video frame. Damage is
skipped and written down in a `DecodeReport`; a file that gives no frame at all raises `VideoError`.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from dataset_pipeline.video.alpha import SideAlpha, has_side_alpha
from dataset_pipeline.video.bitstream import intra_test, second_field_test
from dataset_pipeline.video.color import AS_LABELLED, Conversion
from dataset_pipeline.video.containers import may_be_joined
from dataset_pipeline.video.durations import early_end
from dataset_pipeline.video.losses import PACKETS_AHEAD, Damage, DamagedReferences, Gaps, Holds, damage_of, stamp_of
from dataset_pipeline.video.stream import (
    MAX_THREADS,
    Clock,
    Cropper,
    DecodeReport,
    Frame,
    VideoError,
    open_video,
    plain_reason,
    still,
)

__all__ = ["Conversion", "DecodeReport", "Frame", "VideoError", "frames_at", "iter_frames"]

SPARSE_S = 30.0  # encoders set intra frames 10 s apart at most, unless they are told otherwise
_MARKED_SHARE = 0.5  # of packets: a container that marks more says nothing by it
SEEK_AHEAD_S = 10.0  # where the container has no index: nearer frames are reached by decoding on

_SEEKABLE = frozenset({"matroska", "mov"})  # containers whose seeks land on key frames by timestamp
_Window = tuple[av.VideoFrame | None, av.VideoFrame, av.VideoFrame | None]
_OUTPUT_CORRUPT = 1 << 3  # AV_CODEC_FLAG_OUTPUT_CORRUPT


def iter_frames(
    path: Path,
    *,
    intra_only: bool = False,
    or_marked: bool = False,
    report: DecodeReport | None = None,
    conversion: Conversion | None = None,
    hardware: str = "none",
    for_small: bool = False,
) -> Iterator[Frame]:
    """All frames in the order of their timestamps, or only the intra frames (`pict_type` I).

    Where a decoder knows no types of pictures, the container's key frames are the intra frames. `or_marked`: so they
    are where one frame at most is intra and the container marks others, from which a decoder recovers (intra refresh).

    Intra frames are the same with either, only faster: codecs that can, decode nothing else. Timestamps strictly
    rise, also in milliseconds; frames that would share one are left out and counted. Where a recording starts over
    (joined transport streams), time goes on from the frame before. Memory does not grow with the length.
    `conversion` says what `Frame.rgb()` does; one that puts fields together needs each frame's neighbours, so that for
    it all frames are decoded. `hardware`: `none`, or a device of ffmpeg such as `cuda`. `for_small`: frames that no
    other is built on keep the edges of their blocks, which small copies do not show and which take time to smooth.
    Raises FileNotFoundError, VideoError and HardwareMissing.
    """
    report = report if report is not None else DecodeReport()
    how = conversion or AS_LABELLED
    skip, threads, last = intra_only and how.cadence == "progressive", "AUTO", None
    by_marks, found = False, 0
    while True:
        report.clear()
        try:
            for frame in _read_once(path, skip, threads, report, how, hardware, for_small):
                is_wanted = not intra_only or frame.is_intra or (by_marks and frame.marked)
                if is_wanted and (last is None or frame.pts > last):
                    last, found = frame.pts, found + 1
                    yield frame
        except _CannotSkip:
            skip = False
            continue
        except _CannotThread:
            threads = "NONE"
            continue
        if by_marks or not (intra_only and or_marked and _only_marks_tell(found, report)):
            break
        by_marks, skip = True, False
    report.reasons += _counted(report)
    if report.frames == 0 and not skip:
        raise VideoError(path, "; ".join(["no frame can be decoded", *report.reasons]))
    if intra_only and report.packets:
        report.sparse = _sparse(found, report)


def _read_once(
    path: Path, skip: bool, threads: str, report: DecodeReport, how: Conversion, hardware: str, for_small: bool
) -> Iterator[Frame]:
    """skip: decode nothing but intra frames."""
    if skip:
        return _intra_frames(path, report, how, hardware)
    return _all_frames(path, threads, report, how, hardware, for_small)


def _only_marks_tell(found: int, report: DecodeReport) -> bool:
    """Whether next to no frame is intra, but the container marks several, and not so many that it says nothing."""
    return found <= 1 < report.key_packets <= report.packets * _MARKED_SHARE


def frames_at(
    path: Path,
    pts: Iterable[int],
    *,
    report: DecodeReport | None = None,
    conversion: Conversion | None = None,
    hardware: str = "none",
    sound_only: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames with exactly these timestamps, ascending, as (pts, RGB uint8 HxWx3), each once.

    The pixels are those of `iter_frames` with the same conversion, also where they come from several frames.
    Seeks to the key frame before each where the container allows exact seeking, decodes on where they lie close.
    `sound_only`: without those that are seen to decode with errors. A timestamp that no frame has is named in
    `report.reasons`; without a report it raises VideoError at the end.
    """
    wanted = sorted(set(pts))
    how = conversion or AS_LABELLED
    found = 0
    if not wanted:
        return
    try:
        for target, rgb in _seek_frames(path, wanted, how, hardware):
            found += 1
            yield target, rgb
    except _CannotSeek:
        missing = set(wanted[found:])
        for frame in _frames_among(missing, iter_frames(path, report=report, conversion=how, hardware=hardware)):
            if not (sound_only and frame.corrupt):
                yield frame.pts, frame.rgb()
        if missing:
            reason = f"no frame at pts {', '.join(str(value) for value in sorted(missing)[:10])}"
            if report is None:
                raise VideoError(path, reason) from None
            report.reasons.append(reason)


def _frames_among(missing: set[int], frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames at these timestamps, read no further than to the last; the set is left with what no frame has."""
    last = max(missing)
    for frame in frames:
        if frame.pts in missing:
            missing.discard(frame.pts)
            yield frame
        if not missing or frame.pts > last:
            return


class _CannotSkip(Exception):
    """This stream's intra frames are not to be had without decoding the others."""


class _CannotThread(Exception):
    """A packet failed: how much a decoder on several threads loses with it depends on the machine."""


class _CannotSeek(Exception):
    """Exact frames of this file are only to be had from its beginning."""


def _packets(
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


def _to_the_last(packets: Iterator[tuple[av.Packet, Damage]]) -> Iterator[tuple[av.Packet | None, Damage]]:
    """The packets, and None, with which a decoder gives what it still holds."""
    yield from packets
    yield None, "none"


def _all_frames(
    path: Path, threads: str, report: DecodeReport, how: Conversion, hardware: str, for_small: bool
) -> Iterator[Frame]:
    """Every frame, in the order the decoder shows them."""
    # Threads that have frames in hand keep the cores busy while those before them are looked at.
    with open_video(path, threads, hardware, MAX_THREADS) as (container, stream):
        if for_small:
            stream.codec_context.options |= {"skip_loop_filter": "noref"}
        clock = Clock(stream)
        pictures = _Pictures(path, container, stream, threads, report)
        for before, image, after in _windows(pictures.decoded(), how):
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
            raise _CannotThread  # some decoders on several threads say nothing of a packet that they lost
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
        self._marks: set[int] = set()  # stamps of packets that the container calls key frames
        self._first: int | None = None  # and the last stamp of all packets
        self._last = 0
        # Stamps of packets, as a heap, where the next picture that is shown has the earliest of them.
        self._stamps: list[int] | None = [] if _tells_no_times(container, stream) else None

    def decoded(self) -> Iterator[av.VideoFrame]:
        """All pictures. Raises _CannotThread."""
        for packet, damage in _to_the_last(_packets(self._path, self._container, self._stream, self._report)):
            if packet is not None:
                self._note(packet, damage)
            elif self._is_threaded and self._is_cut_short():
                # The last packet may be half there, which threads find out after giving its frame.
                raise _CannotThread
            yield from self._pictures_of(packet)

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
            for image in self._cropped(self._stream.decode(packet)):
                if image.time_base is None:
                    image.time_base = self._stream.time_base  # of what comes after the last packet
                if self._stamps:
                    image.pts = heapq.heappop(self._stamps)
                yield image
        except FFmpegError as error:
            if self._is_threaded:
                raise _CannotThread from error
            self._report.bad_packets += 1
            if packet is not None:
                self.references.feed(packet, "spreads")
                self._forget(stamp_of(packet))

    def _forget(self, stamp: int | None) -> None:
        if self._stamps and stamp in self._stamps:
            self._stamps.remove(stamp)
            heapq.heapify(self._stamps)


def _tells_no_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a picture's time is its place in the order of showing: AVI knows none, and libavformat guesses those
    of H.264 by their place in the file."""
    return container.format.name == "avi" and stream.codec_context.codec.canonical_name == "h264"


def _windows(images: Iterable[av.VideoFrame], how: Conversion) -> Iterator[_Window]:
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


def _intra_frames(path: Path, report: DecodeReport, how: Conversion, hardware: str) -> Iterator[Frame]:
    """Intra frames alone, in order. Raises _CannotSkip where they might not be those that `_all_frames` gives.

    Each intra packet is decoded by itself: told to skip the others, the H.264 decoder puts intra frames out of order
    and drops some, and the HEVC decoder knows no other than key frames.
    """
    first = _first_pts(path)
    with open_video(path, "SLICE", hardware) as (container, stream):
        is_intra = _intra_test_of(container, stream)
        clock, cropped = Clock(stream, first), Cropper(path, container, stream)
        waiting: list[tuple[int, int, Frame]] = []
        last_dts, end = None, first
        for packet, damage in _to_the_last(_packets(path, container, stream, report)):
            if packet is not None:
                last_dts, pts = _stamps_in_order(packet, last_dts)
                end = max(end, pts + (packet.duration or 0))
                while waiting and waiting[0][0] < last_dts:
                    yield from _placed(clock, heapq.heappop(waiting)[2], report)
            for image in cropped(_decode_alone(stream, packet, is_intra, report)):
                if image.pts is None or image.interlaced_frame:
                    raise _CannotSkip  # the second field of an interlaced intra picture may be predicted
                corrupt = damage != "none" or (image.is_corrupt and bool(image.key_frame))
                report.frames += 1
                report.corrupt_frames += corrupt
                heapq.heappush(waiting, (image.pts, report.frames, clock.frame(image.pts, image, corrupt, how)))
        while waiting:
            yield from _placed(clock, heapq.heappop(waiting)[2], report)
        report.seconds = float((end - first) * clock.time_base)
        report.reasons += early_end(path, container, stream, clock.start_s, report.seconds)


def _intra_test_of(container: InputContainer, stream: VideoStream) -> Callable[[bytes], bool] | None:
    """Which packets are intra pictures; None where the decoder is told to skip all others. Raises _CannotSkip."""
    if has_side_alpha(stream) or _tells_no_times(container, stream):
        raise _CannotSkip  # whose intra pictures, or their times, may be others
    context = stream.codec_context
    codec = context.codec.canonical_name
    is_intra = intra_test(codec, context.extradata)
    if codec == "av1":
        context.skip_frame = "NONINTRA"  # its decoder does not reorder
    elif is_intra is None:
        raise _CannotSkip
    context.flags |= _OUTPUT_CORRUPT  # without the pictures before it, what is no key frame counts as corrupt
    return is_intra


def _stamps_in_order(packet: av.Packet, last_dts: int | None) -> tuple[int, int]:
    """Its dts and pts. Raises _CannotSkip without an order of time in the packets: only the decoder can tell it."""
    dts, pts = packet.dts, packet.pts
    if dts is None or pts is None or pts < dts or (last_dts is not None and dts < last_dts):
        raise _CannotSkip
    return dts, pts


def _sparse(found: int, report: DecodeReport) -> str:
    """A sentence where intra frames are too rare to make a set of."""
    if found and report.seconds < SPARSE_S * found:
        return ""
    what = f"of {report.seconds:.0f} s only {found} frame{'s are' if found > 1 else ' is'} intra" if found else ""
    more = '[keyframes] mode = "interval" finds more, as do "shot" and "mpdecimate"'
    return f"{what or 'no frame is marked as a key frame'}: {more}"


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
        raise _CannotSkip from error
    if is_intra is not None:
        stream.codec_context.flush_buffers()
    if len(images) > 1:
        raise _CannotSkip
    report.bad_packets += not images
    return images


def _first_pts(path: Path) -> int:
    frame = next(iter_frames(path), None)
    if frame is None or frame.image.pts is None:
        raise _CannotSkip
    return frame.pts


def _seek_frames(path: Path, wanted: Sequence[int], how: Conversion, hardware: str) -> Iterator[tuple[int, np.ndarray]]:
    """Frames at the ascending timestamps `wanted`; raises _CannotSeek at the first that seeking does not reach."""
    needs_before = int(how.cadence != "progressive")
    with open_video(path, hardware=hardware) as (container, stream):
        _check_seekable(path, container, stream)
        clock, cropped = Clock(stream), Cropper(path, container, stream)
        windows: Iterator[_Window] | None = None
        at: int | None = None
        for target in wanted:
            found = None  # gives its pictures back to the decoder
            if windows is not None and at is not None and not _key_frame_between(stream, at, target - needs_before):
                found, at = _decode_until(windows, target)
            else:
                for windows in _decoded_from_before(container, stream, target, how, cropped):
                    found, at = _decode_until(windows, target) if windows else (None, None)
                    if found and (not needs_before or found[0] is not None or target == _opening_pts(path)):
                        break
                    found = None
            if found is None:
                raise _CannotSeek
            yield target, still(*found, clock.conversion(found[1], how), clock.aspect(found[1]))


def _check_seekable(path: Path, container: InputContainer, stream: VideoStream) -> None:
    """Raises _CannotSeek for a file in which a timestamp does not lead to one frame with certainty."""
    if container.format.name.split(",")[0] not in _SEEKABLE or stream.time_base is None:
        raise _CannotSeek
    if stream.codec_context.pix_fmt == "pal8":
        raise _CannotSeek  # the palette may come with the first packet alone
    if has_side_alpha(stream):
        raise _CannotSeek  # whose key frames may be others
    if may_be_joined(path) or not _is_timed(container, stream):
        raise _CannotSeek  # several frames may have one timestamp


def _decoded_from_before(
    container: InputContainer, stream: VideoStream, target: int, how: Conversion, cropped: Cropper
) -> Iterator[Iterator[_Window] | None]:
    """As `_decode_from`, from further and further before the target."""
    needs_before = int(how.cadence != "progressive")
    for back_s in (0, 5, 30):
        start = target - needs_before - round(back_s / Fraction(stream.time_base or 1))
        yield _decode_from(container, stream, start, target, how, cropped)


def _is_timed(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the first packet has a timestamp; Matroska's before zero are lost, and `Clock` counts these frames."""
    try:
        first = next((packet for packet in container.demux(stream) if packet.size), None)
    except (FFmpegError, OSError):
        return False
    return first is not None and first.pts is not None


def _opening_pts(path: Path) -> int | None:
    """The timestamp of the very first frame, which alone has none before it."""
    frame = next(iter_frames(path), None)
    return frame.pts if frame else None


def _key_frame_between(stream: VideoStream, at: int, target: int) -> bool:
    """Whether seeking to `target` gets there sooner than decoding on from `at`."""
    entries = stream.index_entries
    index = entries.search_timestamp(target) if len(entries) else -1
    if index >= 0 and entries[index].timestamp > at:
        return True
    return (target - at) * Fraction(stream.time_base or 1) > SEEK_AHEAD_S


def _decode_from(
    container: InputContainer, stream: VideoStream, seek_pts: int, target: int, how: Conversion, cropped: Cropper
) -> Iterator[_Window] | None:
    """Frames from the key frame before `seek_pts` on; None where that key frame comes after `target`."""
    try:
        container.seek(seek_pts, stream=stream)
        packets = container.demux(stream)
        first = next((packet for packet in packets if packet.size), None)
    except (FFmpegError, OSError) as error:
        raise _CannotSeek from error
    if first is None or first.pts is None or not first.is_keyframe or first.pts > target:
        return None

    def frames() -> Iterator[av.VideoFrame]:
        try:
            yield from cropped(stream.decode(first))
            for packet in packets:
                yield from cropped(stream.decode(packet))
        except (FFmpegError, OSError) as error:
            raise _CannotSeek from error

    # Frames before the key frame lean on pictures that were not decoded.
    return _windows((frame for frame in frames() if frame.pts is not None and frame.pts >= first.pts), how)


def _decode_until(windows: Iterator[_Window], target: int) -> tuple[_Window | None, int | None]:
    """The sound frame at `target` with its neighbours, or None, and the timestamp that was reached."""
    at: int | None = None
    for window in windows:
        at = window[1].pts
        if at is not None and at >= target:
            sound = not any(frame is not None and frame.is_corrupt for frame in window)
            return (window if at == target and sound else None), at
    return None, at


def _counted(report: DecodeReport) -> list[str]:
    # Where no packet is called a key frame and there are frames all the same, the container does not tell.
    leading = 0 if report.frames and report.leading_packets == report.packets else report.leading_packets
    return [
        f"{count} {noun}{'s' if count > 1 else ''} {what}"
        for count, noun, what in (
            (leading, "packet", "came before any key frame"),
            (report.bad_packets, "packet", "could not be decoded"),
            (report.corrupt_frames, "frame", "decoded with errors"),
            (report.mispredicted_frames, "frame", "left out: built on damaged ones"),
            (report.misplaced_frames, "frame", "left out: the timestamp was taken"),
        )
        if count
    ]
