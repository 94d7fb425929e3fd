from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.super_resolution.resampling import KERNELS, least_squares_source, resampling_matrix


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("source_px", "target_px"), [(48, 72), (72, 48), (50, 50), (20, 61)])
def test_every_row_sums_to_one(kernel, source_px, target_px):
    matrix = resampling_matrix(source_px, target_px, kernel)
    assert matrix.shape == (target_px, source_px)
    assert np.allclose(matrix.sum(axis=1), 1)


@pytest.mark.parametrize(("kernel", "filter"), [("bilinear", "BILINEAR"), ("lanczos3", "LANCZOS")])
@pytest.mark.parametrize(("source_px", "target_px"), [(60, 90), (90, 40)])
def test_inside_a_picture_it_does_what_pillow_does(kernel, filter, source_px, target_px):
    values = np.random.default_rng(3).uniform(0, 255, source_px).astype(np.float32)
    ours = resampling_matrix(source_px, target_px, kernel) @ values
    image = Image.fromarray(values[:, None])
    theirs = np.asarray(image.resize((1, target_px), Image.Resampling[filter]))[:, 0]
    edge = 10
    assert np.abs(ours - theirs)[edge:-edge].max() < 1e-3


def test_a_line_keeps_its_place_under_any_step_and_start():
    ramp = np.arange(200.0) + 0.5
    for step, start in ((1.5, 7.3), (0.7, 20.0), (2.0, 0.25)):
        there = resampling_matrix(200, 60, "mitchell", step, start) @ ramp
        expected = start + (np.arange(60) + 0.5) * step
        inside = (expected > 5) & (expected < 195)
        assert np.allclose(there[inside], expected[inside], atol=0.03)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_source_of_an_upscale_is_found_again(kernel):
    source = np.random.default_rng(5).uniform(0, 255, (48, 3))
    matrix = resampling_matrix(48, 72, kernel)
    found, residual = least_squares_source(matrix, matrix @ source)
    assert np.abs(found - source).max() < 1e-6
    assert residual.max() < 1e-3


def test_what_is_left_is_the_distance_from_all_that_the_upscale_can_make():
    values = np.random.default_rng(7).normal(0, 10, (72, 4))
    matrix = resampling_matrix(48, 72, "mitchell")
    expected = np.linalg.lstsq(matrix.toarray(), values, rcond=None)[1]
    assert np.allclose(least_squares_source(matrix, values)[1], expected)
