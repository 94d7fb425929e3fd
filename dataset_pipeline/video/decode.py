"""Frames of a video by their exact timestamps.

Time is the stream's own `pts`, never a frame count: `pts_ms` is the distance from the first video frame. Damage is
skipped and written down in a `DecodeReport`; a file that gives no frame at all raises `VideoError`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dataset_pipeline.video.color import AS_LABELLED, Conversion
from dataset_pipeline.video.groups import CannotGroup
from dataset_pipeline.video.intra import CannotSkip, intra_frames
from dataset_pipeline.video.pictures import CannotThread, all_frames
from dataset_pipeline.video.seeking import CannotSeek, seek_frames
from dataset_pipeline.video.stream import DecodeReport, Frame, VideoError

__all__ = ["Conversion", "DecodeReport", "Frame", "VideoError", "frames_at", "iter_frames"]

SPARSE_S = 30.0  # encoders set intra frames 10 s apart at most, unless they are told otherwise
_MARKED_SHARE = 0.5  # of packets: a container that marks more says nothing by it


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
    other, or none but a few beside them, is built on keep the edges of their blocks, which small copies do not show and
    which take time to smooth.
    Raises FileNotFoundError, VideoError and HardwareMissing.
    """
    report = report if report is not None else DecodeReport()
    how = conversion or AS_LABELLED
    skip, last = intra_only and how.cadence == "progressive", None
    threads = "GROUPS" if hardware == "none" else "AUTO"
    by_marks, found = False, 0
    while True:
        report.clear()
        try:
            for frame in _read_once(path, skip, threads, report, how, hardware, for_small):
                is_wanted = not intra_only or frame.is_intra or (by_marks and frame.marked)
                if is_wanted and (last is None or frame.pts > last):
                    last, found = frame.pts, found + 1
                    yield frame
        except CannotSkip:
            skip = False
            continue
        except CannotGroup:
            threads = "AUTO"
            continue
        except CannotThread:
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
        return intra_frames(path, _first_pts(path), report, how, hardware)
    return all_frames(path, threads, report, how, hardware, for_small)


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
        for target, rgb in seek_frames(path, wanted, how, hardware, lambda: _opening_pts(path)):
            found += 1
            yield target, rgb
    except CannotSeek:
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


def _sparse(found: int, report: DecodeReport) -> str:
    """A sentence where intra frames are too rare to make a set of."""
    if found and report.seconds < SPARSE_S * found:
        return ""
    what = f"of {report.seconds:.0f} s only {found} frame{'s are' if found > 1 else ' is'} intra" if found else ""
    more = '[keyframes] mode = "interval" finds more, as do "shot" and "mpdecimate"'
    return f"{what or 'no frame is marked as a key frame'}: {more}"


def _first_pts(path: Path) -> int:
    frame = next(iter_frames(path), None)
    if frame is None or frame.image.pts is None:
        raise CannotSkip
    return frame.pts


def _opening_pts(path: Path) -> int | None:
    """The timestamp of the very first frame, which alone has none before it."""
    frame = next(iter_frames(path), None)
    return frame.pts if frame else None


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
