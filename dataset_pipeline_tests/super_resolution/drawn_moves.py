"""Two releases of an episode in which matching is hardest: slow zooms and pans, stills, mouths that move on threes, and
shots of 3 to 12 frames; 1280x720 and, late, cut and coded as MPEG-2, 560x312."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from dataset_pipeline.demo.backdrops import DEMO_BACKDROP_SEEDS, draw_backdrop
from dataset_pipeline.demo.characters import DEMO_CAST
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.scenes import Placement, draw_people
from dataset_pipeline.super_resolution.release_geometry import Geometry
from dataset_pipeline_tests.super_resolution.drawn_releases import FILM, Writer, lowered

HIGH_PX, LOW_PX = (1280, 720), (560, 312)
LIES = Geometry(step_x=2.27, step_y=2.29, start_x_px=3.1, start_y_px=2.2)
LATE_FRAMES, FRAMES = 37, 1000
KINDS = "zoom", "slow zoom", "slow zoom", "pan", "slow pan", "still", "talk", "talk"
SHORT_KINDS = "still", "pan", "zoom", "slow zoom"
CLOSER = 1.7  # what the camera moves over is larger than what it shows


@dataclass(frozen=True, eq=False)
class MovingReleases:
    """`truth`: of each low frame the number of the high frame that it shows, or -1. `pictures`: of each high frame the
    number of its picture, the same where it is held."""

    high: Path
    low: Path
    truth: np.ndarray
    pictures: np.ndarray


def write_moving_releases(folder: Path, seed: int, low_rate: Fraction, repeated: int = 0) -> MovingReleases:
    """repeated: every so manieth frame the low release shows twice, 4 for pulldown; 0 for none."""
    rng = random.Random(seed)
    shots = _shots(rng)
    cuts = _cuts(rng, np.cumsum([frames for _, frames in shots]).tolist())
    high, low = folder / "high.mkv", folder / "low.mkv"
    truth, pictures, shown = list[int](), list[int](), list[int]()
    with (
        Writer(high, HIGH_PX, FILM, "libx264", {"crf": "16", "preset": "superfast"}) as to_high,
        Writer(low, LOW_PX, low_rate, "mpeg2video", {"qmin": "4", "qmax": "4", "bf": "2", "g": "12"}) as to_low,
    ):

        def show_low(picture: np.ndarray, number: int) -> None:
            shown.append(number)
            small = lowered(picture, LIES, LOW_PX)
            for _ in range(2 if repeated and len(shown) % repeated == 0 else 1):
                to_low.show(small)
                truth.append(number)

        for picture in _shot(random.Random(seed + 5000), "zoom", LATE_FRAMES):
            show_low(picture, -1)
        last = None
        for kind, frames in shots:
            for picture in _shot(rng, kind, frames):
                number = len(pictures)
                pictures.append(pictures[-1] if picture is last else number)
                last = picture
                to_high.show(picture)
                if not any(first <= number < again for first, again in cuts):
                    show_low(picture, number)
    return MovingReleases(high, low, np.array(truth), np.array(pictures))


def _shots(rng: random.Random) -> list[tuple[str, int]]:
    """Kind and frames of each."""
    shots = list[tuple[str, int]]()
    while sum(frames for _, frames in shots) < FRAMES:
        if rng.random() < 0.18:
            shots += [(rng.choice(SHORT_KINDS), rng.randint(3, 12)) for _ in range(rng.randint(2, 6))]
        else:
            shots.append((rng.choice(KINDS), rng.randint(30, 130)))
    return shots


def _cuts(rng: random.Random, edges: list[int]) -> list[tuple[int, int]]:
    """First frame cut out, first shown again; some at edges of shots."""
    cuts, at = list[tuple[int, int]](), rng.randint(80, 180)
    while at < edges[-1] - 90:
        begin = min(edges, key=lambda edge: abs(edge - at)) if rng.random() < 0.4 else at
        end = begin + rng.randint(5, 70)
        if rng.random() < 0.3:
            end = min((edge for edge in edges if edge > begin), key=lambda edge: abs(edge - end))
        cuts.append((begin, end))
        at = end + rng.randint(60, 260)
    return cuts


def _shot(rng: random.Random, kind: str, frames: int) -> Iterator[np.ndarray]:
    """Its pictures, the same object where one is held."""
    if kind in ("still", "talk"):
        mouths = list(_mouths(rng, _scene(rng, 1.0)))
        while frames > 0:
            held = min(frames, frames if kind == "still" else rng.choice((2, 3, 3, 4, 8)))
            mouths.append(mouths.pop(0))
            yield from [mouths[0]] * held
            frames -= held
        return
    canvas, (width, height) = _scene(rng, CLOSER), HIGH_PX
    spare = np.array([canvas.shape[1] - width, canvas.shape[0] - height])
    slow, way = kind.startswith("slow"), rng.choice((-1, 1))
    zooms = rng.uniform(*((0.0003, 0.0012) if slow else (0.0015, 0.005)))
    moves = rng.uniform(*((0.2, 0.9) if slow else (1.5, 4.0))) * np.array(rng.choice(((1, 0), (1, 0), (0, 1))))
    middle, focus = rng.uniform(0.75, 0.9), np.array([rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)])
    for at in range(frames):
        ahead = way * (at - frames / 2)
        scale = middle * np.exp(zooms * ahead) if kind.endswith("zoom") else 1.0
        start = spare / 2 + moves * ahead
        if kind.endswith("zoom"):
            start = (np.array([canvas.shape[1], canvas.shape[0]]) - np.array(HIGH_PX) / scale) * focus
        window = np.array([[scale, 0, -start[0] * scale], [0, scale, -start[1] * scale]])
        yield cv2.warpAffine(canvas, window, HIGH_PX, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _mouths(rng: random.Random, scene: np.ndarray) -> Iterator[np.ndarray]:
    """The scene with a small ellipse three times, shut to open."""
    height, width = scene.shape[:2]
    centre = round(width * rng.uniform(0.3, 0.7)), round(height * rng.uniform(0.3, 0.6))
    radius = round(height * rng.uniform(0.02, 0.05))
    for share in (0.0, 0.5, 1.0):
        picture = scene.copy()
        axes = radius, max(1, round(radius * share))
        yield cv2.ellipse(picture, centre, axes, 0, 0, 360, (90, 20, 30), -1, cv2.LINE_AA)


def _scene(rng: random.Random, closer: float) -> np.ndarray:
    width, height = (round(side * closer) for side in HIGH_PX)
    canvas = draw_backdrop(rng.choice(list(DEMO_BACKDROP_SEEDS)), (width, height)).copy()
    people = [
        Placement(
            rng.choice(DEMO_CAST),
            width * rng.uniform(0.2, 0.8),
            height * rng.uniform(0.05, 0.35),
            height * rng.uniform(0.12, 0.35),
            Pose(turn=rng.choice((-0.5, 0.0, 0.5))),
        )
        for _ in range(rng.choice((0, 1, 1, 2, 3)))
    ]
    draw_people(canvas, people)
    return canvas
