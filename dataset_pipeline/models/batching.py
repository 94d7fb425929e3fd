"""Feeding pictures to a model: bounded memory, and the next batch is prepared while the model runs on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.parallel import map_ahead

Prepared = TypeVar("Prepared")
Answer = TypeVar("Answer")
MOST_THREADS = 16


def prepared_batches(
    images: Iterable[np.ndarray], prepare: Callable[[np.ndarray], Prepared], batch_size: int
) -> Iterator[list[Prepared]]:
    """Batches of `prepare(image)`, in order; at most two batches of pictures are held at any time.

    `images` is consumed in the calling thread, `prepare` runs in others, one for each core and 16 at most. Raises
    ValueError for a picture that is not [height, width, 3] uint8 RGB.
    """
    checked = (_checked(image, position) for position, image in enumerate(images))
    prepared = map_ahead(prepare, checked, min(usable_cores(), MOST_THREADS), ahead=batch_size)
    while batch := list(islice(prepared, batch_size)):
        yield batch


def overlapped(
    function: Callable[[list[Prepared]], Answer], batches: Iterable[list[Prepared]], side_by_side: int
) -> Iterator[Answer]:
    """`map(function, batches)`, where the function runs an OnnxRunner that runs so many rows side by side.

    If it is more than one, two batches are under way, and held besides those that are being prepared: no core waits
    for the last row of another. An error of a batch is raised where its answer would stand.
    """
    return map_ahead(function, batches, threads=2, ahead=1) if side_by_side > 1 else map(function, batches)


def _checked(image: np.ndarray, position: int) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"picture {position}: models take [height, width, 3] uint8 RGB arrays, not {got}")
    if 0 in image.shape:
        raise ValueError(f"picture {position} is empty: its shape is {image.shape}")
    return image


def peek(images: Iterable[np.ndarray]) -> Iterator[np.ndarray] | None:
    """The same pictures, or None if there are none: so that no model is loaded for nothing."""
    iterator = iter(images)
    for first in iterator:
        return chain([first], iterator)
    return None
