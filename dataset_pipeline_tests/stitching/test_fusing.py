"""Frames whose places are known come out as the painting that they were taken from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, FramesMissing
from dataset_pipeline.stitching.canvas import SEAM_PX
from dataset_pipeline.stitching.fusing import fuse
from dataset_pipeline_tests.stitching.drawn_shots import draw_shot
from dataset_pipeline_tests.stitching.truth import decibels, painting_under, true_alignment

SIZE = (64, 48)


class _Frames:
    """Frames at hand, uint8 [n, height, width, 3], by their numbers; notes which were asked for."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.asked = frames, []

    def __call__(self, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for number in pts:
            self.asked.append(number)
            yield number, self.frames[number]


def _noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (height, width, 3)).astype(np.uint8)


def _alignment(shifts: Sequence[tuple[float, float]], size: tuple[int, int] = SIZE) -> Alignment:
    places = np.zeros((len(shifts), 4))
    places[:, :2] = shifts
    fixed = np.zeros((-(-size[1] // 8), -(-size[0] // 8)), bool)
    numbers = np.arange(len(shifts))
    return Alignment(numbers, numbers / 24, size, places, np.ones(len(shifts)), False, (), fixed, 1.0, 0.0, 1.0)


def _panned(painting: np.ndarray, shifts: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.stack([painting[y : y + SIZE[1], x : x + SIZE[0]] for x, y in shifts])


def test_whole_steps_give_the_painting_bit_by_bit():
    painting = _noise(1, 60, 120)
    shifts = [(0, 0), (20, 12), (40, 0), (56, 12)]
    mosaic = fuse(_alignment(shifts), _Frames(_panned(painting, shifts)))
    assert mosaic.image.shape == painting.shape
    assert (mosaic.left_px, mosaic.top_px) == (-32, -24)
    assert np.array_equal(mosaic.image[mosaic.known], painting[mosaic.known])
    seen = np.zeros(mosaic.known.shape, bool)
    for x, y in shifts:
        seen[y + SEAM_PX : y + SIZE[1] - SEAM_PX, x + SEAM_PX : x + SIZE[0] - SEAM_PX] = True
    assert np.array_equal(mosaic.known, seen)


def test_where_no_frame_ever_looked_nothing_is_known():
    shifts = [(0, 0), (56, 12)]
    mosaic = fuse(_alignment(shifts), _Frames(_panned(_noise(1, 60, 120), shifts)))
    assert not mosaic.known[50:, :50].any()
    assert not mosaic.image[50:, :50].any()


def test_a_long_stand_costs_no_more_frames_than_a_short_one():
    shifts = [(0, 0)] * 200 + [(4 * step, 0) for step in range(15)]
    frames = _Frames(_panned(_noise(2, 48, 120), shifts))
    fuse(_alignment(shifts), frames)
    assert frames.asked == sorted(set(frames.asked))
    assert len(frames.asked) <= 18


def test_what_passes_before_few_of_the_frames_leaves_no_trace():
    frames = np.stack([_noise(3, 48, 64)] * 12)
    frames[2, 10:30, 10:30] = 255
    frames[7, 10:30, 20:40] = 0
    mosaic = fuse(_alignment([(0, 0)] * 12), _Frames(frames))
    assert np.array_equal(mosaic.image, frames[0])
    assert mosaic.known.all()


def test_gains_are_undone_and_the_dim_frames_left_out_where_bright_ones_are():
    painting = _noise(4, 48, 64)
    gains = np.array([0.2, 0.5, 1.0, 1.0, 1.0])
    frames = np.rint(painting[None] * gains[:, None, None, None]).astype(np.uint8)
    alignment = replace(_alignment([(0, 0)] * 5), gains=gains)
    assert np.array_equal(fuse(alignment, _Frames(frames)).image, painting)
    dim = replace(_alignment([(0, 0)]), gains=gains[1:2])
    mosaic = fuse(dim, _Frames(frames[1:2]))
    assert np.abs(mosaic.image.astype(int) - painting).max() <= 1
    assert not mosaic.known.any()


def test_a_logo_hides_what_no_frame_shows_beside_it():
    painting = np.full((48, 120, 3), 90, np.uint8)
    shifts = [(0, 0), (28, 0), (56, 0)]
    frames = _panned(painting, shifts).copy()
    frames[:, 8:16, 48:56] = 250
    alignment = _alignment(shifts)
    alignment.fixed[1, 6] = True
    mosaic = fuse(alignment, _Frames(frames))
    assert (mosaic.image[mosaic.known] == 90).all()
    assert mosaic.known[12, [52, 80]].all()  # a later frame shows the one place, an earlier one the other
    assert not mosaic.known[8:16, 104:112].any()  # the logo of the last frame, and it is shown for the eye
    assert (mosaic.image[10:14, 106:110] == 250).all()


def test_with_clean_frames_only_those_count_and_the_rest_is_for_the_eye():
    frames = np.stack([np.full((48, 64, 3), level, np.uint8) for level in (50, 52, 200, 200, 200)])
    clean = np.full((6, 8), 0b00011, np.uint64)
    clean[0] = 0
    known = clean > 0
    blocks = CleanFrames(8.0, -32.0, -24.0, np.arange(5), clean, known, np.zeros((6, 8), np.float32), 1.0, 0.5)
    mosaic = fuse(_alignment([(0, 0)] * 5), _Frames(frames), blocks)
    assert (mosaic.image[8:] == 51).all()
    assert mosaic.known[8:].all()
    assert (mosaic.image[:8] == 200).all()
    assert not mosaic.known[:8].any()


def test_frames_of_another_size_are_done_without_and_where_most_are_missing_nothing_is_drawn():
    painting = _noise(6, 48, 64)
    frames = [painting, painting[:40], painting, painting]
    mosaic = fuse(_alignment([(0, 0)] * 4), lambda pts: ((number, frames[number]) for number in pts))
    assert np.array_equal(mosaic.image, painting)
    for come, told in ((0, "0 of 4"), (1, "1 of 4")):
        with pytest.raises(FramesMissing, match=f"{told} frames could be read"):
            fuse(_alignment([(0, 0)] * 4), lambda pts, come=come: ((number, frames[number]) for number in pts[:come]))


def test_frames_that_cannot_be_decoded_are_done_without():
    painting = _noise(5, 48, 120)
    shifts = [(0, 0), (28, 0), (56, 0)]
    frames = _panned(painting, shifts)
    mosaic = fuse(_alignment(shifts), lambda pts: ((number, frames[number]) for number in pts if number != 2))
    assert np.array_equal(mosaic.image[mosaic.known], painting[mosaic.known])
    assert not mosaic.known[:, 92:].any()


# Floors in dB on seeds that no threshold was chosen by.
@pytest.mark.parametrize(("kind", "floor"), [("zoom", 37), ("fade", 34), ("subtitle", 37)])
def test_coded_shots_come_out_as_the_painting(kind: str, floor: float):
    shot = draw_shot(kind, (320, 180), seed=71, frames=40)
    mosaic = fuse(true_alignment(shot), shot.frames_at)
    found = decibels(mosaic.image, painting_under(shot, mosaic), mosaic.known)
    print(f"{kind}: {found:.2f} dB")
    assert found >= floor


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "floor"), [("pan", 39), ("long", 39), ("zoom", 39), ("fade", 36), ("subtitle", 39)])
def test_shots_of_720_lines_come_out_as_the_painting(kind: str, floor: float):
    shot = draw_shot.__wrapped__(kind, (1280, 720), seed=81, frames=240 if kind == "long" else 96)
    mosaic = fuse(true_alignment(shot), shot.frames_at)
    found = decibels(mosaic.image, painting_under(shot, mosaic), mosaic.known)
    print(f"{kind}: {found:.2f} dB, {mosaic.known.mean():.3f} known")
    assert found >= floor
