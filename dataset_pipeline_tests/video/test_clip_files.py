"""Clips as files: which frames, at which rate, in which colours, and the same bytes each time."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dataset_pipeline.settings import TrainingClipsSettings
from dataset_pipeline.video import clip_files as module
from dataset_pipeline.video.clip_files import ClipFile, NoEncoder, clip_files, clip_size
from dataset_pipeline.video.color import Conversion, to_yuv

SIZE = TrainingClipsSettings(resize_by="area", max_side_px=640, crf=10)
STEP = 5  # grey levels from one picture to the next


def write(path: Path, times_ms: list[int], size: tuple[int, int] = (64, 48)) -> Path:
    """A lossless video of flat pictures, the number i of level STEP * i + 20, with these timestamps."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_ms in enumerate(times_ms):
            image = to_yuv(np.full((*size[::-1], 3), STEP * number + 20, np.uint8))
            image.pts, image.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def numbers_in(file: ClipFile | ValueError) -> list[int]:
    """Which pictures the frames of a clip are."""
    assert isinstance(file, ClipFile)
    with av.open(io.BytesIO(file.data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [round((float(frame.mean()) - 20) / STEP) for frame in frames]


def clip(start_s: float, frames: int, fps: int = 10) -> dict:
    return {"image_id": f"show.e1/clip-{start_s}", "start_s": start_s, "frames": frames, "fps": fps}


def made(path: Path, *wanted: dict, rate: float = 25.0) -> dict[float, ClipFile | ValueError]:
    found = clip_files(path, wanted, Conversion(), rate, SIZE)
    return {float(image_id.rpartition("-")[2]): file for image_id, file in found}


def test_each_frame_is_the_one_nearest_in_time(tmp_path: Path):
    path = write(tmp_path / "a.mkv", [40 * i for i in range(40)])  # 25 a second
    files = made(path, clip(0.0, 5), clip(0.5, 9))
    assert numbers_in(files[0.0]) == [0, 3, 5, 8, 10]  # 100 ms is nearer to neither 80 nor 120: the later one
    assert numbers_in(files[0.5])[:4] == [13, 15, 18, 20]


def test_a_picture_that_stands_long_is_shown_until_the_next_one_comes(tmp_path: Path):
    path = write(tmp_path / "a.mkv", [0, 40, 80, 800, 840, 880])
    assert numbers_in(made(path, clip(0.0, 9))[0.0]) == [0, 3 - 1, 2, 2, 2, 2, 2, 2, 3]


def test_a_rate_above_the_videos_repeats_frames(tmp_path: Path):
    path = write(tmp_path / "a.mkv", [40 * i for i in range(10)])
    assert numbers_in(made(path, clip(0.0, 9, fps=50))[0.0]) == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_clips_have_no_sound_and_say_their_rate_and_colours_and_have_the_same_bytes_each_time(tmp_path: Path):
    path = write(tmp_path / "a.mkv", [40 * i for i in range(40)])
    first, again = (made(path, clip(0.2, 9))[0.2] for _ in range(2))
    assert isinstance(first, ClipFile)
    assert first == again
    assert b"mbtree=0" in first.data  # x264 notes its options; with the tree bytes differ now and then
    with av.open(io.BytesIO(first.data)) as container:
        [stream] = container.streams
        context = stream.codec_context
        assert (stream.average_rate, stream.frames, context.name) == (10, 9, "h264")
        colours = context.color_primaries, context.color_trc, context.colorspace, context.color_range
        assert colours == (1, 1, 1, 1)


def test_what_cannot_be_made_is_told_and_the_others_are_there(tmp_path: Path):
    path = write(tmp_path / "a.mkv", [40 * i for i in range(20)])  # to 0.8 s
    files = made(path, clip(0.0, 5), clip(0.6, 9))
    assert numbers_in(files[0.0])
    assert str(files[0.6]) == "the video ends before it"
    tiny = write(tmp_path / "b.mkv", [0, 40, 80], size=(32, 8))
    assert str(made(tiny, clip(0.0, 1))[0.0]) == "32x8 px are too few"
    (tmp_path / "c.mkv").write_bytes(b"no video")
    assert "cannot be opened" in str(made(tmp_path / "c.mkv", clip(0.0, 1))[0.0])


@pytest.mark.parametrize(
    ("source", "settings", "size"),
    [
        ((1920, 1080), ("area", 640), (848, 480)),
        ((1080, 1920), ("area", 640), (480, 848)),
        ((1920, 1080), ("short_side", 720), (1280, 720)),
        ((720, 540), ("long_side", 4096), (720, 528)),
    ],
)
def test_sides_are_multiples_of_16_and_never_enlarged(source, settings, size):
    assert clip_size(*source, TrainingClipsSettings(resize_by=settings[0], max_side_px=settings[1], crf=16)) == size


def test_a_build_without_the_encoder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ENCODER", "libnone264")
    path = write(tmp_path / "a.mkv", [0, 40, 80])
    with pytest.raises(NoEncoder, match="no libnone264, which writes clips: install the wheel"):
        made(path, clip(0.0, 1))
