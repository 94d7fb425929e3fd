"""Registration finds the drawn camera again. No threshold was chosen on the seeds used here."""

from __future__ import annotations

import cmath

import cv2
import numpy as np
import pytest

from dataset_pipeline.stitching import aligning
from dataset_pipeline.stitching.aligning import align, spread
from dataset_pipeline.stitching.alignment import Alignment, FramesMissing
from dataset_pipeline.stitching.chaining import Chain
from dataset_pipeline.stitching.fusing import fuse
from dataset_pipeline.stitching.similar import Similarity
from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot, corner_errors, draw_shot, gauge_free
from dataset_pipeline_tests.stitching.truth import decibels, painting_under

SMALL, MIDDLE, HD = (320, 180), (480, 270), (1280, 720)
PANS = ("pan", "twos", "diagonal", "long", "fade", "subtitle", "walker", "sprites")
SEEDS = (101, 102, 103)
thorough = pytest.mark.thorough


def aligned(shot: DrawnShot) -> Alignment:
    found = align(shot.pts, shot.pts_s, shot.frames_at)
    assert isinstance(found, Alignment), found
    return found


def assert_placed(found: Alignment, shot: DrawnShot) -> None:
    off = np.hypot(*gauge_free(found.places, shot.places[found.pts]).T)
    print(f"{len(off)} frames, rms {np.sqrt(np.mean(off**2)):.3f} px, max {off.max():.3f} px")
    assert not found.is_similarity
    assert np.sqrt(np.mean(off**2)) <= 0.10
    assert off.max() <= 0.30


def assert_letters_found(found: Alignment, shot: DrawnShot) -> None:
    height, width = shot.letters.shape
    cells = np.kron(found.fixed, np.ones((8, 8), bool))[:height, :width]
    assert cells[shot.letters].all()
    assert cells.mean() < 4 * cv2.dilate(shot.letters.astype(np.uint8), np.ones((9, 9))).mean()
    assert min(abs(layer.ratio) for layer in found.layers) <= 0.05


@pytest.mark.parametrize("kind", ["pan", "walker"])
def test_places_lie_within_a_tenth_of_a_pixel(kind: str):
    shot = draw_shot(kind, SMALL, seed=101, frames=60)
    assert_placed(aligned(shot), shot)


def test_burnt_in_letters_are_found_and_pull_nothing_along():
    shot = draw_shot("subtitle", SMALL, seed=102, frames=60)
    found = aligned(shot)
    assert_placed(found, shot)
    assert_letters_found(found, shot)


def test_a_zoom_is_drawn_at_its_widest_frames_scale():
    shot = draw_shot("zoom", SMALL, seed=103, frames=60)
    found = aligned(shot)
    assert found.is_similarity
    assert np.allclose(found.places[np.argmax(found.places[:, 2])], 0)
    assert corner_errors(found.places, shot.places[found.pts], shot.size_px).max() <= 0.2


def test_a_locked_camera_stays_where_it_is_while_people_walk():
    found = aligned(draw_shot("crowd", SMALL, seed=102, frames=48))
    assert np.abs(found.places).max() < 0.1
    assert np.array_equal(found.gains, np.ones(len(found.pts)))
    assert not found.fixed.any()


def test_held_pictures_are_looked_at_once():
    found = aligned(draw_shot("still", SMALL, seed=103, frames=24))
    assert list(found.pts) == [0]


def test_a_fence_before_a_building_is_the_second_layer():
    shot = draw_shot("fence", SMALL, seed=101, frames=60)
    found = aligned(shot)
    assert_placed(found, shot)  # the anchor is the building
    assert abs(found.layers[0].ratio - 1.8) <= 0.1


def test_flat_frames_have_no_texture():
    grey = np.full((180, 320, 3), 120, np.uint8)
    assert align([0, 1], [0.0, 0.1], lambda pts: ((p, grey + np.uint8(5 * p)) for p in pts)) == "no_texture"


@pytest.mark.parametrize("size", [(16, 320), (18, 18), (34, 1000), (3000, 100)])
def test_frames_too_small_to_be_placed_have_no_texture(size: tuple[int, int]):
    noise = np.random.default_rng(1).integers(0, 256, (3, *size[::-1], 3), np.uint8)
    assert align([0, 1, 2], [0.0, 0.1, 0.2], lambda pts: ((p, noise[p]) for p in pts)) == "no_texture"


def test_frames_a_little_larger_than_the_least_are_placed():
    strip = cv2.resize(np.random.default_rng(1).integers(0, 256, (14, 80, 3), np.uint8), (320, 56))
    assert isinstance(align([0, 1], [0.0, 0.1], lambda pts: ((p, strip) for p in pts)), Alignment)


@pytest.mark.parametrize("tall", [0, 2, 5])
def test_a_frame_with_less_cut_off_it_is_left_out(tall: int):
    painting = cv2.resize(np.random.default_rng(2).integers(0, 256, (30, 80, 3), np.uint8), (480, 180))
    frames = [painting[: 180 if number == tall else 150, 8 * number : 8 * number + 240] for number in range(6)]
    found = align(range(6), [number / 24 for number in range(6)], lambda pts: ((p, frames[p]) for p in pts))
    assert isinstance(found, Alignment)
    assert found.size_px == (240, 150)
    assert found.pts.tolist() == [number for number in range(6) if number != tall]


