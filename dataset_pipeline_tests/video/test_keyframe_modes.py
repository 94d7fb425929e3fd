from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.decode import DecodeReport, iter_frames
from dataset_pipeline.video.keyframes import IFrames, Interval, ahead
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.shots import Shot

MODES = ["iframes", "mpdecimate", "interval", "shot"]


def _settings(mode: str, **changes: object) -> SimpleNamespace:
    values = {
        "mode": mode, "working_short_side_px": 60, "hi": 64 * 200, "lo": 64 * 50, "frac": 0.33, "max_drop": 0,
        "every_s": 0.5, "frames_per_shot": 2, "alpha_background": [255, 255, 255],
        "chroma_upsampling": "smooth",
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def _source(path) -> dict:
    return {"episode": "show.01", "kind": "video", "path": str(path)}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_gives_rows_with_times_signals_and_working_copies(clip, mode):
    source = _source(clip("b_pyramid.mp4"))
    row = probe_source(source)
    found = list(candidates(source, row, _settings(mode), DecodeReport()))
    assert len(found) > 3
    stamps = [one["pts"] for one, _ in found]
    assert stamps == sorted(set(stamps))
    for one, working in found:
        assert one["image_id"].startswith("show.01/")
        assert (one["width_px"], one["height_px"], working.shape) == (160, 120, (60, 80, 3))
        assert one["sharpness"] > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chroma", ["smooth", "nearest"])
def test_the_full_picture_is_the_one_that_the_candidate_was_made_of(ffmpeg, tmp_path, mode, chroma):
    upright, path = tmp_path / "upright.mp4", tmp_path / "turned.mp4"
    drawn = "testsrc2=s=144x120:r=24:d=3,setsar=32/27,hue=h=300*floor(t*1.7)"
    ffmpeg("-f", "lavfi", "-i", drawn, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "24", upright)
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", path)
    source = _source(path)
    row = probe_source(source)
    # Larger than the pictures, so that the working copy is the picture itself.
    settings = _settings(mode, working_short_side_px=1000, chroma_upsampling=chroma)
    small = {one["image_id"]: (one, picture) for one, picture in candidates(source, row, settings, DecodeReport())}
    large = dict(full_size(source, {image_id: one for image_id, (one, _) in small.items()}, row, settings))
    assert large.keys() == small.keys()
    assert len(large) > 2
    decoded = {frame.pts: frame for frame in iter_frames(path, conversion=Conversion.of(row, chroma))}
    for image_id, (one, picture) in small.items():
        assert (one["height_px"], one["width_px"]) == picture.shape[:2]
        np.testing.assert_array_equal(large[image_id], picture)
        np.testing.assert_array_equal(large[image_id], decoded[one["pts"]].rgb())


def test_an_unknown_mode_is_refused_by_name(clip):
    source = _source(clip("open_gop.mkv"))
    with pytest.raises(ValueError, match=r"keyframes.mode = 'all'; known: iframes, mpdecimate, interval, shot"):
        list(candidates(source, probe_source(source), _settings("all"), DecodeReport()))


def test_an_interval_takes_the_first_frame_of_each_stretch(clip):
    found = [candidate.pts_ms for candidate in Interval(every_s=0.5).candidates(clip("open_gop.mkv"))]
    assert found == [0, 500, 1000, 1500, 2000, 2500]
    # Frames 42 ms apart: the first at or after each tenth of a second.
    found = [candidate.pts_ms for candidate in Interval(every_s=0.1).candidates(clip("open_gop.mkv"))]
    assert found[:6] == [0, 125, 208, 333, 417, 500]


def test_an_interval_shorter_than_a_frame_takes_each_frame_once(clip):
    # 24 frames at 24 per second, then every third one.
    found = [candidate.pts_ms for candidate in Interval(every_s=0.01).candidates(clip("vfr.mkv"))]
    assert found == [frame.pts_ms for frame in iter_frames(clip("vfr.mkv"))]


@pytest.fixture
def three_shots(ffmpeg, tmp_path):
    """Three drawn shots of 2 s: sharp only from 1.2 to 1.4 s; a fade through black to the next; one that moves."""
    path = tmp_path / "shots.mkv"
    source = "testsrc2=s=320x180:r=24:d=2"
    drawn = (
        f"{source},gblur=sigma=1.2:enable='not(between(t,1.2,1.4))'[a];"
        f"{source},hue=h=120,fade=out:st=1:d=1[b];{source},hue=h=240,fade=in:st=0:d=0.7[c];[a][b][c]concat=n=3"
    )
    ffmpeg("-filter_complex", drawn, "-c:v", "libx264", "-crf", "18", path)
    return path


def test_a_shot_gives_its_sharpest_frames_spread_out_and_none_of_its_fades(three_shots):
    found = list(Shot(frames_per_shot=1).candidates(three_shots))
    assert len(found) == 3
    first, second, third = (candidate.pts_s for candidate in found)
    assert 1.2 <= first <= 1.4
    assert 2 <= second < 3.5
    assert 4.4 < third <= 6

    pairs = [candidate.pts_s for candidate in Shot(frames_per_shot=2).candidates(three_shots)]
    assert len(pairs) == 6
    assert pairs == sorted(pairs)
    for start, (early, late) in zip((0, 2, 4), zip(pairs[::2], pairs[1::2], strict=True), strict=True):
        assert start <= early < late <= start + 2
    # What is taken of the fades has at least six tenths of the contrast of the shot's best.
    contrasts = [candidate.signals.contrast for candidate in Shot(frames_per_shot=2).candidates(three_shots)]
    assert min(contrasts[2:4]) > 0.55 * max(contrasts[2:4])
    assert min(contrasts[4:]) > 0.55 * max(contrasts[4:])


def test_a_long_shot_is_sampled_from_end_to_end(ffmpeg, tmp_path):
    path = tmp_path / "long.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=24:d=20", "-c:v", "libx264", "-preset", "veryfast", path)
    found = [candidate.pts_s for candidate in Shot(frames_per_shot=4).candidates(path)]
    assert len(found) == 4
    assert found[0] < 6
    assert found[-1] > 14
    assert np.diff(found).min() > 1.5


