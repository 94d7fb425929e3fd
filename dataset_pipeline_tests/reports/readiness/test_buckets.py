"""Buckets of worked sizes by the rule of each trainer."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from dataset_pipeline.reports.readiness.buckets import (
    EVERYDREAM_BUCKETS,
    RULES,
    Fit,
    ai_toolkit,
    bucket_use,
    center_crop,
    everydream,
    fit_counted,
    kohya,
    onetrainer,
)

kohya_2048 = functools.partial(kohya, max_bucket_px=2048)
kohya_no_upscale = functools.partial(kohya, no_upscale=True)
ai_toolkit_of_64 = functools.partial(ai_toolkit, step_px=64)
kohya_steps_of_32 = functools.partial(kohya, no_upscale=True, step_px=32)


def fitted(rule: Callable[..., Fit], size: tuple[int, int], resolution: int) -> tuple[tuple[int, int], float, float]:
    """Bucket, scale to two places, and percent cut off to one."""
    fit = rule(np.array([size[0]]), np.array([size[1]]), resolution)
    bucket = (int(fit.width_px[0]), int(fit.height_px[0]))
    return bucket, round(float(fit.scale[0]), 2), round(100 * float(fit.cropped_share[0]), 1)


@pytest.mark.parametrize(
    ("rule", "size", "resolution", "bucket", "scale", "cropped_percent"),
    [
        (kohya_2048, (1920, 1080), 1024, (1344, 768), 0.71, 1.5),
        (kohya, (1920, 1080), 1024, (1024, 576), 0.53, 0.0),  # the limit of 1024 takes nearly half the area
        (kohya_2048, (1440, 1080), 1024, (1152, 896), 0.83, 3.6),
        (kohya_2048, (1920, 800), 1024, (1536, 640), 0.8, 0.0),
        (kohya_2048, (400, 900), 1024, (640, 1536), 1.71, 6.3),
        (kohya_2048, (320, 320), 1024, (1024, 1024), 3.2, 0.0),
        (kohya_2048, (960, 1088), 1024, (960, 1088), 1.0, 0.0),  # on the list, so taken as it is
        (kohya, (1280, 720), 512, (640, 384), 0.53, 6.3),
        (kohya_no_upscale, (640, 360), 1024, (640, 320), 1.0, 11.1),
        (kohya_steps_of_32, (640, 360), 1024, (640, 352), 1.0, 2.2),
        (kohya_no_upscale, (1920, 1080), 1024, (1344, 768), 0.71, 1.5),
        (kohya_no_upscale, (320, 320), 1024, (320, 320), 1.0, 0.0),
        (kohya_no_upscale, (50, 900), 1024, (0, 896), 1.0, 100.0),  # thinner than a step
        (kohya_no_upscale, (4000, 1), 256, (3968, 0), 1.0, 100.0),
        (onetrainer, (1920, 1080), 1024, (1344, 768), 0.71, 1.5),
        (onetrainer, (1440, 1080), 1024, (1152, 896), 0.83, 3.6),
        (onetrainer, (400, 900), 1024, (704, 1472), 1.76, 7.1),
        (onetrainer, (640, 360), 512, (704, 384), 1.1, 3.0),
        (ai_toolkit, (1920, 1080), 1024, (1360, 768), 0.71, 0.4),
        (ai_toolkit, (320, 320), 1024, (320, 320), 1.0, 0.0),
        (ai_toolkit, (640, 360), 1024, (640, 352), 1.0, 2.2),
        (ai_toolkit_of_64, (640, 360), 1024, (640, 384), 1.07, 6.3),  # a side is rounded up
        (ai_toolkit, (40, 40), 1024, (32, 48), 1.2, 33.3),
        (ai_toolkit_of_64, (40, 40), 1024, (64, 64), 1.6, 0.0),
        (everydream, (1920, 1080), 1024, (1344, 768), 0.71, 1.6),
        (everydream, (1080, 1920), 512, (384, 640), 0.36, 6.2),
        (everydream, (1280, 720), 768, (1024, 576), 0.8, 0.0),
        (everydream, (1088, 512), 768, (1152, 512), 1.06, 5.7),  # 1088 x 512 is not on its list
        (center_crop, (1920, 1080), 512, (512, 512), 0.47, 43.7),
        (center_crop, (300, 400), 768, (768, 768), 2.56, 25.0),
    ],
)
def test_a_picture_falls_into_the_bucket_its_trainer_puts_it_in(rule, size, resolution, bucket, scale, cropped_percent):
    assert fitted(rule, size, resolution) == (bucket, scale, cropped_percent)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("resolution", [512, 768, 1024])
def test_a_resized_picture_covers_its_bucket_of_whole_steps(name: str, resolution: int):
    random = np.random.default_rng(0)
    widths, heights = random.integers(96, 3000, 500), random.integers(96, 3000, 500)
    fit = fit_counted(RULES[name], widths, heights, resolution)
    for sides, bucket in ((widths, fit.width_px), (heights, fit.height_px)):
        assert (bucket % (16 if name == "ai_toolkit" else 64) == 0).all()
        assert (sides * fit.scale >= bucket - 1).all()
    assert ((fit.cropped_share >= 0) & (fit.cropped_share < 1)).all()


def test_counting_distinct_sizes_gives_what_each_picture_by_itself_gives():
    widths, heights = np.array([640, 1920, 640, 320, 640]), np.array([360, 1080, 360, 320, 480])
    fit = fit_counted(RULES["kohya_scaled"], widths, heights, 1024)
    for place in range(5):
        alone = fitted(kohya_2048, (int(widths[place]), int(heights[place])), 1024)
        assert alone[0] == (fit.width_px[place], fit.height_px[place])
        assert alone[1] == round(float(fit.scale[place]), 2)


def test_a_set_is_told_by_its_buckets_and_by_what_it_loses_and_gains():
    uses = bucket_use([1920, 1920, 320], [1080, 1080, 320], [1024], limit=1.25)
    assert [use.rule for use in uses] == list(RULES)
    scaled = uses[1]
    assert scaled.buckets == ((1344, 768, 2), (1024, 1024, 1))
    assert scaled.enlarged == 1
    assert scaled.median_scale == pytest.approx(768 / 1080)
    assert scaled.cropped_share == pytest.approx(2 / 3 * (1 - 1344 / 1365))
    assert scaled.most_cropped_share == pytest.approx(1 - 1344 / 1365)


def test_everydream_is_left_out_where_its_buckets_are_not_known():
    assert "everydream" not in {use.rule for use in bucket_use([640], [360], [896])}
    with pytest.raises(ValueError, match=r"known at \[512, 768, 1024\], not at 896"):
        everydream(np.array([640]), np.array([360]), 896)


def test_everydream_buckets_hold_no_more_than_their_resolution():
    for resolution, buckets in EVERYDREAM_BUCKETS.items():
        assert buckets[0] == (resolution, resolution)
        assert all(wide >= high and wide * high <= resolution**2 for wide, high in buckets)


def test_kohyas_steps_are_those_of_the_exported_file():
    """Its trainers for SD 1 and 2 refuse any that are no multiple of 64."""
    fit = fit_counted(RULES["kohya"], [640, 96, 63], [360, 127, 640], 1024)
    assert [(int(wide), int(high)) for wide, high in zip(fit.width_px, fit.height_px, strict=True)] == [
        (640, 320),
        (64, 64),
        (0, 640),
    ]


def test_a_limit_below_the_resolution_and_a_picture_without_pixels_are_refused():
    with pytest.raises(ValueError, match="max_bucket_reso 512 is below the resolution 1024"):
        kohya(np.array([640]), np.array([360]), 1024, max_bucket_px=512)
    with pytest.raises(ValueError, match="picture 1 has a side of no pixels"):
        fit_counted(RULES["kohya"], [640, 640], [360, 0], 1024)
