"""Odd and damaged inputs, one row each: what is said of it, which frames come out, and that these are right."""

import io
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from dataset_pipeline.images.pictures import open_picture
from dataset_pipeline.settings import KeyframesSettings, load_settings
from dataset_pipeline.sources.finding import MAX_DEPTH, find_sources
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video import stream as streams
from dataset_pipeline.video.decode import iter_frames
from dataset_pipeline.video.stream import DecodeReport

pytestmark = pytest.mark.timeout(30, method="thread")  # a hang is a failure, also one inside a decoder

RATE, WIDTH_PX, HEIGHT_PX = 8, 96, 64
FRAMES, KEY_EVERY = 48, 8
ALL = range(FRAMES)
CLOSE = 8  # mean difference of 255 that coding, chroma at half size and a guessed matrix may make
FAR = 14  # of two successive frames, at least
_CODING = {
    "libx264": {
        "preset": "veryfast",
        "crf": "12",
        "threads": "1",
        "x264-params": f"keyint={KEY_EVERY}:min-keyint={KEY_EVERY}:scenecut=0:bframes=2:open-gop=0:log-level=none",
    },
    "libx265": {
        "preset": "ultrafast",
        "x265-params": f"log-level=none:pools=none:frame-threads=1:keyint={KEY_EVERY}:bframes=0",
    },
    "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime", "crf": "10"},
}
_CODEC_OF = {"mpeg": "mpeg2video", "avi": "mpeg4", "webm": "libvpx-vp9"}  # of others H.264


