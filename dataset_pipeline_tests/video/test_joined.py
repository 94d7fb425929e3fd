"""Transport streams put one behind the other: nothing of either part is lost, and the clock's jump is no frame rate."""

from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.video.decode import frames_at, iter_frames
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.stream import DecodeReport

CODINGS = {
    "H.264": ["-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "2"],
    "HEVC": ["-c:v", "libx265", "-preset", "ultrafast", "-g", "12", "-x265-params", "log-level=none"],
    "MPEG-2": ["-c:v", "mpeg2video", "-g", "12", "-bf", "2"],
}


def part(ffmpeg, path: Path, coding: list[str], offset_s: int) -> bytes:
    source = "testsrc2=s=96x64:r=24:d=2"
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", source, *coding, "-output_ts_offset", str(offset_s), path)
    return path.read_bytes()


@pytest.mark.parametrize("coding", CODINGS.values(), ids=CODINGS.keys())
@pytest.mark.parametrize("offset_s", [0, 7200], ids=["starts over", "jumps ahead"])
def test_joined_recordings_keep_the_last_frames_of_the_first(ffmpeg, tmp_path, coding, offset_s):
    path, report = tmp_path / "joined.ts", DecodeReport()
    first, second = (part(ffmpeg, tmp_path / "part.ts", coding, second) for second in (0, offset_s))
    path.write_bytes(first + second)
    frames = list(iter_frames(path, report=report))
    assert len(frames) == 96
    assert not any(frame.corrupt for frame in frames)
    assert [reason for reason in report.reasons if not reason.startswith("no frames from")] == []
    found = probe(path)
    assert (found.frame_rate, found.damage) == (pytest.approx(24, abs=0.05), ())
    assert found.duration_s == pytest.approx(frames[-1].pts_s + 1 / 24, abs=0.1)


def pictures_are_those_of_the_whole(path: Path, count: int) -> list[float]:
    """The seconds of all frames; each tenth is asked for by its timestamp, and comes out as it does with all others."""
    whole = {frame.pts: (frame.pts_s, frame.rgb()) for frame in iter_frames(path)}
    assert len(whole) == count
    wanted = list(whole)[::10]
    found = dict(frames_at(path, wanted))
    assert list(found) == wanted
    assert [pts for pts in wanted if not np.array_equal(found[pts], whole[pts][1])] == []
    return [seconds for seconds, _ in whole.values()]


@pytest.mark.parametrize("how", [[], ["-live", "1"]], ids=["of known length", "of unknown length"])
def test_matroska_files_put_one_behind_the_other_give_the_picture_of_each_time(ffmpeg, tmp_path, how):
    parts = []
    for colour, seconds, key_every in (("0", 2, 12), ("120", 6, 15)):
        source = f"testsrc2=s=96x64:r=24:d={seconds},hue=h={colour}"
        coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", str(key_every), *how]
        ffmpeg("-loglevel", "error", "-y", "-f", "lavfi", "-i", source, *coding, tmp_path / "part.mkv")
        parts.append((tmp_path / "part.mkv").read_bytes())
    path = tmp_path / "joined.mkv"
    path.write_bytes(b"".join(parts))
    times_s = pictures_are_those_of_the_whole(path, 8 * 24)
    assert probe(path).duration_s == pytest.approx(times_s[-1] + 1 / 24, abs=0.05)


def test_frames_that_their_container_gives_no_time_do_not_take_that_of_others(ffmpeg, tmp_path):
    part = tmp_path / "part.mkv"
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "24"]
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=24:d=6", *coding, part)
    shift = ["-output_ts_offset", "-2", "-avoid_negative_ts", "disabled"]
    ffmpeg("-loglevel", "error", "-i", part, "-c", "copy", *shift, tmp_path / "a.mkv")
    pictures_are_those_of_the_whole(tmp_path / "a.mkv", 144)
