"""Windows that are chosen by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_pipeline.images.detail_scores import Details, People, busiest, detail_map, windows_of
from dataset_pipeline.images.detail_windows import Surroundings, Window

SIZE = (640, 480)


def picture(*checked: tuple[int, int, int]) -> np.ndarray:
    """A grey picture with fields of fine checks: x, y, side."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    for x, y, side in checked:
        rows, columns = np.mgrid[:side, :side] // 2
        pixels[y : y + side, x : x + side] = np.where((rows + columns) % 2, 160, 96)[..., None]
    return pixels


def test_a_flat_picture_has_no_detail_and_an_edge_counts_no_more_than_its_cap():
    assert detail_map(picture()).max() == 0.0
    pixels = picture()
    pixels[:, 320:] = 255
    found = detail_map(pixels)
    assert found.max() == pytest.approx(12.0)
    assert found[:, :300].max() == 0.0
    pixels[:, 320:] = (200, 60, 60)
    assert 12.0 < detail_map(pixels).max() <= 24.0  # in brightness and in colour


def test_the_detail_of_a_window_is_its_mean_less_a_part_of_its_border():
    details = Details(picture((100, 100, 160)))
    inside, beside = Window(110, 110, 128), Window(300, 300, 128)
    assert details.mean_of(inside) == pytest.approx(
        float(detail_map(picture((100, 100, 160)))[110:238, 110:238].mean())
    )
    assert details.score(inside) == pytest.approx(0.85 * details.mean_of(inside), rel=0.02)
    assert details.score(beside) == details.mean_of(beside) == 0.0
    around = Window(90, 90, 180)  # the checks lie within its border
    assert details.score(around) > 0.99 * details.mean_of(around) - 0.15 * details.mean_of(around)


def test_windows_lie_all_over_a_still_and_end_at_its_edges():
    windows = windows_of(120, SIZE)
    assert {it.x for it in windows} == {*range(0, 520, 10), 520}
    assert {it.y for it in windows} == {*range(0, 360, 10), 360}


def test_at_most_two_windows_are_taken_and_they_lie_apart():
    fields = ((40, 40, 120), (260, 40, 120), (480, 320, 120))
    details = Details(picture(*fields))
    found = busiest(windows_of(120, SIZE), details, Surroundings(SIZE), [])
    assert len(found) == 2
    assert all(min(abs(it.x - x) + abs(it.y - y) for x, y, _ in fields) <= 30 for it in found)
    assert found[0] != found[1]
    left = [Window(40, 40, 120).box, Window(260, 40, 120).box]
    assert busiest(windows_of(120, SIZE), details, Surroundings(SIZE), left)[0].x > 400


def test_no_window_is_taken_that_has_hardly_more_detail_than_the_still():
    everywhere = Details(picture((0, 0, 480)))
    assert busiest(windows_of(480, (480, 480)), everywhere, Surroundings((480, 480)), []) == []
    assert busiest(windows_of(120, SIZE), Details(picture()), Surroundings(SIZE), []) == []


def test_a_window_of_detail_cuts_through_no_head():
    details = Details(picture((100, 100, 120)))
    there = Surroundings(SIZE, [(160.0, 90.0, 240.0, 180.0)])
    found = busiest([Window(100, 100, 120), Window(40, 100, 120)], details, there, [])
    assert found == [Window(40, 100, 120)]


def test_clothes_lie_on_a_person_and_show_their_middle_and_little_of_a_head():
    body, head = (200.0, 40.0, 440.0, 460.0), (240.0, 50.0, 320.0, 130.0)
    people = People([body], [head])
    assert people.wear(Window(220, 160, 120))
    assert not people.wear(Window(360, 160, 120))  # a third of it beside the person, and the middle out of it
    assert not people.wear(Window(280, 160, 120))  # wholly on the person, 60 px beside their middle
    assert not people.wear(Window(220, 60, 120))  # the head
    assert People([body], []).wear(Window(280, 160, 120))  # who has no head has their middle in that of the box


def test_objects_lie_beside_people_and_show_no_head_and_no_hand():
    people = People([(200.0, 40.0, 440.0, 460.0)], [(240.0, 50.0, 320.0, 130.0)])
    assert people.are_absent(Window(0, 100, 200))
    assert people.are_absent(Window(15, 100, 200))  # 15 of 200 columns
    assert not people.are_absent(Window(20, 100, 200))
    small = (600.0, 10.0, 620.0, 30.0)
    assert not People([], [small]).are_absent(Window(500, 0, 140))
    assert not People([], [], [small]).are_absent(Window(500, 0, 140))
    assert not People([], [], [], [(500.0, 0.0, 620.0, 60.0)]).are_absent(Window(500, 0, 140))
