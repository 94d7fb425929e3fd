import struct

import pytest
from PIL import Image

from dataset_pipeline.video.containers import missing_end, sniff_container
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.probe import Chapter, has_video, probe


def test_facts_of_a_sound_file(clip):
    found = probe(clip("ten_bit.mkv"))
    assert found.readable
    assert found.damage == ()
    assert (found.container, found.codec) == ("matroska,webm", "hevc")
    assert (found.width_px, found.height_px, found.display_width_px, found.display_height_px) == (160, 120, 160, 120)
    assert (found.pix_fmt, found.bit_depth) == ("yuv420p10le", 10)
    assert found.frame_rate == pytest.approx(24)
    assert found.duration_s == pytest.approx(5)
    assert not found.is_vfr
    assert (found.stream_index, found.video_streams, found.audio_streams, found.subtitle_streams) == (0, 1, 0, 0)


ORDINARY = {
    "readable": True, "width_px": 160, "height_px": 120, "display_width_px": 160, "display_height_px": 120,
    "sample_aspect": 1.0, "rotation_deg": 0, "pixel_format": "yuv420p", "bit_depth": 8, "color_space": "unknown",
    "color_primaries": "unknown", "color_transfer": "unknown", "color_range": "tv", "used_matrix": "bt601",
    "used_primaries": "smpte170m", "used_transfer": "sdr", "used_range": "tv", "peak_nits": 1000.0,
    "cadence": "progressive", "bar_left_px": 0, "bar_top_px": 0, "bar_right_px": 0, "bar_bottom_px": 0,
    "frame_rate": 24.0, "variable_frame_rate": False, "duration_s": 3.0, "start_s": 0.0, "video_streams": 1,
    "audio_streams": 0, "subtitle_streams": 0, "chapters": [], "damage": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("open_gop.mkv", {"container": "matroska,webm", "codec": "h264"}),
        ("open_gop.mp4", {"container": "mov,mp4,m4a,3gp,3g2,mj2", "codec": "h264", "color_range": "unknown"}),
        ("vp9.webm", {"container": "matroska,webm", "codec": "vp9"}),
        ("dvd.mpg", {"container": "mpeg", "codec": "mpeg2video", "duration_s": 2.9583333333333335,
                     "start_s": 0.5416666666666666}),
        ("broadcast.ts", {"container": "mpegts", "codec": "h264", "duration_s": 5.0, "start_s": 1.4833333333333334,
                          "color_range": "unknown"}),
    ],
)  # fmt: skip
def test_the_row_of_an_ordinary_file_stays_what_it_is_so_that_nothing_is_decoded_again(clip, name, own):
    assert probe(clip(name)).row() == {**ORDINARY, **own}


@pytest.mark.parametrize("name", ["open_gop.mp4", "open_gop.mkv", "dvd.mpg", "broadcast.ts", "old.avi", "vp9.webm"])
def test_a_steady_rate_is_not_taken_for_a_variable_one(clip, name):
    found = probe(clip(name))
    assert not found.is_vfr
    assert found.frame_rate == pytest.approx(24, abs=0.01)


def test_a_variable_rate_is_the_true_average(clip):
    found = probe(clip("vfr.mkv"))
    frames = list(iter_frames(clip("vfr.mkv")))
    assert found.is_vfr
    assert found.frame_rate == pytest.approx(len(frames) / 3, rel=0.05)
    assert found.duration_s == pytest.approx(3, abs=0.15)


def test_a_stream_that_starts_late_says_so(clip):
    assert probe(clip("broadcast.ts")).start_pts_s > 1


def test_shape_turn_colour_chapters_and_other_streams(ffmpeg, tmp_path):
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Opening\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=本編\n"
    )
    subtitles = tmp_path / "lines.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,500\nHello\n")
    path = tmp_path / "full.mkv"
    ffmpeg(
        *(
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=72x48:r=10:d=1,setsar=32/27,format=yuv420p,setparams=colorspace=smpte170m:range=pc",
        ),
        *("-f", "lavfi", "-i", "sine=d=1", "-i", subtitles, "-i", chapters, "-map", "0", "-map", "1", "-map", "2"),
        *("-map_metadata", "3", "-c:v", "libx264", "-c:a", "flac", "-c:s", "srt", path),
    )
    found = probe(path)
    assert (found.width_px, found.height_px) == (72, 48)
    assert (found.display_width_px, found.display_height_px) == (85, 48)
    assert (found.color_space, found.color_range, found.color_transfer) == ("smpte170m", "pc", "unknown")
    assert (found.audio_streams, found.subtitle_streams) == (1, 1)
    assert found.chapters == (Chapter(0.0, 0.4, "Opening"), Chapter(0.4, 1.0, "本編"))


