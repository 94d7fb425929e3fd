"""Whole repeats (`num_repeats` in kohya and ai-toolkit) for trainers that cannot show an image 1.36 times, and
fractions for those that round down what they make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping


def num_repeats(counts: Mapping[str, int], multiplies: Mapping[str, float]) -> dict[str, int]:
    """Whole repeats of each concept, at least 1, with which an epoch has about as many images as by the multiplies.

    counts, multiplies: by concept; every multiply is above 0. The method is that of largest remainders, weighed in
    images: every multiply is rounded down (to 1 at least), and then concepts are rounded up, largest fraction first
    and equal ones by name, each if that brings the sum of images times repeats closer to the sum of images times
    multiply. A repeat so differs from its multiply by less than 1 (more only where the multiply is below 1), and, if no
    multiply is below 1, the sums differ by half the images of the largest concept at most. Raises ValueError.
    """
    if counts.keys() != multiplies.keys():
        raise ValueError(f"counts and multiplies name different concepts: {sorted(counts.keys() ^ multiplies.keys())}")
    for concept, images in counts.items():
        if images < 1 or not 0 < multiplies[concept] < math.inf:
            raise ValueError(f"concept {concept} has {images} images and the multiply {multiplies[concept]}")
    repeats = {concept: max(1, math.floor(multiply)) for concept, multiply in multiplies.items()}
    missing = math.fsum(images * (multiplies[concept] - repeats[concept]) for concept, images in counts.items())
    for concept in sorted(counts, key=lambda concept: (repeats[concept] - multiplies[concept], concept)):
        if multiplies[concept] > repeats[concept] and abs(missing - counts[concept]) < abs(missing):
            repeats[concept] += 1
            missing -= counts[concept]
    return repeats


def least_factor(images: int, times: int) -> float:
    """The least number of millionths by which `images` give `times` when their product is rounded down."""
    millionths = -(-times * 10**6 // images)
    while math.floor(images * (millionths / 10**6)) < times:
        millionths += 1
    return millionths / 10**6
