"""Resizing and normalising pictures where the network runs, with the bits that Pillow and the model libraries give.

Pillow resizes 8-bit pictures in whole numbers: weights of 22 binary places, one axis after the other, each rounded to
8 bits. The same sums of whole numbers on a GPU are the same bits. What a library then makes of the 256 levels of each
channel is read off its own answer, as a table. Whether both together are what the library makes of pictures is tried
before they are used (`preparation_like`); where not, pictures are prepared on the CPU.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dataset_pipeline.models.device import Device, torch_cuda_problem

if TYPE_CHECKING:
    import torch

Filter = Literal["bilinear", "bicubic"]
SUPPORT: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0}
PLACES = 22  # binary places of Pillow's weights
SUMMANDS_AT_ONCE = 1 << 25  # of one axis, 4 bytes each and three times: bounds the memory of a large picture
RESIZING = threading.Semaphore(2)  # torch keeps what it once held, and onnxruntime cannot use that
PROBED_PX = ((97, 61), (640, 360), (333, 700))  # width and height of pictures that both ways are tried on


@dataclass(frozen=True)
class Preparation:
    """What a library does to a picture before its network sees it.

    size: (width, height) of the input. square: the picture is first laid in the middle of a white square. table:
    float32 [3, 256], for each channel of the input what each of its levels becomes. channels: which of red, green and
    blue each channel of the input is. last: the channels are the input's last axis, not its first.
    """

    size: tuple[int, int]
    filter: Filter
    square: bool
    table: np.ndarray
    channels: tuple[int, ...]
    last: bool

    def on(self, device: Device) -> Callable[[np.ndarray], torch.Tensor]:
        """From an RGB picture [height, width, 3] uint8 to the network's input, float32 on the device.

        Beside picture and answer a call holds at most 0.4 GB there, and no more than two calls of this process resize
        at once, whatever model they are for; others wait."""
        import torch

        place = str(device)
        table = torch.from_numpy(self.table).to(place)
        rows = torch.arange(3, device=place).reshape(3, 1, 1)

        def prepare(image: np.ndarray) -> torch.Tensor:
            levels = torch.from_numpy(np.ascontiguousarray(image)).to(place).permute(2, 0, 1)
            with RESIZING:
                levels = resized(in_white_square(levels) if self.square else levels, self.size, self.filter)
            answer = table[rows, levels[list(self.channels)].long()]
            return answer.permute(1, 2, 0) if self.last else answer

        return prepare


def preparation_like(
    prepare: Callable[[np.ndarray], np.ndarray],
    size: tuple[int, int],
    filter: Filter,
    square: bool = False,
    channels: tuple[int, ...] = (0, 1, 2),
    last: bool = False,
) -> Preparation | None:
    """The preparation that gives the same bits as `prepare`; None if this form gives others on any trial picture."""
    found = Preparation(size, filter, square, _table(prepare, size, channels, last), channels, last)
    if np.isnan(found.table).any():
        return None
    ours, rng = found.on(Device("cpu")), np.random.default_rng(0)
    for width, height in PROBED_PX:
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        if not np.array_equal(ours(picture).numpy(), prepare(picture)):
            return None
    return found


def _table(
    prepare: Callable[[np.ndarray], np.ndarray], size: tuple[int, int], channels: tuple[int, ...], last: bool
) -> np.ndarray:
    """What each level of each channel becomes, from a picture of the input's own size, which is not resized; levels
    that it has no room for are no number."""
    pixels = np.arange(size[0] * size[1]).reshape(size[1], size[0])
    picture = np.stack([(pixels + shift) % 256 for shift in (0, 85, 170)], 2).astype(np.uint8)
    answer = prepare(picture)
    if last:
        answer = answer.transpose(2, 0, 1)
    table = np.full((3, 256), np.nan, np.float32)
    for place, channel in enumerate(channels):
        table[place, picture[..., channel]] = answer[place]
    return table


def can_prepare_on(device: Device) -> bool:
    """Whether pictures can be prepared on the device that ONNX models run on: a GPU that torch sees too."""
    return device.cuda and not torch_cuda_problem(device.index)


def in_white_square(levels: torch.Tensor) -> torch.Tensor:
    """uint8 [3, side, side]: the picture [3, height, width] in the middle of white."""
    height, width = levels.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = levels.new_full((3, side, side), 255)
    square[:, top : top + height, left : left + width] = levels
    return square


def resized(levels: torch.Tensor, size: tuple[int, int], filter: Filter) -> torch.Tensor:
    """uint8 [3, h, w] as Pillow's `Image.resize((w, h), filter)` of a picture [3, height, width] uint8."""
    across = _along_last(levels, size[0], filter)
    return _along_last(across.transpose(1, 2), size[1], filter).transpose(1, 2)


def _along_last(levels: torch.Tensor, size: int, filter: Filter) -> torch.Tensor:
    import torch

    if levels.shape[-1] == size:
        return levels
    places, weights = _weights(levels.shape[-1], size, filter, str(levels.device))
    rows = max(1, SUMMANDS_AT_ONCE // (levels.shape[0] * places.numel()))
    parts = [(part[..., places].int() * weights).sum(-1, dtype=torch.int32) for part in levels.split(rows, dim=1)]
    total = torch.cat(parts, 1) + (1 << (PLACES - 1))
    return (total >> PLACES).clamp_(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=64)
def _weights(before: int, after: int, filter: Filter, device: str) -> tuple[Any, Any]:
    """For each place after resizing which places before it count, and how much, int64 and int32 [after, n]; computed
    as Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` do."""
    import torch

    scale = before / after
    wide = max(scale, 1.0)
    support = SUPPORT[filter] * wide
    centres = (np.arange(after) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centres + support + 0.5).astype(np.int64), before) - first
    steps = np.arange(math.ceil(support) * 2 + 1)
    counted = steps < count[:, None]
    away = (steps + first[:, None] - centres[:, None] + 0.5) * (1.0 / wide)
    weights = np.where(counted, _curve(away, filter), 0.0)
    total = np.zeros(after)
    for column in weights.T:  # one after another, as the last digits depend on the order
        total += column
    weights = weights / np.where(total == 0, 1.0, total)[:, None]
    whole = np.trunc(weights * (1 << PLACES) + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)
    places = np.minimum(first[:, None] + steps, before - 1)
    return torch.from_numpy(places).to(device), torch.from_numpy(whole).to(device)


def _curve(away: np.ndarray, filter: Filter) -> np.ndarray:
    x = np.abs(away)
    if filter == "bilinear":
        return np.where(x < 1, 1 - x, 0.0)
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
