from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.images.resize import decode
from dataset_pipeline.settings.degradation import DOWNSCALE
from dataset_pipeline.super_resolution.low_quality import downscaled
from dataset_pipeline.super_resolution.sequence_files import sequence_files
from dataset_pipeline.super_resolution.sequences import FrameRun, sequences_of
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline_tests.super_resolution.drawn_sets import step

SHOTS = [{"number": 0, "frames": 8}, {"number": 1, "frames": 9}]
SEQUENCES = sequences_of("show.e1", SHOTS, 7)
ODD = 66, 99  # sides of the frames; 64 and 96 divide by 2 and 4


class Reader:
    """The frames of a drawn pan."""

    def __init__(self) -> None:
        self.ground = draw_scene(2, (160, ODD[0]), people=1, backdrop_seed=1002).image
        self.reads: list[FrameRun] = []

    def __call__(self, sequence: FrameRun) -> Iterator[np.ndarray]:
        self.reads.append(sequence)
        yield from (self.frame(number) for number in sequence.frames)

    def frame(self, number: int) -> np.ndarray:
        return self.ground[:, 3 * number : 3 * number + ODD[1]]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def pictures(reader: Reader, how: LowQuality) -> dict[str, np.ndarray]:
    files = sequence_files(SEQUENCES, "vimeo", reader, how)
    return {it.path: decode(it.content) for it in files if it.path.endswith("png") and isinstance(it.content, bytes)}


def test_frames_and_smaller_ones_lie_under_the_same_names_with_sides_that_fit(reader: Reader):
    found = pictures(reader, LowQuality((2, 4), "box"))
    assert len(found) == 3 * 7 * len(SEQUENCES) == 42
    for number, sequence in enumerate(SEQUENCES, start=1):
        for at, frame in enumerate(sequence.frames, start=1):
            whole = reader.frame(frame)[:64, :96]
            assert np.array_equal(found[f"train/hr/00001/{number:04d}/im{at}.png"], whole)
            for scale in (2, 4):
                low = found[f"train/x{scale}/00001/{number:04d}/im{at}.png"]
                assert np.array_equal(low, downscaled(np.ascontiguousarray(whole), scale, "box"))


def test_the_list_has_the_size_of_the_frames_as_they_are_written(reader: Reader):
    files = list(sequence_files(SEQUENCES, "vimeo", reader, LowQuality((4,))))
    assert files[-1].path == "meta_info_vimeo.txt"
    assert files[-1].content == b"00001/0001 7 (64,96,3)\n00001/0002 7 (64,96,3)\n"
    assert all(it.path.endswith(".png") for it in sequence_files(SEQUENCES, "trainner", reader, LowQuality((4,))))


def test_frames_of_a_sequence_go_through_the_same_steps_with_noise_of_their_own(reader: Reader):
    blurred = pictures(reader, LowQuality((2,), "box", (step("blur", 0.5, 3), step(DOWNSCALE)), seed=4))
    for sequence in (1, 2):
        errors = []
        for at in (1, 7):
            low, plain = (blurred[f"train/{it}/00001/{sequence:04d}/im{at}.png"] for it in ("x2", "hr"))
            errors.append(np.abs(low.astype(int) - downscaled(plain, 2, "box")).mean())
        assert errors[0] == pytest.approx(errors[1], rel=0.5)
    noisy = pictures(reader, LowQuality((2,), "box", (step(DOWNSCALE), step("noise", 9, 9)), seed=4))
    noise = [
        noisy[f"train/x2/00001/0001/im{at}.png"]
        - downscaled(noisy[f"train/hr/00001/0001/im{at}.png"], 2, "box").astype(float)
        for at in (1, 2)
    ]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_a_video_codec_sees_a_sequence_as_a_whole(reader: Reader):
    reader.reads.clear()
    how = LowQuality((2,), "box", (step(DOWNSCALE), step("h264", 30, 30)))
    found = pictures(reader, how)
    assert reader.reads == [it for it in SEQUENCES for _ in range(2)]
    for at in range(1, 8):
        low = found[f"train/x2/00001/0001/im{at}.png"]
        errors = [
            np.abs(low.astype(int) - downscaled(found[f"train/hr/00001/0001/im{other}.png"], 2, "box")).mean()
            for other in range(1, 8)
        ]
        assert np.argmin(errors) == at - 1
        assert 0 < errors[at - 1] < 10


def test_without_a_codec_each_sequence_is_read_once_and_frames_are_taken_one_by_one(reader: Reader):
    reader.reads.clear()
    files = sequence_files(SEQUENCES, "vimeo", reader, LowQuality((2, 4)))
    first = [next(files).path for _ in range(4)]
    assert first == [*(f"train/{it}/00001/0001/im1.png" for it in ("hr", "x2", "x4")), "train/hr/00001/0001/im2.png"]
    assert len(list(files)) == 42 - 4 + 1
    assert reader.reads == SEQUENCES


def test_frames_that_are_missing_or_of_another_size_are_refused(reader: Reader):
    with pytest.raises(ValueError, match="has 6 frames of 7"):
        list(sequence_files(SEQUENCES, "vimeo", lambda it: list(reader(it))[:6], LowQuality((2,))))
    with pytest.raises(ValueError, match="others of"):
        list(
            sequence_files(
                SEQUENCES, "vimeo", lambda it: [reader.frame(n)[: 60 + 2 * n] for n in it.frames], LowQuality()
            )
        )
