"""Which shots are placed on a canvas, and by which frames."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.stitching.candidates import FRAMES_A_VIEW, MOST_FRAMES, hidden_share, locked_of, pans_of

EPISODE, SIZE = "show.e01", (1000, 500)


def shot(number: int, motion: str, frames: int = 96, dx: float = 0.0, dy: float = 0.0, **more: object) -> dict:
    pts_s = [number * 100 + k / 24 for k in range(frames)]
    return {
        **{"number": number, "motion": motion, "frames": frames, "dx_px": dx, "dy_px": dy, "frame_pts_s": pts_s},
        "frame_pts": [round(it * 1000) for it in pts_s],
        **more,
    }


def signatures(frames: int = 96, walker: int = 3, level: int = 90, seed: int = 1) -> bytes:
    """A place, and on it somebody so many cells wide who walks all the way through."""
    rng = np.random.default_rng(seed)
    place = rng.integers(60, 120, (18, 32)).astype(np.uint8)
    found = np.repeat(place[None], frames, 0) + rng.integers(-1, 2, (frames, 18, 32)).astype(np.uint8)
    for k in range(frames):
        left = k * 32 // frames
        found[k, 8:, left : left + walker] = level + 100
    return found.tobytes()


def test_pans_and_zooms_that_go_far_enough_are_looked_at_by_forty_frames_a_view():
    shots = [
        shot(0, "pan", dx=140.0),  # .14 of the width
        shot(1, "pan", dx=-160.0),
        shot(2, "pan", dy=400.0),  # .8 of the height
        shot(3, "zoom", dx=200.0),
        shot(4, "other", dx=900.0),
        shot(5, "pan", dx=900.0, frames=5),
        shot(6, "pan", dx=9000.0, frames=2000),
    ]
    found = pans_of(EPISODE, shots, SIZE, 0.15)
    assert [it.shot for it in found] == [1, 2, 3, 6]
    assert [len(it.pts) for it in found] == [47, 72, 48, MOST_FRAMES]
    assert len(found[0].pts) == np.ceil(FRAMES_A_VIEW * 1.16)
    assert found[0].image_id == "show.e01/pan-00100000-00103958"
    assert (found[0].pts[0], found[0].pts[-1]) == (100_000, 103_958)
    assert found[0].shot_frames == 96


def test_of_a_background_the_longest_shot_before_which_somebody_walks_is_looked_at():
    shots = [
        shot(0, "static", frames=48, signatures=signatures(48)),
        shot(1, "static", signatures=signatures()),
        shot(2, "static", signatures=signatures(walker=0)),  # nothing moves
        shot(3, "static", signatures=signatures(seed=2)),  # another place
        shot(4, "static", signatures=np.random.default_rng(3).integers(0, 255, (96, 18, 32), np.uint8).tobytes()),
        shot(5, "pan", signatures=signatures(seed=4)),
    ]
    found = locked_of(EPISODE, shots)
    assert [it.shot for it in found] == [1, 3]
    assert [it.kind for it in found] == ["plate", "plate"]
    assert found[0].image_id == "show.e01/plate-00100000-00103958"
    assert len(found[0].pts) == 60


def test_a_shot_in_which_the_light_goes_out_is_a_plate_in_each_light():
    levels = np.frombuffer(signatures(), np.uint8).reshape(96, 18, 32).copy()
    levels[60:] = levels[60:] // 2
    found = locked_of(EPISODE, [shot(0, "static", signatures=levels.tobytes())])
    assert [(it.image_id, it.shot_frames) for it in found] == [
        ("show.e01/plate-00000000-00002458", 60),
        ("show.e01/plate-00002500-00003958", 36),
    ]
    assert found[0].pts[-1] < found[1].pts[0] == 2500


def test_what_somebody_hides_on_each_frame_is_hidden():
    half = (0.0, 0.0, 500.0, 500.0)
    assert hidden_share({1: [half], 2: [half, (500.0, 0.0, 600.0, 500.0)]}, SIZE) == 0.5
    assert hidden_share({1: [half], 2: [(250.0, 0.0, 750.0, 500.0)]}, SIZE) == 0.25
    assert hidden_share({1: [half], 2: []}, SIZE) == 0
