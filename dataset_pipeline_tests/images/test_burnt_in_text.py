"""Which lettering was laid over a still, and what is left of the still without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dataset_pipeline.images.burnt_in_text import boxes_by_still, cut_of, decide_burnt_in_text, without_text
from dataset_pipeline.images.text_lines import text_lines
from dataset_pipeline.settings import load_settings

SETTINGS = load_settings(models__pack="demo").burnt_in_text
STILL = {"image_id": "s", "kind": "frame", "width_px": 1000, "height_px": 600}


def line(x0: float, y0: float, x1: float, y1: float, **other: float) -> dict[str, float]:
    sides = {"x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1}
    return sides | {"score": 0.9, "fill": 0.8, "contrast": 150.0} | other


def kinds(*lines: dict[str, float], marked: tuple[dict[str, Any], ...] = (), **changes: Any) -> list[str]:
    settings = SETTINGS.model_copy(update=changes)
    return [row["kind"] for row in decide_burnt_in_text([STILL], {"s": lines}, {"s": marked}, settings)]


LOW, HIGH = line(300, 540, 700, 580), line(350, 30, 650, 70)
TITLE, SHOP = line(350, 280, 650, 330), line(700, 200, 900, 240)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((LOW,), ["subtitle"]),
        ((HIGH,), ["subtitle"]),
        ((TITLE,), ["credits"]),
        ((SHOP,), ["sign"]),
        ((SHOP, line(700, 300, 900, 340), line(700, 420, 800, 460)), ["credits"] * 3),
        ((LOW, line(480, 500, 520, 538, score=0.5)), ["subtitle"] * 2),  # right above a subtitle
        ((LOW, line(480, 100, 520, 138, score=0.5)), ["subtitle"]),
        ((line(300, 540, 700, 580, score=0.5),), []),
        ((line(300, 540, 700, 580, contrast=40),), []),  # a pattern on clothes
        ((line(300, 540, 700, 580, fill=0.3),), []),
        ((line(100, 100, 900, 500),), []),  # too high for a line
        ((line(100, 240, 900, 340, score=0.92),), ["credits"]),  # large letters
        ((line(100, 240, 900, 340, score=0.88),), []),
        ((line(100, 100, 900, 400, score=0.97, fill=0.95),), ["credits"]),  # larger ones
    ],
)
def test_lettering_is_what_its_place_and_its_neighbours_say(lines, found):
    assert kinds(*lines) == found


SIGNS = (line(60, 60, 180, 96), line(420, 210, 540, 250), line(760, 330, 930, 372), line(90, 400, 240, 430))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (SIGNS, ["sign"] * 4),
        ((line(100, 100, 300, 140), line(130, 160, 330, 200), line(170, 220, 370, 260)), ["sign"] * 3),  # steps
        ((line(100, 60, 300, 90), line(100, 280, 300, 310), line(100, 500, 300, 530)), ["sign"] * 3),  # too far apart
        ((line(100, 100, 300, 130), line(100, 200, 300, 260), line(100, 300, 300, 330)), ["sign"] * 3),  # two sizes
        ((line(40, 300, 140, 330), line(180, 300, 280, 330), line(800, 300, 900, 330)), ["sign"] * 3),  # one row
        ((line(100, 100, 300, 140), line(150, 160, 250, 200), line(60, 220, 340, 260)), ["credits"] * 3),  # one middle
        ((line(100, 100, 300, 140), line(200, 160, 300, 200), line(60, 220, 300, 260)), ["credits"] * 3),  # right edges
        (
            (line(100, 100, 300, 140), line(100, 160, 280, 200), line(100, 220, 260, 260), line(600, 130, 700, 170)),
            ["credits"] * 4,  # one stands aside
        ),
        (
            (*SIGNS[1:3], line(90, 60, 200, 90), line(90, 100, 240, 130), line(90, 140, 180, 170), SIGNS[3]),
            ["sign", "sign", "credits", "credits", "credits", "sign"],
        ),
    ],
)
def test_credits_stand_in_columns_and_signs_anywhere(lines, found):
    assert kinds(*lines) == found


def test_the_lettering_of_a_picture_of_a_folder_is_a_sign_unless_it_stays_on_the_screen():
    picture = STILL | {"kind": "picture"}
    words = [LOW, HIGH, TITLE, *(line(700, y, 900, y + 30) for y in (200, 240, 280))]
    mark = {"x0_share": 0.3, "y0_share": 0.04, "x1_share": 0.7, "y1_share": 0.13, "score": 0.9}
    rows = decide_burnt_in_text([picture], {"s": words}, {"s": [mark]}, SETTINGS)
    assert [row["kind"] for row in rows] == ["logo", *["sign"] * 5]
    assert [row["burnt_in"] for row in rows] == [True, *[False] * 5]


def kinds_by_still(*lines: tuple[dict[str, float], ...], kind: str = "frame") -> list[list[str]]:
    stills = [STILL | {"image_id": str(number), "kind": kind} for number in range(len(lines))]
    rows = decide_burnt_in_text(stills, {str(number): it for number, it in enumerate(lines)}, {}, SETTINGS)
    return [[row["kind"] for row in rows if row["image_id"] == still["image_id"]] for still in stills]


def test_lines_aside_are_credits_where_three_frames_have_other_words_at_one_place():
    credit = [(line(60, 500, 260, 530),), (line(60, 498, 330, 530),), (line(62, 501, 200, 531),)]
    assert kinds_by_still(*credit) == [["credits"]] * 3
    assert kinds_by_still(*credit[:2]) == [["sign"]] * 2
    assert kinds_by_still(*credit, kind="picture") == [["sign"]] * 3
    above = line(60, 460, 180, 490, score=0.5)
    assert kinds_by_still((*credit[0], above), *credit[1:])[0] == ["credits"] * 2
    right = [(line(700 - 40 * n, 100, 940, 130),) for n in range(3)]
    assert kinds_by_still(*right) == [["credits"]] * 3


@pytest.mark.parametrize(
    "lines",
    [
        [line(60, 500, 260, 530)] * 4,  # one sign before a still camera
        [line(60 + 20 * n, 500, 260 + 60 * n, 530) for n in range(4)],  # no common edge
        [line(60, 500 + 20 * n, 260 + 60 * n, 530 + 20 * n) for n in range(4)],  # no common row
        [line(60, 500, 260, 530), line(60, 470, 330, 530), line(60, 515, 200, 530)],  # letters of other sizes
    ],
)
def test_signs_that_come_again_are_no_credits(lines: list[dict[str, float]]):
    assert kinds_by_still(*((it,) for it in lines)) == [["sign"]] * len(lines)


def test_a_mark_is_a_logo_whose_letters_are_not_told_again():
    mark = {"x0_share": 0.8, "y0_share": 0.05, "x1_share": 0.95, "y1_share": 0.12, "score": 0.9}
    [row] = decide_burnt_in_text([STILL], {"s": [line(810, 32, 940, 70)]}, {"s": [mark]}, SETTINGS)
    assert (row["kind"], row["found_by"], row["burnt_in"]) == ("logo", "staying", True)
    assert (row["x0_px"], row["y1_px"]) == (800.0, 72.0)


def test_what_counts_is_said_by_the_settings():
    def counted(**changes: Any) -> dict:
        settings = SETTINGS.model_copy(update=changes)
        return boxes_by_still(decide_burnt_in_text([STILL], {"s": [SHOP]}, {}, settings))

    assert counted() == {}
    assert counted(kinds=["sign"]) == {"s": [(700, 200, 900, 240)]}


@pytest.mark.parametrize(
    ("boxes", "left"),
    [
        ([], (0, 0, 100, 60)),
        ([(20, 50, 80, 56)], (0, 0, 100, 48)),  # a subtitle, and the margin of 2 around it
        ([(80, 2, 96, 8)], (0, 10, 100, 60)),  # a logo: the strip below it is larger than that beside it
        ([(80, 4, 96, 50)], (0, 0, 78, 60)),
        ([(20, 50, 80, 56), (2, 2, 10, 8)], (12, 0, 100, 48)),
        ([(200, 10, 300, 20)], (0, 0, 100, 60)),
        ([(-5, -5, 105, 65)], None),
    ],
)
def test_the_largest_rectangle_without_text_is_left(boxes, left):
    assert without_text(boxes, (0, 0, 100, 60), 2) == left


def test_no_larger_rectangle_is_clear_of_random_boxes():
    random = np.random.default_rng(5)
    for _ in range(20):
        corners = random.integers(0, 10, (3, 4))
        boxes = [(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners.tolist()]
        taken = np.zeros((10, 10), bool)
        for x0, y0, x1, y1 in boxes:
            taken[y0:y1, x0:x1] = True
        spans = [(start, end) for start in range(10) for end in range(start + 1, 11)]
        free = ((x1 - x0) * (y1 - y0) for y0, y1 in spans for x0, x1 in spans if not taken[y0:y1, x0:x1].any())
        best = max(free, default=0)
        left = without_text(boxes, (0, 0, 10, 10), 0)
        assert (0 if left is None else (left[2] - left[0]) * (left[3] - left[1])) == best


def test_a_crop_loses_what_of_the_text_lies_on_it():
    crop = {"x_px": 100, "y_px": 100, "width_px": 200, "height_px": 400}
    assert cut_of(crop, [(150.0, 460.0, 700.0, 480.0)], 500) == (100, 100, 300, 457)
    assert cut_of(crop, [(400.0, 460.0, 700.0, 480.0)], 500) == (100, 100, 300, 500)


def test_lines_are_read_off_the_map_grown_and_in_pixels_of_the_picture():
    probability = np.zeros((64, 128), np.float32)
    probability[40:46, 20:60] = 0.9
    probability[10:12, 5:9] = 0.9  # too thin
    probability[20:30, 100:110] = 0.4
    luma = np.zeros((64, 128), np.uint8)
    luma[40:46, 20:40] = 200
    [found] = text_lines(probability, luma, (256, 128), 0.5)
    grown = 6 * 40 * 1.6 / (2 * 46)
    assert found[:4] == pytest.approx((2 * (20 - grown), 2 * (40 - grown), 2 * (60 + grown), 2 * (46 + grown)))
    assert found[4:] == pytest.approx((0.9, 1.0, 200.0))
