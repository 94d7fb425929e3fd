"""Which of a file's video streams is the video: one answer for probing, decoding, candidates and full-size pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.decode import frames_at, iter_frames
from dataset_pipeline.video.probe import has_video, probe
from dataset_pipeline.video.stream import DecodeReport

RATE = 8


@dataclass(frozen=True)
class Stream:
    """A stream to write: that many grey pictures of that size from second `start_s` on; each is shown for `each_s`."""

    frames: int
    size: tuple[int, int] = (64, 48)
    codec: str = "mpeg4"
    disposition: int = 0
    start_s: float = 0
    each_s: float = 1 / RATE


COVER = Stream(1, (120, 160), "mjpeg")
MAIN = Stream(24)


def picture(stream: Stream, number: int) -> np.ndarray:
    return np.full((stream.size[1], stream.size[0], 3), 40 + 4 * number, np.uint8)


def jpeg(stream: Stream, number: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(stream, number)).save(out, "PNG" if stream.codec == "png" else "JPEG")
    return out.getvalue()


def packets_of(out: Any, given: Stream, stream: Any) -> list[av.Packet]:
    """The stream's packets, stamped."""
    if given.codec in ("mjpeg", "png"):
        packets = [av.Packet(jpeg(given, number)) for number in range(given.frames)]
    else:
        packets = []
        for number in range(given.frames):
            frame = av.VideoFrame.from_ndarray(picture(given, number)).reformat(format="yuv420p")
            frame.pts = number
            packets += stream.encode(frame)
        packets += stream.encode(None)
    for number, packet in enumerate(packets):
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = round(1000 * (given.start_s + number * given.each_s))
        packet.duration, packet.is_keyframe = round(1000 * given.each_s), number % 8 == 0
    return packets


def write(path: Path, *streams: Stream, sound_s: float = 0, late: Sequence[int] = (), chapter: bool = False) -> Path:
    """A file of these streams; `late`: numbers of those whose packets come behind all others."""
    with av.open(str(path), "w") as out:
        if chapter:
            out.set_chapters([{"id": 1, "start": 0, "end": 3, "time_base": Fraction(1), "metadata": {"title": "All"}}])
        made: list[tuple[Stream, Any]] = []
        for given in streams:
            stream: Any = out.add_stream(given.codec, rate=RATE, options={"g": "8", "bf": "0"})
            stream.width, stream.height = given.size
            stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(given.codec, "yuv420p")
            if given.disposition:
                stream.disposition = given.disposition
            made.append((given, stream))
        beep: Any = out.add_stream("aac", rate=44_100, layout="mono") if sound_s else None
        out.start_encoding()
        packets = [
            (number in late, packet.pts, number, packet)
            for number, (given, stream) in enumerate(made)
            for packet in packets_of(out, given, stream)
        ]
        for *_, packet in sorted(packets, key=lambda one: one[:3]):
            out.mux(packet)
        if beep:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, round(44_100 * sound_s)), np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 44_100, 0
            out.mux([*beep.encode(tone), *beep.encode(None)])
    return path


def chosen_everywhere(path: Path) -> tuple[int, tuple[int, int]]:
    """Number of frames and size, the same by every road."""
    source = {"episode": "show.1", "path": str(path), "kind": "video"}
    found, frames = probe(path), list(iter_frames(path))
    assert found.damage == ()
    assert has_video(path)
    assert {(frame.image.width, frame.image.height) for frame in frames} == {(found.width_px, found.height_px)}
    ((_, first),) = frames_at(path, [frames[0].pts])
    assert first.shape[:2] == (found.height_px, found.width_px)
    settings = load_settings().keyframes.model_copy(update={"mode": "interval", "every_s": 1.0})
    row, report = probe_source(source), DecodeReport()
    rows = {one["image_id"]: one for one, _ in candidates(source, row, settings, report)}
    pictures = dict(full_size(source, rows, settings=settings, probe_row=row))
    assert {picture.shape[:2] for picture in pictures.values()} == {(found.height_px, found.width_px)}
    assert report.reasons == []
    return len(frames), (found.width_px, found.height_px)


