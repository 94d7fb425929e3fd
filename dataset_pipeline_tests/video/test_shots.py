from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.video import cuts
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.cuts import CutFinder, Cuts
from dataset_pipeline.video.decode import DecodeReport
from dataset_pipeline.video.shots import find_shots

SIZE = (320, 180)
RATE = 24
BLACK, WHITE, GREY = 0.0, 255.0, 178.0


def _shot(seed: int, frames: int, travel_px: float = 0.0, noise: float = 1.5) -> list[np.ndarray]:
    """A camera's way over a drawn place, BGR, with a block that moves on twos and noise."""
    place = draw_backdrop(seed, (640, 360))
    rng = np.random.default_rng(seed)
    pictures = []
    for number in range(frames):
        x = 160 + travel_px * (number / max(1, frames - 1) - 0.5)
        picture = cv2.getRectSubPix(place, SIZE, (x + 160, 180)).astype(float)
        left = 100 + 6 * (number // 2) % 100
        picture[60:150, left : left + 50] = (200, 90, 60)
        picture[70:76, left + 10 : left + 14 + number // 3 % 3] = (20, 20, 20)
        pictures.append(np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)[:, :, ::-1])
    return pictures


def _faded(pictures: list[np.ndarray], level: float, out: int = 0, into: int = 0) -> list[np.ndarray]:
    """The pictures going over to a flat colour in their last `out` frames and coming from it in their first `into`."""
    shares = np.ones(len(pictures))
    if into:
        shares[:into] = np.arange(into) / into
    if out:
        shares[len(pictures) - out :] = 1 - np.arange(1, out + 1) / out
    return [
        (picture * share + level * (1 - share)).astype(np.uint8)
        for picture, share in zip(pictures, shares, strict=True)
    ]


def _flat(level: float, frames: int) -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), level, np.uint8)] * frames


def _cuts(pictures: list[np.ndarray], settings: Cuts = Cuts()) -> list[tuple[int, str]]:  # noqa: B008
    finder = CutFinder(settings)
    greys = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures]
    pairs = enumerate(zip(pictures, greys, strict=True))
    found = [cut for number, (picture, grey) in pairs for cut in finder.feed(picture, grey, number / RATE)]
    return [(cut.number, cut.transition) for cut in found + finder.finish()]


def _encode(path: Path, pictures: list[np.ndarray], times_ms: list[int] | None = None) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv444p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = times_ms[number] if times_ms else number * 1000 // RATE, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_every_cut_of_a_clean_drawing_is_found_and_nothing_else():
    rng = np.random.default_rng(1)
    pictures, truth = [], []
    for seed in range(22):
        pictures += _shot(seed, int(rng.integers(9, 30)), travel_px=float(rng.uniform(-150, 150)))
        truth.append(len(pictures))
    assert _cuts(pictures) == [(number, "cut") for number in truth[:-1]]


@pytest.mark.parametrize("level", [BLACK, WHITE, GREY])
def test_a_fade_through_a_colour_is_one_cut_in_the_middle_of_it(level):
    one, other = _faded(_shot(1, 30), level, out=12), _faded(_shot(2, 30), level, into=12)
    found = _cuts([*one, *_flat(level, 10), *other])
    assert [kind for _, kind in found] == ["fade"]
    assert found[0][0] == pytest.approx(35, abs=2)


