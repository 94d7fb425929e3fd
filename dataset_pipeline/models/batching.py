"""Feeding pictures to a model: bounded memory, and the next batch is prepared while the model runs on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.parallel import map_ahead

Prepared = TypeVar("Prepared")
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


def stacked(inputs: Sequence[Any]) -> Any:
    """Arrays, or tensors on one device, of one shape as one of them [n, ...]."""
    if isinstance(inputs[0], np.ndarray):
        return np.stack(inputs)
    import torch

    return torch.stack(list(inputs))


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
