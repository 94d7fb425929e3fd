"""The low-quality picture of a pair: made smaller, and worse by a recipe whose draws depend on the seed and the tile's
id alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from dataset_pipeline.images.resize import decode
from dataset_pipeline.settings.degradation import DOWNSCALE, DegradationStep, check_recipe
from dataset_pipeline.super_resolution.recode import CODECS, recoded

Filter = Literal["box", "area", "bicubic"]


def downscaled(picture: np.ndarray, scale: int, filter: Filter = "bicubic") -> np.ndarray:
    """The picture at 1/scale of its size, uint8, rounded to the nearest level: scripts of trainers that cut off what
    follows the point make all low-quality pictures half a level darker than the others.

    box: the mean of the pixels that each pixel covers; area is the same, as sides divide by the scale. bicubic: with
    the kernel widened by the scale, as MATLAB's imresize does. Raises ValueError where a side does not divide.
    """
    height, width = picture.shape[:2]
    if scale < 1 or height % scale or width % scale:
        raise ValueError(f"{width}x{height} px do not divide by {scale}, and a trainer wants pairs that fit exactly")
    if scale == 1:
        return picture.copy()
    if filter != "bicubic":
        blocks = picture.reshape(height // scale, scale, width // scale, scale, -1)
        return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    size = width // scale, height // scale
    # In floats, so that it is rounded once, not after each direction.
    channels = [Image.fromarray(it.astype(np.float32)) for it in cv2.split(picture)]
    exact = np.stack([np.asarray(it.resize(size, Image.Resampling.BICUBIC)) for it in channels], axis=2)
    return np.clip(np.rint(exact), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Applied:
    """A step that was taken, with the strength that was drawn."""

    kind: str
    strength: float


def degraded(
    run: Sequence[np.ndarray],
    at: int,
    scale: int,
    recipe: Sequence[DegradationStep],
    seed: int,
    name: str,
    filter: Filter = "bicubic",
) -> tuple[np.ndarray, list[Applied]]:
    """(what the recipe makes of one picture of a run, the steps that were taken); see `degraded_run`.

    run: the picture and, for video codecs, its neighbours in time: the same place of the frames of its shot, of which
    number `at` is the picture.
    """
    pictures, applied = degraded_run(run, scale, recipe, seed, name, filter)
    return pictures[at], applied


def degraded_run(
    run: Iterable[np.ndarray],
    scale: int,
    recipe: Sequence[DegradationStep],
    seed: int,
    name: str,
    filter: Filter = "bicubic",
) -> tuple[list[np.ndarray], list[Applied]]:
    """(what the recipe makes of frames that follow one another, the steps that were taken).

    run: uint8 [height, width, 3] each. All go through the same steps, noise is each one's own. name: what the draws
    depend on beside the seed; the id of the tile. Raises ValueError.
    """
    rng, pictures = _random(seed, name), list(run)
    taken = _taken(recipe, rng)
    for kind, strength in taken:
        if kind in CODECS:
            pictures = [it.rgb for it in recoded(pictures, kind, max(1, int(strength)))]
        else:
            pictures = [_stepped(it, kind, strength, scale, filter, rng) for it in pictures]
    return pictures, _told(taken)


def applied_to(recipe: Sequence[DegradationStep], seed: int, name: str) -> list[Applied]:
    """The steps that `degraded` takes, without a picture."""
    return _told(_taken(recipe, _random(seed, name))) if recipe else []


def _told(taken: Iterable[tuple[str, float]]) -> list[Applied]:
    return [Applied(kind, round(strength, 4)) for kind, strength in taken if kind != DOWNSCALE]


def frame_by_frame(
    scale: int, recipe: Sequence[DegradationStep], seed: int, name: str, filter: Filter = "bicubic"
) -> Callable[[np.ndarray], np.ndarray]:
    """A recipe without video codecs for frames that come one after another: what takes each through the same steps.
    Raises ValueError for a step that has to see them together."""
    if codecs := [step.kind for step in recipe if step.kind in CODECS]:
        raise ValueError(f"{codecs[0]} has to see all frames of a run together")
    rng = _random(seed, name)
    taken = _taken(recipe, rng)

    def degrade(picture: np.ndarray) -> np.ndarray:
        for kind, strength in taken:
            picture = _stepped(picture, kind, strength, scale, filter, rng)
        return picture

    return degrade


def _taken(recipe: Sequence[DegradationStep], rng: np.random.RandomState) -> list[tuple[str, float]]:
    """The steps that are taken, with their strengths. All are drawn first, so that whether one is taken leaves the
    strengths of the others alone."""
    check_recipe(recipe)
    steps = []
    for step, (chance, place) in zip(recipe, rng.random_sample((len(recipe), 2)).tolist(), strict=True):
        strength = step.low + (step.high - step.low) * place
        if chance < step.probability:
            steps.append((step.kind, strength if step.kind in ("blur", "noise") else float(round(strength))))
    return steps


def _random(seed: int, name: str) -> np.random.RandomState:
    """Draws that stay the same: NumPy promises that of this generator in all its releases."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return np.random.RandomState(np.frombuffer(digest, "<u4"))


def _stepped(
    picture: np.ndarray, kind: str, strength: float, scale: int, filter: Filter, rng: np.random.RandomState
) -> np.ndarray:
    if kind == DOWNSCALE:
        return downscaled(picture, scale, filter)
    if kind == "blur":
        return cv2.GaussianBlur(picture, (0, 0), strength) if strength > 0 else picture
    if kind == "noise":
        return np.clip(np.rint(picture + rng.normal(0, strength, picture.shape)), 0, 255).astype(np.uint8)
    return _through_file(picture, kind.upper(), int(strength))


def _through_file(picture: np.ndarray, format: str, quality: int) -> np.ndarray:
    """As a file of that format keeps it, with colours at half resolution, as nearly all such files have them."""
    buffer = io.BytesIO()
    how: dict[str, Any] = {"subsampling": 2} if format == "JPEG" else {"method": 4}
    Image.fromarray(picture).save(buffer, format, quality=max(1, quality), **how)
    return decode(buffer.getvalue())
