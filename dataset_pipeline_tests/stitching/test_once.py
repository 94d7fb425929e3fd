"""Shots that are asked for in order of time are read on one way, and what is kept is not read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from dataset_pipeline.stitching.once import Once

FRAME = np.zeros((2, 2, 3), np.uint8)


class Video:
    """Frames at each number but for those in `lost`; at `broken` the decoder fails. calls: what was asked, and read."""

    def __init__(self, lost: Sequence[int] = (), broken: int | None = None) -> None:
        self.lost, self.broken = lost, broken
        self.asked: list[list[int]] = []
        self.read: list[int] = []

    def __call__(self, pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        self.asked.append(list(pts))
        for at in pts:
            if at == self.broken:
                raise ValueError("broken")
            if at not in self.lost:
                self.read.append(at)
                yield at, FRAME


def given(frames: Iterator[tuple[int, np.ndarray]]) -> list[int]:
    return [at for at, _ in frames]


def test_shots_in_order_of_time_are_read_on_one_way_and_what_is_kept_is_not_read_again():
    video = Video()
    once = Once(video, range(12))
    first = once.of(range(6))
    assert given(first(range(6))) == [0, 1, 2, 3, 4, 5]
    assert given(first([1, 4])) == [1, 4]
    second = once.of(range(8, 12))
    assert given(second([8, 10])) == [8, 10]
    assert given(second([8, 9, 10, 11])) == [8, 9, 10, 11]
    assert video.asked == [list(range(12))]
    assert video.read == list(range(12))


def test_no_frame_is_read_before_it_is_asked_for():
    video = Video()
    first = Once(video, range(12)).of(range(6))
    assert next(first(range(6)))[0] == 0
    assert video.read == [0]


def test_what_does_not_fit_into_memory_is_read_once_more_in_order():
    video = Video()
    frames = Once(video, range(5), most_kept_bytes=2 * FRAME.nbytes).of(range(5))
    given(frames(range(5)))
    assert given(frames(range(5))) == [0, 1, 2, 3, 4]
    assert video.asked == [[0, 1, 2, 3, 4], [2, 3, 4]]


def test_what_was_not_kept_or_not_announced_is_read_by_itself():
    video = Video()
    once = Once(video, [0, 1, 5, 6])
    assert given(once.of([])([5])) == [5]
    assert given(once.of([])([0, 1, 3, 6])) == [0, 1, 3, 6]
    assert video.asked == [[0, 1, 5, 6], [0, 1, 3]]


def test_what_cannot_be_read_is_not_tried_again_and_costs_no_other_shot():
    video = Video(lost=[2, 3])
    once = Once(video, range(8))
    frames = once.of(range(4))
    assert given(frames(range(4))) == [0, 1]
    assert given(frames(range(4))) == [0, 1]
    assert given(once.of(range(4, 8))(range(4, 8))) == [4, 5, 6, 7]
    assert video.asked == [list(range(8))]


def test_an_error_is_the_shots_that_met_it():
    video = Video(broken=2)
    once = Once(video, range(8))
    with pytest.raises(ValueError, match="broken"):
        given(once.of(range(4))(range(4)))
    assert given(once.of(range(4, 8))(range(4, 8))) == [4, 5, 6, 7]
    assert video.asked == [list(range(8)), [4, 5, 6, 7]]
