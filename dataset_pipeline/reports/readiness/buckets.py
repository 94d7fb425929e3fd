"""Where trainers put a picture: the bucket of its size at a resolution, what is cut off, and how much it is enlarged.

A bucket is a picture size that a trainer makes batches of. A picture is resized until it covers its bucket, and what
hangs over is cut off. Each rule here is a trainer's own, told in numbers; the docstrings name the place it lives in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.training.exporters.kohya import STEP_PX

Sizes = np.ndarray  # int64 [n], pixels


@dataclass(frozen=True)
class Fit:
    """One entry for each picture. width_px, height_px: the bucket, int64 [n]; 0 where a side is shorter than the
    trainer's step, which it cannot train on. scale: by which the picture is resized, float64 [n]; above 1 it is
    enlarged. cropped_share: of the resized picture's pixels, those outside the bucket, float64 [n] in 0..1."""

    width_px: np.ndarray
    height_px: np.ndarray
    scale: np.ndarray
    cropped_share: np.ndarray

    def take(self, places: np.ndarray) -> Fit:
        return Fit(*(column[places] for column in (self.width_px, self.height_px, self.scale, self.cropped_share)))


@dataclass(frozen=True)
class Rule:
    """A trainer's rule: its title, and the fit of pictures [n] to buckets at a resolution, which raises ValueError for
    a resolution the trainer does not know."""

    title: str
    fit: Callable[[Sizes, Sizes, int], Fit]


def fit_counted(rule: Rule, widths: Any, heights: Any, resolution: int) -> Fit:
    """The fit of many pictures, computed once for each distinct size. widths, heights: pixels, [n]. Raises
    ValueError for a picture without pixels."""
    wide, high, place = _distinct(widths, heights)
    return rule.fit(wide, high, resolution).take(place)


def _distinct(widths: Any, heights: Any) -> tuple[Sizes, Sizes, np.ndarray]:
    """The distinct sizes as widths and heights [m], and the place of each picture's among them [n]."""
    wide, high = np.asarray(widths, np.int64), np.asarray(heights, np.int64)
    if len(wide) and min(wide.min(), high.min()) < 1:
        raise ValueError(f"picture {int(np.minimum(wide, high).argmin())} has a side of no pixels")
    keys, place = np.unique(wide << 32 | high, return_inverse=True)
    return keys >> 32, keys & 0xFFFFFFFF, place.reshape(-1)


def kohya(
    widths: Sizes,
    heights: Sizes,
    resolution: int,
    *,
    min_bucket_px: int = 256,
    max_bucket_px: int = 1024,
    step_px: int = 64,
    no_upscale: bool = False,
) -> Fit:
    """sd-scripts with `enable_bucket`; the defaults are its own.

    `make_bucket_resolutions` (library/model_util.py) lists, for each width from `min_bucket_reso` to `max_bucket_reso`,
    the tallest height within the resolution's area and the limit, both ways round, and the square.
    `BucketManager.select_bucket` (library/train_util.py) takes the bucket of the picture's very size, else the one
    nearest in width by height. With `bucket_no_upscale` there is no list and no limit: a picture above the resolution's
    area is scaled down to it, and each side is cut to a whole number of steps.
    """
    if no_upscale:
        return _kohya_no_upscale(widths, heights, resolution, step_px)
    if max_bucket_px < resolution:
        raise ValueError(f"max_bucket_reso {max_bucket_px} is below the resolution {resolution}: sd-scripts refuses it")
    area = resolution * resolution
    square = math.isqrt(area) // step_px * step_px
    listed = {(square, square)}
    for side in range(min_bucket_px, max_bucket_px + 1, step_px):
        other = min(max_bucket_px, area // side // step_px * step_px)
        if other >= min_bucket_px:
            listed |= {(side, other), (other, side)}
    buckets = np.array(sorted(listed))
    nearest = _nearest(buckets[:, 0] / buckets[:, 1], widths / heights)
    same = (widths[:, None] == buckets[:, 0]) & (heights[:, None] == buckets[:, 1])
    chosen = buckets[np.where(same.any(axis=1), same.argmax(axis=1), nearest)]
    return _covering(widths, heights, chosen[:, 0], chosen[:, 1], _half_up)


def _kohya_no_upscale(widths: Sizes, heights: Sizes, resolution: int, step_px: int) -> Fit:
    def stepped(length: np.ndarray) -> np.ndarray:
        whole = _half_up(length)
        return whole - whole % step_px

    area, aspect = resolution * resolution, widths / heights
    width = stepped(np.sqrt(area * aspect))
    height = stepped(area / np.sqrt(area * aspect))
    with np.errstate(divide="ignore", invalid="ignore"):  # a strip thinner than a step
        by_width = np.abs(width / stepped(width / aspect) - aspect)
        by_height = np.abs(stepped(height * aspect) / height - aspect)
    wide = by_width < by_height
    large = widths * heights > area
    resized_width = np.where(large, np.where(wide, width, _half_up(height * aspect)), widths)
    resized_height = np.where(large, np.where(wide, _half_up(width / aspect), height), heights)
    bucket_width, bucket_height = resized_width - resized_width % step_px, resized_height - resized_height % step_px
    scale = np.maximum(resized_width / widths, resized_height / heights)
    return _fit(bucket_width, bucket_height, scale, resized_width, resized_height)


ONETRAINER_ASPECTS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0)


