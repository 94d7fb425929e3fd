"""From frames to tracks with vectors: which frames are looked at, which pieces are told apart, where a track is cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.characters.cutting import rows_of, stretches_of
from dataset_pipeline.characters.following import (
    CROPS_AT_ONCE,
    SIGNATURE_CELLS,
    SPREAD,
    Followed,
    Look,
    follow,
    looks_of,
)
from dataset_pipeline.characters.small_copies import COPY_ROWS, as_copy
from dataset_pipeline.store.schemas import SCHEMAS

WHO = {"a": (1.0, 0.0), "b": (0.0, 1.0)}
THRESHOLD = 0.2


def shot(number: int, first_s: float, levels: Sequence[int], fps: int = 24) -> dict[str, Any]:
    """A shot whose frames are grey of these levels."""
    times_s = [first_s + n / fps for n in range(len(levels))]
    return {
        "number": number,
        "start_s": first_s,
        "end_s": first_s + len(levels) / fps,
        "frame_pts": [round(time_s * 1000) for time_s in times_s],
        "frame_pts_s": times_s,
        "signatures": b"".join(bytes([level]) * SIGNATURE_CELLS for level in levels),
    }


def look(shot: int, number: int) -> Look:
    return Look(shot, number, number / 3, number / 3, max(0.0, (number - 0.5) / 3), (number + 0.5) / 3)


def looked_at(*shots: dict[str, Any], per_s: float = 3.0) -> list[tuple[int, int, int]]:
    """(shot, pts, until when in ms) of each look."""
    return [(it.shot, it.pts, round(1000 * it.held_until_s)) for it in looks_of(shots, per_s)]


def test_looks_at_one_who_moves_all_the_time_lie_evenly_and_no_more_are_made_than_on_average():
    moving = [10 * n for n in range(20)]
    assert looked_at(shot(0, 1.0, moving)) == [(0, 1000, 1000), (0, 1375, 1375), (0, 1792, 1792)]
    assert len(looked_at(shot(0, 1.0, moving), per_s=24.0)) == 20


def test_what_a_held_shot_does_not_need_goes_to_one_that_moves_as_near_as_a_third_of_the_average():
    moving = [100 + 10 * (n % 12) for n in range(25)]
    alone, beside = looked_at(shot(0, 0.0, moving)), looked_at(shot(0, 0.0, moving), shot(1, 2.0, [50] * 96))
    assert (len(alone), len(beside)) == (3, 9)
    assert min(b - a for (_, a, _), (_, b, _) in pairwise(beside[:-1])) >= 110


def test_a_mouth_gets_fewer_looks_than_a_walk():
    def frames(cells: int) -> bytes:
        return b"".join(bytes([50 + 40 * (n // 3 % 2)]) * cells + bytes(SIGNATURE_CELLS - cells) for n in range(48))

    walk, mouth = ({**shot(k, 2.0 * k, [0] * 48), "signatures": frames(cells)} for k, cells in ((0, 60), (1, 2)))
    looks = looked_at(walk, mouth)
    assert len(looks) <= 12
    assert sum(number == 0 for number, _, _ in looks) == 2  # two pictures
    rising = {**walk, "signatures": b"".join(bytes([5 * n]) * 60 + bytes(SIGNATURE_CELLS - 60) for n in range(48))}
    assert sum(number == 0 for number, _, _ in looked_at(rising, mouth)) >= 9


def test_somebody_who_walks_in_step_with_the_looks_is_seen_in_several_phases():
    walking = [10 * (n // 2 % 4) for n in range(96)]  # drawn on twos, again and again the same four
    assert {round(24 * pts / 1000) // 2 % 4 for _, pts, _ in looked_at(shot(0, 0.0, walking))} == {0, 1, 2, 3}


def test_a_held_picture_is_looked_at_once_and_its_look_lasts():
    assert looked_at(shot(0, 0.0, [50] * 48)) == [(0, 0, 1958)]
    nearly = [50] * 8 + [55] * 8 + [90] * 9
    assert looked_at(shot(0, 0.0, nearly)) == [(0, 0, 625), (0, 667, 1000)]
    first, second = looks_of([shot(0, 0.0, nearly)], 3.0)
    middle = pytest.approx((0.625 + 2 / 3) / 2)
    assert (first.since_s, first.until_s, second.since_s, second.until_s) == (0.0, middle, middle, 25 / 24)


def test_slow_changes_add_up_until_they_are_seen():
    assert len(looked_at(shot(0, 0.0, list(range(48))))) == 5


def test_each_shot_is_looked_at_by_itself_however_short():
    assert looked_at(shot(0, 0.0, [50]), shot(1, 0.5, [50, 90])) == [(0, 0, 0), (1, 500, 500)]
    assert looked_at() == []


def test_frames_of_any_rate_are_looked_at_where_there_are_some():
    slow = shot(0, 0.0, [0, 40, 80], fps=1)
    assert [pts for _, pts, _ in looked_at(slow)] == [0, 1000, 2000]


class Stage:
    """Frames on which people are flat squares: who they are is their colour. `calls`: pictures that each net saw."""

    def __init__(self, *frames: dict[str, tuple[int, int]], size: tuple[int, int] = (400, 300)) -> None:
        self.calls = {"detect": 0, "embed": 0}
        self.looks = [look(0, n) for n in range(len(frames))]
        self.frames = []
        for number, people in enumerate(frames):
            rgb = np.zeros((size[1], size[0], 3), np.uint8)
            for name, (x, y) in people.items():
                rgb[y : y + 120, x : x + 60] = [255 * v for v in WHO[name[0]]] + [100]
            self.frames.append((number, rgb))

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[tuple[Any, ...]]]:
        self.calls["detect"] += len(pictures)
        return [list(self._boxes(picture)) for picture in pictures]

    def _boxes(self, rgb: np.ndarray):
        import cv2

        for channel in (0, 1):
            mask = (rgb[:, :, channel] == 255).astype(np.uint8)
            for x, y, w, h, _ in cv2.connectedComponentsWithStats(mask)[2][1:]:
                yield "person", int(x), int(y), int(x + w), int(y + h), 0.9
                yield "head", int(x) + 10, int(y), int(x) + 50, int(y) + 40, 0.8

    def embed(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        self.calls["embed"] += len(pieces)
        return np.stack([piece.mean(axis=(0, 1))[:2] for piece in pieces]).astype(np.float32)

    def tracks(self) -> list[Followed]:
        return list(follow(self.frames, self.looks, self.detect, self.embed))


def differences(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """1 - cosine."""
    units = (some / np.linalg.norm(some, axis=1, keepdims=True) for some in (ones, others))
    one, other = units
    return 1.0 - one @ other.T


def people(tracks: list[Followed]) -> list[list[int]]:
    """The first and last sample's look of each stretch."""
    return [
        [track.looks[stretch[0]].pts, track.looks[stretch[-1]].pts]
        for track in tracks
        for stretch in stretches_of(track, differences, THRESHOLD)
    ]


