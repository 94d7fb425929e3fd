"""What is cut out of a mosaic, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, Mosaic
from dataset_pipeline.stitching.drawing import covered_s, drawn_of, seen_in, shares_by_blocks
from dataset_pipeline_tests.stitching.test_confidence import ALIGNMENT

PLACES = np.array([[0.0, 0, 0, 0], [500, 100, 0, 0]])
ALIGNED = replace(ALIGNMENT, places=PLACES, pts=np.arange(2), pts_s=np.arange(2) / 24, gains=np.ones(2))


def mosaic(known: np.ndarray) -> Mosaic:
    image = np.zeros((*known.shape, 3), np.uint8)
    image[..., 0] = np.arange(known.shape[1]) % 256
    return Mosaic(image, known, left_px=-500.0, top_px=-250.0)


def test_what_no_frame_showed_counts_for_nothing_and_the_largest_known_rectangle_is_the_picture():
    seen = np.zeros((600, 1500), bool)  # two frames of 1000 x 500, the second one 500 px right and 100 px down
    seen[:500, :1000] = seen[100:, 500:] = True
    inner = cv2.erode(seen.astype(np.uint8), np.ones((7, 7)), borderType=cv2.BORDER_CONSTANT, borderValue=(0,)) > 0
    assert (seen_in(mosaic(seen), ALIGNED) != inner).mean() < 0.003
    drawn = drawn_of(mosaic(seen), ALIGNED)
    assert drawn.told["known_share"] == pytest.approx(1.0)
    assert drawn.told["whole_px"] == [1500, 600, 0, 100]
    assert drawn.image.shape == (400, 1500, 3) == (drawn.told["height_px"], drawn.told["width_px"], 3)
    assert drawn.image[0, 300, 0] == 300 % 256


def test_small_holes_stay_in_the_picture_and_are_told_and_what_is_larger_is_cut_off():
    known = np.ones((500, 1000), bool)
    known[200:220, 300:320] = known[100:110, 850:880] = False  # .0014 of the picture
    still = replace(ALIGNED, places=PLACES * 0)
    drawn = drawn_of(mosaic(known), still)
    assert drawn.image.shape == (500, 1000, 3)
    assert drawn.told["unknown_share"] == pytest.approx(700 / 500_000)
    known[:, 700:800] = False
    drawn = drawn_of(mosaic(known), still)
    assert drawn.image.shape == (500, 700, 3)
    assert drawn.told["known_share"] == pytest.approx(1 - 100 / 994 - 700 / (994 * 494), abs=1e-3)
    mask = cv2.imdecode(np.frombuffer(drawn.told["unknown"], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (63, 125)
    assert mask[:, 88:100].all()
    assert mask[25:27, 38:40].all()
    assert not mask[:, :37].any()


def test_holes_that_hide_too_much_of_a_picture_are_none_of_what_is_kept():
    known = np.ones((500, 1000), bool)
    known[240:310, 450:550] = False  # .014
    drawn = drawn_of(mosaic(known), replace(ALIGNED, places=PLACES * 0))
    assert drawn.told["shown_share"] == pytest.approx(0.48)  # above it: less than LEAST_SHOWN
    assert drawn.image.shape == (500, 1000, 3)  # for a person to judge
    assert drawn.told["unknown_share"] == pytest.approx(0.014)
    aside = drawn_of(mosaic(np.roll(known, -250, axis=1)), replace(ALIGNED, places=PLACES * 0))
    assert aside.told["shown_share"] == pytest.approx(0.7)  # to the right of it
    assert aside.told["unknown_share"] == 0


def test_a_doubtful_picture_has_no_corners_that_no_frame_showed():
    drawn = drawn_of(mosaic(np.zeros((600, 1500), bool)), ALIGNED)
    x, y = drawn.told["whole_px"][2:]
    assert (drawn.told["known_share"], drawn.told["shown_share"]) == (0, 0)
    shown = seen_in(mosaic(np.zeros((600, 1500), bool)), ALIGNED)
    assert shown[y : y + drawn.told["height_px"], x : x + drawn.told["width_px"]].all()
    assert drawn.image.shape[0] * drawn.image.shape[1] > 0.6 * shown.sum()


def test_where_the_known_rectangle_shows_too_little_the_picture_is_all_there_is():
    known = np.ones((500, 1000), bool)
    known[200:300, 400:600] = False
    drawn = drawn_of(mosaic(known), replace(ALIGNED, places=PLACES * 0))
    assert drawn.told["shown_share"] == pytest.approx(0.4)
    assert drawn.image.shape == (500, 1000, 3)
    assert drawn.told["whole_px"] == [1000, 500, 0, 0]


def test_a_doubtful_picture_has_no_edge_that_is_not_known():
    known = np.ones((500, 1000), bool)
    known[::8, ::2] = False  # all over
    known[:40] = False
    drawn = drawn_of(mosaic(known), replace(ALIGNED, places=PLACES * 0))
    assert drawn.told["shown_share"] < 0.6
    assert drawn.told["whole_px"][:2] == [1000, 500]
    assert drawn.told["whole_px"][3] in (40, 41)
    assert drawn.image.shape[0] >= 450


def test_blocks_tell_before_anything_is_drawn_what_will_be_known():
    known = np.ones((75, 188), bool)
    known[:50, 20:60] = False  # 400 x 320 px of what the first frame shows
    shape = known.shape
    clean = CleanFrames(
        block_px=8.0, left_px=-500.0, top_px=-250.0, used=np.arange(2), clean=np.full(shape, 3, np.uint64), known=known,
        moving=np.zeros(shape, np.float32), like_frame=1.0, moved=0.0,
    )  # fmt: skip
    seen = 2 * 1000 * 500 - 500 * 400
    shares = shares_by_blocks(ALIGNED, clean)
    assert shares.known == pytest.approx(1 - 400 * 320 / seen, abs=0.01)
    assert shares.shown == pytest.approx(1000 * 500 / (1500 * 400), abs=0.01)
    across, down = shares.size_px
    assert 1000 * 500 < across * down < 1.05 * 1000 * 500
    assert shares_by_blocks(ALIGNED, None).known == 1


def panned(way_px: tuple[float, float], log_scale: float = 0.0) -> Alignment:
    """Eleven frames that go this way, and are drawn smaller up to this scale."""
    places = np.linspace((0, 0, 0, 0), (*way_px, log_scale, 0), 11)
    return replace(ALIGNMENT, places=places, pts=np.arange(11), pts_s=np.arange(11) / 10, gains=np.ones(11))


@pytest.mark.parametrize(
    ("way_px", "cut_px", "expected"),
    [
        ((2000, 0), (3, 3, 2994, 494), [0.0, 1.0]),  # all that was seen
        ((2000, 0), (203, 3, 2594, 494), [0.1, 0.9]),
        ((2000, 0), (3, 20, 2994, 477), []),
        ((1000, 500), (250, 125, 1500, 750), [0.3, 0.7]),
        ((1000, 500), (500, 250, 1000, 500), [0.5, 0.5]),
        ((1000, 500), (650, 440, 470, 530), []),
    ],
)
def test_only_frames_that_lie_in_the_cut_picture_are_covered_by_it(way_px, cut_px, expected):
    x, y, width, height = cut_px
    told = {"whole_px": [0, 0, x, y], "width_px": width, "height_px": height}
    assert covered_s(panned(way_px), told) == expected


def test_of_a_zoom_the_frames_that_are_drawn_small_enough_are_covered():
    told = {"whole_px": [1000, 500, 100, 50], "width_px": 800, "height_px": 400}
    assert covered_s(panned((0, 0), log_scale=-0.5), told) == [0.5, 1.0]  # at 0.4 s 814 x 407 px of canvas