def test_candidates_come_in_order_and_only_a_few_frames_ahead():
    drawn, answered = [], []

    def numbers():
        for number in range(100):
            drawn.append(number)
            yield number

    for answer in ahead(lambda number: number * 2, numbers()):
        answered.append(answer)
        assert len(drawn) - len(answered) < 10
    assert answered == list(range(0, 200, 2))


def test_the_same_file_gives_the_same_candidates_each_time(clip):
    runs = [
        [(one.pts, one.signals, one.image.tobytes()) for one in Shot().candidates(clip("b_pyramid.mp4"))]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0]


def test_a_damaged_end_leaves_the_candidates_before_it(clip, tmp_path):
    content = clip("open_gop.mkv").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) * 2 // 3])
    source, report = _source(cut), DecodeReport()
    found = list(candidates(source, probe_source(source), _settings("interval"), report))
    assert 2 <= len(found) < 6
    assert report.reasons


def test_candidates_of_an_interlaced_video_are_put_together_alike_in_both_sizes(ffmpeg, tmp_path):
    path = tmp_path / "interlaced.mkv"
    drawn = "testsrc2=s=320x180:r=50:d=2,interlace=scan=tff"
    ffmpeg("-f", "lavfi", "-i", drawn, "-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", "tff=1", path)
    source = _source(path)
    row = probe_source(source) | {"cadence": "tff"}
    settings = _settings("interval", working_short_side_px=1000)
    small = {one["image_id"]: (one, picture) for one, picture in candidates(source, row, settings, DecodeReport())}
    large = dict(full_size(source, {image_id: one for image_id, (one, _) in small.items()}, row, settings))
    for image_id, (_, picture) in small.items():
        np.testing.assert_array_equal(large[image_id], picture)
        # Neighbouring lines are alike again: those of one field are not nearer to one another than the two fields are.
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int)
        assert np.abs(grey[1:] - grey[:-1]).mean() < np.abs(grey[2:] - grey[:-2]).mean()
    assert probe(path).readable
    assert len(list(IFrames().candidates(path))) >= 1
