from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.images.sheets import GAP_PX, contact_sheet, row_sheet, thumbnail


def plain(width: int, height: int, color: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), color, dtype=np.uint8)


def opened(sheet: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(sheet))
    assert image.format == "JPEG"
    return np.asarray(image).astype(int)


def is_color(pixel: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel - np.array(color)).max() < 24)


def test_pictures_lie_in_uniform_cells_row_by_row():
    colors = [(200, 30, 30), (30, 160, 30), (30, 30, 200), (220, 200, 40), (120, 40, 160)]
    sheet = opened(contact_sheet([plain(320, 180, color) for color in colors], list("abcde"), columns=3, thumb_px=160))
    assert sheet.shape[1] == 3 * (160 + GAP_PX) + GAP_PX
    line_height = (sheet.shape[0] - GAP_PX) // 2
    for i, color in enumerate(colors):
        x = GAP_PX + 80 + (i % 3) * (160 + GAP_PX)
        y = GAP_PX + 45 + (i // 3) * line_height
        assert is_color(sheet[y, x], color)


def test_a_picture_of_another_shape_is_shown_whole_in_its_cell():
    pictures = [plain(320, 180, (200, 30, 30))] * 2 + [plain(90, 180, (30, 30, 200))]
    sheet = opened(contact_sheet(pictures, ["", "", ""], columns=3, thumb_px=160))
    middle = GAP_PX + 2 * (160 + GAP_PX) + 80
    assert is_color(sheet[GAP_PX + 45, middle], (30, 30, 200))
    assert not is_color(sheet[GAP_PX + 45, middle - 60], (30, 30, 200))
    assert is_color(sheet[GAP_PX + 3, middle], (30, 30, 200))


def test_every_picture_bears_its_label():
    with_label = opened(contact_sheet([plain(160, 90, (99, 99, 99))], ["00001000"]))
    without = opened(contact_sheet([plain(160, 90, (99, 99, 99))], [""]))
    assert (np.abs(with_label[-18:] - without[-18:]).max(axis=2) > 60).sum() > 30


def test_labels_in_other_scripts_and_long_labels_fit_their_cell():
    labels = ["フリーレン", "show.e1/00001000#person-100-200-300-400-and-much-more"]
    sheet = opened(contact_sheet([plain(160, 90, (99, 99, 99))] * 2, labels, columns=2, thumb_px=120))
    gap = sheet[-16:, GAP_PX + 121 : GAP_PX + 120 + GAP_PX - 1]
    assert (gap > 200).all()


def test_a_sheet_of_noise_stays_below_its_size():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (180, 320, 3)).astype(np.uint8) for _ in range(36)]
    for most in (150_000, 20_000):
        assert len(contact_sheet(noise, [str(i) for i in range(36)], max_bytes=most)) <= most


def test_no_pictures_give_a_sheet_that_says_so_and_unmatched_labels_are_refused():
    assert opened(contact_sheet([], [])).shape == (40, 160, 3)
    assert opened(row_sheet({"fern": []})).shape == (40, 160, 3)
    with pytest.raises(ValueError, match="1 pictures have 2 labels"):
        contact_sheet([plain(9, 9, (0, 0, 0))], ["a", "b"])


def test_each_character_has_a_row_of_its_own():
    red, blue = (200, 30, 30), (30, 30, 200)
    rows = {"fern": [plain(60, 90, red)] * 12, "stark": [plain(60, 90, blue)] * 2}
    sheet = opened(row_sheet(rows, columns=4, thumb_px=80))
    assert sheet.shape[1] == 4 * (80 + GAP_PX) + GAP_PX
    half = sheet.shape[0] // 2
    assert is_color(sheet[half - 60, GAP_PX + 3 * (80 + GAP_PX) + 40], red)
    assert is_color(sheet[-60, GAP_PX + 40], blue)
    assert (sheet[-60, GAP_PX + 3 * (80 + GAP_PX) + 40] > 220).all()


def test_a_sheet_of_thumbnails_looks_like_one_of_the_pictures():
    rng = np.random.default_rng(3)
    shapes = [(720, 1280), (900, 300), (1000, 80), (60, 90)]
    pictures = [
        np.asarray(Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize(it[::-1])) for it in shapes
    ]
    small = [thumbnail(it, 150) for it in pictures]
    assert [it.shape[:2] for it in small] == [(169, 300), (480, 160), (480, 38), (60, 90)]
    one, other = (opened(contact_sheet(its, list("abcd"), thumb_px=150)) for its in (pictures, small))
    assert np.abs(one - other).mean() < 1


def test_a_label_that_is_too_long_keeps_as_much_of_both_ends_as_fits():
    sheets = [
        contact_sheet([plain(160, 90, (99, 99, 99))], [label]) for label in ("a" * 12 + "b" * 40, "a" * 8 + "b" * 60)
    ]
    for sheet in sheets:
        ink = np.flatnonzero((opened(sheet)[-16:] < 160).any(axis=(0, 2)))
        assert ink[0] < GAP_PX + 4
        assert 160 - 12 < ink[-1] - GAP_PX < 160
