"""A file that changes in the middle is two recordings: each frame is what it is when its part is a file of its own."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.cuts import Cuts
from dataset_pipeline.video.keyframes import Interval
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.shots import find_shots
from dataset_pipeline.video.stream import DecodeReport

RATE, EACH = 8, 8
Make = Callable[..., list[Path]]
FIRST = "setsar=1,format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
CHANGES = {
    "size": (FIRST, FIRST + ",scale=80:120,setsar=1"),
    "smaller size": (FIRST, FIRST + ",scale=48:32"),
    "sample aspect": (FIRST, FIRST + ",setsar=32/27"),
    "sample aspect, to square": (FIRST + ",setsar=32/27", FIRST),
    "matrix": (FIRST, FIRST.replace("colorspace=bt709", "colorspace=smpte170m")),
    "range": (FIRST, FIRST.replace("range=tv", "range=pc")),
    "range, to limited": (FIRST.replace("range=tv", "range=pc"), FIRST),
    "depth": (FIRST, FIRST.replace("yuv420p", "yuv420p10le")),
    "chroma": (FIRST, FIRST.replace("yuv420p", "yuv444p")),
    "transfer": (FIRST, FIRST.replace("primaries=bt709:color_trc=bt709", "primaries=bt2020:color_trc=smpte2084")),
    "all": (
        FIRST,
        "scale=60:80,setsar=4/3,format=yuv422p10le,setparams=range=pc:colorspace=smpte170m:color_primaries=smpte170m",
    ),
    "a size without labels": ("setsar=1,format=yuv420p", "scale=64:578,setsar=1,format=yuv420p"),
}  # fmt: skip


def remuxed(parts: list[Path], path: Path) -> Path:
    """The parts' packets in one stream, one part after the other, a frame every `1 / RATE` s."""
    with av.open(str(path), "w") as out:
        stream: Any = None
        for place, part in enumerate(parts):
            with av.open(str(part)) as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(video=0) if packet.size]
                first = min(packet.pts for packet in packets if packet.pts is not None)
                for packet in packets:
                    for name in ("pts", "dts"):
                        ticks = round((getattr(packet, name) - first) * packet.time_base * RATE) + place * EACH
                        setattr(packet, name, ticks)
                    packet.duration, packet.time_base, packet.stream = 1, Fraction(1, RATE), stream
                    out.mux(packet)
    return path


@pytest.fixture
def joined(ffmpeg, tmp_path) -> Make:
    """Files of each part alone and of both, one after the other."""

    def made(ending: str, *parts: str) -> list[Path]:
        sources = []
        for number, filters in enumerate(parts):
            card = f"testsrc2=s=96x64:r={RATE}:d={EACH / RATE},hue=h={90 * number},{filters}"
            sources.append(tmp_path / f"source{number}.ts")
            ffmpeg(
                *("-loglevel", "error", "-f", "lavfi", "-i", card, "-c:v", "libx264", "-preset", "veryfast"),
                *("-x264-params", "keyint=4:scenecut=0:bframes=2:log-level=none", sources[-1]),
            )
        alone = [remuxed([source], tmp_path / f"alone{number}.{ending}") for number, source in enumerate(sources)]
        return [*alone, remuxed(sources, tmp_path / f"both.{ending}")]

    return made


def pictures_of(path: Path, mode: str = "interval", every_s: float = 1 / RATE) -> list[np.ndarray]:
    """Full-size pictures of all candidates, as large as their rows say and, scaled down, like their working copies."""
    source = {"episode": "show.1", "path": str(path), "kind": "video"}
    settings = load_settings().keyframes.model_copy(update={"mode": mode, "every_s": every_s})
    row, report = probe_source(source), DecodeReport()
    rows: dict[str, dict[str, Any]] = {}
    small: dict[str, np.ndarray] = {}
    for one, copy in candidates(source, row, settings, report):
        rows[one["image_id"]], small[one["image_id"]] = one, copy
    pictures = dict(full_size(source, rows, settings=settings, probe_row=row))
    assert set(pictures) == set(rows)
    for image_id, picture in pictures.items():
        assert picture.shape[:2] == (rows[image_id]["height_px"], rows[image_id]["width_px"])
        if min(picture.shape[:2]) <= settings.working_short_side_px:
            np.testing.assert_array_equal(picture, small[image_id])
    return [pictures[image_id] for image_id in rows]


@pytest.mark.parametrize(
    ("parts", "ending"),
    [(parts, "ts") for parts in CHANGES.values()] + [(CHANGES[name], "mkv") for name in ("all", "sample aspect")],
    ids=[*CHANGES, "all, sought", "sample aspect, sought"],
)
def test_every_frame_is_converted_by_its_own_properties(joined, parts, ending):
    *alone, both = joined(ending, *parts)
    apart = [picture for path in alone for picture in pictures_of(path)]
    together = pictures_of(both)
    assert len(together) == len(apart) == 2 * EACH
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", ["iframes", "mpdecimate", "shot"])
def test_every_mode_and_the_shots_follow_a_change(joined, mode):
    *_, both = joined("mkv", CHANGES["all"][0], CHANGES["all"][1])
    sizes = [picture.shape[:2] for picture in pictures_of(both, mode)]
    assert sizes == sorted(sizes)
    assert set(sizes) == {(64, 96), (80, 80)}
    report = DecodeReport()
    shots = find_shots(both, Conversion.of(probe(both).row()), Cuts(), report)
    assert [round(shot["start_s"] * RATE) for shot in shots] == [0, EACH]
    assert report.reasons == []


def test_bars_are_cut_off_the_frames_that_they_were_found_on(joined):
    boxed = FIRST + ",drawbox=h=16:c=black:t=fill,drawbox=y=48:h=16:c=black:t=fill"
    *_, both = joined("mkv", boxed, FIRST + ",scale=96:128,setsar=1")
    found = probe(both)
    assert (found.bar_top_px, found.bar_bottom_px) == (16, 16)
    assert [picture.shape[:2] for picture in pictures_of(both)] == [(32, 96)] * EACH + [(128, 96)] * EACH


def test_frames_of_another_size_are_measured_beside_each_other(joined):
    *_, both = joined("ts", *CHANGES["size"])
    detector = Interval(every_s=1.0, conversion=Conversion.of(probe(both).row()))
    assert [(one.width_px, one.height_px) for one in detector.candidates(both)] == [(96, 64), (80, 120)]
