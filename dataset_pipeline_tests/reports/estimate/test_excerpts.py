"""Which windows are cut, and what comes out of them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dataset_pipeline.images.pictures import list_pictures
from dataset_pipeline.reports.estimate.excerpts import copied, cut, key_frames_of, spread
from dataset_pipeline.video.stream import VideoError

RATE, SECONDS, GROUP = 12, 20, 12  # a key frame each second


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds, of which each has its own grey."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 64, "yuv420p", GROUP
        for number in range(RATE * SECONDS):
            grey = np.full((64, 64, 3), 10 * (number // RATE) + 20, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        out.mux(stream.encode(None))
    return path


def greys(path: Path) -> list[int]:
    """The grey of each frame, as the number of its second in the clip."""
    with av.open(str(path)) as container:
        return [round((frame.to_ndarray(format="gray").mean() - 20) / 10) for frame in container.decode(video=0)]


def test_windows_lie_in_the_middle_of_equal_parts():
    assert spread(100, 0.2, 12, 10) == [(20, 30), (70, 80)]
    assert spread(100, 0.05, 12, 10) == [(47.5, 52.5)]
    assert len(spread(10_000, 0.5, 12, 10)) == 12


def test_an_excerpt_holds_whole_groups_of_its_windows(clip: Path, tmp_path: Path):
    found = cut(clip, tmp_path / "cut.mkv", [(3.5, 5.0), (12.0, 13.5)])
    assert greys(found.path) == [second for second in (3, 4, 12, 13) for _ in range(RATE)]
    assert (found.windows, found.key_frames, found.seconds) == (2, 4, pytest.approx(4.0, abs=0.2))


def test_windows_that_run_into_one_another_give_no_frame_twice(clip: Path, tmp_path: Path):
    found = cut(clip, tmp_path / "cut.mkv", [(3.0, 4.5), (4.2, 4.8), (6.0, 7.0)])
    assert greys(found.path) == [second for second in (3, 4, 6) for _ in range(RATE)]


def test_key_frames_are_counted_without_decoding(clip: Path):
    assert key_frames_of(clip, SECONDS, 10.0) == SECONDS
    assert key_frames_of(clip, SECONDS, 0.0) == pytest.approx(SECONDS, rel=1)  # in proportion to what was read


def test_what_cannot_be_cut_is_named(tmp_path: Path):
    (tmp_path / "text.mkv").write_text("no video")
    with pytest.raises(VideoError, match=r"text\.mkv"):
        cut(tmp_path / "text.mkv", tmp_path / "cut.mkv", [(0, 1)])


def test_pictures_come_in_runs_of_neighbours(tmp_path: Path):
    for number in range(40):
        (tmp_path / "all" / "inner").mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / "inner" / f"{number:02}.png").write_bytes(b"")
    copied(list_pictures(tmp_path / "all"), tmp_path / "some", 8)
    names = [int(path.stem) for path in sorted((tmp_path / "some" / "inner").iterdir())]
    assert names == [4, 5, 14, 15, 24, 25, 34, 35]
