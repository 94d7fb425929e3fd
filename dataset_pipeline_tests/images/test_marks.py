"""What stays at its place of the screen, and on which frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.images.marks import MARK_SIDES, marked_frames, marks


def pictures(count: int, mark: bool) -> list[np.ndarray | None]:
    """Blocks of random colours, another place each; with a half transparent ring at the upper right."""
    random = np.random.default_rng(count)
    made: list[np.ndarray | None] = []
    for _ in range(count):
        blocks = random.integers(0, 256, (10, 17, 3)).repeat(16, 0).repeat(16, 1).astype(np.float64)
        y, x = random.integers(0, 16, 2)
        picture = blocks[y : y + 144, x : x + 256]
        if mark:
            picture[10:30, 210:240] = picture[10:30, 210:240] * 0.5 + 127
            picture[15:25, 216:234] = picture[15:25, 216:234] * 2 - 254
        made.append(np.clip(picture, 0, 255).astype(np.uint8))
    return made


def found_in(made: list[np.ndarray | None]) -> list:
    return marks(len(made), lambda numbers: [made[number] for number in numbers])


def test_what_stays_while_the_picture_changes_is_a_mark_of_the_pictures_that_bear_it():
    made = [*pictures(10, mark=False), *pictures(16, mark=True), *pictures(9, mark=False)]
    made[12] = None  # cannot be read
    [mark] = found_in(made)
    assert mark.box == pytest.approx((210 / 256, 10 / 144, 240 / 256, 30 / 144), abs=0.02)
    assert mark.pictures == tuple(range(10, 26))
    assert mark.score > 0.6


def test_nothing_stays_on_pictures_of_other_places_of_one_place_or_of_too_few():
    assert found_in(pictures(30, mark=False)) == []
    assert found_in(pictures(7, mark=True)) == []
    [still] = pictures(1, mark=True)
    assert still is not None
    fades = [(still * level).astype(np.uint8) for level in np.linspace(0.2, 1, 20)]
    assert found_in([*fades]) == []
    assert found_in([]) == []


def test_marks_are_looked_for_among_frames_of_one_size_in_order_of_time_and_one_unreadable_frame_costs_no_other():
    made = {f"{number}.png": picture for number, picture in enumerate(pictures(16, mark=True))}
    frames: list[dict[str, Any]] = [
        {"image_id": path, "path": path, "width_px": 256, "height_px": 144, "pts_s": float(16 - number)}
        for number, path in enumerate(made)
    ]
    frames += [row | {"image_id": f"wide {row['path']}", "width_px": 512} for row in frames[:5]]

    def readable(paths: Iterable[str]) -> Iterator[np.ndarray | Exception]:
        for path in paths:
            picture = made[path]
            yield OSError("torn") if path == "3.png" or picture is None else picture

    rows, lost = marked_frames(frames, readable)
    assert [row["image_id"] for row in rows] == [f"{number}.png" for number in reversed(range(16))]
    assert {tuple(row[side] for side in MARK_SIDES) for row in rows} == {tuple(rows[0][side] for side in MARK_SIDES)}
    assert set(lost) == {"3.png", "wide 3.png"}
