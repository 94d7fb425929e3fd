"""One drawn scene, encoded in the many ways files come in: each comes back as the drawing."""

import subprocess
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset_pipeline.video.decode import Conversion, frames_at, iter_frames
from dataset_pipeline.video.probe import VideoProbe, probe
from dataset_pipeline.video.restore import MAX_COMBED_IN_BLOCK, combed_in_block
from dataset_pipeline.video.stream import HardwareMissing
from dataset_pipeline.video.tonemap import REFERENCE_WHITE_NITS, eetf_nits, pq_signal

WIDTH, HEIGHT = 640, 360
FRAMES = 30
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "5"]
HIGH_QUALITY = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@cache
def drawn(moment: int, brightness: float = 1.0) -> np.ndarray:
    """The scene at a moment: a sky, hills that pan, a figure that walks. RGB uint8, edges soft as after a lens."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    sky = np.stack([60 + 0.25 * y, 90 + 0.3 * y, 190 - 0.15 * y], axis=-1)
    hills = 200 + 40 * np.sin((x + 3 * moment) / 45) + 15 * np.sin((x + 3 * moment) / 13)
    picture = np.where((y > hills)[..., None], np.float32([70, 140, 75]), sky)
    picture = np.where((y > hills + 90)[..., None], np.float32([150, 110, 70]), picture).astype(np.float32)
    at = 120 + 5 * moment, 215
    eyes = [(9, (-8, -4), (40, 35, 60)), (9, (9, -4), (40, 35, 60))]
    for radius, shift, colour in [(34, (0, 40), (200, 60, 60)), (24, (0, 0), (240, 205, 180)), *eyes]:
        centre = (at[0] + shift[0]) % WIDTH, at[1] + shift[1]
        cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2)
    return np.uint8(np.clip(picture * brightness, 0, 255) + 0.5)


def scene(frames: int = FRAMES, brightness: float = 1.0) -> list[np.ndarray]:
    return [drawn(moment, brightness) for moment in range(frames)]


@pytest.fixture
def encoded(ffmpeg, tmp_path) -> Callable[..., Path]:
    """Encodes RGB pictures, uint8 or uint16: `filters`, then x264 with `arguments` (a later one wins)."""

    def encode(pictures: Iterable[np.ndarray], filters: str, *arguments: str, rate: str = "24", name: str = "clip.mkv"):
        first, *rest = pictures
        raw = tmp_path / "raw.rgb"
        raw.write_bytes(b"".join(np.ascontiguousarray(picture).tobytes() for picture in (first, *rest)))
        pixel_format = "rgb48le" if first.dtype == np.uint16 else "rgb24"
        given = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{first.shape[1]}x{first.shape[0]}", "-r", rate]
        ffmpeg(*given, "-i", raw, "-vf", filters, *X264, *arguments, tmp_path / name)
        return tmp_path / name

    return encode


def yuv(matrix: str, value_range: str, pixel_format: str = "yuv420p", labels: str | None = None) -> str:
    """Filters from RGB to YUV and its labels; `labels` overrides those for matrix, primaries and transfer."""
    named = {"bt601": "smpte170m", "bt2020": "bt2020nc"}.get(matrix, matrix)
    labels = labels or f"colorspace={named}:range={value_range}"
    scale = f"scale=out_color_matrix={matrix}:out_range={value_range}:{HIGH_QUALITY}"
    return f"{scale},format={pixel_format},setparams={labels}"


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def stills(path: Path) -> tuple[VideoProbe, list[np.ndarray]]:
    """What the pipeline makes of a file: its probe, and every frame converted as the probe says."""
    found = probe(path)
    return found, [frame.rgb() for frame in iter_frames(path, conversion=Conversion.of(found.row()))]


def is_combed(rgb: np.ndarray) -> bool:
    return combed_in_block(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) > MAX_COMBED_IN_BLOCK


LABELLED = {
    "bt709 limited 8-bit 4:2:0": (yuv("bt709", "tv"), ("bt709", "tv", "sdr", 8)),
    "bt709 full 8-bit 4:2:0": (yuv("bt709", "pc"), ("bt709", "pc", "sdr", 8)),
    "bt601 limited 8-bit 4:2:0": (yuv("bt601", "tv"), ("bt601", "tv", "sdr", 8)),
    "bt601 full 8-bit 4:2:2": (yuv("bt601", "pc", "yuv422p"), ("bt601", "pc", "sdr", 8)),
    "bt709 limited 10-bit 4:2:0": (yuv("bt709", "tv", "yuv420p10le"), ("bt709", "tv", "sdr", 10)),
    "bt709 full 10-bit 4:4:4": (yuv("bt709", "pc", "yuv444p10le"), ("bt709", "pc", "sdr", 10)),
    "untagged": (yuv("bt601", "tv", labels="colorspace=unknown:range=unknown"), ("bt601", "tv", "sdr", 8)),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELLED)
def test_standard_range_comes_back_as_drawn(encoded, case):
    filters, expected = LABELLED[case]
    found, pictures = stills(encoded(scene(8), filters))
    assert (found.used_matrix, found.used_range, found.used_transfer, found.bit_depth) == expected
    for moment, picture in enumerate(pictures):
        assert psnr(picture, drawn(moment)) > 38


def test_twelve_bits_come_back_as_drawn(encoded):
    path = encoded(
        scene(4), yuv("bt709", "tv", "yuv444p12le"), "-c:v", "libx265", "-x265-params", "log-level=error:lossless=1"
    )
    found, pictures = stills(path)
    assert found.bit_depth == 12
    assert min(psnr(picture, drawn(moment)) for moment, picture in enumerate(pictures)) > 45


def test_an_untagged_large_picture_is_taken_for_high_definition(encoded):
    large = [cv2.resize(drawn(moment), (1280, 720), interpolation=cv2.INTER_CUBIC) for moment in range(3)]
    found, pictures = stills(encoded(large, yuv("bt709", "tv", labels="colorspace=unknown:range=unknown")))
    assert (found.color_space, found.used_matrix, found.used_primaries) == ("unknown", "bt709", "bt709")
    assert min(psnr(picture, original) for picture, original in zip(pictures, large, strict=True)) > 40


def test_wide_primaries_in_standard_range_come_back_as_drawn(encoded):
    """Encoded by zscale, an implementation of its own."""
    filters = (
        "zscale=matrixin=gbr:primariesin=bt709:transferin=bt709:rangein=full"
        ":matrix=2020_ncl:primaries=2020:transfer=bt709:range=limited,format=yuv420p10le"
    )
    labels = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "bt709", "-color_range", "tv"]
    found, pictures = stills(encoded(scene(4), filters, *labels))
    assert (found.used_matrix, found.used_primaries, found.used_transfer) == ("bt2020", "bt2020", "sdr")
    assert min(psnr(picture, drawn(moment)) for moment, picture in enumerate(pictures)) > 35
    assert np.abs(pictures[0] - drawn(0).astype(int)).mean() <= 2


BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def high_range(picture: np.ndarray, transfer: str, peak_nits: float = 1000.0) -> np.ndarray:
    """The BT.2020 signal, uint16, whose tone-mapped still is the picture: the documented steps backwards."""
    srgb = picture / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ BT709_TO_BT2020.T
    nits = np.geomspace(0.01, peak_nits, 4000)
    brightest = light.max(axis=2, keepdims=True) * REFERENCE_WHITE_NITS
    before = np.interp(brightest, eetf_nits(nits, peak_nits), nits)
    light = light * REFERENCE_WHITE_NITS * before / np.maximum(brightest, 1e-6)
    if transfer == "pq":
        return np.uint16(np.rint(pq_signal(light) * 65535))
    luminance = np.maximum(light @ [0.2627, 0.6780, 0.0593], 1e-6)[..., None] / 1000
    scene_light = light / 1000 / luminance ** (0.2 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.where(
        scene_light <= 1 / 12, np.sqrt(3 * scene_light), a * np.log(np.maximum(12 * scene_light - b, 1e-6)) + c
    )
    return np.uint16(np.rint(np.clip(signal, 0, 1) * 65535))


@pytest.mark.parametrize(("transfer", "label"), [("pq", "smpte2084"), ("hlg", "arib-std-b67")])
def test_high_dynamic_range_comes_back_as_the_drawing_it_was_made_from(encoded, transfer, label):
    labels = f"colorspace=bt2020nc:color_primaries=bt2020:color_trc={label}:range=tv"
    pictures = [high_range(drawn(moment), transfer) for moment in range(4)]
    found, back = stills(encoded(pictures, yuv("bt2020", "tv", "yuv420p10le", labels)))
    assert (found.used_transfer, found.used_primaries, found.bit_depth) == (transfer, "bt2020", 10)
    assert min(psnr(picture, drawn(moment)) for moment, picture in enumerate(back)) > 35


@pytest.mark.parametrize(("stored", "sar", "shape"), [((480, 360), "4/3", (360, 640)), ((640, 270), "3/4", (360, 640))])
def test_anamorphic_pictures_get_square_pixels(encoded, stored, sar, shape):
    squeezed = [cv2.resize(picture, stored, interpolation=cv2.INTER_AREA) for picture in scene(4)]
    found, pictures = stills(encoded(squeezed, f"{yuv('bt601', 'tv')},setsar={sar}"))
    assert found.sar == Fraction(sar)
    assert (found.display_height_px, found.display_width_px) == shape
    assert min(psnr(picture, drawn(moment)) for moment, picture in enumerate(pictures)) > 35


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_turned_pictures_stand_upright(encoded, ffmpeg, tmp_path, quarter_turns):
    lying = [np.rot90(picture, -quarter_turns) for picture in scene(4)]
    path, turned = encoded(lying, yuv("bt709", "tv"), name="lying.mp4"), tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", str(90 * quarter_turns), "-i", path, "-c", "copy", turned)
    found, pictures = stills(turned)
    assert found.rotation_deg % 360 == 90 * quarter_turns
    assert min(psnr(picture, drawn(moment)) for moment, picture in enumerate(pictures)) > 38


def in_fields(first: np.ndarray, second: np.ndarray, top_first: bool) -> np.ndarray:
    top, bottom = (first, second) if top_first else (second, first)
    frame = top.copy()
    frame[1::2] = bottom[1::2]
    return frame


INTERLACED_YUV = (
    "scale=out_color_matrix=bt601:out_range=tv:interl=1,format=yuv420p,setparams=colorspace=smpte170m:range=tv"
)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("codec", ["h264", "mpeg2"])
def test_interlaced_frames_come_back_as_their_first_field_was(encoded, order, codec):
    frames = [in_fields(drawn(2 * n), drawn(2 * n + 1), order == "tff") for n in range(FRAMES)]
    flags = ["-flags", "+ildct+ilme", "-field_order", "tt" if order == "tff" else "bb"]
    arguments = ["-x264-params", f"{order}=1"] if codec == "h264" else ["-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"]
    path = encoded(frames, INTERLACED_YUV, *flags, *arguments, rate="30000/1001")
    found, pictures = stills(path)
    assert found.cadence == order
    assert any(is_combed(frame.rgb()) for frame in iter_frames(path))
    assert not any(is_combed(picture) for picture in pictures)
    assert min(psnr(picture, drawn(2 * n)) for n, picture in enumerate(pictures)) > 30
    assert_by_timestamp(path, found, pictures)


def test_fields_that_come_as_pictures_of_their_own_have_the_shape_of_frames(encoded):
    frames = [in_fields(drawn(2 * n), drawn(2 * n + 1), top_first=True) for n in range(6)]
    coding = ["-c:v", "libx265", "-crf", "8", "-x265-params", "interlace=tff:log-level=error"]
    path = encoded(frames, f"{INTERLACED_YUV},setfield=tff,separatefields", *coding, rate="25")
    found, pictures = stills(path)
    assert (found.width_px, found.height_px) == (WIDTH, HEIGHT // 2)
    assert (found.display_width_px, found.display_height_px) == (WIDTH, HEIGHT)
    assert min(psnr(picture, drawn(n)) for n, picture in enumerate(pictures)) > 35
    by_time = frames_at(path, [frame.pts for frame in iter_frames(path)])
    assert {picture.shape for _, picture in by_time} == {(HEIGHT, WIDTH, 3)}


def telecined(films: Sequence[np.ndarray], top_first: bool) -> tuple[list[np.ndarray], list[int]]:
    """3:2 pulldown: four film pictures to five frames, and which picture the first field of each frame shows."""
    fields = [n for n in range(len(films)) for _ in range(2 + n % 2)]
    pairs = list(zip(fields[::2], fields[1::2], strict=False))
    return [in_fields(films[a], films[b], top_first) for a, b in pairs], pairs


@pytest.mark.parametrize(("order", "cores"), [("tff", 2), ("bff", 2), ("tff", 8)])
def test_telecined_frames_come_back_as_film_pictures_and_keep_their_times(encoded, order, cores, monkeypatch):
    monkeypatch.setattr("dataset_pipeline.video.stream.usable_cores", lambda: cores)
    films = scene(24)
    frames, pairs = telecined(films, order == "tff")
    assert sum(a != b for a, b in pairs[:5]) == 2
    flags = ["-flags", "+ildct+ilme", "-x264-params", f"{order}=1"]
    path = encoded(frames, INTERLACED_YUV, *flags, rate="30000/1001")
    found, pictures = stills(path)
    assert found.cadence == ("telecined" if order == "tff" else "telecined_bff")
    assert found.frame_rate == pytest.approx(30000 / 1001, rel=1e-3)
    assert len(pictures) == len(frames)
    assert not any(is_combed(picture) for picture in pictures)
    shown = [max(range(24), key=lambda film: psnr(picture[::8, ::8], films[film][::8, ::8])) for picture in pictures]
    assert all(film in pair for film, pair in zip(shown, pairs, strict=True))
    assert set(shown) == set(range(24))
    whole = pictures[1:-1]  # chroma of fields that were woven wrongly is gone at the very ends
    assert min(psnr(picture, films[film]) for picture, film in zip(whole, shown[1:-1], strict=True)) > 33
    assert_by_timestamp(path, found, pictures)


def assert_by_timestamp(path: Path, found: VideoProbe, pictures: Sequence[np.ndarray]) -> None:
    """Stills by timestamp, one by one and a few together, are those decoded in sequence."""
    conversion = Conversion.of(found.row())
    stamps = [frame.pts for frame in iter_frames(path)]
    chosen = [0, 1, 7, len(stamps) // 2, len(stamps) - 1]
    for wanted in ([stamps[0]], [stamps[-1]], [stamps[12]], [stamps[n] for n in chosen]):
        for pts, picture in frames_at(path, wanted, conversion=conversion):
            np.testing.assert_array_equal(picture, pictures[stamps.index(pts)])


@pytest.mark.parametrize("content", ["moving", "still", "fine lines"])
def test_progressive_pictures_flagged_interlaced_are_left_whole(encoded, content):
    lines = drawn(0).copy()
    lines[60:140:2, 100:540] = 20
    frames = {"moving": scene(), "still": [drawn(0)] * FRAMES, "fine lines": [lines] * FRAMES}[content]
    path = encoded(frames, yuv("bt601", "tv", "yuv444p"), "-x264-params", "tff=1", "-flags", "+ildct")
    found, pictures = stills(path)
    assert found.cadence == "progressive"
    assert all(frame.image.interlaced_frame for frame in iter_frames(path))
    assert min(psnr(picture, original) for picture, original in zip(pictures, frames, strict=True)) > 35


def boxed(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """The picture with black bars added around it."""
    return cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def bars_of(found: VideoProbe) -> tuple[int, int, int, int]:
    return found.bar_left_px, found.bar_top_px, found.bar_right_px, found.bar_bottom_px


BARS = {
    "letterbox": (0, 46, 0, 46),
    "pillarbox": (80, 0, 80, 0),
    "odd and off-centre": (0, 31, 0, 57),
    "windowbox": (64, 40, 64, 40),
    "thin": (4, 0, 6, 0),
    "one side": (0, 0, 0, 64),
}


@pytest.mark.parametrize("case", BARS)
def test_bars_are_found_to_two_pixels_and_cut_off(encoded, case):
    sides = BARS[case]
    found, pictures = stills(encoded([boxed(picture, *sides) for picture in scene()], yuv("bt709", "tv")))
    assert_bars(found, sides)
    left, top = found.bar_left_px - sides[0], found.bar_top_px - sides[1]
    for moment, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        assert psnr(picture, drawn(moment)[top : top + height, left : left + width]) > 35


def assert_bars(found: VideoProbe, sides: tuple[int, int, int, int]) -> None:
    """Nothing of a bar is left, and no more than two pixels of picture are lost on a side."""
    assert all(0 <= cut - bar <= 2 for cut, bar in zip(bars_of(found), sides, strict=True)), (bars_of(found), sides)


def subtitled(picture: np.ndarray, text: str) -> np.ndarray:
    return cv2.putText(picture.copy(), text, (150, picture.shape[0] - 20), cv2.FONT_HERSHEY_SIMPLEX, 1, (255,) * 3, 3)


def test_bars_are_found_in_noise_behind_subtitles_and_beside_dark_scenes_and_fades(encoded):
    sides = (0, 52, 0, 52)
    noise = np.random.default_rng(3).normal(0, 3, (8, HEIGHT + 104, WIDTH, 1))
    frames = []
    for moment, picture in enumerate(scene(44)):
        light = 0.06 if moment < 14 else 1.0
        picture = boxed(np.uint8(picture * light), *sides)
        picture = subtitled(picture, "What is that?") if moment % 10 < 6 else picture
        frames.append(np.uint8(np.clip(picture + noise[moment % 8], 0, 255)))
    frames += [np.zeros_like(frames[0])] * 6
    found, pictures = stills(encoded(frames, yuv("bt709", "tv")))
    assert_bars(found, sides)
    assert {picture.shape for picture in pictures} == {(HEIGHT, WIDTH, 3)}


def test_a_scene_without_bars_is_left_whole_in_a_file_with_bars(encoded):
    full = [cv2.resize(picture, (640, 464), interpolation=cv2.INTER_CUBIC) for picture in scene(14)]
    frames = [boxed(picture, 0, 52, 0, 52) for picture in scene(28)] + full
    found, pictures = stills(encoded(frames, yuv("bt709", "tv")))
    assert_bars(found, (0, 52, 0, 52))
    assert [picture.shape[0] for picture in pictures] == [360] * 28 + [464] * 14


def night(moment: int) -> np.ndarray:
    """A dark sky with stars over a lit ground with an uneven skyline."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    ground = y > 230 + 25 * np.sin((x + 4 * moment) / 60)
    picture = np.where(
        ground[..., None], np.float32([30, 34, 44]), np.stack([y * 0.02, y * 0.025, 4 + y * 0.05], axis=-1)
    )
    stars = np.random.default_rng(5).integers(0, (200, WIDTH), (60, 2))
    picture[stars[:, 0], stars[:, 1]] = 160
    return np.uint8(cv2.GaussianBlur(picture, (0, 0), 1))


