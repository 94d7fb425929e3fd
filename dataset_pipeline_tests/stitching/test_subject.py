"""Somebody is put back on a plate from a sharp frame that they are truly on, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dataset_pipeline.base.boxes import Box
from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, Mosaic
from dataset_pipeline.stitching.canvas import Canvas
from dataset_pipeline.stitching.subject import FRAME_SHOWS_IT, SURROUNDINGS_UNKNOWN, Subject, subject_of, with_subject

WIDTH, HEIGHT, BLOCK = 160, 96, 8
FRAMES = 10
BOX: Box = (64.0, 24.0, 96.0, 80.0)
EVERY = np.uint64((1 << FRAMES) - 1)
PLACE = Canvas(-WIDTH / 2, -HEIGHT / 2, WIDTH, HEIGHT)
GREY, RED = 90, (200, 40, 40)


def _alignment() -> Alignment:
    return Alignment(
        pts=np.arange(FRAMES),
        pts_s=np.arange(FRAMES) / 12,
        size_px=(WIDTH, HEIGHT),
        places=np.zeros((FRAMES, 4)),
        gains=np.ones(FRAMES),
        is_similarity=False,
        layers=(),
        fixed=np.zeros((HEIGHT // 8, WIDTH // 8), bool),
        agreement=1.0,
        residual_px=0.0,
        texture=1.0,
    )


def _clean(clean: np.ndarray, known: np.ndarray) -> CleanFrames:
    none = np.zeros(known.shape, np.float32)
    return CleanFrames(BLOCK, PLACE.left_px, PLACE.top_px, np.arange(FRAMES), clean, known, none, 1.0, 0.1)


def _blocks(box: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(side) // BLOCK for side in box)
    return np.s_[y0:y1, x0:x1]


def _everywhere() -> tuple[np.ndarray, np.ndarray]:
    shape = HEIGHT // BLOCK, WIDTH // BLOCK
    return np.full(shape, EVERY), np.ones(shape, bool)


def _in_box_always() -> dict[int, list[Box]]:
    return {pts: [BOX] for pts in range(FRAMES)}


def _someone_else_on_every_frame(clean: np.ndarray) -> None:
    clean[:4, :3] = 1 << FRAMES  # clean on none of the frames


def test_who_hides_nothing_that_is_known_is_not_put_back_whoever_else_is_there():
    clean, known = _everywhere()
    _someone_else_on_every_frame(clean)
    known[_blocks(BOX)] = False
    subject = subject_of(_alignment(), _clean(clean, known), _in_box_always())
    assert subject is not None
    assert subject.refusal == FRAME_SHOWS_IT


def test_who_hides_an_edge_of_what_is_known_is_put_back_if_someone_else_is_there():
    clean, known = _everywhere()
    _someone_else_on_every_frame(clean)
    known[_blocks(BOX)] = False
    known[3:10, 8], clean[3:10, 8] = True, 1 << FRAMES  # the left column of their box
    subject = subject_of(_alignment(), _clean(clean, known), _in_box_always())
    assert subject is not None
    assert subject.refusal == ""


def test_a_frame_out_of_focus_is_not_taken_because_more_is_known_around_somebody_there():
    clean, known = _everywhere()
    clean[:, 15:] &= ~np.uint64(0b1)  # the first shows its place otherwise, where nobody is
    small: Box = (72.0, 32.0, 96.0, 80.0)
    known[2:11, 5] = False  # around them on all frames but the first
    boxes: dict[int, list[Box]] = {pts: [BOX if pts else small] for pts in range(4)} | {4: []}
    subject = subject_of(_alignment(), _clean(clean, known), boxes)
    assert subject is not None
    assert (subject.frame, subject.refusal) == (1, SURROUNDINGS_UNKNOWN)


def _frames_at(frame: np.ndarray):
    def frames_at(pts: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        return ((it, frame) for it in pts)

    return frames_at


def test_the_unknown_of_a_plate_is_known_where_it_adjoins_the_person_and_else_stays_unknown():
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    known = np.ones((HEIGHT, WIDTH), bool)
    known[36:56, 70:86], image[36:56, 70:86] = False, RED  # they stand there always, and fill their own hole
    known[70:78, 88:94] = False  # they do not stand there
    frame = image.copy()
    frame[28:64, 66:90] = RED
    whole = with_subject(
        Mosaic(image, known, PLACE.left_px, PLACE.top_px), _alignment(), _frames_at(frame), Subject(0, BOX, "")
    )
    assert whole.known[36:56, 70:86].all()
    assert not whole.known[70:78, 88:94].any()
    assert (whole.image[32:60, 70:86] == RED).all()


def test_nothing_gets_known_of_a_plate_that_looks_like_the_frame():
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    known = np.ones((HEIGHT, WIDTH), bool)
    known[24:80, 64:96] = False
    plate = Mosaic(image, known, PLACE.left_px, PLACE.top_px)
    whole = with_subject(plate, _alignment(), _frames_at(image), Subject(0, BOX, ""))
    assert np.array_equal(whole.known, known)
    assert np.array_equal(whole.image, image)