def test_the_frame_rate_leaves_out_what_an_edit_list_cuts_off(ffmpeg, clip, tmp_path):
    path = tmp_path / "edited.mp4"
    ffmpeg("-ss", "0.7", "-i", clip("open_gop.mp4"), "-c", "copy", path)
    assert probe(path).frame_rate == pytest.approx(24, rel=0.03)


def test_a_turned_video_swaps_its_display_sides(ffmpeg, clip, tmp_path):
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", clip("open_gop.mp4"), "-c", "copy", path)
    found = probe(path)
    assert (found.width_px, found.height_px) == (160, 120)
    assert (found.display_width_px, found.display_height_px, found.rotation_deg) == (120, 160, 90)


def test_cover_art_is_never_the_video(ffmpeg, clip, tmp_path):
    cover = tmp_path / "cover.png"
    Image.new("RGB", (600, 800), "red").save(cover)
    path = tmp_path / "covered.mp4"
    ffmpeg(
        *("-i", cover, "-i", clip("open_gop.mp4"), "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:v:0", "attached_pic", path),
    )
    found = probe(path)
    assert (found.codec, found.width_px, found.video_streams) == ("h264", 160, 2)

    song = tmp_path / "song.m4a"
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=d=1", "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy"),
        *("-disposition:v:0", "attached_pic", song),
    )
    found = probe(song)
    assert not found.readable
    assert found.damage == ("holds no video stream (1 audio and 1 cover art streams)",)
    assert not has_video(song)


def test_a_missing_duration_is_measured(ffmpeg, clip, tmp_path):
    path = tmp_path / "live.webm"
    path.write_bytes(ffmpeg("-i", clip("vp9.webm"), "-c", "copy", "-live", "1", "-f", "webm", "-").stdout)
    assert probe(path).duration_s == pytest.approx(3, abs=0.05)


def test_a_duration_below_zero_is_measured(clip, tmp_path):
    data = clip("open_gop.mkv").read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a float of eight bytes
    tag = data.index(b"DURATION")
    path = tmp_path / "below.mkv"
    path.write_bytes(data[:at] + struct.pack(">d", -5.0) + data[at + 8 : tag] + b"X" + data[tag + 1 :])
    assert probe(path).duration_s == pytest.approx(3, abs=0.05)


def test_what_is_no_video_says_in_plain_words_why(ffmpeg, clip, tmp_path):
    text, empty, audio = tmp_path / "notes.mkv", tmp_path / "empty.mkv", tmp_path / "audio.mkv"
    text.write_text("not a video\n" * 1000)
    empty.touch()
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "flac", audio)
    no_index = tmp_path / "no_index.mp4"
    content = clip("open_gop.mp4").read_bytes()
    no_index.write_bytes(content[: len(content) // 2])
    for path, reason in (
        (text, "is not a video: it is text"),
        (empty, "the file is empty (0 bytes)"),
        (audio, "holds no video stream (1 audio streams)"),
        (tmp_path, "is a folder, not a video file"),
        (no_index, "cannot be opened as a video: Invalid data found when processing input"),
    ):
        found = probe(path)
        assert not found.readable, path
        assert found.damage[0] == reason
    with pytest.raises(FileNotFoundError, match=r"absent\.mkv"):
        probe(tmp_path / "absent.mkv")


@pytest.mark.parametrize("name", ["open_gop.mkv", "vp9.webm", "old.avi", "front.mp4"])
def test_a_cut_off_file_is_readable_and_names_what_is_missing(ffmpeg, clip, tmp_path, name):
    if name == "front.mp4":
        whole = tmp_path / "whole.mp4"
        ffmpeg("-i", clip("open_gop.mp4"), "-c", "copy", "-movflags", "+faststart", whole)
    else:
        whole = clip(name)
    content = whole.read_bytes()
    assert missing_end(whole) is None
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(content[: len(content) * 2 // 3])
    found = probe(cut)
    assert found.readable
    assert found.damage == (f"the file is cut off: it ends at byte {len(content) * 2 // 3} of {len(content)}",)
    assert 0 < found.duration_s < 2.9


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\x1a\x45\xdf\xa3" + bytes(20), "matroska"),
        (b"\0\0\0\x20ftypisom" + bytes(20), "mp4"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mp4"),
        (b"\0\0\0\x20ftypavif" + bytes(20), None),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        ((b"\x47" + bytes(187)) * 6, "mpeg-ts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 6, "mpeg-ts"),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"G" * 2048, "mpeg-ts"),
        (b"", None),
    ],
)
def test_containers_are_known_by_their_first_bytes(head, container):
    assert sniff_container(head) == container


def test_an_encrypted_file_says_so_and_no_noise_is_taken_from_it(ffmpeg, tmp_path):
    path = tmp_path / "a.mp4"
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "1" * 32, "-encryption_kid", "2" * 32]
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=24:d=1", "-c:v", "mpeg4", *key, path)
    found = probe(path)
    assert (found.readable, found.damage) == (False, ("is encrypted (DRM): only a player that has its key shows it",))