@pytest.mark.parametrize("content", ["dimmed", "night", "title card", "black"])
def test_dark_pictures_without_bars_are_not_cut(encoded, content):
    card = cv2.putText(np.zeros((HEIGHT, WIDTH, 3), np.uint8), "The End", (170, 200), 0, 2.5, (230,) * 3, 6)
    frames = {
        "dimmed": scene(brightness=0.08),
        "night": [night(moment) for moment in range(FRAMES)],
        "title card": [card] * FRAMES,
        "black": [np.zeros_like(card)] * FRAMES,
    }[content]
    found, pictures = stills(encoded(frames, yuv("bt709", "tv")))
    assert bars_of(found) == (0, 0, 0, 0)
    assert min(psnr(picture, original) for picture, original in zip(pictures, frames, strict=True)) > 38


def test_bars_of_a_mirrored_picture_are_those_of_the_still(encoded, ffmpeg, tmp_path):
    path = encoded([boxed(picture, 0, 30, 0, 50) for picture in scene()], yuv("bt709", "tv"), name="a.mp4")
    mirrored = tmp_path / "mirrored.mp4"
    ffmpeg("-display_rotation", "90", "-display_hflip", "-i", path, "-c", "copy", mirrored)
    found, pictures = stills(mirrored)
    assert_bars(found, (50, 0, 30, 0))
    assert psnr(pictures[5], np.rot90(drawn(5)[::-1], 1)[:, : pictures[5].shape[1]]) > 35


