"""One picture of several versions: each region from the one that most agree with and that looks best.

A sharp mosaic scores higher than a good eye with most metrics, so that quality alone picks what is broken. What fewer
than half of the versions show is far from the middle of all of them, pixel by pixel: such versions are passed over
first, whatever their quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.regularization.regions import Region, grown, mask_of
from dataset_pipeline.settings import RegularizationRegionsSettings

# A version is passed over too if it differs by so many times as much as versions commonly do.
TIMES_COMMON = 1.5


@dataclass(frozen=True)
class Choice:
    """What a region was taken from. version: its number, None where the region stays as it was, as no version agrees
    with the others. differences: of each version to the middle of all, mean of 0 to 255. passed_over: those that are
    too far from it."""

    region: Region
    version: int | None
    differences: tuple[float, ...]
    passed_over: tuple[int, ...]


def pieces(versions: Sequence[np.ndarray], region: Region, grow: float) -> list[np.ndarray]:
    """What each version shows of a region, for a metric of quality; empty where it lies outside. versions: uint8
    [height, width, 3]."""
    x0, y0, x1, y1 = grown(region.box, grow, _size_of(versions[0]))
    return [version[y0:y1, x0:x1] for version in versions] if x1 > x0 else []


def composed(
    original: np.ndarray,
    versions: Sequence[np.ndarray],
    regions: Sequence[Region],
    scores: Sequence[Sequence[float]] | None,
    settings: RegularizationRegionsSettings,
) -> tuple[np.ndarray, list[Choice]]:
    """The picture with each region from the version chosen for it, and what was chosen.

    original, versions: uint8 [height, width, 3] of one size; a version may be the original. scores: for each region the
    quality of each version's piece of it, higher is better; without, the version nearest to the middle is taken. Where
    two regions meet, a pixel is of the one that it lies deeper in. What lies outside of all feathers is the original's,
    and what lies inside a region its version's, bit by bit. Raises ValueError for pictures of several sizes.
    """
    if any(version.shape != original.shape for version in versions):
        raise ValueError(f"versions of the shapes {[it.shape for it in versions]} of a picture of {original.shape}")
    choices = [
        _chosen(versions, region, scores[at] if scores is not None else None, settings)
        for at, region in enumerate(regions)
    ]
    weight = np.zeros(original.shape[:2], np.float32)
    source = original.copy()
    for choice in choices:
        if choice.version is None:
            continue
        mask = mask_of(choice.region.box, _size_of(original), settings.grow, settings.feather_px)
        deeper = mask > weight
        source[deeper] = versions[choice.version][deeper]
        weight[deeper] = mask[deeper]
    blended = weight[..., None] * source + (1.0 - weight[..., None]) * original
    return np.rint(blended).astype(np.uint8), choices


def differences_of(found: Sequence[np.ndarray]) -> np.ndarray:
    """float [k]: how far each of k pieces, uint8 [height, width, 3], is from the middle of all, pixel by pixel; the
    mean of 0 to 255."""
    stacked = np.stack(found).astype(np.float32)
    return np.abs(stacked - np.median(stacked, axis=0)).mean(axis=(1, 2, 3), dtype=np.float64)


def _chosen(
    versions: Sequence[np.ndarray],
    region: Region,
    scores: Sequence[float] | None,
    settings: RegularizationRegionsSettings,
) -> Choice:
    """Equal scores: the one nearest to the middle, of those the first."""
    found = pieces(versions, region, settings.grow)
    if not found:
        return Choice(region, None, (), ())
    differences = differences_of(found)
    limit = min(settings.max_difference, TIMES_COMMON * float(np.median(differences)))
    left = [at for at, difference in enumerate(differences.tolist()) if difference <= limit]
    best = min(left, key=lambda at: (-scores[at] if scores else 0.0, differences[at], at), default=None)
    passed_over = tuple(at for at in range(len(versions)) if at not in left)
    return Choice(region, best, tuple(differences.tolist()), passed_over)


def _size_of(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]
