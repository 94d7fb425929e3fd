from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from dataset_pipeline.base.boxes import share_inside
from dataset_pipeline.demo.characters import random_character
from dataset_pipeline.demo.figure import Pose
from dataset_pipeline.demo.scenes import draw_person
from dataset_pipeline.regularization.regions import (
    Region,
    grown,
    mask_of,
    mask_of_all,
    regions_by_boxes,
)
from dataset_pipeline.settings.regularization import Region as RegionName
from dataset_pipeline_tests.regularization.rows import found_box

ALL: list[RegionName] = ["eyes", "mouth", "nose", "brows", "hands"]
FACE = (100, 100, 200, 200)


def test_regions_of_a_drawn_face_are_shares_of_its_box():
    regions = {it.name: it.box for it in regions_by_boxes([found_box("face", FACE)], ALL, 0.3)}
    assert regions == {
        "eyes": pytest.approx((104, 134, 196, 170)),
        "mouth": pytest.approx((122, 168, 178, 198)),
        "nose": pytest.approx((130, 156, 170, 178)),
        "brows": pytest.approx((105, 114, 195, 142)),
    }


def test_eyes_are_where_both_were_found_and_hands_are_their_boxes():
    boxes = [
        found_box("face", FACE), found_box("eye", (110, 140, 130, 155)), found_box("eye", (160, 142, 185, 158)),
        found_box("eye", (400, 400, 420, 420)), found_box("hand", (10, 300, 40, 330)),
        found_box("hand", (300, 300, 330, 330), 0.2),
    ]  # fmt: skip
    assert regions_by_boxes(boxes, ["eyes", "hands"], 0.3) == [
        Region("eyes", (110, 140, 185, 158)), Region("hands", (10, 300, 40, 330)),
    ]  # fmt: skip
    assert regions_by_boxes(boxes[:2], ["eyes"], 0.3)[0].box == pytest.approx((104, 134, 196, 170))  # one eye is seen
    assert regions_by_boxes(boxes, [], 0.3) == []


def test_regions_hold_the_eyes_brows_and_mouths_of_drawn_faces():
    """Brows and mouths are what changes in a picture with the expression; the shares of the face alone are used."""
    eyes, moved = [], []
    for seed in range(8):
        rng = random.Random(seed)
        character = replace(random_character(rng, "a"), accessory=None)
        pose = Pose(turn=rng.uniform(-1, 1), head_tilt=rng.choice((-6, 0, 6)), expression="sad")
        pictures = [np.full((400, 400, 3), 200, np.uint8) for _ in range(2)]
        person = draw_person(pictures[0], character, 200, 60, 240, pose)
        draw_person(pictures[1], character, 200, 60, 240, replace(pose, mouth=1.0, expression="angry"))
        regions = {it.name: it.box for it in regions_by_boxes([found_box("face", person.face)], ALL, 0.3)}
        eyes += [share_inside(eye, regions["eyes"]) for eye in person.eyes]
        changed = (pictures[0] != pictures[1]).any(2)
        inside = mask_of_all((Region(name, regions[name]) for name in ("mouth", "brows")), (400, 400), 0.25, 0) > 0
        lids = mask_of(regions["eyes"], (400, 400), 0.0, 0) > 0  # move with the expression too
        moved.append((changed & (inside | lids)).sum() / changed.sum())
    print(f"eyes inside {np.mean(eyes):.3f}, the least {min(eyes):.3f}; changes inside {np.mean(moved):.3f}")
    assert np.mean(eyes) > 0.97
    assert np.mean(moved) > 0.97


def test_a_mask_is_whole_in_the_grown_box_and_nothing_beyond_the_feather():
    assert grown((10, 10, 20, 30), 0.5, (100, 100)) == (7, 5, 23, 35)  # 2.5 aside, 5 above and below
    assert grown((95, 95, 120, 120), 0.0, (100, 100)) == (95, 95, 100, 100)
    mask = mask_of((40, 40, 60, 60), (100, 100), 0.0, 4)
    assert (mask[40:60, 40:60] == 1.0).all()
    assert mask[50, 60:65].tolist() == [0.75, 0.5, 0.25, 0.0, 0.0]
    assert mask[50, 36:40].tolist() == [0.0, 0.25, 0.5, 0.75]
    assert mask[62, 62] == pytest.approx(1 - 18**0.5 / 4 if 18**0.5 < 4 else 0.0)  # corners are round
    assert mask_of((40, 40, 60, 60), (100, 100), 0.0, 0).sum() == 400
    assert mask_of((200, 40, 260, 60), (100, 100), 0.0, 4).sum() == 0
