import math
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_pipeline.video.decode import DecodeReport, VideoError, frames_at, iter_frames
from dataset_pipeline.video.keyframes import IFrames, measure, working_copy
from dataset_pipeline.video.losses import stamp_of

ENCODED = [
    "open_gop.mkv",
    "open_gop.mp4",
    "b_pyramid.mp4",
    "deep.mkv",
    "broadcast.ts",
    "interlaced.mkv",
    "ten_bit.mkv",
    "vp9.webm",
    "vp8.webm",
    "av1.mkv",
    "dvd.mpg",
    "old.avi",
    "vfr.mkv",
    "intra_refresh.mkv",
]
MEDIA_COUNTS = {
    "edge/bt2020_10bit.mp4": 1,
    "edge/decord_corrupted.mp4": 1,
    "edge/fades.mp4": 243,
    "edge/no_duration.webm": 1,
    "edge/testsrc2_odd_444_10bit.mp4": 1,
    "open_movies/big_buck_bunny_0_30.webm": 10,
    "open_movies/sintel_trailer_720p30.mp4": 26,
    "photo/rabbit320.mp4": 2,
}


@pytest.mark.parametrize("name", ENCODED)
def test_intra_frames_are_those_that_ffmpeg_selects_and_those_of_a_full_decode(clip, ffmpeg_intra_pts, name):
    path = clip(name)
    fast = list(iter_frames(path, intra_only=True))
    full = [frame for frame in iter_frames(path) if frame.is_intra]
    assert [frame.pts for frame in fast] == ffmpeg_intra_pts(path)
    assert [(frame.pts, frame.pts_ms) for frame in fast] == [(frame.pts, frame.pts_ms) for frame in full]
    for one, other in zip(fast, full, strict=True):
        np.testing.assert_array_equal(one.image.to_ndarray(), other.image.to_ndarray())


CARD = "testsrc2=s=160x120:r=24:d=2"
# What encodes each, and how many of its 48 packets the container marks.
UNTYPED = {
    "cinepak.mov": (["-c:v", "cinepak", "-g", "12"], 4),
    "animation.mov": (["-c:v", "qtrle", "-g", "12"], 4),
    "video1.avi": (["-c:v", "msvideo1", "-g", "12"], 2),
    "graphics.mov": (["-c:v", "smc", "-g", "12"], 4),
    "screen.flv": (["-c:v", "flashsv", "-g", "12"], 24),
    "video.mov": (["-c:v", "rpza", "-g", "12"], 48),
    "cineform.mov": (["-c:v", "cfhd"], 48),
}


def _marked(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return sorted(stamp_of(packet) for packet in packets if packet.size and packet.is_keyframe)


@pytest.mark.parametrize(("name", "arguments", "count"), [(name, *made) for name, made in UNTYPED.items()])
def test_where_a_decoder_knows_no_types_of_pictures_the_containers_key_frames_are_found(
    tmp_path, ffmpeg, name, arguments, count
):
    ffmpeg("-f", "lavfi", "-i", CARD, *arguments, "-strict", "-2", tmp_path / name)
    report = DecodeReport()
    found = [candidate.pts for candidate in IFrames(short_side_px=32).candidates(tmp_path / name, report)]
    assert found == _marked(tmp_path / name)
    assert (len(found), report.sparse, report.reasons) == (count, "", [])


def test_an_intra_refresh_has_the_frames_that_a_decoder_may_start_at_whole_and_to_be_found_again(clip):
    path = clip("intra_refresh.mkv")
    found = list(IFrames(short_side_px=120).candidates(path))
    assert [candidate.pts for candidate in found] == _marked(path)
    assert len(found) == 3
    whole = {frame.pts: frame.rgb() for frame in iter_frames(path)}
    for (pts, again), candidate in zip(frames_at(path, [one.pts for one in found]), found, strict=True):
        np.testing.assert_array_equal(again, whole[pts])
        np.testing.assert_array_equal(candidate.image, whole[pts])


def test_a_video_without_any_mark_names_the_modes_that_find_frames(tmp_path, ffmpeg):
    ffmpeg("-f", "lavfi", "-i", CARD, "-s", "160x128", "-r", "30", "-c:v", "roqvideo", "-an", tmp_path / "game.roq")
    report = DecodeReport()
    assert list(IFrames().candidates(tmp_path / "game.roq", report)) == []
    assert report.sparse.startswith("no frame is marked as a key frame: [keyframes] mode = ")
    assert '"interval"' in report.sparse


def test_a_video_of_one_intra_frame_in_a_minute_names_them_too(tmp_path, ffmpeg):
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=4:d=60", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-x264-params", "keyint=infinite:scenecut=0", tmp_path / "long.mkv"),
    )
    report = DecodeReport()
    assert len(list(IFrames().candidates(tmp_path / "long.mkv", report))) == 1
    assert report.sparse.startswith("of 60 s only 1 frame is intra: [keyframes] mode = ")


