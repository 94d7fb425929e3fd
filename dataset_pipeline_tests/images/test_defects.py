from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.scenes import draw_scene, grade
from dataset_pipeline.demo.staging import write_text
from dataset_pipeline.images import defects
from dataset_pipeline.images.defects import Defects, as_row

SIZE = 1280, 720
SPEECH = "when the comet came we were all asleep in the small house by the river"
SCENES = 11  # one of each kind of place: street, forest, night city, fences, shelves


def luma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    drawn = [draw_scene(seed, SIZE, people=seed % 3, backdrop_seed=1000 + seed).image for seed in range(SCENES)]
    drawn[::4] = [grade(picture, darkness=0.5) for picture in drawn[::4]]
    return drawn


@pytest.fixture(scope="module")
def others() -> list[np.ndarray]:
    return [draw_scene(500 + seed, SIZE, backdrop_seed=2000 + 3 * seed).image for seed in range(SCENES)]


def combed(picture: np.ndarray, moved_px: float) -> np.ndarray:
    """A third of the picture moves between the fields."""
    other = np.roll(picture, round(moved_px), axis=1)
    result = picture.copy()
    third = slice(SIZE[0] // 3, 2 * SIZE[0] // 3)
    result[1::2, third] = other[1::2, third]
    return result


def smeared(picture: np.ndarray, length_px: float) -> np.ndarray:
    """Motion at 30 degrees."""
    kernel = np.zeros((31 * 8, 31 * 8), np.float32)
    reach = length_px / 2 * 8 * np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])
    ends = [tuple(np.rint(124 + sign * reach).astype(int).tolist()) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 8, cv2.LINE_AA)
    kernel = cv2.resize(kernel, (31, 31), interpolation=cv2.INTER_AREA)
    return cv2.merge([cv2.filter2D(luma(picture), -1, kernel / kernel.sum())] * 3)


def coded(picture: np.ndarray, roughness: float) -> np.ndarray:
    coarse = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(100 - roughness)])[1]
    return cv2.imdecode(coarse, cv2.IMREAD_COLOR)


def carded(picture: np.ndarray, share: float) -> np.ndarray:
    result = picture.copy()
    result[:, : round(share * SIZE[0])] = (70, 40, 120)
    return result


def subtitled(picture: np.ndarray, lines: float) -> np.ndarray:
    words = SPEECH.split()
    result, rng = picture.copy(), random.Random(round(float(picture.mean()) * 1000))
    for line in range(round(lines)):
        first = rng.randrange(len(words) - 6)
        text = " ".join(words[first : first + rng.randint(4, 6)])
        write_text(result, text, SIZE[0] / 2, SIZE[1] * (0.92 - 0.075 * line), SIZE[1] * 0.05, (250, 246, 236))
    return result


DAMAGE: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "combing": (combed, (2, 4, 8)),
    "blur": (lambda picture, sigma: cv2.GaussianBlur(picture, (0, 0), sigma), (1.5, 2.2, 3.5)),
    "smear": (smeared, (9, 15, 25)),
    "blockiness": (coded, (75, 85, 92)),
    "flat": (carded, (0.8, 0.9, 1.0)),
    "text": (subtitled, (1, 2, 4)),
}


def measured(name: str, picture: np.ndarray) -> float:
    one = {
        "blur": lambda y: defects.blur_and_smear(y)[0],
        "smear": lambda y: defects.blur_and_smear(y)[1],
        "text": defects.overlaid_text,
    }.get(name) or getattr(defects, name)
    return one(luma(picture))


def separation(clean: list[float], damaged: list[float]) -> float:
    """Area under the ROC curve."""
    return float(np.mean([[0.5 * (d == c) + (d > c) for c in clean] for d in damaged]))


def rank_correlation(rows: list[list[float]]) -> float:
    """Spearman's, of strength and value, the mean over scenes."""
    strength = np.arange(len(rows[0]))
    return float(np.mean([np.corrcoef(strength, np.argsort(np.argsort(row)))[0, 1] for row in rows]))


