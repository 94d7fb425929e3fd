from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.super_resolution.sequences import (
    SIGNATURE_VALUES,
    FrameRun,
    change_of,
    frame_paths,
    judged,
    scene_of,
    sequence_list,
    sequences_of,
    signatures_of,
)
from dataset_pipeline_tests.super_resolution.loaders import reds_clips, trainner_clips, vimeo_clips

SHOTS = [{"number": number, "frames": frames} for number, frames in enumerate((250, 6, 110, 100, 99))]
EPISODE = "frieren.s01e03"


def shot_of(frame: int) -> int:
    first = 0
    for shot in SHOTS:
        first += shot["frames"]
        if frame < first:
            return shot["number"]
    raise AssertionError(f"no shot has frame {frame}")


@pytest.mark.parametrize(
    ("frames", "stride", "most"), [(100, 0, 0), (7, 0, 0), (7, 3, 0), (7, 0, 2), (5, 1, 4), (1, 0, 0)]
)
def test_no_sequence_goes_over_a_cut_and_its_frames_follow_one_another(frames: int, stride: int, most: int):
    found = sequences_of(EPISODE, SHOTS, frames, stride, most)
    assert found
    for it in found:
        assert it.frames == tuple(range(it.frames[0], it.frames[0] + frames))
        assert {shot_of(frame) for frame in it.frames} == {it.shot}
        assert not most or sum(other.shot == it.shot for other in found) <= most


def test_a_shot_gives_as_many_sequences_as_it_has_room_for():
    assert [(it.shot, it.frames[0]) for it in sequences_of(EPISODE, SHOTS, 100)] == [
        (0, 0),
        (0, 100),
        (2, 256),
        (3, 366),
    ]
    assert len(sequences_of(EPISODE, SHOTS, 100, stride=1)) == 151 + 11 + 1
    assert sequences_of(EPISODE, [], 7) == []
    # Two of the 35 that the first shot has room for, in the middle of its halves.
    assert [it.frames[0] for it in sequences_of(EPISODE, SHOTS[:1], 7, most_of_shot=2)] == [8 * 7, 26 * 7]


def written(root: Path, paths: list[list[str]]) -> None:
    for path in (root / it for its in paths for it in its):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)


def test_clips_of_reds_are_all_trained_on(tmp_path: Path):
    found = sequences_of(EPISODE, SHOTS, 100, stride=10)
    written(tmp_path, frame_paths(found, "reds"))
    text = sequence_list(found, "reds", 1280, 720)
    assert text.splitlines()[0] == "300 100 (720,1280,3)"
    assert reds_clips(text, tmp_path) == [str(300 + number) for number in range(len(found))]


def test_sequences_of_vimeo_have_seven_frames_and_a_thousand_of_them_a_folder(tmp_path: Path):
    found = sequences_of(EPISODE, SHOTS, 7)
    written(tmp_path, frame_paths(found, "vimeo"))
    text = sequence_list(found, "vimeo", 448, 256)
    assert text.splitlines()[0] == "00001/0001 7 (256,448,3)"
    assert len(set(vimeo_clips(text, tmp_path))) == len(found) == 35 + 15 + 14 + 14
    assert frame_paths(found * 14, "vimeo")[1000][0] == "00002/0001/im1.png"


def test_frames_in_one_folder_keep_their_scene_apart_and_their_order():
    episodes = (EPISODE, "frieren_s01.e03", "frieren-s01.e03")  # alike once dots and underscores are gone
    found = [it for episode in episodes for it in sequences_of(episode, SHOTS, 12)]
    paths = frame_paths(found, "trainner")
    names = [name for its in paths for name in its]
    assert len(set(names)) == len(names)
    clips = trainner_clips(names, 5)
    assert clips.keys() == {scene_of(it) for it in found}
    assert all(len(windows) == 8 for windows in clips.values())
    assert clips[scene_of(found[0])][3] == paths[0][3:8]
    assert sequence_list(found, "trainner", 448, 256) == ""


def test_lengths_that_a_loader_does_not_take_are_refused():
    for layout in ("reds", "vimeo"):
        with pytest.raises(ValueError, match=f"{layout} takes sequences"):
            frame_paths(sequences_of(EPISODE, SHOTS, 12), layout)
    with pytest.raises(ValueError, match="impossible"):
        sequences_of(EPISODE, SHOTS, 0)


def test_how_much_moves_in_a_sequence_is_told_by_its_own_frames():
    levels = np.repeat(np.array([10, 10, 10, 14, 20, 20], np.uint8), SIGNATURE_VALUES)
    copies = signatures_of([{"signatures": it.tobytes()} for it in np.split(levels, [SIGNATURE_VALUES])])
    changes = [change_of(FrameRun("a.a", 0, frames), copies) for frames in ((0, 1, 2), (2, 3, 4), (3, 4, 5), (1,))]
    assert changes == [0.0, 5.0, 3.0, 0.0]


def test_a_sequence_with_a_frame_that_is_missing_or_of_another_size_is_lost_alone():
    whole, gap, cropped, full, other = (
        FrameRun(it, 0, (at, at + 1)) for it, at in zip("aaaab", (0, 2, 4, 6, 0), strict=True)
    )
    more = FrameRun("b", 0, (2, 3))
    usual, filled = (80, 96), (96, 96)
    sizes = {"a": dict.fromkeys(range(8), usual), "b": {0: filled, 1: filled, 2: usual, 3: usual}}
    del sizes["a"][3]
    sizes["a"][4] = sizes["a"][6] = sizes["a"][7] = filled
    found = judged([whole, gap, cropped, full, other, more, FrameRun("a", 1, (1,))], sizes)
    assert found == {
        "taken": [whole, more, FrameRun("a", 1, (1,))],
        "other_size": [cropped, full, other],
        "unreadable": [gap],
    }
    assert judged([], {}) == {"taken": [], "other_size": [], "unreadable": []}
