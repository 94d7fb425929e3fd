"""What a Matroska file crops off its pictures is cropped, before all else."""

from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.containers import Crop, crops_of
from dataset_pipeline.video.cuts import Cuts
from dataset_pipeline.video.probe import probe
from dataset_pipeline.video.shots import find_shots
from dataset_pipeline.video.stream import DecodeReport

VOID, VIDEO = b"\xec", b"\xe0"
TRACKS, TRACK = b"\x16\x54\xae\x6b", b"\xae"


def element(identity: bytes, content: bytes) -> bytes:
    return identity + (1 << 56 | len(content)).to_bytes(8, "big") + content


def parts_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """(identity, content) of the elements that follow each other."""
    parts, at = [], 0
    while at < len(data):
        identity = data[at : at + 9 - data[at].bit_length()]
        at += len(identity)
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        at += length
        parts.append((identity, data[at : at + size]))
        at += size
    return parts


def cropped(path: Path, left: int, top: int, right: int, bottom: int) -> Path:
    """The Matroska file with cropping of its video; what lies behind its tracks stays where it is."""
    data = path.read_bytes()
    start = data.index(b"\x18\x53\x80\x67") + 12
    head = data[start : data.index(b"\x1f\x43\xb6\x75")]
    asked = b"".join(
        element(identity, value.to_bytes(1, "big"))
        for identity, value in ((b"\x54\xcc", left), (b"\x54\xbb", top), (b"\x54\xdd", right), (b"\x54\xaa", bottom))
    )

    def changed(identity: bytes, content: bytes) -> bytes:
        if identity in (TRACKS, TRACK):
            return element(identity, b"".join(changed(*part) for part in parts_of(content)))
        return element(identity, content + asked if identity == VIDEO else content)

    kept = b"".join(changed(*part) for part in parts_of(head) if part[0] != VOID)
    padding = len(head) - len(kept) - 9
    assert padding >= 0
    path.write_bytes(data[:start] + kept + element(VOID, bytes(padding)) + data[start + len(head) :])
    return path


@pytest.fixture
def card(ffmpeg, tmp_path):
    def made(name: str = "a.mkv", *coding: str) -> Path:
        source = "testsrc2=s=96x64:r=8:d=2"
        how = coding or ("-c:v", "libx264", "-qp", "0", "-g", "4", "-bf", "2", "-pix_fmt", "yuv420p")
        ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", source, *how, "-reserve_index_space", "500", tmp_path / name)
        return tmp_path / name

    return made


def pictures_of(path: Path, mode: str) -> list[np.ndarray]:
    source = {"episode": "show.1", "path": str(path), "kind": "video"}
    settings = load_settings().keyframes.model_copy(update={"mode": mode, "every_s": 0.25})
    row, report = probe_source(source), DecodeReport()
    rows = {one["image_id"]: one for one, _ in candidates(source, row, settings, report)}
    assert report.reasons == []
    pictures = dict(full_size(source, rows, settings=settings, probe_row=row))
    for image_id, picture in pictures.items():
        assert picture.shape[:2] == (rows[image_id]["height_px"], rows[image_id]["width_px"])
    return [pictures[image_id] for image_id in rows]


@pytest.mark.parametrize("mode", ["interval", "iframes", "mpdecimate", "shot"])
def test_pictures_are_those_of_the_whole_frame_without_what_is_cropped(card, mode):
    whole = pictures_of(card(), mode)
    path = cropped(card("b.mkv"), 4, 10, 6, 20)
    found = probe(path)
    assert (found.width_px, found.height_px, found.sar) == (86, 34, 1)
    assert found.damage == ()
    pictures = pictures_of(path, mode)
    assert pictures
    if mode in ("interval", "iframes"):
        assert len(pictures) == len(whole)
        for one, other in zip(pictures, whole, strict=True):
            # Chroma at the new edges has other neighbours, and the scaler's dither begins at another pixel.
            change = np.abs(one[2:-2, 2:-2].astype(int) - other[12:-22, 6:-8])
            assert change.mean() < 1
            assert change.max() <= 8


def test_shots_see_the_cropped_picture(card):
    path = cropped(card(), 0, 10, 0, 20)
    (shot,) = find_shots(path, None, Cuts(), DecodeReport())
    assert shot["frames"] == 16


def test_an_odd_edge_is_cropped_to_the_pixel(card):
    path = cropped(card("a.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p"), 3, 1, 0, 0)
    assert {picture.shape for picture in pictures_of(path, "interval")} == {(63, 93, 3)}


def test_a_crop_that_leaves_nothing_is_a_damaged_head(card):
    (reason,) = probe(cropped(card(), 50, 0, 50, 0)).damage
    assert reason.startswith("cannot be opened as a video")


def test_a_crop_is_read_from_the_head_of_the_file_alone(card, ffmpeg, tmp_path):
    path = cropped(card(), 4, 10, 6, 20)
    assert crops_of(path) == [Crop(4, 10, 6, 20)]
    data = path.read_bytes()
    (tmp_path / "short.mkv").write_bytes(data[:200])
    assert crops_of(tmp_path / "short.mkv") == []
    assert crops_of(card("plain.mkv")) == [Crop()]
    mp4 = tmp_path / "a.mp4"
    ffmpeg("-loglevel", "error", "-i", card("c.mkv"), "-c", "copy", mp4)
    assert crops_of(mp4) == []