def onetrainer(widths: Sizes, heights: Sizes, resolution: int, *, step_px: int = 64) -> Fit:
    """OneTrainer: nine aspects both ways round, each of the resolution's area, sides rounded to the nearest step;
    nearest in height by width (`AspectBucketing` of mgds, pipelineModules/AspectBucketing.py). The step is the model's:
    64 for SDXL and most others (`aspect_bucketing_quantization` in OneTrainer's modules/dataLoader)."""
    roots = np.sqrt(np.array(ONETRAINER_ASPECTS))
    sides = np.stack([resolution * roots, resolution / roots], axis=1)
    wide = np.rint(sides / step_px).astype(np.int64) * step_px
    buckets = np.unique(np.concatenate([wide, wide[:, ::-1]]), axis=0)
    chosen = buckets[_nearest(buckets[:, 1] / buckets[:, 0], heights / widths)]
    return _covering(widths, heights, chosen[:, 0], chosen[:, 1], np.rint)


def ai_toolkit(widths: Sizes, heights: Sizes, resolution: int, *, step_px: int = 16) -> Fit:
    """ai-toolkit (`get_bucket_for_image_size`, toolkit/buckets.py): the picture scaled down to the resolution's area,
    never up to it; of its sides rounded down or up to steps, the pair whose area is nearest and not above the
    resolution's. A side that was rounded up makes the picture a little larger. The step is the model's
    (`get_bucket_divisibility`, which toolkit/data_loader.py puts in the place of `bucket_tolerance`): 16 for SD 1, SDXL
    and most others, 32 for some (Chroma)."""
    area = resolution * resolution
    target = np.minimum(widths * heights, area)
    shrink = np.sqrt(target / (widths * heights))
    steps = [(np.floor(sides * shrink / step_px), np.ceil(sides * shrink / step_px)) for sides in (widths, heights)]
    pairs = np.array([(w, h) for w in steps[0] for h in steps[1]], dtype=np.int64) * step_px  # [4, 2, n]
    areas = pairs[:, 0] * pairs[:, 1]
    off = np.where((areas > 0) & (areas <= area), np.abs(areas - target), np.inf)
    chosen = np.take_along_axis(pairs, off.argmin(axis=0)[None, None, :], axis=0)[0]
    none = np.isinf(off.min(axis=0))
    bucket = np.where(none, np.maximum(pairs[0], step_px), chosen)
    return _covering(widths, heights, bucket[0], bucket[1], np.ceil)


# Wide buckets by resolution; the tall ones are the same turned round.
EVERYDREAM_BUCKETS = {
    512: ((512, 512), (576, 448), (640, 384), (768, 320), (896, 256), (1024, 256)),
    768: (
        (768, 768), (832, 704), (896, 640), (960, 576), (1024, 576), (1152, 512), (1280, 448), (1408, 384),
        (1472, 320),
    ),
    1024: (
        (1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1472, 704), (1600, 640), (1792, 576), (2048, 512),
    ),
}  # fmt: skip


def everydream(widths: Sizes, heights: Sizes, resolution: int) -> Fit:
    """EveryDream2: a fixed list for each resolution (data/aspects.py), nearest in width by height; the picture is cut
    to the bucket's shape first and resized then (`ImageTrainItem`, data/image_train_item.py). Its random trim of square
    pictures, 4 % at most, is left out. Raises ValueError for a resolution whose list is not known here."""
    if resolution not in EVERYDREAM_BUCKETS:
        raise ValueError(f"EveryDream2's buckets are known at {sorted(EVERYDREAM_BUCKETS)}, not at {resolution}")
    wide = np.array(EVERYDREAM_BUCKETS[resolution])
    buckets = np.concatenate([wide, wide[1:, ::-1]])
    chosen = buckets[_nearest(buckets[:, 0] / buckets[:, 1], widths / heights)]
    aspect = chosen[:, 0] / chosen[:, 1]
    broad = widths / heights > aspect
    kept_width = np.where(broad, np.floor(heights * aspect), widths)
    kept_height = np.where(broad, heights, np.floor(widths / aspect))
    scale = np.maximum(chosen[:, 0] / np.maximum(kept_width, 1), chosen[:, 1] / np.maximum(kept_height, 1))
    return Fit(chosen[:, 0], chosen[:, 1], scale, 1 - kept_width * kept_height / (widths * heights))


