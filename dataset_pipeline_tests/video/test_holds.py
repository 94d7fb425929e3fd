"""Frames that show nothing new are dropped from many files: the picture before them stands, and nothing is missing."""

from pathlib import Path

import av
import pytest

from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.stream import DecodeReport

CODINGS = {
    "H.264": ["-c:v", "libx264", "-preset", "veryfast", "-g", "48", "-bf", "2"],
    "H.264, few references": ["-c:v", "libx264", "-preset", "ultrafast", "-g", "48"],
    "HEVC": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=48"],
    "MPEG-4": ["-c:v", "mpeg4", "-g", "48"],
    "VP9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "48"],
}
HOLDS = "select='not(between(t,1.5,3)+between(t,4,6))'"


def film(ffmpeg, path: Path, coding: list[str], *how: str) -> Path:
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=24:d=7", *how, *coding, path)
    return path


@pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS.keys())
@pytest.mark.parametrize("sound", [False, True], ids=["alone", "with sound"])
def test_a_picture_that_stands_while_repeats_of_it_were_dropped_is_no_hole(ffmpeg, tmp_path, coding, sound):
    all_frames_are_there(ffmpeg, tmp_path / "a.mkv", coding, sound)


@pytest.mark.parametrize("sound", [False, True], ids=["alone", "with sound"])
@pytest.mark.parametrize("coding", [CODINGS["H.264"], ["-c:v", "flv", "-g", "48"]], ids=["H.264", "Sorenson"])
def test_so_it_is_in_flv(ffmpeg, tmp_path, coding, sound):
    all_frames_are_there(ffmpeg, tmp_path / "a.flv", coding, sound)


@pytest.mark.parametrize("sound", [False, True], ids=["alone", "with sound"])
def test_so_it_is_in_avi_where_frames_of_no_bytes_stand_for_those_that_were_dropped(ffmpeg, tmp_path, sound):
    all_frames_are_there(ffmpeg, tmp_path / "a.avi", CODINGS["MPEG-4"], sound)


def all_frames_are_there(ffmpeg, path: Path, coding: list[str], sound: bool) -> None:
    report = DecodeReport()
    beep = ["-f", "lavfi", "-i", "sine=d=7", "-c:a", "aac"] if sound else []
    film(ffmpeg, path, coding, *beep, "-vf", HOLDS, "-fps_mode", "vfr")
    frames = list(iter_frames(path, report=report))
    assert len(frames) == 168 - 37 - 49
    assert (sum(frame.corrupt for frame in frames), report.reasons) == (0, [])
    intra = DecodeReport()
    assert not any(frame.corrupt for frame in iter_frames(path, intra_only=True, report=intra))
    assert intra.reasons == []


def without_packets(path: Path, first: int, last: int) -> Path:
    """The file without these packets, in a container that is whole."""
    copy = path.with_name("lost.mkv")
    with av.open(str(path)) as source, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and not first <= number < last:
                packet.stream = stream
                out.mux(packet)
    return copy


@pytest.mark.parametrize("coding", [CODINGS["H.264"], CODINGS["H.264, few references"], ["-c:v", "mpeg2video"]])
def test_what_was_lost_before_it_came_into_a_whole_container_is_a_hole(ffmpeg, tmp_path, coding):
    report = DecodeReport()
    lossy = without_packets(film(ffmpeg, tmp_path / "a.mkv", [*coding, "-g", "48"]), 60, 84)
    frames = list(iter_frames(lossy, report=report))
    assert any(reason.startswith("no frames from") for reason in report.reasons)
    assert not any(2.9 < frame.pts_s < 3.9 for frame in frames if not frame.corrupt)


def test_a_picture_does_not_stand_for_more_than_a_minute(ffmpeg, tmp_path):
    report = DecodeReport()
    path = film(ffmpeg, tmp_path / "a.mkv", CODINGS["H.264"], "-vf", "setpts='PTS+gte(N,60)*70/TB'", "-fps_mode", "vfr")
    assert list(iter_frames(path, report=report))
    assert any(reason.startswith("no frames from") for reason in report.reasons)
