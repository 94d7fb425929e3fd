"""Transport streams put one behind the other: nothing of either part is lost, and the clock's jump is no frame rate."""

from pathlib import Path

import pytest

from dataset_pipeline.video.decode import iter_frames
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
