"""Frames are decoded once for all who look at them, and no later step decodes the whole file again."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source, shots_of
from dataset_pipeline.video.cuts import Cuts
from dataset_pipeline.video.decode import DecodeReport, frames_at, iter_frames
from dataset_pipeline.video.frame_pass import Seen, View, run_pass
from dataset_pipeline.video.keyframes import IFrames
from dataset_pipeline.video.shots import find_shots
from dataset_pipeline.video.stream import Cropper


class Decoded(Counter[str]):
    """Pictures that decoders gave, by the step that was `at` work. All of them pass the cropper."""

    at = ""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    found, crop = Decoded(), Cropper.__call__

    def counted(self: Cropper, images) -> Iterator:
        for image in crop(self, images):
            found[found.at] += 1
            yield image

    monkeypatch.setattr(Cropper, "__call__", counted)
    return found


class Watching:
    """Keeps what it sees."""

    def __init__(self, *view: float) -> None:
        self.view = View(*view)  # pyright: ignore[reportArgumentType]
        self.seen: list[Seen] = []

    def feed(self, seen: Seen) -> None:
        self.seen.append(seen)


def test_each_viewer_sees_what_it_declares_and_each_frame_is_decoded_once(clip, decoded):
    path = clip("b_pyramid.mp4")  # 120 frames of 160x120, 24 a second
    every, large, rare = Watching(60), Watching(1000), Watching(90, 3.0)
    report = DecodeReport()
    run_pass(path, [every, large, rare], report)
    assert decoded.total() == report.frames == 120
    assert [seen.number for seen in every.seen] == list(range(120))
    assert [seen.number for seen in rare.seen] == list(range(0, 120, 8))
    assert [(v.seen[0].bgr.shape, v.seen[0].factor) for v in (every, large, rare)] == [
        ((60, 80, 3), 2.0), ((120, 160, 3), 1.0), ((90, 120, 3), pytest.approx(4 / 3)),
    ]  # fmt: skip
    for seen, frame in zip(every.seen, iter_frames(path), strict=True):
        assert (seen.pts, seen.pts_s) == (frame.pts, frame.pts_s)
        whole = frame.rgb()[:, :, ::-1].reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
        assert np.abs(seen.bgr - whole).mean() < 8


def test_viewers_of_one_size_are_shown_one_copy(clip):
    one, other = Watching(60), Watching(60, 4.0)
    run_pass(clip("b_pyramid.mp4"), [one, other], DecodeReport())
    assert len(other.seen) == 20
    by_number = {seen.number: seen for seen in one.seen}
    assert all(seen is by_number[seen.number] for seen in other.seen)


def test_a_frame_without_a_viewer_that_is_due_is_not_made_small(clip, monkeypatch):
    made: list[int] = []
    monkeypatch.setattr(
        "dataset_pipeline.video.frame_pass.Shrinker.__call__", lambda self, number, frame: made.append(number)
    )
    rare = Watching(60, 2.0)
    run_pass(clip("b_pyramid.mp4"), [rare], DecodeReport())
    assert made == list(range(0, 120, 12))


def test_frames_for_small_copies_are_the_same_frames_but_for_edges_of_their_blocks(clip):
    pairs = zip(iter_frames(clip("b_pyramid.mp4")), iter_frames(clip("b_pyramid.mp4"), for_small=True), strict=True)
    apart = [np.abs(one.rgb().astype(int) - other.rgb()).mean() for one, other in pairs if one.pts == other.pts]
    assert len(apart) == 120
    assert 0 < max(apart) < 2


def test_copies_of_as_many_rows_as_are_enough_are_those_of_all_rows_but_for_fine_detail(ffmpeg, tmp_path):
    path = tmp_path / "large.mp4"
    drawn = "testsrc2=s=1280x724:r=24:d=1,gblur=2"
    ffmpeg("-f", "lavfi", "-i", drawn, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)
    for side, is_thin in ((180, False), (90, True), (30, True)):
        thin, whole = Watching(side), Watching(side)
        run_pass(path, [thin], DecodeReport())
        run_pass(path, [whole], DecodeReport(), whole=True)
        apart = [np.abs(one.bgr.astype(int) - other.bgr) for one, other in zip(thin.seen, whole.seen, strict=True)]
        assert len(apart) == 24
        assert (np.max(apart) > 0) == is_thin
        assert np.mean(apart) < 2


def test_an_error_of_a_viewer_is_raised_and_a_file_without_frames_is_told(clip, tmp_path):
    class Failing(Watching):
        def feed(self, seen: Seen) -> None:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        run_pass(clip("b_pyramid.mp4"), [Failing(60)], DecodeReport())
    path, report = tmp_path / "notes.mkv", DecodeReport()
    path.write_text("not a video")
    run_pass(path, [Watching(60)], report)
    assert "cannot be opened" in report.reasons[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_shots_are_the_same_for_any_number_of_threads(clip, monkeypatch, threads):
    path = clip("b_pyramid.mp4")
    rows = find_shots(path, None, Cuts(), DecodeReport())
    assert len(rows) > 3
    monkeypatch.setattr("dataset_pipeline.video.stream.MAX_THREADS", threads)
    monkeypatch.setattr("dataset_pipeline.video.shots._TRACKED_AHEAD", threads)
    monkeypatch.setattr("dataset_pipeline.video.frame_pass._FRAMES_AHEAD", threads - 1)
    assert find_shots(path, None, Cuts(), DecodeReport()) == rows


@pytest.fixture(scope="module")
def half_a_minute(ffmpeg, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "half_a_minute.mp4"
    drawn = "testsrc2=s=160x90:r=24:d=30,hue=h=300*floor(t/3)"
    ffmpeg("-f", "lavfi", "-i", drawn, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "48", path)
    return path


def test_no_step_but_shots_decodes_a_whole_file(half_a_minute, decoded):
    source = {"episode": "show.01", "kind": "video", "path": str(half_a_minute)}
    settings = load_settings()
    frames = 30 * 24
    decoded.at = "video_probe"
    row = probe_source(source)
    decoded.at = "shots"
    rows = shots_of(source, row, settings.shots, DecodeReport())
    decoded.at = "keyframes"
    found = [one for one, _ in candidates(source, row, settings.keyframes, DecodeReport())]
    decoded.at = "distinct_frames"
    kept = {one["image_id"]: one for one in found[::3]}
    assert len(dict(full_size(source, kept, row, settings.keyframes))) == len(kept) >= 5
    assert sum(one["frames"] for one in rows) == decoded["shots"] == frames
    assert decoded["keyframes"] < 1.2 * len(found) < frames / 20
    assert decoded["distinct_frames"] < frames / 10
    assert decoded["video_probe"] < frames / 4


DENSE = ["mpdecimate", "interval", "shot"]


def _told(rows: list[dict]) -> list[dict]:
    return [{name: one.tolist() if isinstance(one, np.ndarray) else one for name, one in row.items()} for row in rows]


@pytest.mark.parametrize("mode", DENSE)
def test_a_mode_that_looks_at_every_frame_finds_the_shots_in_the_same_pass(half_a_minute, decoded, mode):
    source = {"episode": "show.01", "kind": "video", "path": str(half_a_minute)}
    settings = load_settings(keyframes__mode=mode)
    row, frames = probe_source(source), 30 * 24
    report, met, alone = DecodeReport(), DecodeReport(), DecodeReport()
    decoded.at = "keyframes"
    found = list(candidates(source, row, settings.keyframes, report, settings.shots, for_shots=True))
    decoded.at = "shots"
    rows = shots_of(source, row, settings.shots, met, whole=True)
    assert (decoded["keyframes"], decoded["shots"], len(rows)) == (frames, 0, 10)
    decoded.at = "shots alone"
    assert _told(shots_of(source, row, settings.shots, alone, whole=True)) == _told(rows)
    assert met == alone == report
    assert decoded["shots alone"] == frames
    unshared = list(candidates(source, row, settings.keyframes, DecodeReport(), settings.shots))
    assert [one for one, _ in found] == [one for one, _ in unshared]
    for (_, picture), (_, same) in zip(found, unshared, strict=True):
        np.testing.assert_array_equal(picture, same)


def test_shots_are_handed_on_by_a_whole_pass_alone_and_taken_once_for_the_same_question(
    half_a_minute, decoded, tmp_path
):
    path = tmp_path / "copy.mp4"
    path.write_bytes(half_a_minute.read_bytes())
    source = {"episode": "show.01", "kind": "video", "path": str(path)}
    settings, row = load_settings(keyframes__mode="interval"), probe_source(source)
    frames = 30 * 24

    def look() -> Iterator:
        return candidates(source, row, settings.keyframes, DecodeReport(), settings.shots, for_shots=True)

    def decoded_for_shots(**cuts: float) -> int:
        decoded.at, before = "shots", decoded["shots"]
        shots_of(source, row, Cuts(**(settings.shots.model_dump() | cuts)), DecodeReport(), whole=True)
        return decoded["shots"] - before

    started = look()
    next(started)
    started.close()
    assert decoded_for_shots() == frames
    list(look())
    assert decoded_for_shots(min_shot_s=1.0) == frames
    assert decoded_for_shots() == 0
    assert decoded_for_shots() == frames
    list(look())
    with path.open("ab") as file:
        file.write(bytes(1))
    assert decoded_for_shots() >= frames


def test_shots_are_the_same_for_every_look_at_interlaced_turned_and_transparent_pictures(ffmpeg, tmp_path):
    drawn = "testsrc2=s=144x120:r=24:d=2,hue=h=300*floor(t*1.7)"
    turned, upright = tmp_path / "turned.mp4", tmp_path / "upright.mp4"
    ffmpeg("-f", "lavfi", "-i", drawn, "-c:v", "libx264", "-pix_fmt", "yuv420p", upright)
    ffmpeg("-display_rotation", "90", "-i", upright, "-c", "copy", turned)
    seen_through = "format=yuva420p,geq=lum='p(X,Y)':a='128+127*sin(X/9+N/5)'"
    vp9 = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "200k", "-cpu-used", "8"]
    ffmpeg("-f", "lavfi", "-i", f"{drawn},{seen_through}", *vp9, transparent := tmp_path / "transparent.webm")
    settings = load_settings(keyframes__mode="shot", keyframes__chroma_upsampling="nearest")
    for path, cadence in ((upright, "tff"), (turned, "progressive"), (transparent, "progressive")):
        source = {"episode": "show.01", "kind": "video", "path": str(path)}
        row = probe_source(source) | {"cadence": cadence}
        assert list(candidates(source, row, settings.keyframes, DecodeReport(), settings.shots, for_shots=True))
        handed_on, alone = (shots_of(source, row, settings.shots, DecodeReport(), whole=True) for _ in range(2))
        assert _told(handed_on) == _told(alone) != []


def test_intra_frames_alone_are_shown_to_nobody(clip):
    with pytest.raises(ValueError, match="IFrames decodes intra frames alone"):
        IFrames().candidates(clip("b_pyramid.mp4"), viewers=[Watching(60)])


def test_passes_that_overlap_leave_opencv_its_threads(clip):
    before = cv2.getNumThreads()
    inside: list[int] = []

    class Nesting(Watching):
        """Begins another pass in its own, and looks how many threads there are when that is over."""

        def feed(self, seen: Seen) -> None:
            if not inside:
                run_pass(clip("b_pyramid.mp4"), [Watching(60)], DecodeReport())
                inside.append(cv2.getNumThreads())

    run_pass(clip("b_pyramid.mp4"), [Nesting(60)], DecodeReport())
    assert (inside, cv2.getNumThreads()) == ([1], before)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_no_frame_is_decoded_twice_for_those_that_are_wanted(half_a_minute, ffmpeg, decoded, tmp_path, ending):
    path = tmp_path / f"copy.{ending}"
    ffmpeg("-i", half_a_minute, "-c", "copy", path)
    frames, length = [frame.pts for frame in iter_frames(path)], 48  # of a group of pictures
    for every, at_most in ((1, 720), (length - 1, 720), (length, 15), (4 * length, 4)):
        decoded.clear()
        wanted = frames[::every]
        assert [pts for pts, _ in frames_at(path, wanted)] == wanted
        assert len(wanted) <= decoded.total() <= at_most
