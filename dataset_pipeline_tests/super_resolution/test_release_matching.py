from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import probe_source, shots_of
from dataset_pipeline.super_resolution.release_geometry import FRAMES as GEOMETRY_FRAMES
from dataset_pipeline.super_resolution.release_geometry import fit_geometry
from dataset_pipeline.super_resolution.release_matching import UNMATCHED, Matching, Release, match_releases, release_of
from dataset_pipeline.video.decode import DecodeReport
from dataset_pipeline_tests.super_resolution.drawn_moves import write_moving_releases
from dataset_pipeline_tests.super_resolution.drawn_releases import (
    CUTS,
    FILM,
    LATE_FRAMES,
    SAME_PLACE_SCRIPT,
    SCRIPT,
    corner_error_px,
    write_releases,
)

FILM_S = 1001 / 24000
FRAMES = 1000
KEPT = ((0, 230), (260, 420), (500, 760), (772, FRAMES))  # first and end of what the low release shows of the high one
INSERTED = 60  # frames of other material before the third


def episode(frames: int, seed: int) -> np.ndarray:
    """float32 [frames, 18, 32]: shots in which something moves, drawn on ones, twos or threes."""
    rng, shown = np.random.default_rng(seed), list[np.ndarray]()
    while len(shown) < frames:
        base, part = (cv2.GaussianBlur(rng.normal(128, 300, (18, 32)), (0, 0), sigma) for sigma in (2.5, 1.5))
        way, held = rng.uniform(0.03, 0.3, 2), int(rng.integers(1, 4))
        for frame in range(int(rng.integers(30, 140))):
            moved = np.array([[1, 0, way[0] * (frame // held)], [0, 1, way[1] * (frame // held)]])
            shown.append(0.8 * base + 0.5 * cv2.warpAffine(part, moved, (32, 18), borderMode=cv2.BORDER_REFLECT))
    return np.stack(shown[:frames]).astype(np.float32)


def as_low(frames: np.ndarray) -> np.ndarray:
    """Framed and coloured otherwise, with a codec's noise."""
    framing = np.array([[1.02, 0, 0.15], [0, 0.99, -0.1]])
    noise = np.random.default_rng(9).normal(0, 0.7, frames.shape)
    framed = np.stack([cv2.warpAffine(one, framing, (32, 18), borderMode=cv2.BORDER_REFLECT) for one in frames])
    return levels(0.92 * framed + 9 + noise)


def levels(frames: np.ndarray) -> np.ndarray:
    return frames.round().clip(0, 255).astype(np.uint8)


def release(signatures: np.ndarray, step_s: float) -> Release:
    """Times in whole milliseconds, as Matroska has them."""
    times_s = np.round(np.arange(len(signatures)) * step_s, 3)
    return Release(times_s, signatures, np.zeros(len(signatures), np.int64))


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signatures of a high and a low release, and of each frame of the low one what it shows of the high one."""
    high, other = episode(FRAMES, 1), episode(LATE_FRAMES + INSERTED, 2)
    parts, truth = [other[:LATE_FRAMES]], [np.full(LATE_FRAMES, UNMATCHED)]
    for number, (first, end) in enumerate(KEPT):
        if number == 2:
            parts.append(other[LATE_FRAMES:])
            truth.append(np.full(INSERTED, UNMATCHED))
        parts.append(high[first:end])
        truth.append(np.arange(first, end))
    return levels(high), as_low(np.concatenate(parts)), np.concatenate(truth)


def share_right(found: Matching, truth: np.ndarray) -> float:
    return float((found.high == truth).mean())


def test_frames_are_matched_over_cuts_and_inserted_material(drawn):
    high, low, truth = drawn
    found = match_releases(release(high, FILM_S), release(low, FILM_S))
    assert share_right(found, truth) == 1.0
    assert found.speed == 1.0
    assert [segment.last - segment.first + 1 for segment in found.segments] == [end - first for first, end in KEPT]
    assert found.missing_from_low(FRAMES) == [(230, 259), (420, 499), (760, 771)]
    assert (found.likeness[truth >= 0] > 0.8).all()
    assert not found.likeness[truth < 0].any()


def test_what_was_sped_up_for_pal_shows_frame_for_frame(drawn):
    high, low, truth = drawn
    found = match_releases(release(high, FILM_S), release(low, 1 / 25))
    assert share_right(found, truth) == 1.0
    assert found.speed == pytest.approx(25 * FILM_S)


def test_frames_that_pulldown_shows_twice_are_found_by_their_times(drawn):
    high, low, truth = drawn
    shown = np.arange(len(low) * 5 // 4) * 4 // 5
    found = match_releases(release(high, FILM_S), release(low[shown], FILM_S * 4 / 5))
    assert share_right(found, truth[shown]) >= 0.999


def test_a_longer_low_release_is_matched_where_both_show_the_same(drawn):
    high, low, _ = drawn
    found = match_releases(release(low, FILM_S), release(high, FILM_S))
    shown = np.concatenate([np.arange(first, end) for first, end in KEPT])
    assert (np.flatnonzero(found.high >= 0) == shown).all()


def test_another_episode_is_not_matched(drawn):
    high, _, _ = drawn
    found = match_releases(release(high, FILM_S), release(as_low(episode(600, 77)), FILM_S))
    assert (found.high == UNMATCHED).mean() > 0.9


def test_a_release_without_frames_is_not_matched(drawn):
    nothing = release_of([])
    found = match_releases(release(drawn[0], FILM_S), nothing)
    assert (len(found.high), found.segments) == (0, ())
    assert (match_releases(nothing, release(drawn[1], FILM_S)).high == UNMATCHED).all()


def test_a_release_is_read_from_its_shots_in_their_order():
    rows = [
        {"number": 1, "frame_pts_s": [0.08], "signatures": bytes([7] * 576)},
        {"number": 0, "frame_pts_s": [0.0, 0.04], "signatures": bytes([5] * 576 + [6] * 576)},
    ]
    found = release_of(rows)
    assert found.times_s.tolist() == [0.0, 0.04, 0.08]
    assert found.signatures[:, 0, 0].tolist() == [5, 6, 7]
    assert found.shots.tolist() == [0, 0, 1]


@pytest.mark.thorough
@pytest.mark.parametrize("low_rate", [FILM, Fraction(25)])
@pytest.mark.parametrize(("seed", "script"), [(90, SCRIPT), (290, SAME_PLACE_SCRIPT)])
def test_two_drawn_releases_are_matched_by_their_tables_of_shots_and_then_laid_on_each_other(
    tmp_path, low_rate, seed, script
):
    drawn = write_releases(tmp_path, low_rate, seed, script)
    releases = [looked_at(path) for path in (drawn.high, drawn.low)]
    found = match_releases(*releases)
    assert share_right(found, drawn.truth) >= 0.999
    assert found.missing_from_low(len(releases[0].times_s)) == [(first, again - 1) for first, again in CUTS]

    matched = np.flatnonzero(found.high >= 0)
    shown = matched[np.linspace(0, len(matched) - 1, GEOMETRY_FRAMES).astype(int)]
    low, high = luma_of(drawn.low, shown), luma_of(drawn.high, found.high[shown])
    pairs = [(high[int(found.high[frame])], low[int(frame)]) for frame in shown]
    assert corner_error_px(fit_geometry(pairs)) <= 0.05


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seed", "low_rate", "repeated"), [(31, FILM, 0), (32, Fraction(25), 0), (33, Fraction(30000, 1001), 4)]
)
def test_slow_moves_stills_and_shots_of_few_frames_are_matched_rightly(tmp_path, seed, low_rate, repeated):
    drawn = write_moving_releases(tmp_path, seed, low_rate, repeated)
    found = match_releases(looked_at(drawn.high), looked_at(drawn.low)).high
    shows_it = drawn.pictures[found] == drawn.pictures[drawn.truth]
    right = np.where((found >= 0) & (drawn.truth >= 0), shows_it, found == drawn.truth)
    assert right.mean() >= 0.999


def looked_at(path: Path) -> Release:
    source = {"path": str(path), "kind": "video", "episode": "drawn.e01"}
    return release_of(shots_of(source, probe_source(source), load_settings().shots, DecodeReport()))


def luma_of(path: Path, numbers: np.ndarray) -> dict[int, np.ndarray]:
    """Luma of these frames, float32 [height, width]."""
    with av.open(str(path)) as container:
        wanted = {int(number) for number in numbers}
        frames = enumerate(container.decode(video=0))
        return {
            number: frame.to_ndarray(format="gray").astype(np.float32) for number, frame in frames if number in wanted
        }
