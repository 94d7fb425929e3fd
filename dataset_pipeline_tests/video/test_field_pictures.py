"""H.264 whose fields are pictures of their own (PAFF), as broadcasts and camcorders have it: a packet for each field.

No encoder at hand writes it, so these clips are written bit by bit: intra fields as plain samples (I_PCM), the others
as copies of the field before (P_Skip).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.video import decode
from dataset_pipeline.video.bitstream import intra_test, second_field_test
from dataset_pipeline.video.decode import DecodeReport, frames_at, iter_frames
from dataset_pipeline.video.probe import probe

SIDE_PX = 64
FIELD_MBS = (SIDE_PX // 16) * (SIDE_PX // 32)


class Writer:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, count: int, value: int) -> Writer:
        self.bits += [(value >> shift) & 1 for shift in range(count - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> Writer:
        for value in values:
            length = (value + 1).bit_length()
            self.u(2 * length - 1, value + 1)
        return self

    def aligned(self) -> bytes:
        return np.packbits(np.array(self.bits, np.uint8)).tobytes()

    def ended(self) -> bytes:
        return self.u(1, 1).aligned()


def nal(header: int, payload: bytes) -> bytes:
    escaped, zeros = bytearray(), 0
    for value in payload:
        if zeros >= 2 and value <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(value)
        zeros = 0 if value else zeros + 1
    return b"\0\0\0\1" + bytes([header]) + bytes(escaped)


def parameter_sets(only_frames: bool = False, high: bool = False) -> bytes:
    sequence = Writer().u(8, 100 if high else 77).u(8, 0).u(8, 40).ue(0)
    if high:
        sequence.ue(1, 0, 0).u(1, 0).u(1, 1)  # 4:2:0, 8 bits, and scaling lists
        sequence.u(1, 1).ue(*[1] * 16)  # a list of sixteen steps of one
        sequence.u(1, 1).ue(16)  # one that ends at once: 8 - 8
        sequence.u(6, 0)
    sequence.ue(0, 0, 4, 2).u(1, 0).ue(SIDE_PX // 16 - 1, SIDE_PX // (16 if only_frames else 32) - 1)
    sequence.u(1, only_frames)
    if not only_frames:
        sequence.u(1, 0)  # no adaptive frame and field blocks
    sequence.u(1, 1).u(1, 0).u(1, 0)
    picture = Writer().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0)
    return nal(0x67, sequence.ended()) + nal(0x68, picture.ended())


def slice_header(kind: int, number: int, bottom: bool, idr: bool, idr_id: int) -> Writer:
    header = Writer().ue(0, kind, 0).u(4, number % 16).u(1, 1).u(1, bottom)
    if idr:
        header.ue(idr_id)
    header.u(8, (2 * number + bottom) % 256)
    if kind == 5:
        header.u(2, 0)  # references as they come
    return header.u(2 if idr else 1, 0).ue(0)


def intra_field(luma: np.ndarray, number: int, bottom: bool, idr_id: int) -> bytes:
    idr = number == 0 and not bottom
    writer, coded = slice_header(7, number, bottom, idr, idr_id), b""
    for y in range(0, luma.shape[0], 16):
        for x in range(0, luma.shape[1], 16):
            coded += writer.ue(25).aligned() + luma[y : y + 16, x : x + 16].tobytes() + b"\x80" * 128
            writer = Writer()
    return nal(0x65 if idr else 0x61, coded + b"\x80")


def copied_field(number: int, bottom: bool) -> bytes:
    return nal(0x41, slice_header(5, number, bottom, False, 0).ue(FIELD_MBS).ended())


def picture(number: int) -> np.ndarray:
    x, y = np.arange(SIDE_PX)[None], np.arange(SIDE_PX)[:, None]
    return (20 + (2 * x + 3 * (y // 8) + 31 * number) % 200).astype(np.uint8)


def fields(frames: int, gop: int, second_is_copy: bool) -> Iterator[bytes]:
    """The coded fields of a clip, with the parameter sets before each key frame."""
    for frame in range(frames):
        number = frame % gop
        for bottom in (False, True):
            if number or (bottom and second_is_copy):
                yield copied_field(number, bottom)
            else:
                luma = picture(frame)[bottom::2]
                sets = b"" if bottom else parameter_sets()
                yield sets + intra_field(luma, number, bottom, frame // gop % 2)


@pytest.fixture
def field_clip(ffmpeg, tmp_path) -> Callable[..., Path]:
    def write(ending: str, frames: int = 24, gop: int = 6, second_is_copy: bool = True, lost: int = -1) -> Path:
        raw, path = tmp_path / "fields.h264", tmp_path / f"fields.{ending}"
        coded = [one for place, one in enumerate(fields(frames, gop, second_is_copy)) if place != lost]
        raw.write_bytes(b"".join(coded))
        ffmpeg("-r", "50", "-i", raw, "-c", "copy", path)
        return path

    return write


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("second_is_copy", [False, True])
def test_intra_frames_of_field_pictures_are_those_that_ffmpeg_selects(
    field_clip, ffmpeg_intra_pts, ending, second_is_copy
):
    path = field_clip(ending, second_is_copy=second_is_copy)
    report = DecodeReport()
    found = [frame.pts for frame in iter_frames(path, intra_only=True, report=report)]
    assert found == ffmpeg_intra_pts(path)
    assert report.reasons == []


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_a_frame_of_two_packets_is_not_taken_for_a_loss_and_decoded_twice(field_clip, monkeypatch, ending):
    path = field_clip(ending)
    asked = []
    all_frames = decode.all_frames
    monkeypatch.setattr(
        decode, "all_frames", lambda path, threads, *rest: asked.append(threads) or all_frames(path, threads, *rest)
    )
    report = DecodeReport()
    frames = list(iter_frames(path, report=report))
    assert asked == ["GROUPS"]
    assert (len(frames), report.frames, report.packets, report.reasons) == (24, 24, 24, [])
    for frame, shown in ((0, 0), (5, 0), (6, 6), (23, 18)):
        grey = frames[frame].rgb()[..., 0].astype(float)
        expected = (picture(shown).astype(float)[0::2].repeat(2, axis=0) - 16) * 255 / 219
        assert np.abs(grey - expected).mean() < 2


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_the_frame_rate_is_that_of_frames_not_of_fields(field_clip, ending):
    found = probe(field_clip(ending, frames=60))
    assert (found.frame_rate, found.is_vfr, found.duration_s) == (
        pytest.approx(25),
        False,
        pytest.approx(2.4, abs=0.03),
    )


def test_frames_of_field_pictures_are_found_by_their_timestamps(field_clip):
    path = field_clip("mkv")
    frames = {frame.pts: frame.rgb() for frame in iter_frames(path)}
    wanted = [*frames][3::7]
    found = dict(frames_at(path, wanted))
    assert [*found] == wanted
    for pts, rgb in found.items():
        np.testing.assert_array_equal(rgb, frames[pts])


@pytest.mark.parametrize("lost", [14, 15, 20])
def test_a_frame_that_lacks_a_field_is_left_out_and_the_others_are_as_they_were(field_clip, lost):
    whole = {frame.pts: frame.rgb() for frame in iter_frames(field_clip("mkv", second_is_copy=False))}
    shown = {round(pts / 40): rgb for pts, rgb in whole.items()}
    frames = list(iter_frames(field_clip("mkv", second_is_copy=False, lost=lost)))
    assert len(frames) == 23
    for at, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.rgb(), shown[at + (at >= lost // 2)])


@pytest.mark.parametrize("high", [False, True])
def test_second_fields_are_told_from_frames_and_from_first_fields(high):
    sets = parameter_sets(high=high)
    top, bottom = (copied_field(3, is_bottom) for is_bottom in (False, True))
    completes = second_field_test("h264", sets)
    assert completes is not None
    assert [completes(one) for one in (top, bottom, bottom, top)] == [False, True, False, True]
    assert [completes(one) for one in (top, top, bottom, top + bottom, bottom)] == [False, False, True, False, False]
    assert not completes(copied_field(4, True))  # of another frame than the field before
    with pytest.raises(ValueError, match="in two fields"):
        intra_test("h264", sets)(top)


def test_where_all_pictures_are_frames_no_packet_is_read():
    assert second_field_test("h264", parameter_sets(only_frames=True)) is None
    assert second_field_test("h264", None) is None
    assert second_field_test("mpeg2video", b"") is None


def test_parameter_sets_that_are_cut_short_are_left_to_the_decoder():
    sets = parameter_sets(high=True)
    for length in range(len(sets)):
        completes = second_field_test("h264", sets[:length])
        assert completes is None or not completes(copied_field(0, True))
    record = b"\1\x64\0\x28\xff\xe1\0\x40" + sets[4:9]
    assert second_field_test("h264", record) is None