def test_bars_of_a_turned_anamorphic_picture_are_those_of_the_still(encoded, ffmpeg, tmp_path):
    squeezed = [cv2.resize(picture, (480, 360), interpolation=cv2.INTER_AREA) for picture in scene()]
    path = encoded(
        [boxed(picture, 0, 30, 0, 50) for picture in squeezed], f"{yuv('bt601', 'tv')},setsar=4/3", name="a.mp4"
    )
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", path, "-c", "copy", turned)
    found, pictures = stills(turned)
    assert (found.display_width_px, found.display_height_px) == (440, 640)
    assert_bars(found, (30, 0, 50, 0))
    assert psnr(pictures[5], np.rot90(drawn(5), 1)[:, : pictures[5].shape[1]]) > 35


def test_frames_of_a_variable_rate_keep_their_times_and_pixels(encoded, ffmpeg, tmp_path):
    path, uneven = encoded(scene(), yuv("bt709", "tv")), tmp_path / "uneven.mkv"
    ffmpeg("-i", path, "-vf", r"select='lt(n\,8)+not(mod(n\,3))',settb=1/1000", "-fps_mode", "vfr", *X264, uneven)
    found = probe(uneven)
    moments = [*range(8), *range(9, FRAMES, 3)]
    frames = list(iter_frames(uneven, conversion=Conversion.of(found.row())))
    assert found.is_vfr
    assert [frame.pts_ms for frame in frames] == pytest.approx([moment * 1000 / 24 for moment in moments], abs=1)
    assert min(psnr(frame.rgb(), drawn(moment)) for frame, moment in zip(frames, moments, strict=True)) > 37


