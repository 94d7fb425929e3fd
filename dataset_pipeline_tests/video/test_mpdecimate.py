import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.mpdecimate import FRAC, HI, LO, MpDecimate, plane_differs
from dataset_pipeline.video.stream import Frame

SIZE = (64, 48)  # 4 x 3 units of 16 pixels: a third of 12 blocks is 3, rounded down
FEW, MANY = {"hi": 64 * 200, "lo": 64 * 50, "frac": 0.33}, {"hi": 200, "lo": 100, "frac": 0.05}

ENCODED = ["open_gop.mkv", "b_pyramid.mp4", "interlaced.mkv", "ten_bit.mkv", "vp9.webm", "dvd.mpg", "vfr.mkv"]
# A test card held for three frames at a time under noise, in formats that the filter takes as they are or converted.
HELD = "testsrc2=s=161x121:r=8:d=1,fps=24,format={},noise=alls=3:allf=t"
FORMATS = ["yuv420p", "yuva420p", "yuv422p12le", "yuv444p10le", "gray", "gray10le", "bgr0", "bgra"]
REAL = [
    "camera_moves/pan_left_model_01_03.gif", "edge/bt2020_10bit.mp4", "edge/decord_corrupted.mp4", "edge/fades.mp4",
    "edge/no_duration.webm", "edge/testsrc2_odd_444_10bit.mp4", "open_movies/big_buck_bunny_0_30.webm",
    "open_movies/sintel_trailer_720p30.mp4", "photo/rabbit320.mp4",
]  # fmt: skip


def _kept(path: Path, **settings: float) -> list[int]:
    return [frame.pts for frame in MpDecimate(**settings).chosen(iter_frames(path))]  # type: ignore[arg-type]


@pytest.fixture
def ffmpeg_kept(ffmpeg):
    """Timestamps that `ffmpeg -vf mpdecimate` lets through, in the stream's time base."""

    def kept(path: Path, hi: int = HI, lo: int = LO, frac: float = FRAC, max_drop: int = 0) -> list[int]:
        filters = f"mpdecimate=hi={hi}:lo={lo}:frac={frac}:max={max_drop},showinfo"
        log = ffmpeg("-copyts", "-i", path, "-an", "-vf", filters, "-fps_mode", "passthrough", "-f", "null", "-").stderr
        return [int(pts) for pts in re.findall(rb"n: *\d+ pts: *(-?\d+)", log)]

    return kept


@pytest.mark.parametrize("settings", [FEW, MANY])
@pytest.mark.parametrize("name", ENCODED)
def test_the_frames_kept_are_those_that_ffmpeg_keeps(clip, ffmpeg_kept, name, settings):
    assert _kept(clip(name), **settings) == ffmpeg_kept(clip(name), **settings)


@pytest.mark.parametrize("pixels", FORMATS)
def test_every_pixel_format_is_compared_as_ffmpeg_compares_it(ffmpeg, ffmpeg_kept, tmp_path, pixels):
    path = tmp_path / "held.mkv"
    ffmpeg("-f", "lavfi", "-i", HELD.format(pixels), "-c:v", "ffv1", path)
    assert len(_kept(path)) == 8
    for settings in (MANY, {"max_drop": 1}):
        assert _kept(path, **settings) == ffmpeg_kept(path, **settings)


def test_a_turned_video_is_compared_upright_as_ffmpeg_does(ffmpeg, ffmpeg_kept, tmp_path):
    held, turned = tmp_path / "held.mp4", tmp_path / "turned.mp4"
    ffmpeg("-f", "lavfi", "-i", HELD.format("yuv420p"), "-c:v", "libx264", "-crf", "30", held)
    for turn in (["90"], ["180"], ["270"], ["90", "-display_hflip"]):
        ffmpeg("-display_rotation", *turn, "-i", held, "-c", "copy", turned)
        assert _kept(turned, **MANY) == ffmpeg_kept(turned, **MANY)


@pytest.mark.parametrize("name", REAL)
def test_the_frames_kept_of_real_clips_are_those_that_ffmpeg_keeps(media, ffmpeg_kept, name):
    assert _kept(media / name) == ffmpeg_kept(media / name)