@pytest.mark.parametrize("name", list(DAMAGE))
def test_a_defect_stands_apart_from_clean_drawings_and_grows_with_its_strength(scenes: list[np.ndarray], name: str):
    damage, strengths = DAMAGE[name]
    clean = [measured(name, picture) for picture in scenes]
    rows = [[measured(name, damage(picture, strength)) for strength in strengths] for picture in scenes]
    assert min(separation(clean, [row[k] for row in rows]) for k in range(len(strengths))) >= 0.95
    assert rank_correlation([[first, *row] for first, row in zip(clean, rows, strict=True)]) >= 0.9
    assert all(0 <= value <= 1 for row in [clean, *rows] for value in row)


def test_a_second_picture_shining_through_stands_apart_from_clean_drawings(
    scenes: list[np.ndarray], others: list[np.ndarray]
):
    clean = [defects.ghost(luma(picture)) for picture in scenes]
    rows = [
        [defects.ghost(luma(cv2.addWeighted(one, 1 - share, two, share, 0))) for share in (0.15, 0.3, 0.5)]
        for one, two in zip(scenes, others, strict=True)
    ]
    assert separation(clean, [row[1] for row in rows]) >= 0.95
    assert separation(clean, [row[2] for row in rows]) >= 0.95
    assert rank_correlation([[first, *row] for first, row in zip(clean, rows, strict=True)]) >= 0.7


def test_a_combed_mouth_is_seen_and_thin_lines_and_dither_are_not():
    grey = np.full((720, 1280), 128, np.uint8)
    mouth = grey.copy()
    mouth[400:440:2, 600:700] = 90
    assert defects.combing(mouth) > 0.2
    blinds = grey.copy()
    blinds[100:600:8] = 20  # a line of one row in every eight
    dither = grey.copy()
    dither[::2, ::2] = dither[1::2, 1::2] = 150
    assert defects.combing(blinds) == 0
    assert defects.combing(dither) == 0


def test_a_gradient_dithered_to_few_colours_as_in_a_gif_is_not_combed():
    thresholds = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16
    gradient = np.tile(np.linspace(0, 255, 640), (480, 1)) + np.linspace(0, 100, 480)[:, None]
    steps = np.floor(gradient / 64 + np.tile(thresholds, (120, 160)) / 256) * 64
    dithered = np.clip(steps, 0, 255).astype(np.uint8)
    for picture in (dithered, np.ascontiguousarray(dithered.T)):
        assert defects.combing(picture) < 0.2


def test_blocks_are_found_wherever_the_grid_lies(scenes: list[np.ndarray]):
    blocks = luma(coded(scenes[1], 90))
    shifted = [defects.blockiness(blocks[dy:, dx:]) for dy, dx in ((0, 0), (3, 5), (7, 1))]
    assert min(shifted) > 0.2
    assert shifted == pytest.approx([shifted[0]] * 3, abs=0.02)


def test_motion_leaves_one_direction_sharp_and_defocus_none(scenes: list[np.ndarray]):
    for picture in scenes:
        clean_blur, clean_smear = defects.blur_and_smear(luma(picture))
        soft_blur, _ = defects.blur_and_smear(luma(cv2.GaussianBlur(picture, (0, 0), 2.5)))
        for box in ((21, 1), (1, 21)):
            moved_blur, moved_smear = defects.blur_and_smear(luma(cv2.blur(picture, box)))
            assert moved_smear > 2 * clean_smear
            assert moved_blur - clean_blur < 0.8 * (soft_blur - clean_blur)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (17, 9), (33, 47), (719, 1281)])
def test_pictures_of_any_size_have_all_numbers(size: tuple[int, int]):
    noise = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    row = as_row(defects.defects(noise))
    assert list(row) == list(Defects.__dataclass_fields__)
    assert all(0 <= value <= 1 for value in row.values())


def test_a_black_picture_is_flat_and_has_no_other_defect():
    row = as_row(defects.defects(np.zeros((360, 640), np.uint8)))
    assert row.pop("flat") == 1
    assert set(row.values()) == {0.0}


def test_what_is_no_luma_is_refused():
    with pytest.raises(ValueError, match=r"luma must be uint8 \[height, width\]"):
        defects.defects(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="float32"):
        defects.defects(np.zeros((4, 4), np.float32))