def _under_a_logo(pictures: list[np.ndarray], where: tuple[int, int], share: float = 0.55) -> list[np.ndarray]:
    """The pictures with a half-transparent bright name at a place that stays."""
    name = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.putText(name, "CH 7", where, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    alpha = share * name[..., None] / 255.0
    return [(picture * (1 - alpha) + 230 * alpha).astype(np.uint8) for picture in pictures]


@pytest.mark.parametrize("level", [BLACK, WHITE, GREY])
@pytest.mark.parametrize("where", [(260, 24), (8, 172)])
def test_a_fade_under_a_logo_is_the_fade_that_it_is_without(level, where):
    one, other = _faded(_shot(1, 30), level, out=12), _faded(_shot(2, 30), level, into=12)
    pictures = [*one, *_flat(level, 10), *other]
    ((without, _),) = _cuts(pictures)
    ((number, kind),) = _cuts(_under_a_logo(pictures, where))
    assert kind == "fade"
    assert number == pytest.approx(without, abs=1)


def test_a_fade_from_a_hard_cut_to_black_is_half_way_between_the_pictures():
    pictures = [*_shot(1, 30), *_flat(BLACK, 20), *_faded(_shot(2, 40), BLACK, into=24)]
    blank_until = next(n for n in range(50, 90) if pictures[n].mean() >= 12)
    for found in (_cuts(pictures), _cuts(_under_a_logo(pictures, (260, 24)))):
        ((number, kind),) = found
        assert kind == "fade"
        assert number == pytest.approx((30 + blank_until) / 2, abs=1)


def test_words_that_come_with_the_black_are_a_title_at_the_edge_of_the_frame_too():
    card = _under_a_logo(_flat(BLACK, 40), (8, 172), 1.0)
    pictures = [*_faded(_shot(1, 30), BLACK, out=10), *_flat(BLACK, 6), *card, *_flat(BLACK, 6), *_shot(2, 30)]
    assert [number for number, _ in _cuts(pictures)] == pytest.approx([33, 79], abs=4)


def test_a_lamp_that_stays_when_the_light_goes_out_is_no_logo():
    room = _shot(1, 30)
    dark = [picture // 16 for picture in _shot(1, 30, noise=0.5)]
    for picture in room + dark:
        picture[80:100, 150:170] = 240
    assert _cuts([*room, *dark, *room]) == [(30, "cut"), (60, "cut")]


def test_what_is_plainly_a_picture_is_judged_without_its_histogram_as_with_it(monkeypatch):
    rng = np.random.default_rng(0)
    pictures = [
        rng.normal(rng.uniform(-20, 275), rng.choice([0.5, 3, 8, 20, 60]), (18, 32)).clip(0, 255).astype(np.uint8)
        for _ in range(600)
    ]

    def judged(level: int) -> list[tuple]:
        finder, told = CutFinder(Cuts(fade_level=level)), []
        for number, grey in enumerate(pictures):
            told.append((finder.feed(cv2.merge([grey] * 3), grey, number / 24), finder.in_blank))
        return [*told, finder.finish()]

    histogram, taken = cuts._histogram, []
    monkeypatch.setattr(cuts, "_histogram", lambda grey: taken.append(grey) or histogram(grey))
    quick = [judged(level) for level in (0, 12, 80)]
    assert len(taken) < len(pictures) * 2.5
    monkeypatch.setattr(cuts, "_is_split", lambda *picture: False)
    assert [judged(level) for level in (0, 12, 80)] == quick


def test_a_video_that_begins_and_ends_in_black_has_no_cut_there():
    assert _cuts([*_flat(BLACK, 20), *_faded(_shot(1, 40), BLACK, into=12, out=12), *_flat(BLACK, 20)]) == []


def test_black_between_two_hard_cuts_is_one_cut():
    assert _cuts([*_shot(1, 20), *_flat(BLACK, 8), *_shot(2, 20)]) == [(24, "cut")]


def test_a_title_on_black_is_a_shot_of_its_own():
    title = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    cv2.putText(title, "THE TITLE", (110, 95), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    card = _faded([title] * 40, BLACK, into=8, out=8)
    pictures = [*_faded(_shot(1, 30), BLACK, out=10), *_flat(BLACK, 6), *card, *_flat(BLACK, 6), *_shot(2, 30)]
    found = _cuts(pictures)
    assert [kind for _, kind in found] == ["fade", "fade"]
    assert [number for number, _ in found] == pytest.approx([33, 80], abs=4)


@pytest.mark.parametrize("level", [BLACK, WHITE])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_flash_is_no_cut(level, frames):
    pictures = _shot(3, 40, travel_px=30)
    pictures[18 : 18 + frames] = _flat(level, frames)
    assert _cuts(pictures) == []


def test_fast_pans_and_fades_in_the_dark_are_no_cuts():
    for seed in range(5):
        assert _cuts(_shot(seed, 24, travel_px=300)) == []
        assert _cuts(_faded(_shot(seed, 40), BLACK, into=30)) == []


def test_a_cut_too_soon_after_another_is_left_out():
    pictures = [*_shot(1, 20), *_shot(2, 8), *_shot(3, 20)]
    assert _cuts(pictures) == [(20, "cut"), (28, "cut")]
    assert _cuts(pictures, Cuts(min_shot_s=0.5)) == [(20, "cut")]


def test_shots_cover_the_video_at_the_times_of_its_own_frames(tmp_path):
    pictures = [*_shot(1, 20), *_shot(2, 24, travel_px=120), *_shot(3, 16)]
    # The second shot lasts twice as long for each frame.
    times = [1000 + 40 * n for n in range(20)] + [1800 + 80 * n for n in range(24)] + [3720 + 40 * n for n in range(16)]
    path = tmp_path / "vfr.mkv"
    _encode(path, pictures, times)
    rows = find_shots(path, None, Cuts(), DecodeReport())
    assert [(row["number"], row["frames"], row["transition"]) for row in rows] == [
        (0, 20, "start"), (1, 24, "cut"), (2, 16, "cut"),
    ]  # fmt: skip
    assert [row["start_pts"] for row in rows] == [1000, 1800, 3720]
    assert [row["start_s"] for row in rows] == pytest.approx([0, 0.8, 2.72])
    assert [row["end_s"] for row in rows] == pytest.approx([0.8, 2.72, 3.36])
    assert [(row["motion"], row["direction"]) for row in rows] == [("static", ""), ("pan", "right"), ("static", "")]
    assert rows[1]["dx_px"] == pytest.approx(120, abs=12)
    assert all(0.4 < row["confidence"] <= 1 for row in rows)
    assert [pts for row in rows for pts in row["frame_pts"]] == times
    assert [s for row in rows for s in row["frame_pts_s"]] == pytest.approx([(time - 1000) / 1000 for time in times])
    signatures = np.frombuffer(b"".join(row["signatures"] for row in rows), np.uint8).reshape(len(pictures), 18, 32)
    for picture, signature in zip(pictures, signatures, strict=True):
        luma = cv2.cvtColor(cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        assert np.abs(signature - luma.astype(int)).max() <= 3


def test_the_cameras_way_is_in_pixels_of_the_full_picture_without_its_bars(tmp_path):
    wide = [cv2.resize(picture, (960, 540)) for picture in _shot(5, 24, travel_px=100)]
    barred = [cv2.copyMakeBorder(picture, 90, 90, 0, 0, cv2.BORDER_CONSTANT) for picture in wide]
    path = tmp_path / "bars.mkv"
    _encode(path, barred)
    without_bars = Conversion(bars_px=(0, 90, 0, 90), bars_size_px=(960, 720))
    (row,) = find_shots(path, without_bars, Cuts(), DecodeReport())
    assert (row["motion"], row["direction"]) == ("pan", "right")
    assert row["dx_px"] == pytest.approx(300, abs=20)


def test_a_turned_video_pans_the_way_it_is_seen(tmp_path):
    sideways = [np.rot90(picture).copy() for picture in _shot(5, 24, travel_px=100)]
    path = tmp_path / "turned.mkv"
    _encode(path, sideways)
    (row,) = find_shots(path, Conversion(rotation_deg=270), Cuts(), DecodeReport())
    assert (row["motion"], row["direction"]) == ("pan", "right")


def test_a_mirrored_video_pans_the_way_it_is_seen(tmp_path):
    mirrored = [picture[:, ::-1].copy() for picture in _shot(5, 24, travel_px=100)]
    path = tmp_path / "mirrored.mkv"
    _encode(path, mirrored)
    (row,) = find_shots(path, Conversion(rotation_deg=180, mirrored=True), Cuts(), DecodeReport())
    assert (row["motion"], row["direction"]) == ("pan", "right")


def test_a_file_without_frames_gives_no_shots_and_says_why(tmp_path):
    path = tmp_path / "notes.mkv"
    path.write_text("not a video")
    report = DecodeReport()
    assert find_shots(path, None, Cuts(), report) == []
    assert report.reasons
    assert "cannot be opened" in report.reasons[0]


def _found(path: Path) -> tuple[list[int], list[tuple[str, str]]]:
    """First frames of the shots of a file, and what its camera does in them."""
    rows = find_shots(path, None, Cuts(), DecodeReport())
    firsts = np.cumsum([0, *(row["frames"] for row in rows)]).tolist()[:-1]
    return firsts, [(row["motion"], row["direction"]) for row in rows]


def test_flat_fades_are_where_pyscenedetects_own_tests_have_them(media):
    # They name 84 and 167 for black, 42, 126 and 209 for white.
    assert _found(media / "edge/fades.mp4")[0] == [0, 42, 84, 126, 167, 209]


def test_shots_of_a_film_begin_at_its_cuts_and_its_tilt_is_told(media):
    firsts, moves = _found(media / "open_movies/big_buck_bunny_0_30.webm")
    assert firsts == [0, 283, 376, 551]
    assert moves[:3] == [("pan", "down"), ("static", ""), ("static", "")]


def test_a_trailers_fade_through_grey_its_title_and_its_cut_are_found(media):
    assert _found(media / "open_movies/sintel_trailer_720p30.mp4")[0] == [0, 156, 278, 347, 417]


def test_a_filmed_pan_is_told(media):
    assert _found(media / "camera_moves/pan_left_model_01_03.gif") == ([0], [("pan", "left")])
