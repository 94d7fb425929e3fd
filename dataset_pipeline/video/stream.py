"""A video file opened: its stream, its time line, and what was wrong with it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.error import FFmpegError
from av.filter import Graph
from av.video.frame import PictureType
from av.video.stream import VideoStream

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.video.choice import first_pictures, needs_peek, pick_stream
from dataset_pipeline.video.color import AS_LABELLED, Conversion, aspect_of, is_mirrored, to_rgb
from dataset_pipeline.video.containers import FORMATS_BY_ENDING, Crop, crops_of
from dataset_pipeline.video.restore import restored

MAX_THREADS = 8
MAX_FRAME_PX = 1 << 26  # 8192x8192, twice what the highest levels of HEVC and AV1 allow
_FIELD_ASPECT = Fraction(2, 3)  # of whole frames none is below: where it is, it is the field's own
JUMP_BACK_S = 1.0  # a timestamp this far back is a new recording joined to the first, not a disordered frame


class VideoError(ValueError):
    """A file that gives no frames. `path` and `reason` name it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class HardwareMissing(PermanentError, RuntimeError):
    """Decoding on a device was asked for that is not there."""


def _device(hardware: str) -> HWAccel | None:
    """Raises HardwareMissing."""
    if hardware == "none":
        return None
    try:
        device = HWAccel(hardware, allow_software_fallback=True)
        device.create(Codec("h264", "r"))  # opens the device: a file's own codec may be none that it decodes
    except (FFmpegError, OSError, RuntimeError) as error:
        raise HardwareMissing(
            f"decoding by {hardware} was asked for, but there is no such device: {plain_reason(error)}; "
            f'set [video] hardware = "none" (this ffmpeg knows {", ".join(hwdevices_available()) or "none"})'
        ) from error
    return device


@dataclass
class DecodeReport:
    """What was met while decoding; `reasons` are sentences for people, empty for a sound file.

    `key_packets` are marked as key frames by the container. `leading_packets` came before the first key frame;
    `mispredicted_frames` look whole but are built on damaged ones. `seconds`: from the first frame to the last's end.
    `sparse`: a sentence where only intra frames were asked for and there are next to none.
    """

    frames: int = 0
    packets: int = 0
    key_packets: int = 0
    leading_packets: int = 0
    mispredicted_frames: int = 0
    bad_packets: int = 0
    corrupt_frames: int = 0
    misplaced_frames: int = 0
    seconds: float = 0.0
    sparse: str = ""
    reasons: list[str] = field(default_factory=list)

    def clear(self) -> None:
        vars(self).update(vars(DecodeReport()))


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame. `pts` counts in the stream's time base; `pts_ms` and `pts_s` start at the first video frame.

    `image` is as decoded, fields and all; `before` and `after` are its neighbours where the conversion needs them.
    `marked`: the container calls its packet a key frame, as far as all packets were read.
    `opacity`, uint8 [height, width], is of pictures that have it beside them.
    """

    pts: int
    pts_ms: int
    pts_s: float
    image: av.VideoFrame
    sar: Fraction
    corrupt: bool
    before: av.VideoFrame | None = None
    after: av.VideoFrame | None = None
    conversion: Conversion = AS_LABELLED
    marked: bool = False
    opacity: np.ndarray | None = None

    @property
    def is_intra(self) -> bool:
        """By its decoder, or by the container where the decoder knows no types of pictures."""
        kind = self.image.pict_type
        return kind == PictureType.I or (kind == PictureType.NONE and self.marked)

    def rgb(self) -> np.ndarray:
        """The still of this frame: RGB uint8 HxWx3, sRGB, converted as `conversion` says."""
        return still(self.before, self.image, self.after, self.conversion, self.sar, self.opacity)


def still(
    before: av.VideoFrame | None,
    image: av.VideoFrame,
    after: av.VideoFrame | None,
    conversion: Conversion,
    sar: Fraction,
    opacity: np.ndarray | None = None,
) -> np.ndarray:
    """RGB uint8 HxWx3 of a decoded picture and, where its fields must be put together again, its neighbours."""
    whole = restored(before, image, after, conversion.cadence)
    return to_rgb(whole, conversion.resolved(image, sar), opacity=opacity)


@contextmanager
def open_video(
    path: Path, threads: str = "AUTO", hardware: str = "none"
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, decoding on one thread more than there are cores, `MAX_THREADS` at most.

    `threads`: `AUTO`, `SLICE` for decoders that must not run frames in parallel, or `NONE` where the number of threads
    must change nothing: of damaged data a decoder loses more or less with it. `hardware`: `none`, or a device of
    ffmpeg such as `cuda`; what that device has no decoder for is decoded in software, to the same pixels.
    Raises FileNotFoundError for a missing file, VideoError for one without video, and HardwareMissing.
    """
    device = _device(hardware)
    if not path.exists():
        raise FileNotFoundError(f"no such video file: {path}")
    if path.is_dir():
        raise VideoError(path, "is a folder, not a video file")
    if not path.is_file():
        raise VideoError(path, "is a pipe or a device, not a file")
    if path.stat().st_size == 0:
        raise VideoError(path, "the file is empty (0 bytes)")
    try:
        container = _opened(path, device)
    except (FFmpegError, OSError) as error:
        raise VideoError(path, f"cannot be opened as a video: {plain_reason(error)}") from error
    with container:
        stream = pick_stream(container, _first_pictures(path) if needs_peek(container) else None)
        if stream is None:
            covers = len(container.streams.video)
            kinds = f"{len(container.streams.audio)} audio" + (f" and {covers} cover art" if covers else "")
            raise VideoError(path, f"holds no video stream ({kinds} streams)")
        context = stream.codec_context
        if context is None:
            raise VideoError(path, "its video codec is unknown to this ffmpeg")
        if (stream.width or 0) * (stream.height or 0) > MAX_FRAME_PX:
            raise VideoError(path, f"pictures of {stream.width}x{stream.height} are more than {MAX_FRAME_PX} pixels")
        context.options = {"max_pixels": str(MAX_FRAME_PX)}  # they may grow in the middle of the stream
        # One more than there are cores, as ffmpeg itself: frames wait for rows of those before them. With more of them
        # in hand at a time a frame has left the caches before it is looked at.
        context.thread_count = 1 if threads == "NONE" else min(MAX_THREADS, usable_cores() + 1)
        stream.thread_type = threads
        yield container, stream


