"""Several decoders side by side give what one gives."""

import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from dataset_pipeline.video import decode, groups, pictures
from dataset_pipeline.video import stream as streams
from dataset_pipeline.video.bitstream import restart_test
from dataset_pipeline.video.decode import DecodeReport, iter_frames

from .conftest import CLIPS, X264, X265

STEADY = "testsrc2=s=160x120:r=24:d=6"
GROUPED = {
    "short.mkv": [*X264, "-x264-params", "keyint=12:scenecut=0:bframes=3"],
    "short.mp4": [*X264, "-x264-params", "keyint=12:scenecut=0:bframes=3"],
    "of_one_picture.mkv": [*X264, "-x264-params", "keyint=1"],
    "uneven.mkv": [*X264, "-x264-params", "keyint=50:min-keyint=1", "-force_key_frames", "0.1,0.15,3,5.9"],
    "hevc.mkv": [*X265, "-x265-params", "log-level=error:keyint=12:scenecut=0:open-gop=0"],
    "hevc.mp4": [*X265, "-x265-params", "log-level=error:keyint=12:scenecut=0:open-gop=0", "-tag:v", "hvc1"],
}
WHOLE = ["open_gop.mkv", "interlaced.mkv", "broadcast.ts", "vp9.webm", "dvd.mpg", "old.avi", "intra_refresh.mkv"]


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(groups, "usable_cores", lambda: 3)


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """A path for each decoder beside the first."""
    found: list[Path] = []

    def noted(path: Path) -> Any:
        found.append(path)
        return open_file(path)

    open_file = groups.open_file
    monkeypatch.setattr(groups, "open_file", noted)
    return found