def center_crop(widths: Sizes, heights: Sizes, resolution: int) -> Fit:
    """The shorter side resized to the resolution and the middle square kept: `Resize` and `CenterCrop` of torchvision,
    as the training examples of Hugging Face diffusers do (examples/text_to_image/train_text_to_image.py)."""
    square = np.full_like(widths, resolution)
    return _covering(widths, heights, square, square, np.floor)


def _half_up(length: np.ndarray) -> np.ndarray:
    return np.floor(length + 0.5).astype(np.int64)


def _nearest(aspects: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place in `aspects` [m] of the one nearest to each wanted [n], the first of equals."""
    return np.abs(aspects[None, :] - wanted[:, None]).argmin(axis=1)


def _covering(widths: Sizes, heights: Sizes, bucket_width: Sizes, bucket_height: Sizes, rounded: Callable) -> Fit:
    """Resized by the smallest factor that covers the bucket, then cut. `rounded`: the resized sides to whole pixels."""
    scale = np.maximum(bucket_width / widths, bucket_height / heights)
    resized = (
        np.maximum(bucket, rounded(np.round(sides * scale, 6)))
        for bucket, sides in ((bucket_width, widths), (bucket_height, heights))
    )
    return _fit(bucket_width, bucket_height, scale, *resized)


def _fit(bucket_width: Sizes, bucket_height: Sizes, scale: np.ndarray, width: np.ndarray, height: np.ndarray) -> Fit:
    area = width * height
    kept = np.divide(bucket_width * bucket_height, area, out=np.zeros(len(area)), where=area > 0)
    return Fit(bucket_width, bucket_height, scale, 1 - kept)


def _kohya_as_exported(widths: Sizes, heights: Sizes, resolution: int) -> Fit:
    return kohya(widths, heights, resolution, no_upscale=True, step_px=STEP_PX)


def _kohya_scaled(widths: Sizes, heights: Sizes, resolution: int) -> Fit:
    return kohya(widths, heights, resolution, max_bucket_px=max(2048, resolution))


RULES = {
    "kohya": Rule("kohya sd-scripts, as exported", _kohya_as_exported),
    "kohya_scaled": Rule("kohya sd-scripts, enlarging, max_bucket_reso 2048", _kohya_scaled),
    "onetrainer": Rule("OneTrainer", onetrainer),
    "ai_toolkit": Rule("ai-toolkit", ai_toolkit),
    "everydream": Rule("EveryDream2", everydream),
    "center_crop": Rule("centre crop (Hugging Face loaders)", center_crop),
}


@dataclass(frozen=True)
class BucketUse:
    """How a set lies in the buckets of one rule at one resolution. buckets: (width_px, height_px, pictures), most used
    first. enlarged: pictures resized by more than `limit`. median_scale: of all pictures."""

    rule: str
    resolution: int
    buckets: tuple[tuple[int, int, int], ...]
    cropped_share: float
    most_cropped_share: float
    enlarged: int
    median_scale: float


def bucket_use(widths: Any, heights: Any, resolutions: Iterable[int], limit: float = 1.0) -> list[BucketUse]:
    """Every rule at every resolution it knows. widths, heights: pixels of the pictures, [n], n > 0."""
    wide, high, place = _distinct(widths, heights)
    pictures = np.bincount(place)
    found = []
    for resolution in resolutions:
        for name, rule in RULES.items():
            if name == "everydream" and resolution not in EVERYDREAM_BUCKETS:
                continue
            fit = rule.fit(wide, high, resolution)
            found.append(
                BucketUse(
                    rule=name,
                    resolution=resolution,
                    buckets=_counted(fit, pictures),
                    cropped_share=float(np.average(fit.cropped_share, weights=pictures)),
                    most_cropped_share=float(fit.cropped_share.max()),
                    enlarged=int(pictures[fit.scale > limit].sum()),
                    median_scale=float(np.median(fit.scale[place])),
                )
            )
    return found


def _counted(fit: Fit, pictures: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    keys, place = np.unique(fit.width_px.astype(np.int64) << 32 | fit.height_px.astype(np.int64), return_inverse=True)
    counts = np.bincount(place.reshape(-1), weights=pictures).astype(np.int64)
    order = np.lexsort((keys, -counts))
    return tuple((int(keys[i]) >> 32, int(keys[i]) & 0xFFFFFFFF, int(counts[i])) for i in order)
