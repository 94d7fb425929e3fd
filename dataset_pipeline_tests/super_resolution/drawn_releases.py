"""Two releases of one drawn episode, the low one late, cut, of another size, framing and colours, as MPEG-2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from dataset_pipeline.demo.episodes import DEMO_SHOW, draw_episode
from dataset_pipeline.super_resolution.release_geometry import Geometry

SCRIPT = "talk 3, pan 3, pair 2, walk 3, locked 4, dark 2, group 3, zoom 3, whip 1.5, trio 3, talk 3"
# With seed 290 what the low release begins with shows a place of this episode, but another person in it.
SAME_PLACE_SCRIPT = "group 3, walk 3, solo 2, pan 4, talk 3, trio 3, dark 2, locked 4, pair 3, zoom 3"
HIGH_PX, LOW_PX = (960, 540), (352, 288)
TRUE = Geometry(step_x=2.655, step_y=1.842, start_x_px=8.3, start_y_px=4.6)
LATE_FRAMES = 37
CUTS = ((140, 163), (260, 310), (371, 383), (505, 580), (640, 658))  # first frame cut out, first shown again
COLOURS = np.array([[0.93, 0.03, 0.0, 6.0], [0.02, 0.9, 0.03, 9.0], [0.0, 0.05, 0.88, 4.0]])
FILM = Fraction(24000, 1001)


@dataclass(frozen=True)
class Form:
    """What the low release makes of the high one. cuts: first frame cut out, first shown again. sar: of its pixels."""

    high_px: tuple[int, int] = HIGH_PX
    low_px: tuple[int, int] = LOW_PX
    lies: Geometry = TRUE
    late_frames: int = LATE_FRAMES
    cuts: tuple[tuple[int, int], ...] = CUTS
    sar: Fraction = Fraction(1)


PAL = Form()
# Half as large, so that pairs of scale 2 can be made, and short.
HALF = Form((480, 270), (222, 124), Geometry(2.15, 2.16, 1.2, 0.8), 12, ((90, 110),))
HALF_SCRIPT = "talk 1.6, pan 1.5, pair 1.5, locked 1.6, group 1.4, walk 1.4"


@dataclass(frozen=True, eq=False)
class Releases:
    """`truth`: of each low frame the number of the high frame that it shows, or -1."""

    high: Path
    low: Path
    truth: np.ndarray


def drawn(seed: int, script: str, size_px: tuple[int, int]) -> Iterator[np.ndarray]:
    show = replace(DEMO_SHOW, size=size_px, scripts=(script,), seed=seed)
    for _, _, cels in draw_episode(show, 1):
        for cel, held in cels:
            for _ in range(held):
                yield cel.image


def lowered(picture: np.ndarray, lies: Geometry = TRUE, low_px: tuple[int, int] = LOW_PX) -> np.ndarray:
    """A picture as the low release shows it, before coding."""
    soft = cv2.GaussianBlur(picture, (0, 0), sigmaX=0.45 * lies.step_x, sigmaY=0.45 * lies.step_y)
    x, y = np.meshgrid(np.arange(low_px[0]) + 0.5, np.arange(low_px[1]) + 0.5)
    at_x = (lies.start_x_px + lies.step_x * x - 0.5).astype(np.float32)
    at_y = (lies.start_y_px + lies.step_y * y - 0.5).astype(np.float32)
    small = cv2.remap(soft, at_x, at_y, cv2.INTER_CUBIC).astype(np.float32)
    return (small @ COLOURS[:, :3].T + COLOURS[:, 3]).round().clip(0, 255).astype(np.uint8)


def corner_error_px(found: Geometry, true: Geometry = TRUE, low_px: tuple[int, int] = LOW_PX) -> float:
    """How far off the worst corner of the low frame is placed, in low pixels."""
    errors = list[float]()
    for x in (0, low_px[0]):
        for y in (0, low_px[1]):
            off_x = (found.start_x_px - true.start_x_px + (found.step_x - true.step_x) * x) / true.step_x
            off_y = (found.start_y_px - true.start_y_px + (found.step_y - true.step_y) * y) / true.step_y
            errors.append(float(np.hypot(off_x, off_y)))
    return max(errors)


def write_releases(
    folder: Path,
    low_rate: Fraction = FILM,
    seed: int = 90,
    script: str = SCRIPT,
    form: Form = PAL,
    spoilt: Callable[[int, np.ndarray], np.ndarray] = lambda number, picture: picture,
) -> Releases:
    """Both releases; the low one's frames are the same at whatever rate it is played. spoilt: what it shows in place of
    a picture of its size, by the number of the high frame."""
    high, low = folder / f"high-{float(low_rate):.2f}.mkv", folder / f"low-{float(low_rate):.2f}.mkv"
    truth = list[int]()
    last: tuple[np.ndarray, np.ndarray] | None = None
    with (
        Writer(high, form.high_px, FILM, "libx264", {"crf": "18", "preset": "veryfast"}) as to_high,
        Writer(low, form.low_px, low_rate, "mpeg2video", {"qmin": "5", "qmax": "5", "bf": "2", "g": "12"}) as to_low,
    ):
        to_low.stream.codec_context.sample_aspect_ratio = form.sar
        for picture in drawn(seed + 1, f"solo {form.late_frames / 24}", form.high_px):
            to_low.show(lowered(picture, form.lies, form.low_px))
            truth.append(-1)
        for number, picture in enumerate(drawn(seed, script, form.high_px)):
            to_high.show(picture)
            if any(first <= number < again for first, again in form.cuts):
                continue
            if last is None or last[0] is not picture:
                last = picture, lowered(picture, form.lies, form.low_px)
            to_low.show(spoilt(number, last[1]))
            truth.append(number)
    return Releases(high, low, np.array(truth))


class Writer:
    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction, codec: str, options: dict[str, str]) -> None:
        self.container = av.open(str(path), "w")
        self.stream = self.container.add_stream(codec, rate=rate, options={**options, "threads": "1"})
        self.stream.width, self.stream.height, self.stream.pix_fmt = *size, "yuv420p"
        self.shown = 0

    def show(self, picture: np.ndarray) -> None:
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, self.shown = self.shown, self.shown + 1
        self.container.mux(self.stream.encode(frame))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.container.mux(self.stream.encode(None))
        self.container.close()
