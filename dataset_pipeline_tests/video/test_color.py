"""Colours that are known by calculation: what each patch must become, step by step."""

import math
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from dataset_pipeline.video.color import Conversion, to_rgb
from dataset_pipeline.video.tonemap import DEEP_WHITE, eetf_nits, pq_nits, pq_signal, to_srgb

PQ, HLG, BT2020 = 16, 18, 9


def patch(
    y: int, u: int, v: int, pixel_format: str = "yuv420p10le", size: tuple[int, int] = (32, 16), **labels: int
) -> av.VideoFrame:
    """A frame of one YUV colour, in codes of its pixel format, and its labels."""
    frame = av.VideoFrame(*size, pixel_format)
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, value, kind))
    for name, value in labels.items():
        setattr(frame, name, value)
    return frame


def middle(frame: av.VideoFrame, conversion: Conversion = Conversion()) -> list[int]:  # noqa: B008
    rgb = to_rgb(frame, conversion)
    return rgb[rgb.shape[0] // 2, rgb.shape[1] // 2].tolist()


@pytest.mark.parametrize(
    ("codes", "pixel_format", "labels", "expected"),
    [
        # Y 235, 16 and 126 limited: white, black, and (126 - 16) * 255 / 219 = 128.
        ((235, 128, 128), "yuv420p", {"color_range": 1}, [255, 255, 255]),
        ((16, 128, 128), "yuv420p", {"color_range": 1}, [0, 0, 0]),
        ((126, 128, 128), "yuv420p", {"color_range": 1}, [128, 128, 128]),
        ((126, 128, 128), "yuv420p", {"color_range": 2}, [126, 126, 126]),
        # Ten bits: (502 - 64) * 255 / 876 = 127.5.
        ((940, 512, 512), "yuv420p10le", {"color_range": 1}, [255, 255, 255]),
        ((504, 512, 512), "yuv444p10le", {"color_range": 1}, [128, 128, 128]),
        # Pure red: BT.601 gives Y 81 U 90 V 240, BT.709 Y 63 U 102 V 240 (limited, 8 bits).
        ((81, 90, 240), "yuv444p", {"colorspace": 6, "color_range": 1}, [255, 0, 0]),
        ((63, 102, 240), "yuv444p", {"colorspace": 1, "color_range": 1}, [255, 0, 0]),
        # Unlabelled it goes by size: small is BT.601.
        ((81, 90, 240), "yuv444p", {}, [255, 0, 0]),
    ],
)
def test_codes_of_matrix_range_and_depth_become_their_rgb(codes, pixel_format, labels, expected):
    assert middle(patch(*codes, pixel_format, **labels)) == pytest.approx(expected, abs=1)


def test_an_unlabelled_picture_goes_by_its_size():
    assert middle(patch(63, 102, 240, "yuv444p", (1280, 64))) == pytest.approx([255, 0, 0], abs=1)
    resolved = Conversion().resolved(patch(0, 0, 0, "yuv444p", (720, 576)))
    assert (resolved.matrix, resolved.primaries, resolved.range, resolved.transfer) == ("bt601", "bt470bg", "tv", "sdr")
    resolved = Conversion().resolved(patch(0, 0, 0, color_trc=PQ))
    assert (resolved.matrix, resolved.primaries, resolved.transfer) == ("bt2020", "bt2020", "pq")


def test_what_the_conversion_says_goes_before_the_labels():
    frame = patch(63, 102, 240, "yuv444p", colorspace=6, color_range=2)
    assert middle(frame, Conversion(matrix="bt709", range="tv")) == pytest.approx([255, 0, 0], abs=1)


def expected_grey(nits: float, peak: float = 1000.0) -> int:
    """ITU-R BT.2390-11, 5.4.1, and IEC 61966-2-1, written out for one number."""

    def to_pq(value: float) -> float:
        power = (value / 10000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375

    def from_pq(value: float) -> float:
        power = value ** (1 / 78.84375)
        return 10000 * (max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)

    highest = to_pq(203) / to_pq(peak)
    knee = 1.5 * highest - 0.5
    e = min(to_pq(nits) / to_pq(peak), 1)
    if e > knee:
        t = (e - knee) / (1 - knee)
        e = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * highest
    light = from_pq(e * to_pq(peak)) / 203
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


GREYS = {0: 0, 1: 15, 5: 43, 20: 88, 50: 136, 100: 186, 203: 229, 400: 250, 1000: 255, 4000: 255}


@pytest.mark.parametrize(("nits", "code"), GREYS.items())
def test_grey_patches_of_pq_land_on_their_known_codes(nits, code):
    assert expected_grey(nits) == code
    signal = round(64 + 876 * float(pq_signal(np.float64(nits))))
    rgb = middle(patch(signal, 512, 512, colorspace=9, color_primaries=BT2020, color_trc=PQ))
    assert rgb == pytest.approx([code] * 3, abs=1)


def test_the_peak_of_the_file_decides_how_much_is_pressed_together():
    def white(peak: float) -> int:
        signal = np.full((1, 1, 3), round(float(pq_signal(np.float64(203))) * DEEP_WHITE), np.uint16)
        return int(to_srgb(signal, "pq", "bt2020", peak)[0, 0, 0])

    assert white(203) == white(100) == 255
    assert [white(peak) for peak in (400.0, 1000.0, 4000.0)] == [expected_grey(203, p) for p in (400, 1000, 4000)]
    assert white(400) > white(1000) > white(4000) > 200


@pytest.mark.parametrize("signal", [0.25, 0.5, 0.75, 1.0])
def test_grey_patches_of_hlg_are_those_of_a_1000_nit_display(signal):
    scene = signal**2 / 3 if signal <= 0.5 else (math.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
    nits = 1000 * scene**1.2
    assert nits == pytest.approx({0.25: 9.6, 0.5: 50.7, 0.75: 203.2, 1.0: 1000.0}[signal], rel=0.01)
    rgb = middle(patch(round(64 + 876 * signal), 512, 512, colorspace=9, color_primaries=BT2020, color_trc=HLG))
    assert rgb == pytest.approx([expected_grey(nits)] * 3, abs=1)


def test_pq_and_its_inverse_are_those_of_the_standard():
    # ITU-R BT.2408, table 1: 203 cd/m2 is 58 % PQ; BT.2100: 1.0 is 10,000 cd/m2, 100 cd/m2 is 0.508.
    assert float(pq_signal(np.float64(203))) == pytest.approx(0.58, abs=0.002)
    assert float(pq_signal(np.float64(100))) == pytest.approx(0.508, abs=0.0005)
    assert float(pq_nits(np.float64(1.0))) == pytest.approx(10000)
    nits = np.geomspace(0.01, 10000, 50)
    np.testing.assert_allclose(pq_nits(pq_signal(nits)), nits, rtol=1e-6)


def test_tone_mapping_leaves_the_dark_alone_rises_everywhere_and_ends_at_the_reference_white():
    nits = np.linspace(0, 1000, 2000)
    mapped = eetf_nits(nits, 1000)
    np.testing.assert_allclose(mapped[nits < 60], nits[nits < 60], rtol=1e-6)
    assert (np.diff(mapped) >= 0).all()
    assert mapped[-1] == pytest.approx(203)


def test_greys_of_wide_primaries_stay_and_colours_outside_bt709_lose_saturation():
    greys = np.repeat(np.rint(np.arange(256) / 255 * DEEP_WHITE).astype(np.uint16)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(to_srgb(greys, "sdr", "bt2020", 1000)[0, :, 0], np.arange(256))

    primaries = to_srgb(np.eye(3, dtype=np.uint16)[None] * DEEP_WHITE, "sdr", "bt2020", 1000)[0]
    assert primaries.argmax(axis=1).tolist() == [0, 1, 2]
    assert primaries.min(axis=1).tolist() == [0, 0, 0]
    red, green, blue = (primaries / 255) ** 2.4 @ [0.2126, 0.7152, 0.0722]
    assert (green, blue) == pytest.approx((0.6780, 0.0593), abs=0.005)
    assert red == pytest.approx(0.2627 / (0.2627 + 1.3978 * 0.2627 / 0.3873), abs=0.01)  # at its own it would exceed 1
    # BT.709's own primaries are inside: [0.6274, 0.0691, 0.0164] in BT.2020 light is pure red.
    inside = np.rint((np.array([[[0.6274, 0.0691, 0.0164]]]) ** (1 / 2.4)) * DEEP_WHITE).astype(np.uint16)
    assert to_srgb(inside, "sdr", "bt2020", 1000)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=6)


def test_a_row_of_video_probe_is_read_and_an_empty_one_leaves_all_to_the_labels():
    assert Conversion.of({}) == Conversion.of(dict.fromkeys(["used_matrix", "cadence", "bar_top_px"])) == Conversion()
    row = {
        "used_matrix": "bt601", "used_range": "tv", "used_primaries": "smpte170m", "used_transfer": "sdr",
        "peak_nits": 600.0, "sample_aspect": 32 / 27, "rotation_deg": 90, "cadence": "telecined", "bar_left_px": 1,
        "bar_top_px": 2, "bar_right_px": 3, "bar_bottom_px": 4, "display_width_px": 480, "display_height_px": 853,
    }  # fmt: skip
    assert Conversion.of(row) == Conversion(
        "bt601", "tv", "smpte170m", "sdr", 600.0, Fraction(32, 27), 90, "telecined", (1, 2, 3, 4), (480, 853)
    )
    with pytest.raises(ValueError, match="cadence 'wobbly' is none of progressive, tff"):
        Conversion.of({"cadence": "wobbly"})


def repeated_chroma(image: av.VideoFrame) -> av.VideoFrame:
    """The planar picture in 4:4:4, each chroma sample over all the pixels that share it."""
    depth = np.dtype(np.uint8 if image.format.components[0].bits == 8 else np.uint16)
    frame = av.VideoFrame(image.width, image.height, "yuv444p" if depth.itemsize == 1 else "yuv444p10le")
    for into, plane in zip(frame.planes, image.planes, strict=True):
        samples = np.frombuffer(memoryview(plane), depth).reshape(plane.height, -1)[:, : plane.width]
        lines = np.zeros((into.height, into.line_size // depth.itemsize), depth)
        down, along = -(-into.height // plane.height), -(-into.width // plane.width)
        covered = samples.repeat(down, axis=0).repeat(along, axis=1)
        lines[:, : into.width] = covered[: into.height, : into.width]
        into.update(lines)
    return frame


@pytest.mark.parametrize("size", [(48, 64), (49, 67)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv411p", "yuv420p10le", "yuvj420p"])
def test_nearest_chroma_gives_every_pixel_the_sample_that_covers_it(pixel_format, size):
    drawn = np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8)
    image = av.VideoFrame.from_ndarray(drawn, "rgb24").reformat(format=pixel_format)
    labelled = Conversion(matrix="bt709", range="pc" if pixel_format == "yuvj420p" else "tv")
    nearest = to_rgb(image, replace(labelled, chroma_upsampling="nearest"))
    np.testing.assert_array_equal(nearest, to_rgb(repeated_chroma(image), labelled))
    assert np.abs(nearest - to_rgb(image, labelled).astype(int)).mean() > 1


def test_nearest_chroma_of_a_decoder_in_hardware_is_that_of_one_in_software():
    drawn = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)
    planar = av.VideoFrame.from_ndarray(drawn, "rgb24").reformat(format="yuv420p")
    how = Conversion(chroma_upsampling="nearest")
    np.testing.assert_array_equal(to_rgb(planar.reformat(format="nv12"), how), to_rgb(planar, how))


@pytest.mark.parametrize("pixel_format", ["yuv444p", "gray", "rgb24", "gbrp"])
def test_pictures_with_all_their_chroma_have_none_to_repeat(pixel_format):
    drawn = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)
    image = av.VideoFrame.from_ndarray(drawn, "rgb24").reformat(format=pixel_format)
    np.testing.assert_array_equal(to_rgb(image, Conversion(chroma_upsampling="nearest")), to_rgb(image))


def test_bars_are_cut_only_where_a_picture_has_them():
    bright = patch(180, 128, 128, "yuv444p", (64, 48))
    boxed = patch(180, 128, 128, "yuv444p", (64, 48))
    lines = np.full((48, boxed.planes[0].line_size), 180, np.uint8)
    lines[:8] = lines[40:] = 16
    boxed.planes[0].update(lines)
    conversion = Conversion(bars_px=(0, 8, 0, 8), bars_size_px=(64, 48))
    assert to_rgb(boxed, conversion).shape == (32, 64, 3)
    assert to_rgb(bright, conversion).shape == (48, 64, 3)
    assert to_rgb(boxed, Conversion(bars_px=(0, 8, 0, 8), bars_size_px=(128, 96))).shape == (48, 64, 3)