@pytest.fixture(scope="session")
def grouped(ffmpeg, tmp_path_factory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("groups")

    def encoded(name: str) -> Path:
        path = folder / name
        if not path.exists():
            ffmpeg("-f", "lavfi", "-i", STEADY, *GROUPED[name], path)
        return path

    return encoded


def seen(path: Path, **settings: Any) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """What frames and report say, and sums of the pixels."""
    report = DecodeReport()
    frames = [
        (frame.pts, frame.pts_ms, frame.sar, frame.corrupt, frame.marked, frame.is_intra, frame.image.time_base, pixels)
        for frame in iter_frames(path, report=report, **settings)
        for pixels in [zlib.crc32(frame.image.to_ndarray().tobytes())]
    ]
    return frames, vars(report)


def seen_by_one(monkeypatch, path: Path, **settings: Any) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    with monkeypatch.context() as patch:
        patch.setattr(groups, "usable_cores", lambda: 1)
        return seen(path, **settings)


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("for_small", [False, True])
def test_frames_of_several_decoders_are_those_of_one(grouped, opened, monkeypatch, name, for_small):
    path = grouped(name)
    alone = seen_by_one(monkeypatch, path, for_small=for_small)
    assert not opened
    assert seen(path, for_small=for_small) == alone
    assert len(opened) == 2
    assert len(alone[0]) == 144


@pytest.mark.parametrize("name", CLIPS)
def test_all_kinds_of_clips_decode_as_by_one_decoder(clip, monkeypatch, name):
    path = clip(name)
    assert seen(path) == seen_by_one(monkeypatch, path)


@pytest.mark.parametrize("name", WHOLE)
def test_streams_whose_groups_lean_on_one_another_have_one_decoder(clip, opened, name):
    seen(clip(name))
    assert not opened


def test_few_pictures_are_decoded_before_their_turn(grouped, monkeypatch):
    path = grouped("short.mkv")
    monkeypatch.setattr(groups, "_EARLY_BYTES", 1)
    alone = seen_by_one(monkeypatch, path)
    most = 0
    append = groups.GroupDecoder._may_give

    def watched(self, group) -> bool:
        nonlocal most
        most = max(most, sum(len(one.images) for one in self._groups))
        return append(self, group)

    monkeypatch.setattr(groups.GroupDecoder, "_may_give", watched)
    frames = []
    for frame in iter_frames(path):
        time.sleep(0.002)  # the decoders are far quicker than who looks
        frames.append(frame.pts)
    assert frames == [frame[0] for frame in alone[0]]
    assert 0 < most <= groups._FEWEST_EARLY + groups._DUE + 1


def damaged(path: Path, to: Path, packet_number: int) -> Path:
    """A copy whose packet of that number has other bytes in its second half."""
    with av.open(str(path)) as source, av.open(str(to), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if not packet.size:
                continue
            data = bytearray(bytes(packet))
            if number == packet_number:
                half = len(data) // 2
                data[half:] = bytes(len(data) - half)
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base, copy.duration = (
                packet.pts,
                packet.dts,
                packet.time_base,
                packet.duration,
            )
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            out.mux(copy)
    return to


@pytest.mark.parametrize("packet_number", [5, 24, 100])
def test_damage_is_met_as_by_one_thread(grouped, monkeypatch, tmp_path, packet_number):
    path = damaged(grouped("short.mkv"), tmp_path / "damaged.mkv", packet_number)
    frames, report = seen(path)
    monkeypatch.setattr(streams, "MAX_THREADS", 1)
    alone, report_alone = seen_by_one(monkeypatch, path)
    assert report == report_alone
    assert report["reasons"]
    assert frames == alone


def test_a_decoder_on_several_threads_that_meets_damage_leaves_it_to_one(grouped, monkeypatch, tmp_path):
    path = damaged(grouped("short.mkv"), tmp_path / "damaged.mkv", 100)
    opened: list[str] = []
    open_video = pictures.open_video

    def watched(path: Path, threads: str, hardware: str) -> Any:
        opened.append(threads)
        return open_video(path, "NONE", hardware)  # which finds it for certain

    monkeypatch.setattr(pictures, "open_video", watched)
    frames, report = seen_by_one(monkeypatch, path)
    assert opened == ["AUTO", "NONE"]
    assert len(frames) == 144
    assert report["corrupt_frames"] == 1


def test_a_decoder_that_fails_is_told_of_where_its_group_stands(grouped, monkeypatch):
    """Whatever it fails of, and not before the frames of the groups before it."""
    path = grouped("short.mkv")

    def failing(self, group, images) -> None:
        if any(image.pts == 3000 for image in images):
            raise MemoryError("no room")
        give(self, group, images)

    give = groups.GroupDecoder._give
    monkeypatch.setattr(groups.GroupDecoder, "_give", failing)
    frames = iter_frames(path)
    found: list[int] = []
    with pytest.raises(MemoryError, match="no room"):
        found += (found.append(frame.pts) or frame.pts for frame in frames)
    assert found[-1] >= 2500


def decoders() -> int:
    return sum(thread.name.startswith("decoder of ") for thread in threading.enumerate())


def test_decoders_end_with_who_reads_no_further(grouped):
    frames = iter_frames(grouped("of_one_picture.mkv"))
    next(frames)
    assert decoders()
    frames.close()
    end = time.monotonic() + 10
    while decoders() and time.monotonic() < end:
        time.sleep(0.01)
    assert not decoders()


def test_the_end_of_a_video_ends_its_decoders(grouped):
    seen(grouped("short.mkv"))
    end = time.monotonic() + 10
    while decoders() and time.monotonic() < end:
        time.sleep(0.01)
    assert not decoders()


def test_one_core_has_one_decoder(grouped, opened, monkeypatch):
    monkeypatch.setattr(groups, "usable_cores", lambda: 1)
    seen(grouped("short.mkv"))
    assert not opened


def test_a_device_decodes_by_itself(grouped, monkeypatch):
    asked = []
    monkeypatch.setattr(decode, "all_frames", lambda path, threads, *rest: asked.append(threads) or iter(()))
    with pytest.raises(decode.VideoError):
        list(iter_frames(grouped("short.mkv"), hardware="cuda"))
    assert asked == ["AUTO"]


def extradata_of(path: Path) -> tuple[bytes, list[bytes]]:
    with av.open(str(path)) as container:
        data = container.streams.video[0].codec_context.extradata or b""
        return data, [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(("name", "codec"), [("short.mkv", "h264"), ("hevc.mkv", "hevc")])
def test_a_group_begins_where_the_stream_restarts(grouped, name, codec):
    extradata, packets = extradata_of(grouped(name))
    test = restart_test(codec, extradata)
    assert test is not None
    assert [number for number, packet in enumerate(packets) if test(packet)] == list(range(0, 144, 12))


def test_a_key_frame_of_an_open_group_restarts_nothing(clip):
    extradata, packets = extradata_of(clip("open_gop.mkv"))
    test = restart_test("h264", extradata)
    assert test is not None
    assert [number for number, packet in enumerate(packets) if test(packet)] == [0]


def test_parameter_sets_that_others_would_lack_are_told_of(grouped):
    extradata, packets = extradata_of(grouped("short.mkv"))
    test = restart_test("h264", extradata)
    assert test is not None
    size = int.from_bytes(extradata[6:8], "big")
    known = extradata[8 : 8 + size]
    assert test(len(known).to_bytes(4, "big") + known + packets[0])
    other = known[:-1] + bytes([known[-1] ^ 1])
    with pytest.raises(ValueError, match="parameter sets"):
        test(len(other).to_bytes(4, "big") + other + packets[0])


@pytest.mark.parametrize("extradata", [None, b"", b"\x01", b"\0\0\0\1\x67\x64", b"\x01\xf4" + bytes(40)])
def test_where_restarts_are_not_known_there_is_no_test(extradata):
    assert restart_test("h264", extradata) is None
    assert restart_test("vp9", extradata) is None
