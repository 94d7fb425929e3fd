"""How long the video is, by its frames: not by a header that counts the sound, copied timestamps, or lies."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.stream import DecodeReport

Make = Callable[..., Path]
PICTURES = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=2"]
LATE_PICTURES = ["-itsoffset", "600", *PICTURES]
LONG_SOUND = ["-f", "lavfi", "-i", "sine=d=8"]
CODED = ["-c:v", "mpeg4", "-g", "12", "-c:a", "aac", "-shortest_buf_duration", "0"]
COPIED_TIMES = [*CODED, "-copyts", "-muxdelay", "0"]


@pytest.fixture
def made(ffmpeg, tmp_path) -> Make:
    def encoded(name: str, *arguments: str) -> Path:
        ffmpeg("-loglevel", "error", *arguments, tmp_path / name)
        return tmp_path / name

    return encoded


def without_tags(path: Path) -> Path:
    """The Matroska file without the durations of its streams."""
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"XURATION"))
    return path


def with_duration(path: Path, seconds: float) -> Path:
    """The Matroska file with another duration in its header, a float of eight bytes in milliseconds."""
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:at] + struct.pack(">d", 1000 * seconds) + data[at + 8 :])
    return path


def subtitled(made: Make, folder: Path) -> Path:
    lines = folder / "lines.srt"
    lines.write_text("1\n00:00:00,000 --> 00:00:00,500\nHello\n\n2\n00:00:07,000 --> 00:00:08,000\nBye\n")
    return without_tags(made("a.mkv", *PICTURES, "-i", str(lines), *CODED, "-c:s", "srt"))


WHOLE: dict[str, Callable[[Make, Path], Path]] = {
    "start at 600 s, Matroska": lambda made, folder: made("a.mkv", *LATE_PICTURES, *COPIED_TIMES),
    "start at 600 s, Matroska without tags": lambda made, folder: without_tags(
        made("a.mkv", *LATE_PICTURES, *COPIED_TIMES)
    ),
    "start at 600 s, MP4": lambda made, folder: made("a.mp4", *LATE_PICTURES, *COPIED_TIMES),
    "start at 600 s, fragments": lambda made, folder: made(
        "a.mp4", *LATE_PICTURES, *COPIED_TIMES, "-movflags", "frag_keyframe+empty_moov"
    ),
    "start at 600 s, transport stream": lambda made, folder: made("a.ts", *LATE_PICTURES, *COPIED_TIMES),
    "start at 600 s, FLV": lambda made, folder: made("a.flv", *LATE_PICTURES, *COPIED_TIMES, "-c:v", "flv"),
    "longer sound, Matroska": lambda made, folder: made("a.mkv", *PICTURES, *LONG_SOUND, *CODED),
    "longer sound, Matroska without tags": lambda made, folder: without_tags(
        made("a.mkv", *PICTURES, *LONG_SOUND, *CODED)
    ),
    "longer sound, MP4": lambda made, folder: made("a.mp4", *PICTURES, *LONG_SOUND, *CODED),
    "longer sound, transport stream": lambda made, folder: made("a.ts", *PICTURES, *LONG_SOUND, *CODED),
    "longer sound, FLV": lambda made, folder: made("a.flv", *PICTURES, *LONG_SOUND, *CODED, "-c:v", "flv"),
    "longer subtitles": subtitled,
    "sound from 600 s on, pictures from 606 s on": lambda made, folder: without_tags(
        made("a.mkv", "-itsoffset", "606", *PICTURES, "-itsoffset", "600", *LONG_SOUND, *COPIED_TIMES)
    ),
    "a header of half a second": lambda made, folder: with_duration(
        without_tags(made("a.mkv", *PICTURES, *CODED)), 0.5
    ),
    "a header of half a second, longer sound": lambda made, folder: with_duration(
        without_tags(made("a.mkv", *PICTURES, *LONG_SOUND, *CODED)), 0.5
    ),
}


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_file_is_as_long_as_its_pictures_and_nothing_of_it_is_missing(make, made, tmp_path):
    path, report = make(made, tmp_path), DecodeReport()
    found = probe(path)
    assert found.damage == ()
    assert found.duration_s == pytest.approx(2, abs=0.06)
    assert found.frame_rate == pytest.approx(24, abs=0.1)
    assert len(list(iter_frames(path, report=report))) == 48
    assert report.reasons == []


@pytest.mark.parametrize(
    "make",
    [make for name, make in WHOLE.items() if "header" not in name and "MP4" not in name],
    ids=[name for name in WHOLE if "header" not in name and "MP4" not in name],
)
def test_the_same_file_cut_at_a_third_is_named(make, made, tmp_path):
    path, report = make(made, tmp_path), DecodeReport()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    found = probe(path)
    if found.readable:
        list(iter_frames(path, report=report))
    assert found.damage or report.reasons


def test_sound_that_ends_with_the_pictures_says_that_the_file_was_cut(made, tmp_path):
    """No size is promised, as of a recording: the header's duration alone tells."""
    sound = ["-f", "lavfi", "-i", "sine=d=2"]
    path, report = made("a.mkv", *PICTURES, *sound, *CODED, "-f", "matroska"), DecodeReport()
    without_tags(path)
    content = path.read_bytes()
    at = content.index(b"\x18\x53\x80\x67") + 4
    path.write_bytes((content[:at] + b"\x01" + b"\xff" * 7 + content[at + 8 :])[: len(content) // 3])
    with_duration(path, 20)
    list(iter_frames(path, report=report))
    assert any(reason.startswith("the video ends at") and reason.endswith("of 20.0 s") for reason in report.reasons)
