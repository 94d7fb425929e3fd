from functools import cache

import cv2
import numpy as np
import pytest

from dataset_pipeline.demo.backdrops import draw_backdrop
from dataset_pipeline.video.camera import CameraMotion, Step, Tracker, camera_motion

SIZE = (320, 180)
FRAMES = 16
ROOM, FOREST, CITY, BEACH = 0, 5, 6, 7


def _figure(picture: np.ndarray, x: float, y: float, step: int) -> None:
    """A person of a third of the picture's height, detailed, mouth and arms moving."""

    def point(dx: float, dy: float) -> tuple[int, int]:
        return round((x + dx) * 16), round((y + dy) * 16)

    def size(width: float, height: float) -> tuple[int, int]:
        return round(width * 16), round(height * 16)

    ellipse = {"angle": 0, "startAngle": 0, "endAngle": 360, "thickness": -1, "lineType": cv2.LINE_AA, "shift": 4}
    cv2.ellipse(picture, center=point(0, 60), axes=size(27, 48), color=(160, 60, 60), **ellipse)
    cv2.ellipse(picture, center=point(0, 0), axes=size(19, 22), color=(240, 200, 170), **ellipse)
    cv2.ellipse(picture, center=point(0, -12), axes=size(21, 13), color=(90, 60, 30), **ellipse)
    for dx in (-8, 8):
        cv2.ellipse(picture, center=point(dx, 2), axes=size(3, 3), color=(20, 20, 20), **ellipse)
    cv2.ellipse(picture, center=point(0, 12), axes=size(4, 1 + step % 3), color=(120, 40, 60), **ellipse)
    for row in range(4):
        cv2.line(picture, point(-15, 36 + 12 * row), point(15, 38 + 12 * row), (40, 200, 230), 2, cv2.LINE_AA, 4)


@cache
def _place(seed: int) -> np.ndarray:
    return cv2.GaussianBlur(draw_backdrop(seed, (960, 540)), (0, 0), 0.8)