def test_what_cannot_be_read_is_never_taken_for_flat():
    frame = np.zeros((180, 320, 3), np.uint8)
    with pytest.raises(FramesMissing, match="1 of 3 frames could be read"):
        align([0, 1, 2], [0.0, 0.1, 0.2], lambda pts: iter([(0, frame)]))
    with pytest.raises(FramesMissing, match="0 of 3"):
        align([0, 1, 2], [0.0, 0.1, 0.2], lambda pts: iter([]))


def test_frames_that_show_different_things_move():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 45, 80, 3), np.uint8)
    frames = [cv2.resize(picture, (320, 180), interpolation=cv2.INTER_CUBIC) for picture in noise]
    assert align(range(8), [k / 24 for k in range(8)], lambda pts: ((p, frames[p]) for p in pts)) == "content_moves"


@pytest.mark.parametrize(
    ("agreement", "off_px", "degrees", "expected"),
    [
        (0.8, 0.03, 25.0, "turns"),  # a camera that rolls
        (0.7, 0.03, 25.0, "shifts"),  # agree no better by a tenth
        (0.8, 1.6, 5.0, "shifts"),  # a camera that tilts: by similarities the picture would lean over
        (0.8, 1.6, 25.0, "rotation"),
    ],
)
def test_similarities_are_taken_where_they_earn_it_and_hold(agreement, off_px, degrees, expected, monkeypatch):
    def solution(chain: Chain, turns: bool) -> aligning._Solution:
        angles = np.radians(np.linspace(0, degrees if turns else 0, 4))
        places = [Similarity(cmath.exp(1j * angle), 10j * k) for k, angle in enumerate(angles)]
        of_all, off = (agreement, off_px) if turns else (0.65, 1.7)
        return aligning._Solution(np.arange(4), places, np.zeros(4), np.full(9, off), of_all)

    monkeypatch.setattr(aligning, "_solution", solution)
    monkeypatch.setattr(aligning, "_turns", lambda chain: True)
    found = aligning._best_solution(Chain())
    told = found if isinstance(found, str) else "turns" if any(place.turn != 1 for place in found.places) else "shifts"
    assert told == expected


@pytest.mark.parametrize(
    ("gains", "full"),
    [
        (np.linspace(0.3, 1, 60), 0.94),  # a fade that lasts as long as the pan
        (np.r_[np.full(58, 0.5), 1.0, 0.9], 0.5),  # a flash
        (np.r_[np.linspace(0.3, 1, 20), np.ones(40)], 1.0),
        (np.full(9, 0.7), 0.7),
    ],
)
def test_full_light_is_the_highest_that_is_held(gains: np.ndarray, full: float):
    found = aligning._gains(np.log(gains))
    assert np.allclose(found, gains / full, rtol=0.01)


def test_frames_are_taken_evenly_in_time():
    assert spread(5, 8) == [0, 1, 2, 3, 4]
    assert spread(9, 5) == [0, 2, 4, 6, 8]


@thorough
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", PANS)
def test_all_pans_are_placed(kind: str, seed: int):
    shot = draw_shot(kind, MIDDLE, seed=seed, crf=23 if seed % 2 else 18)
    found = aligned(shot)
    assert_placed(found, shot)
    if kind == "subtitle":
        assert_letters_found(found, shot)
    if kind == "sprites":
        assert min(abs(layer.ratio - 1.6) for layer in found.layers) <= 0.1
    if kind == "fade":
        assert np.abs(found.gains / shot.gains[found.pts] - 1).max() < 0.1


@thorough
@pytest.mark.parametrize("seed", SEEDS)
def test_turns_are_found_within_a_fifth_of_a_degree(seed: int):
    shot = draw_shot("roll", MIDDLE, seed=seed)
    found = aligned(shot)
    assert found.is_similarity
    off = found.places[:, 3] - shot.places[found.pts][:, 3]
    assert np.degrees(np.ptp(off)) <= 0.2


@thorough
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["crowd", "slow", "standing"])
def test_locked_cameras_stay(kind: str, seed: int):
    found = aligned(draw_shot(kind, MIDDLE, seed=seed))
    assert np.abs(found.places).max() < 0.1


@thorough
@pytest.mark.parametrize("kind", ["long", "long_twos", "long_subtitle"])
def test_a_long_hd_pan_keeps_its_length(kind: str):
    shot = draw_shot.__wrapped__(kind, HD, seed=101, frames=240)
    found = aligned(shot)
    travel, true = (np.ptp(places[:, 0]) for places in (found.places, shot.places))
    print(f"{kind}: travel {travel:.2f} px, true {true:.2f} px")
    assert abs(travel - true) <= 0.4
    assert_placed(found, shot)
    mosaic = fuse(found, shot.frames_at)
    painting = painting_under(shot, mosaic)
    whole_db = decibels(mosaic.image, painting, mosaic.known)
    print(f"{whole_db:.2f} dB, known {mosaic.known.mean():.3f}")
    assert whole_db >= 39
    if kind == "long_subtitle":
        assert_letters_found(found, shot)
        line = np.flatnonzero(shot.letters.any(1))  # the camera goes along the rows
        line_db = decibels(mosaic.image[line], painting[line], mosaic.known[line])
        print(f"where letters were {line_db:.2f} dB")
        assert line_db >= 37
