import gc
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_pipeline.video import pictures
from dataset_pipeline.video.color import Conversion, square_size
from dataset_pipeline.video.decode import DecodeReport, VideoError, frames_at, iter_frames
from dataset_pipeline.video.stream import open_video

DRAWN = "testsrc2=s={}:r=24:d=0.1"
REFERENCE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# Size, pixel format, matrix, range, and the labels (ffmpeg's names) written into the file.
COLOURS = {
    "bt709_limited": ("1280x720", "yuv420p", "bt709", "tv", ("bt709", "tv")),
    "bt709_full": ("1280x720", "yuv420p", "bt709", "pc", ("bt709", "pc")),
    "bt601_limited": ("320x240", "yuv420p", "bt601", "tv", ("smpte170m", "tv")),
    "bt601_full": ("320x240", "yuv420p", "bt601", "pc", ("smpte170m", "pc")),
    "bt709_in_small": ("320x240", "yuv420p", "bt709", "tv", ("bt709", "tv")),
    "bt2020_ten_bit": ("320x240", "yuv420p10le", "bt2020", "tv", ("bt2020nc", "tv")),
    "untagged_large": ("1280x720", "yuv420p", "bt709", "tv", ("unknown", "unknown")),
    "untagged_small": ("320x240", "yuv420p", "bt601", "tv", ("unknown", "unknown")),
    "full_chroma": ("320x240", "yuv444p", "bt601", "tv", ("smpte170m", "tv")),
}


def _picture(raw: bytes, width: int, height: int) -> np.ndarray:
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(int)


def _coloured(ffmpeg, path: Path, case: str) -> None:
    size, pixels, matrix, value_range, (matrix_label, range_label) = COLOURS[case]
    into = (
        f"format=gbrp,scale=out_color_matrix={matrix}:out_range={value_range},format={pixels},"
        f"setparams=colorspace={matrix_label}:range={range_label}:color_primaries=bt709"
    )
    ffmpeg("-f", "lavfi", "-i", DRAWN.format(size), "-vf", into, "-c:v", "libx264", "-qp", "0", path)