def _opened(path: Path, device: HWAccel | None) -> InputContainer:
    def opened(format: str | None) -> InputContainer:
        # Absolute, because `Title: Part 2.mkv` alone reads as a protocol; no playlist may reach out to the network.
        return av.open(
            str(path.absolute()),
            format=format,
            metadata_errors="replace",
            container_options={"protocol_whitelist": "file"},
            hwaccel=device,
        )

    try:
        return opened(None)
    except (FFmpegError, OSError):
        if format := FORMATS_BY_ENDING.get(path.suffix.lower()):
            with suppress(FFmpegError, OSError):  # the first error tells more
                return opened(format)
        raise


def open_file(path: Path) -> InputContainer:
    """All its streams. Raises OSError and FFmpegError for what is no container."""
    return _opened(path, None)


def _first_pictures(path: Path) -> dict[int, int]:
    with open_file(path) as container:  # by itself: reading on from here must begin at the start
        return first_pictures(container)


def sample_aspect(stream: VideoStream) -> Fraction:
    """The stream's sample aspect ratio; 1 where it is absent or absurd."""
    return _sane(stream.sample_aspect_ratio)


def _sane(sar: Fraction | None) -> Fraction:
    return Fraction(sar) if sar and Fraction(1, 4) <= sar <= 4 else Fraction(1)