def _frames(levels: list[int]) -> Iterator[Frame]:
    for number, level in enumerate(levels):
        grey = np.full((SIZE[1] * 3 // 2, SIZE[0]), level, np.uint8)
        yield Frame(number, 0, 0.0, av.VideoFrame.from_ndarray(grey, "yuv420p"), Fraction(1), False)


@pytest.mark.parametrize(
    ("levels", "max_drop", "expected"),
    [
        # 640 in 64 pixels: more than 5 levels above the last kept frame differ (320 is not above 320).
        (range(0, 24, 2), 0, [0, 3, 6, 9]),
        ([100] * 8, 0, [0]),
        ([100] * 8, 2, [0, 3, 6]),
        # What is kept for `max_drop` alone is not compared with: frame 6 is 6 levels above frame 0, not frame 4.
        (range(14), 3, [0, 4, 6, 10, 12]),
    ],
)
def test_a_frame_is_compared_with_the_last_one_that_differed(levels, max_drop, expected):
    detector = MpDecimate(hi=640, lo=320, frac=0.33, max_drop=max_drop)
    assert [frame.pts for frame in detector.chosen(_frames(list(levels)))] == expected


def _plane(*changes: tuple[int, int]) -> np.ndarray:
    plane = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for y, x in changes:
        plane[y, x] = 100
    return plane


def test_blocks_are_8x8_begin_every_4_pixels_and_are_summed():
    blank = _plane()
    # Two pixels of 100 are above 150 together where some block holds both.
    for other, shared in (((12, 20), True), ((23, 31), True), ((24, 24), False), ((16, 32), False), ((11, 24), False)):
        assert plane_differs(_plane((16, 24), other), blank, hi=150, lo=150, frac=1.0) == shared, other


def test_the_first_8_columns_and_what_is_left_of_a_multiple_of_4_are_not_looked_at():
    plane = np.zeros((30, 38), np.uint8)
    for region, seen in (
        (np.s_[:, :8], False),
        (np.s_[:, 36:], False),
        (np.s_[28:, :], False),
        (np.s_[27, 35], True),
        (np.s_[0, 8], True),
    ):
        changed = plane.copy()
        changed[region] = 255
        assert plane_differs(changed, plane, hi=100, lo=100, frac=1.0) == seen, region


def test_a_share_of_the_blocks_may_differ_by_more_than_lo_and_none_by_more_than_hi():
    blank = _plane()
    one, two, three, four = [(0, 8)], [(0, 12)], [(0, 8), (0, 20)], [(0, 12), (0, 28)]
    for changes, blocks in ((one, 1), (two, 2), (three, 3), (four, 4)):
        assert plane_differs(_plane(*changes), blank, hi=1000, lo=99, frac=0.33) == (blocks > 3)
    assert plane_differs(_plane(*one), blank, hi=99, lo=99, frac=0.33)
    assert not plane_differs(_plane(*one), blank, hi=100, lo=99, frac=0.33)


@pytest.mark.parametrize("noise", [2, 5, 9, 12, 40, 255])
def test_of_noise_of_any_strength_the_highest_block_decides(noise):
    rng = np.random.default_rng(noise)
    plane = np.zeros((144, 80), np.uint8)
    changed = rng.integers(0, noise + 1, plane.shape).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(changed.astype(int), (8, 8))[::4, 8::4]
    highest = int(windows.sum(axis=(2, 3)).max())
    assert plane_differs(changed, plane, hi=highest - 1, lo=highest - 1, frac=1.0)
    assert not plane_differs(changed, plane, hi=highest, lo=highest, frac=0.0)
    assert plane_differs(changed, plane, hi=16_384, lo=highest - 1, frac=0.0)


def test_the_share_is_counted_in_single_precision():
    # 0.29 of 100 units is 29 in single precision, 28.999... in double.
    plane = np.zeros((160, 160), np.uint8)
    changed = plane.copy()
    changed[0, 12:128:8] = 100  # each pixel lies in two blocks of the first row
    changed[0, 124] = 0
    assert sum(changed[0] > 0) == 14
    changed[156, 156] = 100  # in the last block alone
    assert not plane_differs(changed, plane, hi=1000, lo=99, frac=0.29)
    changed[156, 8] = 100
    assert plane_differs(changed, plane, hi=1000, lo=99, frac=0.29)


def test_planes_too_small_for_a_block_never_differ():
    for shape in ((8, 8), (4, 64), (1, 1), (16, 12)):
        assert not plane_differs(np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8), hi=0, lo=0, frac=0.0)