FLAG = Disposition
FILES: dict[str, tuple[str, list[Stream], dict[str, Any]]] = {
    "a cover in front": ("a.mkv", [COVER, MAIN], {}),
    "a cover behind": ("a.mkv", [MAIN, COVER], {}),
    "a cover whose picture lies at the end": ("a.mkv", [COVER, MAIN], {"late": [0]}),
    "a cover in front, marked default": ("a.mkv", [Stream(1, (120, 160), "mjpeg", FLAG.default), MAIN], {}),
    "a PNG cover as a track of MP4": ("a.mp4", [Stream(1, (120, 160), "png"), MAIN], {}),
    "a cover as a track of MP4, as long as the video": ("a.mp4", [Stream(1, (120, 160), "mjpeg", each_s=3), MAIN], {}),
    "a cover as a track of MOV": ("a.mov", [COVER, MAIN], {}),
    "a cover in AVI": ("a.avi", [COVER, MAIN], {}),
    "covers alone with one of more frames": ("a.mkv", [COVER, COVER, Stream(24, (64, 48), "mjpeg")], {}),
    "a still in a video codec": ("a.mkv", [Stream(1, (120, 160)), MAIN], {}),
    "pictures once a second, MP4": ("a.mp4", [Stream(3, (120, 160), "mjpeg", each_s=1), MAIN], {}),
    "a larger clip of half a second": ("a.mkv", [Stream(4, (120, 160)), MAIN], {}),
    "a small stream marked default": (
        "a.mkv",
        [Stream(24, (120, 160), disposition=FLAG.dub), Stream(24, (64, 48), disposition=FLAG.default)],
        {},
    ),
    "the larger of two": ("a.mkv", [Stream(24, (32, 32)), MAIN], {}),
    "the larger of two, a frame shorter": ("a.mkv", [Stream(25, (32, 32)), MAIN], {}),
    "the first of two alike": ("a.mkv", [MAIN, Stream(23)], {}),
    "two programs of a transport stream": ("a.ts", [Stream(24, (32, 32)), MAIN], {}),
}


@pytest.mark.parametrize(("name", "streams", "how"), FILES.values(), ids=FILES.keys())
def test_the_video_is_the_stream_that_moves_and_lasts(name, streams, how, tmp_path):
    path = write(tmp_path / name, *streams, **how)
    assert chosen_everywhere(path) == (24, (64, 48))


def test_thumbnails_that_a_file_marks_as_such_are_not_its_video(tmp_path):
    path = write(tmp_path / "a.mp4", Stream(24, (120, 160)), MAIN, chapter=True)
    content = path.read_bytes()
    # Its tracks name the third, of text, as that of its chapters; now they name the first, of pictures.
    path.write_bytes(content.replace(b"chap\0\0\0\3", b"chap\0\0\0\1"))
    assert b"chap\0\0\0\3" in content
    assert chosen_everywhere(path) == (24, (64, 48))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "mjpeg"), *((f"a.{ending}", codec) for ending in ("mp4", "mov", "avi") for codec in ("mjpeg", "png"))],
)
def test_a_sound_file_with_a_picture_has_no_video_whatever_its_cover_is_marked_as(name, codec, tmp_path):
    path = write(tmp_path / name, Stream(1, (120, 160), codec), sound_s=1)
    found = probe(path)
    assert not found.readable
    assert found.damage == ("holds no video stream (1 audio and 1 cover art streams)",)
    assert not has_video(path)


def test_a_single_frame_alone_is_a_video_of_one_frame(tmp_path):
    for stream in (COVER, Stream(1)):
        assert len(list(iter_frames(write(tmp_path / f"{stream.codec}.mkv", stream)))) == 1
    assert probe(write(tmp_path / "shown.mkv", Stream(1, each_s=3), sound_s=1)).readable