@pytest.mark.parametrize("case", COLOURS)
def test_rgb_is_what_ffmpeg_converts_with_its_best_flags(ffmpeg, tmp_path, case):
    size, _, matrix, value_range, _ = COLOURS[case]
    width, height = (int(side) for side in size.split("x"))
    path = tmp_path / "clip.mkv"
    _coloured(ffmpeg, path, case)
    drawn = DRAWN.format(size)
    back = f"scale=in_color_matrix={matrix}:in_range={value_range}:out_range=pc:flags={REFERENCE_FLAGS},format=rgb24"
    reference = ffmpeg("-i", path, "-frames:v", "1", "-vf", back, "-f", "rawvideo", "-").stdout
    original = ffmpeg("-f", "lavfi", "-i", drawn, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout

    rgb = next(iter_frames(path)).rgb()
    assert (rgb.shape, rgb.dtype) == ((height, width, 3), np.uint8)
    assert np.abs(rgb - _picture(reference, width, height)).mean() <= 1
    assert np.abs(rgb - _picture(original, width, height)).mean() <= 3


@pytest.mark.parametrize("case", ["bt709_limited", "bt709_full", "bt601_limited", "bt601_full", "bt709_in_small"])
def test_nearest_chroma_is_what_ffmpeg_converts_without_flags(ffmpeg, tmp_path, case):
    size, _, matrix, value_range, _ = COLOURS[case]
    width, height = (int(side) for side in size.split("x"))
    path = tmp_path / "clip.mkv"
    _coloured(ffmpeg, path, case)
    plain = f"scale=in_color_matrix={matrix}:in_range={value_range},format=rgb24"
    reference = ffmpeg("-i", path, "-frames:v", "1", "-vf", plain, "-f", "rawvideo", "-").stdout

    rgb = next(iter_frames(path, conversion=Conversion(chroma_upsampling="nearest"))).rgb()
    apart = np.abs(rgb - _picture(reference, width, height))
    assert apart.mean() <= 1
    assert apart.max() <= 4  # of its tables


@pytest.mark.parametrize("flips", [[], ["-display_hflip"], ["-display_vflip"]], ids=["", "mirrored", "upside_down"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_video_stands_upright(ffmpeg, clip, tmp_path, degrees, flips):
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", str(degrees), *flips, "-i", clip("open_gop.mp4"), "-c", "copy", path)
    convert = f"scale=in_color_matrix=bt601:flags={REFERENCE_FLAGS},format=rgb24"
    upright = ffmpeg("-i", path, "-frames:v", "1", "-vf", convert, "-f", "rawvideo", "-").stdout
    rgb = next(iter_frames(path)).rgb()
    height, width = rgb.shape[:2]
    assert (width, height) == ((120, 160) if degrees % 180 else (160, 120))
    assert np.abs(rgb - _picture(upright, width, height)).mean() <= 1


@pytest.mark.parametrize(
    ("sar", "expected"),
    [
        (Fraction(1), (720, 480)),
        (Fraction(32, 27), (853, 480)),
        (Fraction(8, 9), (720, 540)),
        (Fraction(4, 3), (960, 480)),
    ],
)
def test_square_pixels_grow_one_side_and_shrink_none(sar, expected):
    assert square_size(720, 480, sar) == expected


def test_an_anamorphic_video_is_shown_with_square_pixels(ffmpeg, tmp_path):
    path = tmp_path / "dvd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=72x48:d=0.1,setsar=32/27", "-c:v", "ffv1", path)
    assert next(iter_frames(path)).rgb().shape == (48, 85, 3)


@pytest.mark.parametrize(
    "name",
    [
        "open_gop.mkv", "open_gop.mp4", "b_pyramid.mp4", "deep.mkv", "broadcast.ts", "interlaced.mkv", "ten_bit.mkv",
        "vp9.webm", "vp8.webm", "av1.mkv", "dvd.mpg", "old.avi", "vfr.mkv", "intra_refresh.mkv",
    ],
)  # fmt: skip
def test_frames_by_timestamp_are_exactly_those_decoded_in_sequence(clip, name):
    path = clip(name)
    sequence = {frame.pts: frame.rgb() for frame in iter_frames(path)}
    stamps = list(sequence)
    chosen = random.Random(1)
    for wanted in (stamps, chosen.sample(stamps, 6), [stamps[-1]], [stamps[1]]):
        found = dict(frames_at(path, wanted))
        assert list(found) == sorted(wanted)
        for pts in wanted:
            np.testing.assert_array_equal(found[pts], sequence[pts])


def test_frames_with_a_palette_are_found_with_its_colours(ffmpeg, tmp_path):
    path = tmp_path / "palette.mov"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=8:d=1", "-c:v", "rawvideo", "-pix_fmt", "pal8", path)
    last = list(iter_frames(path))[-1]
    ((_, found),) = frames_at(path, [last.pts])
    np.testing.assert_array_equal(found, last.rgb())


def test_a_timestamp_without_a_frame_is_named_and_the_others_are_given(clip):
    path = clip("open_gop.mkv")
    stamps = [frame.pts for frame in iter_frames(path)]
    given = []
    with pytest.raises(VideoError, match=f"no frame at pts {stamps[10] + 1}"):
        given.extend(pts for pts, _ in frames_at(path, [stamps[5], stamps[10] + 1, stamps[20]]))
    assert given == [stamps[5], stamps[20]]

    report = DecodeReport()
    assert [pts for pts, _ in frames_at(path, [stamps[5], stamps[10] + 1], report=report)] == [stamps[5]]
    assert report.reasons == [f"no frame at pts {stamps[10] + 1}"]


def test_frames_of_joined_recordings_are_found_by_their_place_on_the_line(clip, tmp_path):
    path = tmp_path / "twice.ts"
    path.write_bytes(clip("broadcast.ts").read_bytes() * 2)
    frames = list(iter_frames(path))
    assert len(frames) == 2 * 5 * 24
    first, second = frames[30], frames[30 + 5 * 24]
    found = dict(frames_at(path, [first.pts, second.pts]))
    np.testing.assert_array_equal(found[second.pts], first.rgb())


def test_what_an_edit_list_cuts_off_is_not_taken_for_a_loss_and_decoded_twice(ffmpeg, clip, tmp_path, monkeypatch):
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "1.5", "-i", clip("open_gop.mkv"), "-c", "copy", path)
    opened = []
    monkeypatch.setattr(pictures, "open_video", lambda *given: opened.append(given) or open_video(*given))
    report = DecodeReport()
    frames = list(iter_frames(path, report=report))
    with av.open(str(path)) as container:
        cut_off = sum(packet.is_discard for packet in container.demux(video=0))
    assert cut_off > 0
    assert (len(opened), report.packets, report.frames, report.reasons) == (1, len(frames), len(frames), [])


def test_the_end_of_a_file_that_was_cut_short_is_left_to_one_thread(clip, tmp_path, monkeypatch):
    path = tmp_path / "short.mkv"
    whole = clip("open_gop.mkv").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    opened = []
    monkeypatch.setattr(pictures, "open_video", lambda *given: opened.append(given[1]) or open_video(*given))
    report = DecodeReport()
    stamps = [frame.pts for frame in iter_frames(path, report=report)]
    assert opened == ["AUTO", "NONE"]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == report.frames < 72
    assert any("the video ends at" in reason for reason in report.reasons)


def test_a_stream_without_timestamps_counts_its_frames(ffmpeg, clip, tmp_path):
    path = tmp_path / "raw.h264"
    ffmpeg("-i", clip("open_gop.mkv"), "-c", "copy", "-bsf:v", "h264_mp4toannexb", path)
    frames = list(iter_frames(path))
    assert len(frames) == 72
    assert [frame.pts_ms for frame in frames[:3]] in ([0, 40, 80], [0, 42, 83])
    found = dict(frames_at(path, [frames[50].pts]))
    np.testing.assert_array_equal(found[frames[50].pts], frames[50].rgb())


def test_variable_frame_rates_keep_their_own_times(clip):
    stamps = [frame.pts_ms for frame in iter_frames(clip("vfr.mkv"))]
    # 24 frames at 24 per second, then every third one.
    assert stamps[:3] == [0, 42, 83]
    assert stamps[23:27] == [958, 1000, 1125, 1250]


def test_frames_leave_the_memory_without_waiting_for_the_collector(clip):
    gc.collect()
    gc.disable()
    try:
        count = sum(frame.rgb().shape[0] > 0 for frame in iter_frames(clip("open_gop.mkv")))
        left = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    finally:
        gc.enable()
    assert left < count / 4  # reading a frame's side data makes a cycle of the two


def test_reordered_frames_in_avi_are_all_there_at_even_times(tmp_path, ffmpeg):
    path, plain = tmp_path / "old.avi", tmp_path / "plain.mkv"
    source = ["-f", "lavfi", "-i", "testsrc2=s=160x120:r=24:d=2"]
    ffmpeg(*source, "-c:v", "libx264", "-preset", "fast", "-bf", "3", "-g", "24", path)
    ffmpeg("-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-c:v", "ffv1", plain)
    report = DecodeReport()
    frames = list(iter_frames(path, report=report))
    assert report.reasons == []
    assert np.diff([frame.pts for frame in frames]).tolist() == [1] * 47
    for frame, other in zip(frames, iter_frames(plain), strict=True):
        np.testing.assert_array_equal(frame.image.to_ndarray(), other.image.to_ndarray())
    intra = [frame.pts for frame in iter_frames(path, intra_only=True)]
    assert intra == [frame.pts for frame in frames if frame.is_intra]
    for (pts, rgb), frame in zip(
        frames_at(path, [frames[5].pts, frames[31].pts]), (frames[5], frames[31]), strict=True
    ):
        assert pts == frame.pts
        np.testing.assert_array_equal(rgb, frame.rgb())
