"""A run of frames through a real video encoder and back: what a codec does to a frame depends on its neighbours, so
that a picture coded alone shows none of the artefacts of predicted frames."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.frame import PictureType

from dataset_pipeline.settings.degradation import BEST_AND_WORST
from dataset_pipeline.video.clip_files import NoEncoder
from dataset_pipeline.video.color import Conversion, to_rgb, to_yuv

# One thread each, so that equal frames give equal bytes; x264's macroblock tree does not (see video.clip_files).
_OF_ALL = {"threads": "1", "bf": "2"}
_ENCODERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "h264": ("libx264", {"x264-params": "mbtree=0"}),
    "h265": ("libx265", {"preset": "fast", "x265-params": "pools=none:frame-threads=1:log-level=none"}),
    "mpeg2": ("mpeg2video", {}),
    "mpeg4": ("mpeg4", {}),
    "vp9": ("libvpx-vp9", {"row-mt": "0", "cpu-used": "4", "b": "0"}),
}
BY_QUANTIZER = frozenset({"mpeg2", "mpeg4"})  # the others take a constant rate factor
CODECS = tuple(_ENCODERS)
FRAMES_BEFORE, FRAMES_AFTER = 7, 4  # of a frame among which it is coded: as many as a group of predicted frames
_AS_CODED = Conversion(matrix="bt709", range="tv", primaries="bt709", transfer="sdr", sar=Fraction(1), rotation_deg=0)


@dataclass(frozen=True)
class Recoded:
    """A frame as it comes back, RGB uint8 of the same size, and how it was coded: I, P or B."""

    rgb: np.ndarray
    picture_type: str


def neighbours(shots: Iterable[Sequence[int]], pts: int) -> tuple[Sequence[int], Sequence[int]]:
    """The timestamps of the frames to code before and after one of its shot; none for one of no shot. shots: of each
    the timestamps of its frames, in order.

    An I-frame, which stills are best taken from, mostly begins its shot, and would be one again. So where less than
    half of the frames before it are there and more follow, the shot runs backwards: it too is predicted from real ones.
    """
    for frames in shots:
        at = bisect_left(frames, pts)
        if at < len(frames) and frames[at] == pts:
            if at < FRAMES_BEFORE / 2 and len(frames) - 1 - at > at:
                frames, at = frames[::-1], len(frames) - 1 - at
            return frames[max(0, at - FRAMES_BEFORE) : at], frames[at + 1 : at + 1 + FRAMES_AFTER]
    return (), ()


def recoded(frames: Sequence[np.ndarray], codec: str, quality: int, fps: int = 24) -> list[Recoded]:
    """Each frame of a run as `codec` leaves it, in order. frames: RGB uint8 [height, width, 3], all of one size.

    quality: the constant rate factor, or the quantizer of MPEG-2 and MPEG-4; higher is worse. Raises ValueError for
    another codec, quality or frames of several sizes, NoEncoder where PyAV was built without the encoder.
    """
    if codec not in _ENCODERS or not BEST_AND_WORST[codec][0] <= quality <= BEST_AND_WORST[codec][1]:
        raise ValueError(
            f"{codec} {quality}: known are "
            + ", ".join(f"{it} {low}-{high}" for it, (low, high) in BEST_AND_WORST.items())
        )
    if len({frame.shape for frame in frames}) > 1:
        raise ValueError(f"the frames of a run have {len({frame.shape for frame in frames})} sizes")
    if not frames:
        return []
    height, width = frames[0].shape[:2]
    data = _encoded(
        [np.pad(it, ((0, height % 2), (0, width % 2), (0, 0)), "edge") for it in frames], codec, quality, fps
    )
    with av.open(io.BytesIO(data), "r") as container:
        found = sorted(container.decode(video=0), key=lambda image: image.pts or 0)
    if len(found) != len(frames):
        raise ValueError(f"{codec} gave {len(found)} frames of {len(frames)}")
    return [Recoded(to_rgb(image, _AS_CODED)[:height, :width], PictureType(image.pict_type).name) for image in found]


def _encoded(frames: Sequence[np.ndarray], codec: str, quality: int, fps: int) -> bytes:
    name, options = _ENCODERS[codec]
    by = {"qmin": str(quality), "qmax": str(quality)} if codec in BY_QUANTIZER else {"crf": str(quality)}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="nut", options={"fflags": "+bitexact"}) as container:
        try:
            added = container.add_stream(name, rate=fps, options={**_OF_ALL, **options, **by})
        except UnknownCodecError:
            raise NoEncoder(f"this build of PyAV has no {name}: install the wheel of `av` from PyPI") from None
        stream = cast(av.VideoStream, added)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.time_base = Fraction(1, fps)
        for number, frame in enumerate(frames):
            image = to_yuv(frame)
            image.time_base, image.pts = Fraction(1, fps), number
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return buffer.getvalue()
