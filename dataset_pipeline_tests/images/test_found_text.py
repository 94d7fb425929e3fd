"""Burnt-in text is found with the settings and the detector that ship, on drawn stills of seeds that chose nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from dataset_pipeline.base.boxes import Box, share_inside, shared_area
from dataset_pipeline.images.burnt_in_text import boxes_by_still, decide_burnt_in_text
from dataset_pipeline.images.marks import marks
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings import load_settings
from dataset_pipeline_tests.images.drawn_text import Place, Written, credited, logo, scene, subtitled, with_sign

SETTINGS = load_settings(models__pack="demo", models__device="cpu")
WORKING_PX = 288  # the short side of a working copy, as [keyframes] has it
MIN_FOUND, MAX_OTHERS = 0.95, 0.02


def found_by_lettering(stills: Sequence[Written]) -> list[list[Box]]:
    """The boxes that count, by still."""
    found = model_resources(SETTINGS)["text_detector"].lines(it.picture for it in stills)  # type: ignore[attr-defined]
    rows, lines = [], {}
    for number, (still, of_one) in enumerate(zip(stills, found, strict=True)):
        height, width = still.picture.shape[:2]
        rows.append({"image_id": str(number), "kind": "frame", "width_px": width, "height_px": height})
        sides = ({f"{side}_px": getattr(it, side) for side in ("x0", "y0", "x1", "y1")} for it in of_one)
        told = ({"score": it.score, "fill": it.fill, "contrast": it.contrast} for it in of_one)
        lines[str(number)] = [place | said for place, said in zip(sides, told, strict=True)]
    boxes = boxes_by_still(decide_burnt_in_text(rows, lines, {}, SETTINGS.burnt_in_text))
    return [boxes.get(str(number), []) for number in range(len(stills))]


def is_found(still: Written, boxes: Sequence[Box]) -> bool:
    """Whether something was found on the text, and at least half of all of it."""
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in still.boxes)
    covered = sum(min(1.0, sum(share_inside(box, it) for it in boxes)) * (box[2] - box[0]) * (box[3] - box[1])
                  for box in still.boxes)  # fmt: skip
    return covered >= 0.5 * area


def small(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (round(width * WORKING_PX / height), WORKING_PX), interpolation=cv2.INTER_AREA)


def pictures_with_a_mark(stills: Sequence[Written], size: tuple[int, int]) -> tuple[int, int]:
    """How many stills are said to bear a mark that lies on their logo, and how many one that does not."""
    copies = [small(it.picture) for it in stills]
    right, wrong = set(), set()
    for mark in marks(len(copies), lambda numbers: (copies[number] for number in numbers)):
        x0, y0, x1, y1 = mark.box
        box = x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]
        for number in mark.pictures:
            logos = stills[number].boxes
            is_right = any(shared_area(box, it) > 0.5 * (it[2] - it[0]) * (it[3] - it[1]) for it in logos)
            (right if is_right else wrong).add(number)
    return len(right), len(wrong)


def check(name: str, found: int, of: int, wrong: int, others: int) -> None:
    print(f"{name}: found on {found} of {of} stills, and on {wrong} of {others} others")
    assert found >= MIN_FOUND * of
    assert wrong <= MAX_OTHERS * others


def lettering(seed: int, count: int, size: tuple[int, int]) -> None:
    plain = [scene(seed + number, size) for number in range(count)]
    write: dict[str, Callable[[np.ndarray, int], Written]] = {"subtitles": subtitled, "credits": credited}
    wrong = sum(bool(boxes) for boxes in found_by_lettering([Written(it) for it in plain]))
    for name, on in write.items():
        stills = [on(picture, seed + number) for number, picture in enumerate(plain)]
        right = sum(map(is_found, stills, found_by_lettering(stills)))
        check(f"{name}, seed {seed}, {size[1]}p", right, count, wrong, count)


def one_by_one(seed: int, episodes: int, count: int, size: tuple[int, int]) -> None:
    """Openings that show their credits one by one, aside; and as many stills with signs in the scene, of which one
    comes three times."""
    plain = [scene(seed + number, size) for number in range(count)]
    right = wrong = 0
    for episode in range(seed, seed + episodes):
        place = Place.of(episode)
        stills = [place.on(picture, episode + number) for number, picture in enumerate(plain)]
        right += sum(map(is_found, stills, found_by_lettering(stills)))
        signs = [Written(with_sign(it, episode + max(0, number - 2))) for number, it in enumerate(plain)]
        wrong += sum(map(bool, found_by_lettering(signs)))
    check(f"credits one by one, seed {seed}, {size[1]}p", right, episodes * count, wrong, episodes * count)


def logos(seed: int, episodes: int, count: int, size: tuple[int, int]) -> None:
    """Episodes of one logo each, over the same scenes."""
    plain = [scene(seed + number, size) for number in range(count)]
    _, wrong = pictures_with_a_mark([Written(it) for it in plain], size)
    right = 0
    for episode in range(episodes):
        of_one = logo(seed + episode, size)
        found, others = pictures_with_a_mark([of_one.on(picture) for picture in plain], size)
        right, wrong = right + found, wrong + others
    check(f"logos, seed {seed}, {size[1]}p", right, episodes * count, wrong, (episodes + 1) * count)


def test_subtitles_and_credits_are_found_and_nothing_else():
    lettering(71_000, 6, (640, 360))


def test_credits_that_come_one_by_one_are_found_and_signs_are_not():
    one_by_one(73_000, 1, 8, (640, 360))


def test_logos_are_found_and_nothing_else():
    logos(72_000, 3, 16, (512, 288))


@pytest.mark.thorough
@pytest.mark.parametrize(("seed", "size"), [(81_000, (1280, 720)), (82_000, (1920, 1080)), (83_000, (960, 720))])
def test_text_is_found_on_many_stills_of_three_sizes(seed: int, size: tuple[int, int]):
    lettering(seed, 40, size)


@pytest.mark.thorough
@pytest.mark.parametrize(("seed", "size"), [(84_000, (1280, 720)), (85_000, (960, 720))])
def test_credits_that_come_one_by_one_are_found_in_many_openings(seed: int, size: tuple[int, int]):
    one_by_one(seed, 4, 12, size)


@pytest.mark.thorough
@pytest.mark.parametrize(("seed", "size"), [(91_000, (1280, 720)), (92_000, (1920, 1080)), (93_000, (960, 720))])
def test_logos_are_found_in_many_episodes_of_three_sizes(seed: int, size: tuple[int, int]):
    logos(seed, 8, 30, size)
