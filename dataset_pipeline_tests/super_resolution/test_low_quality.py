from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.settings.degradation import DOWNSCALE, check_recipe
from dataset_pipeline.super_resolution.low_quality import Filter, degraded, downscaled
from dataset_pipeline_tests.super_resolution.drawn_sets import step

RECIPE = (
    step("blur", 0.2, 2.0, 0.5), step(DOWNSCALE), step("noise", 1, 8, 0.7), step("jpeg", 40, 95, 0.8),
    step("webp", 50, 90, 0.3),
)  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return draw_scene(3, (256, 192), people=1, backdrop_seed=1003).image


@pytest.mark.parametrize("filter", ["box", "area", "bicubic"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_smaller_picture_has_the_size_that_fits_exactly_and_is_not_darker(
    scene: np.ndarray, scale: int, filter: Filter
):
    picture = scene[:180, :252]
    small = downscaled(picture, scale, filter)
    assert small.shape == (180 // scale, 252 // scale, 3)
    assert small.mean() == pytest.approx(picture.mean(), abs=0.1)


def test_a_box_is_the_rounded_mean_of_the_pixels_that_it_covers():
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, :2] = np.array([[[10], [11]], [[12], [14]]])  # 11.75
    picture[:, 2:] = np.array([[[0], [0]], [[0], [1]]])
    assert downscaled(picture, 2, "box").tolist() == [[[12] * 3, [0] * 3]]
    assert np.array_equal(downscaled(picture, 2, "area"), downscaled(picture, 2, "box"))


def test_bicubic_is_that_of_matlab_up_to_the_last_level():
    # The kernel at a scale of 4, worked out from its definition with a = -0.5 on a row without borders.
    row = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    found = downscaled(np.broadcast_to(row[None, :, None], (4, 64, 3)).copy(), 4)[0, :, 0]
    for at in range(4, 12):
        distance = np.abs((np.arange(64) + 0.5 - (at + 0.5) * 4) / 4)
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0)) / 4
        assert found[at] == pytest.approx(np.clip(weights @ row, 0, 255), abs=0.501)


def test_sides_that_do_not_divide_are_refused(scene: np.ndarray):
    with pytest.raises(ValueError, match="250x192 px do not divide by 4"):
        downscaled(scene[:, :250], 4)


def test_the_same_seed_and_tile_give_the_same_pixels_and_others_other_ones(scene: np.ndarray):
    found = [degraded([scene], 0, 2, RECIPE, seed, name)[0] for seed, name in ((1, "a"), (1, "a"), (2, "a"), (1, "b"))]
    assert all(it.shape == (96, 128, 3) and it.dtype == np.uint8 for it in found)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[3])


def test_draws_lie_in_their_ranges_and_steps_are_taken_as_often_as_asked(scene: np.ndarray):
    small = scene[:32, :32]
    applied = [degraded([small], 0, 2, RECIPE, 5, f"tile {number}")[1] for number in range(300)]
    for one in RECIPE:
        strengths = [it.strength for steps in applied for it in steps if it.kind == one.kind]
        if one.kind == DOWNSCALE:
            assert strengths == []
            continue
        assert len(strengths) / 300 == pytest.approx(one.probability, abs=0.1)
        assert one.low <= min(strengths) < one.low + 0.2 * (one.high - one.low)
        assert one.high >= max(strengths) > one.high - 0.2 * (one.high - one.low)
    assert all(it.strength == int(it.strength) for steps in applied for it in steps if it.kind in ("jpeg", "webp"))


def test_whether_a_step_is_taken_changes_no_strength_of_another(scene: np.ndarray):
    never = tuple(step(it.kind, it.low, it.high, 0 if it.kind == "blur" else it.probability) for it in RECIPE)
    for number in range(30):
        one, other = (degraded([scene[:16, :16]], 0, 2, it, 5, f"{number}")[1] for it in (RECIPE, never))
        assert [it for it in one if it.kind != "blur"] == other


@pytest.mark.parametrize(
    ("kind", "mild", "strong"), [("blur", 0.5, 3), ("noise", 1, 12), ("jpeg", 95, 20), ("webp", 95, 10)]
)
def test_a_stronger_step_takes_more_away(scene: np.ndarray, kind: str, mild: float, strong: float):
    plain = downscaled(scene, 2).astype(int)
    errors = []
    for strength in (mild, strong):
        recipe = (step(DOWNSCALE), step(kind, strength, strength))  # type: ignore[arg-type]
        errors.append(np.abs(degraded([scene], 0, 2, recipe, 1, "a")[0] - plain).mean())
    assert 0 < errors[0] < 0.6 * errors[1]


def test_a_step_through_a_video_codec_takes_the_picture_out_of_its_run_again(scene: np.ndarray):
    run = [np.roll(scene, 4 * number, axis=1) for number in range(7)]
    recipe = (step(DOWNSCALE), step("h264", 23, 35), step("jpeg", 80, 90))
    found, applied = degraded(run, 3, 2, recipe, 1, "a")
    assert [it.kind for it in applied] == ["h264", "jpeg"]
    assert 23 <= applied[0].strength <= 35
    errors = [np.abs(found.astype(int) - downscaled(it, 2)).mean() for it in run]
    assert errors.index(min(errors)) == 3


def test_a_recipe_that_cannot_be_followed_is_refused():
    check_recipe(RECIPE)
    for recipe, message in (
        ((step("blur", 1, 2),), "once and always"),
        ((step(DOWNSCALE), step(DOWNSCALE)), "once and always"),
        ((step(DOWNSCALE, probability=0.5),), "once and always"),
        ((step(DOWNSCALE), step("jpeg", 90, 40)), "jpeg from 90 to 40"),
        ((step(DOWNSCALE), step("jpeg", 90, 140)), "goes from 1 to 100"),
        ((step(DOWNSCALE), step("noise", 1, 2, 1.5)), "noise"),
    ):
        with pytest.raises(ValueError, match=message):
            check_recipe(recipe)