@cache
def paper() -> np.ndarray:
    coarse = np.random.default_rng(11).integers(30, 225, (9, 60, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((900, 90), Image.Resampling.BICUBIC))


def scene(number: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> np.ndarray:
    """Frame `number`: a window that moves over a sheet of soft colour."""
    whole = Image.fromarray(paper()[:HEIGHT_PX, 12 * number : 12 * number + WIDTH_PX])
    return np.asarray(whole if whole.size == (width, height) else whole.resize((width, height), Image.Resampling.BOX))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def shown(numbers: Iterable[int] = ALL, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> list[tuple[int, np.ndarray]]:
    return [(number, scene(number, width, height)) for number in numbers]


def write(
    path: Path,
    *videos: list[tuple[int, np.ndarray]],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    format: str | None = None,
    coding: dict[str, str] | None = None,
    sound: str = "",
    cover: bool = False,
) -> Path:
    """A file with one stream for each of `videos`, (frame number, picture) each; `sound`: the codec of a beep."""
    with av.open(str(path), "w", format=format) as out:
        streams: list[tuple[Any, list[tuple[int, np.ndarray]]]] = []
        art: Any = out.add_stream("mjpeg", rate=1) if cover else None
        if art:
            art.width, art.height, art.pix_fmt, art.disposition = 40, 30, "yuvj420p", Disposition.attached_pic
        for pictures in videos:
            stream: Any = out.add_stream(codec, rate=RATE, options=coding or _CODING.get(codec, {}))
            stream.height, stream.width = pictures[0][1].shape[:2]
            stream.pix_fmt = pixel_format
            stream.codec_context.time_base = Fraction(1, RATE)
            stream.codec_context.gop_size = KEY_EVERY
            stream.codec_context.thread_count = 1
            stream.bit_rate = 4_000_000 if codec.startswith("mpeg") else 0
            streams.append((stream, pictures))
        beep: Any = out.add_stream(sound, rate=44_100, layout="mono") if sound else None
        if art:
            out.start_encoding()
            picture = io.BytesIO()
            Image.new("RGB", (40, 30), "red").save(picture, "JPEG")
            packet = av.Packet(picture.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1, 1000)
            packet.is_keyframe = True
            out.mux(packet)
        for stream, pictures in streams:
            for number, picture in pictures:
                frame = av.VideoFrame.from_ndarray(picture).reformat(format=pixel_format)
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        if beep:
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 44_100, 0
            out.mux(beep.encode(tone))
            out.mux(beep.encode(None))
    return path


@cache
def clip(format: str, codec: str = "") -> bytes:
    """A sound file of all frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip")
        coding = _CODING["libx264"] if format == "mp4" else None
        return write(
            path, shown(), format=format, codec=codec or _CODEC_OF.get(format, "libx264"), coding=coding
        ).read_bytes()


def remux(data: bytes, path: Path, keep: Callable[[int, Any], bool] = lambda number, packet: True, **how: Any) -> Path:
    """The video packets of a file that are to be kept, as they are, in another file. `how`: for its opening."""
    with av.open(io.BytesIO(data)) as source, av.open(str(path), "w", **how) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and keep(number, packet):
                packet.stream = stream
                out.mux(packet)
    return path


def zeros(data: bytes, start: float = 0.45, end: float = 0.55) -> bytes:
    a, b = round(len(data) * start), round(len(data) * end)
    return data[:a] + bytes(b - a) + data[b:]


def noise(data: bytes, start: float = 0.45, end: float = 0.55) -> bytes:
    a, b = round(len(data) * start), round(len(data) * end)
    return data[:a] + np.random.default_rng(3).bytes(b - a) + data[b:]


def part(data: bytes, share: float = 0.6) -> bytes:
    return data[: round(len(data) * share)]


Make = Callable[[Path], object]


def holding(name: str, content: Callable[[], bytes]) -> Make:
    return lambda folder: (folder / name).write_bytes(content())


def drawn(name: str, width: int = WIDTH_PX, height: int = HEIGHT_PX, **how: Any) -> Make:
    return lambda folder: write(folder / name, shown(ALL, width, height), **how)


def from_third_packet(name: str, source: str) -> Make:
    return lambda folder: remux(clip(source), folder / name, lambda number, packet: number >= 3)


def without_key_frames(name: str, source: str) -> Make:
    return lambda folder: remux(clip(source), folder / name, lambda number, packet: not packet.is_keyframe)


def faststart(folder: Path) -> None:
    """An MP4 file whose index lies in front, cut off."""
    path = remux(clip("mp4"), folder / "a.mp4", options={"movflags": "faststart"})
    path.write_bytes(part(path.read_bytes()))


def with_hole(folder: Path) -> None:
    write(folder / "a.mkv", [(number if number < 24 else number + 3600 * RATE, scene(number)) for number in ALL])


def two_sizes(name: str) -> Make:
    """Half the frames, then the other half at another size, in the same stream."""

    def make(folder: Path) -> None:
        coding = {**_CODING["libx264"], "x264-params": f"keyint={KEY_EVERY}:scenecut=0:bframes=0:log-level=none"}
        halves = (shown(range(24)), shown(range(24, 48), 64, 48))
        joined = b""
        for half in halves:
            path = write(folder / "half", half, format="h264", coding=coding)
            joined += path.read_bytes()
            path.unlink()

        def stamp(number: int, packet: Any) -> bool:
            packet.pts = packet.dts = number
            packet.duration, packet.time_base = 1, Fraction(1, RATE)
            return True

        remux(joined, folder / name, stamp)

    return make


def gif(folder: Path) -> None:
    pictures = [Image.fromarray(scene(number)) for number in range(6)]
    pictures[0].save(folder / "a.mp4", "GIF", save_all=True, append_images=pictures[1:], duration=1000 // RATE)


@dataclass(frozen=True)
class Odd:
    """One odd input. `damage`: what the probe says, in order, part of each sentence; `met`: what is met in decoding.

    `lost`: the frames that need not come out, all others must. `place`: the frame that is shown so many frames
    of `rate` per second after the first. `close`: how far pictures may be from what was drawn.
    """

    make: Make
    damage: tuple[str, ...] = ()
    met: tuple[str, ...] = ()
    lost: Collection[int] = ()
    frames: Collection[int] = ALL
    place: Callable[[int], int] = lambda number: number
    rate: int = RATE
    close: float = CLOSE


def unreadable(make: Make, *damage: str) -> Odd:
    return Odd(make, damage, frames=())


def from_frame(first: int) -> Callable[[int], int]:
    return lambda number: first + number


CUT = "the file is cut off: it ends at byte"
HOLE = "no frames from"
LEANING = "left out: built on damaged ones"
LEADING = "packets came before any key frame"
HEAD = "its beginning is damaged"
ODD = {
    "a wrong ending": Odd(holding("a.mp4", lambda: clip("matroska"))),
    "no ending": Odd(holding("a", lambda: clip("matroska"))),
    "the ending of data": Odd(holding("a.dat", lambda: clip("mp4"))),
    "a raw stream with the ending of a container": Odd(
        holding("a.mpg", lambda: clip("h264")),
        rate=25,  # what ffmpeg gives to streams without times
    ),
    "an animation with the ending of a video": Odd(gif, lost=(2, 4), frames=range(6)),
    "text": unreadable(holding("a.mkv", lambda: b"a shopping list\n" * 100), "is not a video: it is text"),
    "text beyond ASCII": unreadable(holding("a.ts", lambda: "買い物\n".encode() * 400), "is not a video: it is text"),
    "a playlist": unreadable(
        holding("a.ts", lambda: b"#EXTM3U\n#EXTINF:2,\nhttp://localhost:1/x.ts\n#EXT-X-ENDLIST\n"), "it is text"
    ),
    "an archive": unreadable(holding("a.mkv", lambda: b"PK\x03\x04" + bytes(500)), "it is a ZIP archive"),
    "zero bytes": unreadable(holding("a.mkv", lambda: b""), "the file is empty (0 bytes)"),
    "one byte": unreadable(holding("a.mkv", lambda: b"\x1a"), "is not a video"),
    "nothing but zeros": unreadable(holding("a.mp4", lambda: bytes(50_000)), "it begins with nothing but zeros"),
    "a head alone": unreadable(holding("a.mkv", lambda: clip("matroska")[:200]), "cannot be opened", CUT),
    "no packets": unreadable(holding("a.mkv", lambda: clip("matroska")[:700]), "no frame can be decoded", CUT),
    "cut off, Matroska": Odd(
        holding("a.mkv", lambda: part(clip("matroska"))), (CUT,), ("the video ends at",), range(22, 48)
    ),
    "cut off, MP4": Odd(faststart, (CUT,), ("could not be decoded", LEANING), lost=range(20, 48)),
    "cut off before its index, MP4": unreadable(holding("a.mp4", lambda: part(clip("mp4"))), "cannot be opened", CUT),
    "cut off, transport stream": Odd(
        holding("a.ts", lambda: part(clip("mpegts"))), ("its last packet has",), lost=range(24, 48)
    ),
    "cut off, AVI": Odd(holding("a.avi", lambda: part(clip("avi"))), (CUT,), lost=range(22, 48)),
    "cut off, WebM": Odd(holding("a.webm", lambda: part(clip("webm"))), (CUT,), ("the video ends at",), range(22, 48)),
    "cut off, MPEG": Odd(holding("a.mpg", lambda: part(clip("mpeg"))), (), ("decoded with errors",), range(24, 48)),
    "cut off, FLV": Odd(holding("a.flv", lambda: part(clip("flv"))), (), ("the video ends at",), range(22, 48)),
    "zeros inside, Matroska": Odd(holding("a.mkv", lambda: zeros(clip("matroska"))), (), (HOLE,), range(15, 40)),
    "zeros inside, MP4": Odd(
        holding("a.mp4", lambda: zeros(clip("mp4"))), (), ("could not be decoded", LEANING), range(14, 32)
    ),
    "zeros inside, transport stream": Odd(
        holding("a.ts", lambda: zeros(clip("mpegts"))), (), (LEANING,), range(14, 32)
    ),
    "zeros inside, AVI": Odd(
        holding("a.avi", lambda: zeros(clip("avi"))),
        met=("with errors", LEANING),
        lost=range(12, 24),
        place=lambda number: number if number < 12 else number + 6,  # its time is the count of its pictures
    ),
    "zeros inside, WebM": Odd(holding("a.webm", lambda: zeros(clip("webm"))), (), (HOLE,), range(14, 40)),
    "zeros inside, MPEG": Odd(holding("a.mpg", lambda: zeros(clip("mpeg"))), (), (LEANING,), range(18, 32)),
    "zeros inside, FLV": Odd(holding("a.flv", lambda: zeros(clip("flv"))), (), (HOLE, LEANING), range(17, 32)),
    "noise inside, Matroska": Odd(holding("a.mkv", lambda: noise(clip("matroska"))), (), (HOLE,), range(15, 40)),
    "noise inside, HEVC": Odd(holding("a.mkv", lambda: noise(clip("matroska", "libx265"))), (), (HOLE,), range(8, 40)),
    "noise inside, MP4": Odd(
        holding("a.mp4", lambda: noise(clip("mp4"))), (), ("could not be decoded", LEANING), range(14, 32)
    ),
    "noise inside, transport stream": Odd(
        holding("a.ts", lambda: noise(clip("mpegts"))), (), (LEANING,), range(14, 32)
    ),
    "noise inside, FLV": Odd(holding("a.flv", lambda: noise(clip("flv"))), (), (HOLE, LEANING), range(17, 32)),
    "noise at the end": Odd(
        holding("a.mkv", lambda: noise(clip("matroska"), 0.8, 1)), (), ("the video ends at",), range(30, 48)
    ),
    "noise at the start": unreadable(
        holding("a.mkv", lambda: noise(clip("matroska"), 0, 0.2)), "its first bytes are of no known container"
    ),
    "noise at the start of a transport stream": Odd(
        holding("a.ts", lambda: noise(clip("mpegts"), 0, 0.2)),
        (HEAD,),
        (LEADING,),
        lost=range(16),
        place=from_frame(16),
    ),
    "junk before a transport stream": Odd(holding("a.ts", lambda: noise(bytes(777), 0, 1) + clip("mpegts")), (HEAD,)),
    "junk behind an MP4 file": Odd(holding("a.mp4", lambda: clip("mp4") + noise(bytes(5000), 0, 1))),
    "no duration": Odd(lambda folder: remux(clip("webm"), folder / "a.webm", options={"live": "1"})),
    "a change of resolution, transport stream": Odd(two_sizes("a.ts")),
    "a change of resolution, Matroska": Odd(two_sizes("a.mkv")),
    "1x1": Odd(drawn("a.mkv", 1, 1, codec="ffv1", pixel_format="bgr0")),
    "1x1, H.264": Odd(drawn("a.mkv", 1, 1, pixel_format="yuv444p")),
    "2x2": Odd(drawn("a.mp4", 2, 2, pixel_format="yuv444p")),
    "33x17": Odd(drawn("a.mkv", 33, 17, pixel_format="yuv444p")),
    "33x17, chroma at half size": Odd(drawn("a.webm", 33, 17, codec="libvpx-vp9"), close=12),
    "200x6": Odd(drawn("a.avi", 200, 6, codec="rawvideo", pixel_format="bgr24")),
    "sound alone": unreadable(lambda folder: write(folder / "a.mkv", sound="aac"), "holds no video stream (1 audio"),
    "sound and its cover": unreadable(
        lambda folder: write(folder / "a.mp4", sound="aac", cover=True),
        "holds no video stream (1 audio and 1 cover art streams)",
    ),
    "a video with a cover": Odd(drawn("a.mp4", cover=True, coding=_CODING["libx264"])),
    "a small stream before the right one": Odd(lambda folder: write(folder / "a.mkv", shown(ALL, 48, 32), shown())),
    "an unknown codec": unreadable(
        holding("a.avi", lambda: clip("avi").replace(b"FMP4", b"ZZZZ")), "its video codec is unknown"
    ),
    "no key frame at the start, Matroska": Odd(
        from_third_packet("a.mkv", "matroska"), (), (LEADING,), range(8), place=from_frame(8)
    ),
    "no key frame at the start, transport stream": Odd(
        from_third_packet("a.ts", "mpegts"), (), (LEADING,), range(8), place=from_frame(8)
    ),
    "no key frame at the start, MP4": Odd(
        from_third_packet("a.mp4", "mp4"), (), (LEADING,), range(8), place=from_frame(8)
    ),
    "no key frame at the start, WebM": Odd(
        from_third_packet("a.webm", "webm"), (), (LEADING,), range(8), place=from_frame(8)
    ),
    "no key frame at all": unreadable(without_key_frames("a.mkv", "matroska"), LEADING),
    "one frame": Odd(lambda folder: write(folder / "a.mkv", shown(range(1))), frames=range(1)),
    "two frames": Odd(lambda folder: write(folder / "a.mp4", shown(range(2))), frames=range(2)),
    "two recordings in one file": Odd(
        holding("a.ts", lambda: clip("mpegts") * 2), place=lambda number: number % FRAMES
    ),
    "a hole of an hour": Odd(with_hole, (), (HOLE,), range(20, 24), place=lambda number: number % (3600 * RATE)),
    "transparency": Odd(drawn("a.mkv", codec="ffv1", pixel_format="bgra")),
    "16 bits per channel": Odd(drawn("a.mkv", codec="ffv1", pixel_format="rgb48le")),
}


def keyframes(mode: str, **changes: Any) -> KeyframesSettings:
    return load_settings().keyframes.model_copy(update={"mode": mode, **changes})


def row_of(source: Source) -> dict[str, Any]:
    return {"episode": source.key, "path": str(source.path), "kind": source.kind}


def the_source(folder: Path) -> dict[str, Any]:
    found = find_sources([folder])
    assert not found.rejected
    (source,) = found.sources
    return row_of(source)


def pictures_of(
    source: dict[str, Any], probed: dict[str, Any], settings: KeyframesSettings, report: DecodeReport
) -> list[tuple[dict[str, Any], np.ndarray]]:
    """(row of `keyframes`, full-size picture) of every candidate; the two have the same size, and none is missing."""
    found = list(candidates(source, probed, settings, report))
    rows = {row["image_id"]: row for row, _ in found}
    SCHEMAS["keyframes"].table(
        [row | {"episode": source["episode"], "path": "x", "pixel_sha256": "x"} for row in rows.values()]
    )
    pictures = dict(full_size(source, rows, settings=settings, probe_row=probed))
    assert set(pictures) == set(rows)
    for image_id, row in rows.items():
        assert pictures[image_id].shape == (row["height_px"], row["width_px"], 3)
    return [(row, pictures[image_id]) for image_id, row in rows.items()]


def said(sentences: list[str], parts: tuple[str, ...]) -> None:
    """Every part stands in a sentence, and where there are no parts nothing is said."""
    assert bool(sentences) == bool(parts), sentences
    for fragment in parts:
        assert any(fragment in sentence for sentence in sentences), (fragment, sentences)


def test_successive_frames_are_told_apart():
    assert min(difference(scene(number), scene(number + 1)) for number in range(FRAMES - 1)) > FAR > CLOSE


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_an_odd_video_says_what_it_is_and_its_good_frames_come_out_right(odd, tmp_path):
    folder = tmp_path / "Show"
    folder.mkdir()
    odd.make(folder)
    source = the_source(folder)
    probed = probe_source(source)
    SCHEMAS["video_probe"].table([probed])
    assert probed["readable"] == bool(odd.frames)
    said(probed["damage"], odd.damage)
    for mode, asked in (("interval", range(0, FRAMES, 2)), ("iframes", range(0, FRAMES, KEY_EVERY))):
        report = DecodeReport()
        found = pictures_of(source, probed, keyframes(mode, every_s=2 / odd.rate), report)
        numbers = set()
        for row, picture in found:
            number = odd.place(round(row["pts_s"] * odd.rate))
            numbers.add(number)
            height, width = picture.shape[:2]
            assert difference(picture, scene(number, width, height)) < odd.close, (mode, number)
        if mode == "interval":
            said(report.reasons, odd.met)
        assert {number for number in asked if number in odd.frames and number not in odd.lost} <= numbers, mode


@pytest.mark.parametrize("mode", ["interval", "iframes", "mpdecimate", "shot"])
@pytest.mark.parametrize(
    "name", ["1x1", "2x2", "200x6", "a change of resolution, Matroska", "one frame", "noise inside, HEVC"]
)
def test_every_mode_takes_odd_sizes_and_damage(name, mode, tmp_path):
    folder = tmp_path / "Show"
    folder.mkdir()
    ODD[name].make(folder)
    source = the_source(folder)
    found = pictures_of(source, probe_source(source), keyframes(mode, every_s=0.5), DecodeReport())
    assert found
    for row, picture in found:
        height, width = picture.shape[:2]
        assert difference(picture, scene(round(row["pts_s"] * RATE), width, height)) < CLOSE


def test_frames_that_lean_on_a_few_lost_packets_are_marked_up_to_the_next_key_frame(tmp_path):
    data = clip("mpegts")
    lost = len(data) // 2 // 188 * 188
    (tmp_path / "a.ts").write_bytes(data[:lost] + data[lost + 5 * 188 :])
    report = DecodeReport()
    frames = {round(frame.pts_s * RATE): frame for frame in iter_frames(tmp_path / "a.ts", report=report)}
    marked = {number for number, frame in frames.items() if frame.corrupt}
    assert marked
    assert max(marked) - min(marked) < 2 * KEY_EVERY
    assert report.mispredicted_frames > 0
    assert all(difference(frames[number].rgb(), scene(number)) < CLOSE for number in set(frames) - marked)


@pytest.mark.parametrize(
    "name",
    [
        "葬送のフリーレン 第01話.mkv",
        "Ёжик в тумане.mkv",
        "سلام ‎.mkv",
        "🦔.mkv",
        "e\u0301te\u0301.mkv",
        "-i.mkv",
        "--settings.mkv",
        "%03d.mkv",
        "Title: Part 2.mkv",
        "a\nb\t.mkv",
        " . .mkv",
        "a" * 251 + ".mkv",
        "語" * 83 + ".mkv",
    ],
    ids=ascii,
)
def test_a_name_is_only_a_name(name, tmp_path, monkeypatch):
    folder = tmp_path / "-Show"
    folder.mkdir()
    (folder / name).write_bytes(clip("matroska"))
    monkeypatch.chdir(folder)
    (source,) = find_sources([Path(name)]).sources
    assert source == find_sources([folder]).sources[0]
    assert re.fullmatch(r"[a-z0-9_-]+\.[a-z0-9_-]+", source.key)
    assert len(source.key) <= 100
    probed = probe_source(row_of(source))
    assert probed["damage"] == []
    assert len(pictures_of(row_of(source), probed, keyframes("iframes"), DecodeReport())) == FRAMES // KEY_EVERY


@pytest.fixture
def deep(tmp_path, monkeypatch) -> Callable[[str, int], Path]:
    """A folder with so many folders of that name inside one another, and a video in the innermost."""
    roots: list[tuple[Path, str, int]] = []

    def made(name: str, count: int) -> Path:
        root = tmp_path / "root"
        root.mkdir()
        monkeypatch.chdir(root)
        for _ in range(count):
            os.mkdir(name)
            os.chdir(name)
        Path("x.mkv").write_bytes(clip("matroska"))
        roots.append((root, name, count))
        return root

    yield made
    for root, name, count in roots:  # pytest cannot remove what its path cannot name
        os.chdir(root)
        for _ in range(count):
            os.chdir(name)
        os.remove("x.mkv")
        for _ in range(count):
            os.chdir("..")
            os.rmdir(name)


def test_a_path_as_long_as_the_system_allows_is_a_path(deep):
    root = deep("b" * 200, 18)
    (source,) = find_sources([root]).sources
    assert len(str(source.path)) > 3600
    assert len(source.key) <= 100
    assert len(pictures_of(row_of(source), probe_source(row_of(source)), keyframes("iframes"), DecodeReport())) == 6


def test_a_path_longer_than_that_is_named(deep):
    reasons = [item.reason for item in find_sources([deep("b" * 200, 30)]).rejected]
    assert "cannot be read: File name too long" in reasons


def test_folders_inside_one_another_without_end_are_named(deep):
    (rejected,) = find_sources([deep("a", 1200)]).rejected
    assert rejected.reason == f"lies more than {MAX_DEPTH} folders deep"


@pytest.mark.parametrize("path", ["a" * 3000, "/".join(["abcd"] * 600), "a\0b"], ids=["name", "folders", "zero"])
def test_a_source_that_cannot_exist_is_no_such_source(path):
    with pytest.raises(FileNotFoundError, match="no such source"):
        find_sources([Path(path)])


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_what_is_no_file_and_what_has_no_name_is_named(tmp_path):
    folder = tmp_path / "Show"
    folder.mkdir()
    os.mkfifo(folder / "pipe.mkv")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.mkv")).write_bytes(clip("matroska"))
    (folder / "folder.mkv").mkdir()
    (folder / "loop.mkv").symlink_to(folder / "loop.mkv")
    (folder / "gone.mkv").symlink_to(folder / "nothing")
    (folder / "good.mkv").write_bytes(clip("matroska"))
    found = find_sources([folder])
    assert [source.path.name for source in found.sources] == ["good.mkv"]
    reasons = {item.path.name: item.reason for item in found.rejected}
    assert reasons["pipe.mkv"] == "is a pipe or a device, not a file"
    assert reasons["??.mkv"] == "has a name that is not valid UTF-8: rename it"
    assert reasons["folder.mkv"] == "is empty"
    (rejected,) = find_sources([folder / "pipe.mkv"]).rejected
    assert rejected.reason == "is a pipe or a device, not a file"


@pytest.mark.parametrize("content", ["sound", "raw H.264"])
def test_a_file_that_neither_name_nor_content_calls_a_video_is_passed_over(content, tmp_path):
    if content == "sound":
        write(tmp_path / "a.mp3", sound="libmp3lame")
    else:
        (tmp_path / "a").write_bytes(clip("h264"))
    (rejected,) = find_sources([tmp_path]).rejected
    assert rejected.reason == "holds neither videos nor pictures"


def test_pictures_larger_than_any_video_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_FRAME_PX", 95 * 64)
    (tmp_path / "a.mkv").write_bytes(clip("matroska"))
    probed = probe_source(the_source(tmp_path))
    assert not probed["readable"]
    assert probed["damage"] == ["pictures of 96x64 are more than 6080 pixels"]


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG file with that head, and these lines of grey."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def saved(mode: str, format: str, **how: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(scene(1)).convert(mode).save(out, format, **how)
    return out.getvalue()


ODD_PICTURES: dict[str, tuple[str, Callable[[], bytes], str | None]] = {
    "a bomb": ("b.png", lambda: png(60_000, 60_000), "bomb"),
    "a large bomb": ("b.png", lambda: png(2**31 - 1, 2**31 - 1), "bomb"),
    "half a JPEG": ("b.jpg", lambda: part(saved("RGB", "JPEG")), "cannot be decoded"),
    "half a PNG": ("b.png", lambda: part(saved("RGB", "PNG")), "cannot be decoded"),
    "half a WebP": ("b.webp", lambda: part(saved("RGB", "WEBP")), "cannot be decoded"),
    "noise in a PNG": ("b.png", lambda: noise(saved("RGB", "PNG")), "cannot be decoded"),
    "text": ("b.png", lambda: b"a shopping list", "is no picture of a known format"),
    "a video": ("b.png", lambda: clip("mp4"), "is no picture of a known format"),
    "zero bytes": ("b.jpg", lambda: b"", "the file is empty (0 bytes)"),
    "no lines": ("b.png", lambda: png(8, 8), "cannot be decoded"),
    "no pixels": ("b.png", lambda: png(0, 8), "is no picture of a known format"),
    "a wrong ending": ("b.png", lambda: saved("RGB", "JPEG", quality=95), None),
    "1x1": ("b.png", lambda: png(1, 1, b"\0\x80"), None),
    "ink": ("b.jpg", lambda: saved("CMYK", "JPEG", quality=95), None),
    "a broken profile": ("b.png", lambda: saved("RGB", "PNG", icc_profile=b"nothing"), None),
    "one bit": ("b.png", lambda: saved("1", "PNG"), None),
}


@pytest.mark.parametrize(("name", "content", "reason"), ODD_PICTURES.values(), ids=ODD_PICTURES.keys())
def test_an_odd_picture_says_what_it_is_and_the_others_come_out(name, content, reason, tmp_path):
    folder = tmp_path / "Scans"
    folder.mkdir()
    (folder / "a.png").write_bytes(saved("RGB", "PNG"))
    (folder / name).write_bytes(content())
    source = the_source(folder)
    probed = probe_source(source)
    SCHEMAS["video_probe"].table([probed])
    assert probed["readable"]
    found = {
        row["source_file"]: picture
        for row, picture in pictures_of(source, probed, keyframes("iframes"), DecodeReport())
    }
    assert np.array_equal(found["a.png"], scene(1))
    if reason is None:
        assert probed["damage"] == []
        assert np.array_equal(found[name], open_picture(folder / name))
    else:
        (sentence,) = probed["damage"]
        assert sentence.startswith(f"{name}: ")
        assert reason in sentence
        assert set(found) == {"a.png"}