def test_a_picture_with_exif_in_its_frame_is_read(tmp_path, ffmpeg):
    ffmpeg("-f", "lavfi", "-i", CARD, "-c:v", "tiff", tmp_path / "exif.mov")
    assert len([frame.rgb() for frame in iter_frames(tmp_path / "exif.mov")]) == 48


def test_the_clips_hold_intra_frames_that_are_no_key_frames(clip):
    for name in ("b_pyramid.mp4", "deep.mkv", "broadcast.ts", "ten_bit.mkv"):
        frames = list(iter_frames(clip(name), intra_only=True))
        assert any(not frame.image.key_frame for frame in frames), name


@pytest.mark.parametrize(("name", "count"), MEDIA_COUNTS.items())
def test_intra_frames_of_real_clips_are_those_that_ffmpeg_selects(media, ffmpeg_intra_pts, name, count):
    found = [candidate.pts for candidate in IFrames(short_side_px=32).candidates(media / name)]
    assert len(found) == count
    assert found == ffmpeg_intra_pts(media / name)


def test_a_candidate_holds_its_time_its_full_size_and_a_small_copy(clip):
    candidates = list(IFrames(short_side_px=60).candidates(clip("open_gop.mkv")))
    assert [candidate.pts_ms for candidate in candidates] == [0, 1000, 2000]
    assert [candidate.pts_s for candidate in candidates] == pytest.approx([0.0, 1.0, 2.0])
    assert (candidates[0].width_px, candidates[0].height_px) == (160, 120)
    assert candidates[0].image.shape == (60, 80, 3)
    assert candidates[0].image.dtype == np.uint8


def test_time_counts_from_the_first_frame_not_from_the_first_timestamp(clip):
    path = clip("broadcast.ts")
    first = next(IFrames().candidates(path))
    assert first.pts > 0
    assert (first.pts_ms, first.pts_s) == (0, 0.0)


def test_no_two_candidates_share_a_millisecond_and_time_rises(clip):
    for name in ENCODED:
        stamps = [frame.pts_ms for frame in iter_frames(clip(name))]
        assert stamps == sorted(set(stamps)), name


def test_joined_recordings_go_on_where_the_first_one_ended(clip, tmp_path):
    once = list(IFrames().candidates(clip("broadcast.ts")))
    twice = tmp_path / "twice.ts"
    twice.write_bytes(clip("broadcast.ts").read_bytes() * 2)
    stamps = [candidate.pts_ms for candidate in IFrames().candidates(twice)]
    assert len(stamps) == 2 * len(once)
    assert stamps == sorted(set(stamps))
    assert stamps[len(once)] == pytest.approx(5000, abs=50)