def test_soft_subtitles_are_counted_and_never_burnt_in(encoded, ffmpeg, tmp_path):
    path, lines, both = encoded(scene(6), yuv("bt709", "tv")), tmp_path / "lines.srt", tmp_path / "both.mkv"
    lines.write_text("1\n00:00:00,000 --> 00:00:05,000\nWHAT IS THAT?\n")
    ffmpeg(
        "-i",
        path,
        "-i",
        lines,
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "copy",
        "-c:s",
        "srt",
        "-disposition:s:0",
        "default",
        both,
    )
    found, pictures = stills(both)
    assert found.subtitle_streams == 1
    for one, other in zip(pictures, stills(path)[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_hardware_that_is_not_there_is_named_with_what_to_do(encoded):
    path = encoded(scene(2), yuv("bt709", "tv"))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
    except FileNotFoundError:
        listed = False
    if listed:
        pytest.skip("there is such a device here")
    with pytest.raises(HardwareMissing, match=r"cuda was asked for.*set \[video\] hardware"):
        next(iter_frames(path, hardware="cuda"))


@pytest.mark.parametrize(
    ("parameters", "peak_nits"),
    [
        ("max-cll=620,400", 620),
        ("master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)", 4000),
    ],
)
def test_the_brightest_light_of_a_file_is_read_from_its_mastering_data(encoded, parameters, peak_nits):
    labels = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
    x265 = ["-c:v", "libx265", "-x265-params", f"log-level=error:{parameters}"]
    path = encoded([high_range(drawn(0), "pq")], yuv("bt2020", "tv", "yuv420p10le", labels), *x265)
    assert probe(path).peak_nits == peak_nits
