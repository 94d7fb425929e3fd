import av
import numpy as np
import pytest

from dataset_pipeline.video.cadence import combing, decide_cadence, luma, moving, vote, woven
from dataset_pipeline.video.restore import combed_in_block

SIZE = 96


def bar_at(x: int) -> np.ndarray:
    """A light bar, 20 pixels wide, on dark ground."""
    picture = np.full((SIZE, SIZE), 40, np.uint8)
    picture[:, x : x + 20] = 200
    return picture


@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp", "gbrp10le"])
def test_luma_of_rgb_is_of_all_its_colours(pixel_format):
    colours = np.array([[255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 255, 255], [0, 0, 0]], np.uint8)
    drawn = colours.repeat(16, axis=0)[None].repeat(16, axis=0)
    found = luma(av.VideoFrame.from_ndarray(drawn, "rgb24").reformat(format=pixel_format))
    # BT.601: 0.299, 0.114 and 0.587 of 255.
    assert found[8, 8::16].tolist() == pytest.approx([76, 29, 150, 255, 0], abs=2)


def test_combing_is_the_depth_of_alternating_lines_and_a_thin_line_is_none():
    alternating = np.full((8, 4), 50, np.uint8)
    alternating[::2] = 90
    np.testing.assert_array_equal(combing(alternating), np.full((5, 4), 40))
    line = np.full((8, 4), 50, np.uint8)
    line[4] = 90
    assert combing(line).max() == 0
    step = np.full((8, 4), 50, np.uint8)
    step[4:] = 90
    assert combing(step).max() == 0


def test_a_weave_has_the_even_lines_of_the_first_and_the_odd_lines_of_the_second():
    both = woven(np.zeros((4, 2), np.uint8), np.ones((4, 2), np.uint8))
    assert both[:, 0].tolist() == [0, 1, 0, 1]


def test_only_what_differs_between_frames_moves():
    mask = moving(bar_at(10), bar_at(14), bar_at(14))
    assert mask.shape == (SIZE - 3, SIZE)
    assert (mask[:, 10:14] == 255).all()
    assert (mask[:, 30:34] == 255).all()
    assert np.count_nonzero(mask) == (SIZE - 3) * 8


def test_a_comb_of_four_columns_fills_that_much_of_a_block():
    # 16 lines of 4 columns, on both edges of the bar that are 20 apart: one edge a block.
    assert combed_in_block(woven(bar_at(10), bar_at(14))) == 64
    assert combed_in_block(bar_at(10)) == 0


def frames(order: str) -> list[np.ndarray]:
    """Nine frames of a bar that moves, its fields in the order of time that `order` says."""
    times = [(2 * n, 2 * n + 1) for n in range(9)]  # of the first and the second field
    if order == "progressive":
        times = [(n, n) for n in range(9)]
    if order.startswith("telecined"):  # film pictures 0 1 2 3 ... in 2, 3, 2, 3 ... fields
        fields = [n for n in range(9) for _ in range(2 + n % 2)]
        times = list(zip(fields[::2], fields[1::2], strict=False))[:9]
    bottom_first = order.endswith("bff")
    return [
        woven(bar_at(4 + 3 * (b if bottom_first else a)), bar_at(4 + 3 * (a if bottom_first else b))) for a, b in times
    ]


def votes(pictures: list[np.ndarray]) -> list[str | None]:
    return [vote(*pictures[n : n + 3]) for n in range(len(pictures) - 2)]


@pytest.mark.parametrize("order", ["progressive", "tff", "bff"])
def test_every_frame_of_a_moving_picture_votes_for_its_order(order):
    found = votes(frames(order))
    assert found == [order] * 7
    assert decide_cadence([found]) == order


@pytest.mark.parametrize("order", ["telecined", "telecined_bff"])
def test_two_of_five_frames_of_telecined_film_have_their_fields_in_the_neighbours(order):
    found = votes(frames(order))
    # Frames 0 to 8 show films 00 11 12 23 33 44 55 56 67; the votes are those of 1 to 7.
    assert found == ["progressive", order, order, "progressive", "progressive", "progressive", order]
    assert decide_cadence([found]) == order


def test_stills_cuts_and_noise_do_not_vote():
    rest = woven(bar_at(10), bar_at(14))
    assert vote(rest, rest, rest) is None
    assert vote(bar_at(10), bar_at(10), np.full((SIZE, SIZE), 255, np.uint8)) is None
    noise = np.random.default_rng(0)
    noisy = [np.uint8(bar_at(10) + noise.integers(0, 4, (SIZE, SIZE))) for _ in range(3)]
    assert vote(*noisy) is None


def test_fine_lines_that_pan_are_not_taken_for_fields():
    lines = np.full((SIZE + 8, SIZE), 40, np.uint8)
    lines[::2] = 200
    pan = [lines[n : n + SIZE] for n in range(9)]
    assert decide_cadence([votes(pan)]) == "progressive"


@pytest.mark.parametrize(
    ("counts", "cadence"),
    [
        ({"progressive": 100}, "progressive"),
        ({}, "progressive"),
        ({"progressive": 100, "tff": 4}, "progressive"),  # 4 of 104: below a twenty-fifth
        ({"progressive": 90, "tff": 10}, "tff"),
        ({"tff": 60, "progressive": 20, "telecined": 40}, "tff"),
        ({"progressive": 60, "telecined": 30, "tff": 10}, "telecined"),
        ({"progressive": 60, "telecined_bff": 30, "bff": 30}, "telecined_bff"),
        ({"bff": 2}, "progressive"),
    ],
)
def test_the_votes_decide(counts, cadence):
    assert decide_cadence([[name] * count for name, count in counts.items()]) == cadence