def _window(place: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """What a camera at (x, y) of a place sees."""
    matrix = np.array([[zoom, 0, SIZE[0] / 2 - x * zoom], [0, zoom, SIZE[1] / 2 - y * zoom]])
    return cv2.warpAffine(place, matrix, SIZE, flags=cv2.INTER_LINEAR)


def _measured(
    seed: int,
    travel_px: tuple[float, float] = (0, 0),
    zoom: float = 1.0,
    aim_px: tuple[float, float] = (0, 0),
    there_and_back: bool = False,
    light: np.ndarray | None = None,
) -> CameraMotion:
    """Of a camera in a place that somebody walks through, on twos, in noise."""
    place = _place(seed)
    noise = np.random.default_rng(0)
    tracker, steps = Tracker(), []
    for number in range(FRAMES):
        share = number / (FRAMES - 1)
        on_the_way = np.sin(share * 2 * np.pi) if there_and_back else share - 0.5
        grown = zoom**share
        # Zooming towards a point keeps that point in its place.
        x = 480 + on_the_way * travel_px[0] + aim_px[0] * (1 - 1 / grown)
        y = 270 + on_the_way * travel_px[1] + aim_px[1] * (1 - 1 / grown)
        seen = _window(place, x, y, grown).astype(float)
        picture = seen.astype(np.uint8)
        _figure(picture, 90 + 8 * (number // 2), 80, number // 2)
        lit = picture * (1.0 if light is None else light[number]) + noise.normal(0, 2, picture.shape)
        grey = cv2.cvtColor(np.clip(lit, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        step = tracker.feed(number, grey)
        steps += [step] if step else []
    return camera_motion(steps, *SIZE)


@pytest.mark.parametrize("seed", [ROOM, FOREST])
@pytest.mark.parametrize(
    ("travel_px", "direction"), [((150, 0), "right"), ((-150, 0), "left"), ((0, 90), "down"), ((0, -90), "up")]
)
def test_a_pan_has_the_direction_and_length_of_the_cameras_way(seed, travel_px, direction):
    found = _measured(seed, travel_px)
    assert (found.motion, found.direction) == ("pan", direction)
    assert (found.dx_px, found.dy_px) == pytest.approx(travel_px, abs=4)
    assert found.zoom == pytest.approx(1, abs=0.02)
    assert found.confidence > 0.4


@pytest.mark.parametrize("travel_px", [(20, 0), (420, 0)])
def test_slow_and_fast_pans_are_pans(travel_px):
    found = _measured(FOREST, travel_px)
    assert (found.motion, found.direction) == ("pan", "right")
    assert found.dx_px == pytest.approx(travel_px[0], abs=3, rel=0.02)


@pytest.mark.parametrize("seed", [FOREST, CITY])
@pytest.mark.parametrize(("zoom", "direction"), [(1.3, "in"), (1 / 1.3, "out"), (1.08, "in")])
def test_a_zoom_is_told_from_a_pan_also_off_the_middle(seed, zoom, direction):
    for aim_px in ((0, 0), (100, -40)):
        found = _measured(seed, zoom=zoom, aim_px=aim_px)
        assert (found.motion, found.direction) == ("zoom", direction)
        assert found.zoom == pytest.approx(zoom, rel=0.02)
        assert found.confidence > 0.4


@pytest.mark.parametrize("seed", range(11))
def test_somebody_walking_through_a_still_picture_is_no_camera_motion(seed):
    found = _measured(seed)
    if seed == BEACH:  # a sea of level stripes looks the same wherever the camera is
        assert found.motion in ("static", "other")
    else:
        assert found.motion == "static"
        assert found.confidence > 0.4


def test_a_camera_that_goes_back_to_where_it_was_does_not_pan():
    found = _measured(FOREST, (50, 0), there_and_back=True)
    assert (found.motion, found.direction) == ("other", "")
    assert (found.dx_px, found.dy_px) == pytest.approx((0, 0), abs=4)


def test_a_fade_hides_no_pan_and_makes_none():
    fade = np.linspace(0.15, 1.0, FRAMES)
    assert _measured(CITY, (150, 0), light=fade).direction == "right"
    assert _measured(CITY, light=fade).motion == "static"


def test_what_cannot_be_followed_is_other_without_confidence():
    tracker, noise = Tracker(), np.random.default_rng(0)
    flat = [tracker.feed(number, np.full(SIZE[::-1], 10 * number, np.uint8)) for number in range(4)]
    found = camera_motion([step for step in flat if step], *SIZE)
    assert (found.motion, found.confidence) == ("other", 0)
    tracker.forget()
    snow = [tracker.feed(number, noise.integers(0, 256, SIZE[::-1], dtype=np.uint8)) for number in range(6)]
    assert camera_motion([step for step in snow if step], *SIZE).confidence < 0.2


def test_a_drawing_that_is_held_is_static_with_full_confidence():
    tracker = Tracker()
    picture = cv2.cvtColor(_window(draw_backdrop(ROOM, (960, 540)), 480, 270), cv2.COLOR_RGB2GRAY)
    steps = [step for number in range(5) if (step := tracker.feed(number, picture))]
    assert camera_motion(steps, *SIZE) == CameraMotion("static", "", 0, 0, 1, 1)
    assert camera_motion([], *SIZE) == CameraMotion("static", "", 0, 0, 1, 0)


def test_the_way_is_the_sum_of_the_steps_and_the_camera_goes_against_the_picture():
    def step(number: int, dx: float, agreement: float) -> Step:
        return Step(number, number + 1, np.array([[1.0, 0, dx], [0, 1.0, 0]]), agreement)

    found = camera_motion([step(0, -10, 0.8), step(1, -10, 0.6), step(2, 0, 0.0), step(3, -10, 0.7)], *SIZE)
    assert (found.motion, found.direction, found.dx_px, found.dy_px) == ("pan", "right", 30, 0)
    # Three of four frames were followed, by 0.7 of the picture on average.
    assert found.confidence == pytest.approx(0.75 * 0.7)