def test_a_truncated_file_gives_its_good_part_and_names_the_damage(clip, tmp_path):
    whole = [candidate.pts for candidate in IFrames().candidates(clip("ten_bit.mkv"))]
    content = clip("ten_bit.mkv").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) // 2])
    report = DecodeReport()
    part = [candidate.pts for candidate in IFrames().candidates(cut, report=report)]
    assert 0 < len(part) < len(whole)
    assert part == whole[: len(part)]
    assert any("of 5.0 s" in reason for reason in report.reasons)


def test_frames_that_decode_with_errors_are_left_out_and_counted(clip, tmp_path):
    content = bytearray(clip("dvd.mpg").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 600] = bytes(600)
    damaged = tmp_path / "damaged.mpg"
    damaged.write_bytes(content)
    report = DecodeReport()
    found = [candidate.pts for candidate in IFrames().candidates(damaged, report=report)]
    whole = [candidate.pts for candidate in IFrames().candidates(clip("dvd.mpg"))]
    assert set(found) <= set(whole)
    assert report.corrupt_frames + report.bad_packets > 0
    assert report.reasons


@pytest.mark.parametrize("cores", [1, 2, 3, 16])
def test_a_bad_packet_is_skipped_and_counted_and_what_follows_is_kept_on_any_machine(
    clip, tmp_path, monkeypatch, cores
):
    monkeypatch.setattr("dataset_pipeline.video.stream.usable_cores", lambda: cores)
    path = clip("vp9.webm")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        content = bytearray(path.read_bytes())
        start = content.find(bytes(packets[10]))
    content[start : start + 8] = b"\xff" * 8
    damaged = tmp_path / "damaged.webm"
    damaged.write_bytes(content)
    report = DecodeReport()
    frames = list(iter_frames(damaged, report=report))
    assert report.bad_packets > 0
    assert any("could not be decoded" in reason for reason in report.reasons)
    assert frames[-1].pts == packets[-1].pts


def test_a_file_without_frames_raises_and_names_file_and_reason(tmp_path):
    text = tmp_path / "notes.mkv"
    text.write_text("not a video")
    with pytest.raises(VideoError, match=r"notes\.mkv: cannot be opened as a video"):
        list(IFrames().candidates(text))
    with pytest.raises(FileNotFoundError, match=r"absent\.mkv"):
        list(IFrames().candidates(tmp_path / "absent.mkv"))


def test_signals_of_a_flat_picture_and_of_a_checkerboard_are_as_computed_by_hand():
    flat = measure(np.full((8, 8, 3), 51, np.uint8))
    assert flat.brightness == pytest.approx(0.2)
    assert (flat.contrast, flat.sharpness, flat.blackness, flat.entropy) == (0, 0, 0, 0)

    board = np.zeros((8, 8, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    signals = measure(board)
    assert (signals.brightness, signals.contrast, signals.blackness) == pytest.approx((0.5, 0.5, 0.5))
    assert signals.entropy == pytest.approx(1.0)
    # Every pixel's four neighbours are the other colour, at the mirrored border too: the Laplacian is +-4 * 255.
    assert math.sqrt(signals.sharpness) == pytest.approx(4 * 255)


def test_a_blurred_picture_is_less_sharp():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    smooth = working_copy(working_copy(noise, 16).repeat(4, axis=0).repeat(4, axis=1), 64)
    assert measure(smooth).sharpness < measure(noise).sharpness / 4


def test_a_working_copy_is_never_enlarged():
    picture = np.zeros((50, 70, 3), np.uint8)
    assert working_copy(picture, 288).shape == (50, 70, 3)
    assert working_copy(np.zeros((720, 1280, 3), np.uint8), 288).shape == (288, 512, 3)


def test_names_in_any_script_and_with_signs_of_protocols_are_opened(clip, tmp_path, monkeypatch):
    for name in ("葬送のフリーレン 第07話.mkv", "Re: Zero 50%d.mkv", "-dash.mkv"):
        path = tmp_path / name
        path.write_bytes(clip("open_gop.mkv").read_bytes())
        monkeypatch.chdir(tmp_path)
        assert len(list(IFrames().candidates(Path(name)))) == 3
