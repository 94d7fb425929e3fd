"""Figures with the defects of generated pictures, and the boxes of what is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dataset_pipeline.base.boxes import Box, clipped, iou
from dataset_pipeline.demo.backdrops import TRAINING_BACKDROP_SEEDS, draw_backdrop
from dataset_pipeline.demo.characters import random_character
from dataset_pipeline.demo.figure import ARM_POSES, Figure
from dataset_pipeline.demo.scenes import NO_BOX, DrawnPerson, Placement, draw_people, random_pose
from dataset_pipeline.demo.shapes import Pen, extent
from dataset_pipeline_tests.regularization.rows import found_box

SIZE = (768, 768)
SHOWN_ARMS = [name for name, (_, _, form) in ARM_POSES.items() if form != "hidden"]
Drawn = tuple[np.ndarray, list[dict[str, Any]]]  # the picture, and rows of detections


def good(seed: int) -> Drawn:
    """One person."""
    picture, placement = _place(seed)
    return picture, _boxes(draw_people(picture, [placement]))


def three_hands(seed: int) -> Drawn | None:
    """One person with an arm more than others; None where not all three hands are seen."""
    picture, placement = _place(seed)
    people = draw_people(picture, [placement])
    rng = random.Random(seed)
    side, arm = rng.choice((-1, 1)), rng.choice(SHOWN_ARMS)
    pen = _pen(picture, placement)
    figure = Figure(pen, placement.character, replace(placement.pose, arms=(arm, arm)))
    figure._arm(side, figure._arm_joints(side))
    hand = extent(pen.parts["hand0" if side < 0 else "hand1"])
    third = clipped(hand, SIZE)
    seen = bool(people) and len(people[0].hands) == 2 and third == hand
    if not seen or any(iou(third, other) for other in people[0].hands):
        return None
    arm_box = extent([shape for shapes in pen.parts.values() for shape in shapes])
    return picture, [*_boxes(people, arm_box), found_box("hand", third)]


def second_head(seed: int) -> Drawn | None:
    """One person with a head beside the other on the same shoulders; None where not both faces are seen."""
    picture, placement = _place(seed)
    rng = random.Random(seed)
    aside = rng.choice((-1, 1)) * rng.uniform(0.95, 1.15) * placement.head_px
    pen = _pen(picture, replace(placement, x_px=placement.x_px + aside))
    other = replace(placement.pose, turn=rng.uniform(-1, 1), head_tilt=0.0)
    character = random_character(rng, "second") if rng.random() < 0.5 else placement.character
    figure = Figure(pen, replace(character, hair_style="short_hair", accessory=None), other)
    for draw in (figure._back_hair, figure._face, figure._front_hair):
        draw()
    people = draw_people(picture, [placement])
    head, face = (extent(pen.parts[part]) for part in ("head", "face"))
    if not people or people[0].face == NO_BOX or clipped(face, SIZE) != face or iou(face, people[0].head):
        return None
    return picture, [*_boxes(people, head), found_box("head", clipped(head, SIZE)), found_box("face", face)]


def doubled(seed: int) -> Drawn | None:
    """The same person twice, side by side, the second as it is or mirrored; None where not both are seen."""
    picture, placement = _place(seed)
    rng = random.Random(seed)
    away = 1.4 * placement.head_px
    pose = placement.pose
    flipped = replace(pose, turn=-pose.turn, arms=pose.arms[::-1], arm_shift=pose.arm_shift[::-1])
    twin = replace(placement, x_px=placement.x_px + away, pose=rng.choice((pose, flipped)))
    people = draw_people(picture, [replace(placement, x_px=placement.x_px - away), twin])
    if len(people) < 2 or any(NO_BOX in (person.head, person.face) for person in people):
        return None
    return picture, _boxes(people)


def drawn(draw: Callable[[int], Drawn | None], number: int, first_seed: int = 0) -> Iterator[Drawn]:
    """So many pictures of a kind, from the first seeds that give one."""
    seed = first_seed
    while number:
        if (picture := draw(seed)) is not None:
            number -= 1
            yield picture
        seed += 1


def _place(seed: int) -> tuple[np.ndarray, Placement]:
    """A place without people, and where somebody stands in it: from the knees to the whole body."""
    rng = random.Random(seed * 7919 + 5)
    backdrop = draw_backdrop(rng.choice(TRAINING_BACKDROP_SEEDS), SIZE).copy()
    head_px = rng.uniform(0.13, 0.2) * SIZE[1]
    pose = random_pose(rng)
    x_px, top_px = rng.uniform(0.42, 0.58) * SIZE[0], rng.uniform(0.08, 0.18) * SIZE[1]
    return backdrop, Placement(random_character(rng, f"stranger-{seed}"), x_px, top_px, head_px, pose)


def _pen(picture: np.ndarray, placement: Placement) -> Pen:
    return Pen.at(picture, placement.x_px, placement.top_px, placement.head_px)


def _boxes(people: tuple[DrawnPerson, ...], also: Box | None = None) -> list[dict[str, Any]]:
    """Rows of detections for people; also: what else belongs to the body of the only one."""
    rows = []
    for person in people:
        body = person.person if also is None else _joined(person.person, clipped(also, SIZE))
        parts = [("person", body), ("halfbody", person.halfbody), ("head", person.head), ("face", person.face)]
        parts += [("hand", hand) for hand in person.hands] + [("eye", eye) for eye in person.eyes]
        rows += [found_box(kind, box) for kind, box in parts if box != NO_BOX]
    return rows


def _joined(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])