def test_a_long_track_gets_vectors_of_a_few_samples_spread_over_it_of_head_and_person():
    stage = Stage(*[{"a": (10 + 2 * n, 50)} for n in range(60)])
    (track,) = stage.tracks()
    samples = sorted({sample for sample, _ in track.vectors})
    assert 3 <= len(samples) <= SPREAD
    assert samples[-1] - samples[0] > 30
    assert stage.calls == {"detect": 60, "embed": 2 * len(samples)}
    assert people([track]) == [[0, 59]]


def test_a_track_that_goes_over_to_another_person_is_cut_there():
    stage = Stage(*[{"a": (100, 50)}] * 4, *[{"b": (190, 50)}] * 4)  # a jump by more than the box is wide
    assert len(stage.tracks()) == 1
    assert people(stage.tracks()) == [[0, 3], [4, 7]]


def test_a_jump_of_one_and_the_same_person_is_no_cut():
    stage = Stage(*[{"a": (100, 50)}] * 4, *[{"a": (190, 50)}] * 4)
    assert people(stage.tracks()) == [[0, 7]]


def test_another_person_in_the_same_place_is_told_by_vectors_alone():
    stage = Stage(*[{"a": (100, 50)}] * 4, *[{"b": (100, 50)}] * 4)
    assert people(stage.tracks()) == [[0, 3], [4, 7]] or len(people(stage.tracks())) == 2