class Cropper:
    """Crops decoded pictures as their container says; what leaves nothing, and most files, it lets be."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        crops = crops_of(path) if container.format.name.startswith("matroska") else []
        place = list(container.streams.video).index(stream)
        self._crop = crops[place] if place < len(crops) else Crop()

    def __call__(self, images: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        return map(self._cropped, images) if self._crop != Crop() else iter(images)

    def _cropped(self, image: av.VideoFrame) -> av.VideoFrame:
        crop = self._crop
        width, height = image.width - crop.left_px - crop.right_px, image.height - crop.top_px - crop.bottom_px
        if width <= 0 or height <= 0:
            return image
        time_base = image.time_base or Fraction(1, 1000)
        graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(width=image.width, height=image.height, format=image.format, time_base=time_base)
        inside = graph.add("crop", f"w={width}:h={height}:x={crop.left_px}:y={crop.top_px}:exact=1")
        graph.link_nodes(source, inside, graph.add("buffersink")).configure()
        graph.vpush(image)
        return graph.vpull()


class Clock:
    """Places frames on one rising time line that starts at the first frame."""

    def __init__(self, stream: VideoStream, first: int | None = None) -> None:
        self.time_base = Fraction(stream.time_base or Fraction(1, 1000))
        self._sar = sample_aspect(stream)
        self._context = stream.codec_context
        # What the decoder has said so far, the first of it before it began.
        self._aspects = [self._context.sample_aspect_ratio or Fraction(1)]
        self._asked: Conversion | None = None
        self._conversion = AS_LABELLED
        self._may_give_fields = stream.codec_context.codec.canonical_name == "hevc"
        rate = stream.average_rate or stream.guessed_rate
        self.step = max(1, round(1 / (Fraction(rate) * self.time_base))) if rate else 1
        self.first = first
        # Counts of the time base as whole numbers: fractions take longer than all else that Python does for a frame.
        self._ticks, self._per_s = self.time_base.as_integer_ratio()
        self._jump_back = float(JUMP_BACK_S / self.time_base)
        self._last: int | None = None
        self._last_ms = -1
        self._offset = 0

    @property
    def start_s(self) -> float:
        """The first frame by the container's clock."""
        return float((self.first or 0) * self.time_base)

    @property
    def seconds_shown(self) -> float:
        """From the first frame to the end of the last one."""
        if self._last is None or self.first is None:
            return 0.0
        return float((self._last + self.step - self.first) * self.time_base)

    def place(self, image: av.VideoFrame) -> int | None:
        """The frame's pts on the line, or None where an earlier frame has its place."""
        stamp = image.pts if image.pts is not None else image.dts
        last = self._last
        if stamp is None:
            pts = 0 if last is None else last + self.step
        else:
            pts = stamp + self._offset
            if last is not None and last - pts > self._jump_back:
                self._offset += last + self.step - pts
                pts = last + self.step
        if self.first is None:
            self.first = pts
        milliseconds = self.milliseconds(pts)
        if (last is not None and pts <= last) or milliseconds <= self._last_ms:
            return None
        self._last, self._last_ms = pts, milliseconds
        return pts

    def milliseconds(self, pts: int) -> int:
        """Since the first frame, rounded half to even."""
        whole, rest = divmod((pts - (self.first or 0)) * self._ticks * 1000, self._per_s)
        return whole + (rest * 2 > self._per_s or (rest * 2 == self._per_s and whole % 2 == 1))

    def aspect(self, image: av.VideoFrame) -> Fraction:
        """The picture's sample aspect ratio. HEVC of single fields comes as pictures of half the height."""
        own, first = self._own_aspect(image), self._aspects[0]
        # A container that says something else than its stream goes before it, all along.
        sar = self._sar if own == first or self._sar != _sane(first) else _sane(own)
        is_field = self._may_give_fields and image.interlaced_frame
        return sar / 2 if is_field and sar > _FIELD_ASPECT else sar

    def _own_aspect(self, image: av.VideoFrame) -> Fraction:
        """By the decoder, which may be a few pictures ahead with what it says."""
        now = self._context.sample_aspect_ratio or Fraction(1)
        if now not in self._aspects:
            self._aspects.append(now)
        if len(self._aspects) == 1:
            return now
        seen = aspect_of(image)
        return min(self._aspects, key=lambda aspect: abs(float(aspect) - seen))

    def conversion(self, image: av.VideoFrame, how: Conversion) -> Conversion:
        """The same with whether the file's first picture is mirrored, if that is left open."""
        if how is not self._asked:
            # Once: a picture whose side data were read stays in memory until Python collects its cycles.
            known = is_mirrored(image) if how.mirrored is None else how.mirrored
            self._asked, self._conversion = how, replace(how, mirrored=known)
        return self._conversion

    def frame(
        self,
        pts: int,
        image: av.VideoFrame,
        corrupt: bool,
        conversion: Conversion,
        before: av.VideoFrame | None = None,
        after: av.VideoFrame | None = None,
        marked: bool = False,
        opacity: np.ndarray | None = None,
    ) -> Frame:
        seconds = (pts - (self.first or 0)) * self._ticks / self._per_s
        how = self.conversion(image, conversion)
        sar, stamp_ms = self.aspect(image), self.milliseconds(pts)
        return Frame(pts, stamp_ms, seconds, image, sar, corrupt, before, after, how, marked, opacity)


def plain_reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
