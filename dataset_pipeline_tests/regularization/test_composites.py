from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.characters import random_character
from dataset_pipeline.demo.scenes import draw_person, random_pose
from dataset_pipeline.regularization.composites import Choice, composed, differences_of, pieces
from dataset_pipeline.regularization.regions import Region, mask_of, mask_of_all, regions_by_boxes
from dataset_pipeline.settings import RegularizationRegionsSettings, load_settings, resources_folder
from dataset_pipeline_tests.regularization.rows import found_box

DEFAULTS = load_settings(resources_folder() / "settings.toml").regularization_regions
SIZE = (320, 320)


def settings(**changes: Any) -> RegularizationRegionsSettings:
    return RegularizationRegionsSettings.model_validate({**DEFAULTS.model_dump(), **changes})


def blur(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(piece, (0, 0), 4)


def mosaic(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    small = cv2.resize(piece, (4, 3), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, piece.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def noise(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(piece + rng.normal(0, 25, piece.shape), 0, 255).astype(np.uint8)


def other_colors(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(piece[..., ::-1] // 2 + 60)


DAMAGES: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (blur, mosaic, noise, other_colors)


def face(seed: int) -> tuple[np.ndarray, list[Region]]:
    """A drawn face, and its regions by its drawn boxes."""
    rng = random.Random(seed)
    picture = np.full((SIZE[1], SIZE[0], 3), rng.randrange(256), np.uint8)
    person = draw_person(picture, random_character(rng, "a"), 160, 40, 200, random_pose(rng, 0.0))
    boxes = [found_box("face", person.face), *(found_box("hand", hand) for hand in person.hands)]
    return picture, regions_by_boxes(boxes, DEFAULTS.regions, 0.3)


def damaged(versions: list[np.ndarray], regions: list[Region], rng: np.random.Generator) -> list[set[int]]:
    """Which versions are damaged in each region: one or two of five, in the whole region with its feather."""
    broken = []
    for region in regions:
        chosen = rng.choice(len(versions), int(rng.integers(1, 3)), replace=False).tolist()
        inside = mask_of(region.box, SIZE, DEFAULTS.grow, DEFAULTS.feather_px) > 0
        rows, columns = (slice(it.min(), it.max() + 1) for it in np.nonzero(inside))
        for version in chosen:
            damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
            versions[version][rows, columns] = damage(versions[version][rows, columns], rng)
        broken.append(set(chosen))
    return broken


def test_of_five_versions_each_region_is_the_undamaged_one_and_all_else_the_original():
    """The damaged versions have the better score each time."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        repaired, regions = face(seed)
        original = cv2.GaussianBlur(repaired, (0, 0), 2)
        versions = [repaired.copy() for _ in range(5)]
        # Regions are looked at one by one, as pieces of neighbours would be damaged twice.
        for region in regions:
            several = [version.copy() for version in versions]
            (broken,) = damaged(several, [region], rng)
            scores = [[9.0 if at in broken else 1.0 for at in range(5)]]
            picture, (choice,) = composed(original, several, [region], scores, settings())
            assert set(choice.passed_over) == broken
            assert choice.version not in broken
            mask = mask_of(region.box, SIZE, DEFAULTS.grow, DEFAULTS.feather_px)
            assert (picture[mask == 1] == repaired[mask == 1]).all()
            assert (picture[mask == 0] == original[mask == 0]).all()


def test_regions_of_one_picture_come_from_different_versions():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        repaired, regions = face(seed)
        apart = [region for region in regions if region.name in ("mouth", "brows")]
        original = 255 - repaired
        versions = [repaired.copy() for _ in range(5)]
        damaged(versions, apart, rng)
        picture, choices = composed(original, versions, apart, None, settings())
        mask = mask_of_all(apart, SIZE, DEFAULTS.grow, DEFAULTS.feather_px)
        assert (picture[mask == 1] == repaired[mask == 1]).all()
        assert (picture[mask == 0] == original[mask == 0]).all()
        assert all(choice.version is not None for choice in choices)


def test_versions_that_are_unlike_by_nature_are_told_from_damaged_ones():
    """Undamaged ones differ by shades and half pixels, as repainted ones do. A choice by sharpness alone would take a
    mosaic or noise nearly each time that there is one."""
    right = sharpest_right = total = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        repaired, regions = face(seed)
        for region in regions:
            versions = [_repainted(repaired, rng) for _ in range(5)]
            (broken,) = damaged(versions, [region], rng)
            sharpness = [float(cv2.Laplacian(it, cv2.CV_32F).var()) for it in pieces(versions, region, DEFAULTS.grow)]
            _, (choice,) = composed(repaired, versions, [region], [sharpness], settings())
            right += choice.version is not None and choice.version not in broken
            sharpest_right += int(np.argmax(sharpness)) not in broken
            total += 1
    print(f"undamaged: {right} of {total}; by sharpness alone {sharpest_right}")
    assert right >= 0.95 * total
    assert sharpest_right < right


def _repainted(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    moved = np.array([[1, 0, rng.uniform(-0.5, 0.5)], [0, 1, rng.uniform(-0.5, 0.5)]])
    shifted = cv2.warpAffine(picture, moved, SIZE, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(shifted + rng.uniform(-4, 4, 3), 0, 255).astype(np.uint8)


def flat(*levels: int) -> list[np.ndarray]:
    return [np.full((20, 20, 3), level, np.uint8) for level in levels]


REGION = Region("mouth", (5, 5, 15, 15))
PLAIN = {"grow": 0.0, "feather_px": 2}


@pytest.mark.parametrize(
    ("levels", "scores", "version", "passed_over"),
    [
        # The middle is 14, from which they differ by 4, 2, 0, 86, 186; commonly by 4, so the limit is 6.
        ((10, 12, 14, 100, 200), [1, 2, 3, 9, 9], 2, (3, 4)),
        ((10, 12, 14, 100, 200), [1, 3, 2, 9, 9], 1, (3, 4)),
        ((10, 12, 14, 16, 18), [9, 1, 2, 3, 9], 3, (0, 4)),  # 4, 2, 0, 2, 4; commonly 2, the limit is 3
        ((10, 12, 14, 16, 18), None, 2, (0, 4)),
        ((10, 10, 10), [1, 1, 1], 0, ()),
        ((10, 50, 110, 170, 220), None, 2, (0, 1, 3, 4)),  # 60 and more are above max_difference
    ],
)
def test_versions_are_passed_over_by_their_difference_and_chosen_by_score(
    levels: tuple[int, ...], scores: list[float] | None, version: int, passed_over: tuple[int, ...]
):
    told = None if scores is None else [scores]
    _, (choice,) = composed(flat(0)[0], flat(*levels), [REGION], told, settings(**PLAIN))
    assert (choice.version, choice.passed_over) == (version, passed_over)


def test_where_no_version_agrees_with_the_others_the_region_stays_as_it_was():
    halves = [np.full((20, 20, 3), 100, np.uint8) for _ in range(4)]
    for at, version in enumerate(halves):
        version[:, at::4] = 255  # each is far from the middle somewhere else
    picture, choices = composed(flat(7)[0], halves, [REGION], None, settings(**PLAIN, max_difference=10.0))
    assert choices[0].version is None
    assert (picture == 7).all()


def test_feathers_blend_and_a_pixel_is_of_the_region_that_it_lies_deeper_in():
    near = Region("nose", (5, 5, 10, 15)), Region("mouth", (10, 5, 15, 15))
    versions = flat(100, 100, 100, 200, 200)
    for version in versions[3:]:
        version[:, :10] = 100
    for version in versions[:1]:
        version[:, 10:] = 0  # of the mouth the middle is 100
    picture, _ = composed(flat(0)[0], versions, near, None, settings(**PLAIN))
    assert picture[10, 3:17, 0].tolist() == [0, 50, *[100] * 10, 50, 0]


def test_a_region_outside_the_picture_changes_nothing():
    outside = Region("hands", (50, 50, 60, 60))
    picture, choices = composed(flat(7)[0], flat(1, 2, 3), [outside], None, settings(**PLAIN))
    assert (picture == 7).all()
    assert choices == [Choice(outside, None, (), ())]


def test_pictures_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match="versions of the shapes"):
        composed(flat(7)[0], [np.zeros((9, 9, 3), np.uint8)], [REGION], None, settings())


def test_differences_are_means_over_pixels_and_channels():
    assert differences_of(flat(10, 20, 90)).tolist() == [10.0, 0.0, 70.0]