def test_without_people_no_vector_is_asked_for_and_without_frames_nothing_is():
    nobody = Stage({}, {}, {})
    assert nobody.tracks() == []
    assert nobody.calls == {"detect": 3, "embed": 0}
    nothing = Stage()
    assert nothing.tracks() == []
    assert nothing.calls == {"detect": 0, "embed": 0}


def test_a_frame_that_cannot_be_had_is_no_matter():
    stage = Stage(*[{"a": (100, 50)}] * 6)
    del stage.frames[2]
    (track,) = stage.tracks()
    assert [look.pts for look in track.looks] == [0, 1, 3, 4, 5]


def test_pieces_wait_for_one_another_and_no_longer_than_need_be():
    stage = Stage(*[{"a": (100, 50), "b": (250, 50)}] * 80)
    stage.looks = [look(n, n) for n in range(80)]  # eighty shots
    calls: list[int] = []

    def embed(pieces: Sequence[np.ndarray]) -> np.ndarray:
        calls.append(len(pieces))
        return stage.embed(pieces)

    tracks = list(follow(stage.frames, stage.looks, stage.detect, embed))
    assert len(tracks) == 160
    assert sum(calls) == 320
    assert max(calls) <= 2 * CROPS_AT_ONCE
    assert len(calls) <= 4


def test_pictures_of_another_size_begin_other_tracks():
    small, large = Stage({"a": (100, 50)}), Stage({}, {"a": (100, 50)}, size=(800, 600))
    frames = [small.frames[0], large.frames[1]]
    tracks = list(follow(frames, large.looks, small.detect, small.embed))
    assert [track.size_px for track in tracks] == [(400, 300), (800, 600)]


def test_a_piece_that_is_tiny_gets_no_vector_and_none_is_enlarged():
    sizes: list[tuple[int, ...]] = []
    stage = Stage({"a": (100, 50)})
    stage.frames[0][1][0:20, 0:10] = (255, 0, 100)

    def embed(pieces: Sequence[np.ndarray]) -> np.ndarray:
        sizes.extend(piece.shape[:2] for piece in pieces)
        return stage.embed(pieces)

    tracks = list(follow(stage.frames, stage.looks, stage.detect, embed))
    assert sorted(len(track.vectors) for track in tracks) == [0, 2]
    assert sorted(sizes) == [(40, 40), (120, 60)]


def test_rows_hold_all_that_readers_apply_thresholds_to():
    (track,) = Stage(*[{"a": (100 + 10 * n, 50)} for n in range(4)]).tracks()
    rows = list(rows_of("show.e01", track, [range(0, 4)]))
    (row,) = SCHEMAS["tracks"].table([{**it, "detector_sha256": "d", "model_sha256": "m"} for it in rows]).to_pylist()
    assert row["track_id"] == "show.e01/track-00000000-250-167-150-400"
    assert (row["start_s"], row["end_s"]) == (0.0, pytest.approx(3.5 / 3))  # halfway to the looks around
    assert (row["score"], row["max_score"]) == (0.9, 0.9)
    assert [sample["x0_px"] for sample in row["samples"]] == [100, 110, 120, 130]
    assert row["samples"][0]["head"] == {"x0_px": 110, "y0_px": 50, "x1_px": 150, "y1_px": 90, "score": 0.8}
    assert {(it["sample"], it["kind"]) for it in row["vectors"]} >= {(0, "head"), (0, "person")}
    assert as_copy(row["samples"][0]["thumb"]).shape == (COPY_ROWS, COPY_ROWS // 2)


def test_a_vector_that_is_no_number_says_nothing():
    (track,) = Stage(*[{"a": (100, 50)}] * 4, *[{"b": (190, 50)}] * 4).tracks()
    track.vectors = {place: np.full(2, np.nan, np.float32) for place in track.vectors}
    assert stretches_of(track, differences, THRESHOLD) == [range(0, 8)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_shot_of_a_few_frames_gives_tracks_as_short(count):
    assert people(Stage(*[{"a": (100, 50)}] * count).tracks()) == [[0, count - 1]]
