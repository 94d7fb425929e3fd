"""Regions by the points of people: worked out by hand, and as the pack's pose net finds them on drawn figures."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from dataset_pipeline.base.boxes import Box, middle
from dataset_pipeline.demo.characters import random_character
from dataset_pipeline.demo.scenes import Placement, random_pose
from dataset_pipeline.demo.training.points import draw_posed
from dataset_pipeline.models import Pose
from dataset_pipeline.regularization.points import (
    OF_REGION,
    POINTS,
    cut_window,
    on_picture,
    people_of,
    regions_by_points,
    window_of,
    window_of_id,
)
from dataset_pipeline.regularization.regions import Region
from dataset_pipeline.settings.regularization import Region as RegionName

ALL: list[RegionName] = ["eyes", "mouth", "nose", "brows", "hands"]


def person(**at: list[tuple[float, float]]) -> np.ndarray:
    """Points of somebody of whom only these regions are seen; the hand named is the left one."""
    points = np.zeros((POINTS, 3))
    for name, some in at.items():
        own = list(OF_REGION[name][0])  # type: ignore[index]
        points[own[: len(some)], :2], points[own[: len(some)], 2] = some, 0.9
    return points


def test_each_person_who_is_sure_enough_is_looked_at_and_a_picture_without_one_whole():
    pictures = [{"image_id": name, "width_px": 200, "height_px": 100, "path": name} for name in ("c/a", "c/b")]
    box = {"image_id": "c/a", "kind": "person", "x0_px": 20, "y0_px": 10, "x1_px": 120, "y1_px": 60, "score": 0.4}
    boxes = [box, box | {"x0_px": 60}, box | {"x0_px": 80, "score": 0.3}, box | {"kind": "head", "x0_px": 100}]
    found = people_of(pictures, boxes, 0.4)
    assert [(row["image_id"], row["path"]) for row in found] == [
        ("c/a#person-100-100-500-500", "c/a"),
        ("c/a#person-300-100-300-500", "c/a"),
        ("c/b#person-0-0-1000-1000", "c/b"),
    ]


def test_a_region_is_around_its_points_and_a_little_larger():
    eyes = [(10.0, 40.0), (30.0, 40.0), (20.0, 36.0), (20.0, 44.0)] * 3  # 20 wide, 8 high: 3 more on each side
    assert regions_by_points([person(eyes=eyes)], ALL, 0.3) == [Region("eyes", (7.0, 33.0, 33.0, 47.0))]
    assert regions_by_points([person(eyes=eyes)], ["mouth"], 0.3) == []
    hand = [(100.0 + at, 50.0) for at in range(21)]
    assert regions_by_points([person(hands=hand)], ALL, 0.3) == [Region("hands", (97.0, 47.0, 123.0, 53.0))]


def test_a_region_is_not_there_where_most_of_its_points_are_unsure():
    points = person(nose=[(5.0, 5.0)] * 5)  # of 9
    assert len(regions_by_points([points], ["nose"], 0.3)) == 1
    assert regions_by_points([points], ["nose"], 0.91) == []
    assert regions_by_points([person(nose=[(5.0, 5.0)] * 4)], ["nose"], 0.3) == []


def test_a_person_is_looked_at_with_a_quarter_more_in_three_to_four():
    assert window_of((100.0, 100.0, 160.0, 260.0)) == (55, 80, 205, 280)  # 200 high, so 150 wide
    assert window_of((0.0, 0.0, 240.0, 80.0)) == (-30, -160, 270, 240)  # 300 wide, so 400 high
    assert window_of_id("girl/abc#person-100-100-60-160", (1000, 1000)) == (55, 80, 205, 280)
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)[..., None]
    cut = cut_window(picture, (-1, 1, 2, 4))[..., 0]
    assert cut.tolist() == [[0, 4, 5], [0, 8, 9], [0, 0, 0]]
    assert on_picture([1.0, 2.0, 0.5] * POINTS, (-1, 1, 2, 4))[7].tolist() == [0.0, 3.0, 0.5]


def test_regions_of_drawn_figures_are_where_their_faces_were_drawn(pose: Pose):
    """A region is hit if its middle lies in the true one, and the true one's in it."""
    pictures, truths, windows = [], [], []
    for seed in range(40):
        rng = random.Random(seed)
        head_px = (90.0, 150.0, 260.0)[seed % 3]
        picture = np.full((960, 720, 3), (200, 214, 228), np.uint8)
        placement = Placement(random_character(rng, "a"), 360.0, 60.0, head_px, random_pose(rng))
        [drawn] = draw_posed(picture, [placement])
        x0, y0, x1, y1 = drawn.box
        window = window_of((max(x0, 0.0), max(y0, 0.0), min(x1, 720.0), min(y1, 960.0)))
        pictures.append(cut_window(picture, window))
        truths.append(np.column_stack([drawn.points, drawn.seen]))
        windows.append(window)
    hits: dict[str, list[bool]] = {name: [] for name in ALL}
    false = Counter[str]()
    for points, truth, window in zip(pose.points(iter(pictures)), truths, windows, strict=True):
        wanted, found = regions_by_points([truth], ALL, 0.5), regions_by_points([on_picture(points, window)], ALL, 0.3)
        for region in wanted:
            hits[region.name].append(any(is_hit(region.box, it.box) for it in found if it.name == region.name))
        false.update(it.name for it in found if not any(it.name == other.name for other in wanted))
    told = {name: f"{np.mean(of):.2f} of {len(of)}" for name, of in hits.items()}
    print(f"hit: {told}; found where none is: {dict(false)}")
    for name in ("eyes", "mouth", "nose", "brows"):
        assert np.mean(hits[name]) >= 0.9, name


def is_hit(one: Box, other: Box) -> bool:
    return all(b[0] <= middle(a)[0] <= b[2] and b[1] <= middle(a)[1] <= b[3] for a, b in ((one, other), (other, one)))


@pytest.fixture(scope="module")
def pose() -> Pose:
    return Pose(pack="demo", device="cpu")
