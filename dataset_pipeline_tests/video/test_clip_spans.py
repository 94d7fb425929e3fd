"""Where clips lie: within one shot, off its cuts and fades, of the lengths that are asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.settings import ClipsSettings
from dataset_pipeline.video.clip_spans import Span, clip_spans

MOVING = (np.arange(144) + 9 * np.arange(40)[:, None] % 54).astype(np.uint8)


def asked(**changes: Any) -> ClipsSettings:
    usual = {"frames": [17], "fps": 16, "max_per_shot": 1, "margin_s": 0.0, "min_change": 3, "min_contrast": 0.02}
    return ClipsSettings(enabled=True, **usual | changes)


def shot(start_s: float, end_s: float, thumbs: np.ndarray = MOVING, transition: str = "cut", number: int = 0) -> dict:
    """A shot of 24 frames a second with its fingerprints, four a second."""
    times_s = np.arange(start_s, end_s, 0.25)
    return {
        "number": number,
        "start_s": start_s,
        "end_s": end_s,
        "frames": round((end_s - start_s) * 24),
        "transition": transition,
        "fingerprint_pts_s": times_s.tolist(),
        "fingerprints": thumbs[: len(times_s)].ravel().tolist(),
    }


def test_a_clip_lies_in_the_middle_of_its_shot():
    # The last of 48 frames is shown at 11.958 s; 17 frames of a sixteenth take 1 s and leave 0.958 s in all.
    [span] = clip_spans([shot(10, 12)], asked())
    assert span == Span(0, pytest.approx(10.479), pytest.approx(11.479), 17, "")


def test_of_the_lengths_the_longest_that_fits_is_taken_and_a_shot_too_short_for_all_keeps_a_row():
    shots = [shot(0, 1), shot(1, 3, number=1), shot(3, 3.2, number=2)]
    spans = clip_spans(shots, asked(frames=[9, 17, 5]))
    assert [(span.shot, span.frames, span.reason) for span in spans] == [(0, 9, ""), (1, 17, ""), (2, 0, "short")]
    assert spans[2][1:3] == (3.0, 3.2)


def test_margins_count_against_the_length():
    fits = 1 + 1 / 24  # 17 frames need 1 s and the last frame of the shot itself
    assert clip_spans([shot(0, fits)], asked())[0].reason == ""
    assert clip_spans([shot(0, fits)], asked(margin_s=0.1))[0].reason == "short"
    [span] = clip_spans([shot(0, fits + 0.2)], asked(margin_s=0.1))
    assert (span.start_s, span.end_s) == (pytest.approx(0.1), pytest.approx(1.1))


def test_several_clips_of_a_shot_follow_one_another_without_sharing_a_frame():
    spans = clip_spans([shot(0, 10)], asked(max_per_shot=3))
    assert len(spans) == 3
    gaps = [later.start_s - earlier.end_s for earlier, later in pairwise(spans)]
    assert min(gaps) >= 1 / 16
    assert max(gaps) - min(gaps) < 0.002
    assert len(clip_spans([shot(0, 2.2)], asked(max_per_shot=9))) == 2


def test_beside_a_fade_a_clip_stays_away_by_half_a_second_and_until_the_picture_is_whole():
    thumbs = MOVING[:16].astype(float)
    thumbs[:4] *= np.array([0.0, 0.3, 0.6, 0.8])[:, None]  # whole from 1 s on
    thumbs[14:] *= np.array([0.7, 0.2])[:, None]  # until 3.25 s
    fading = [shot(0, 4, thumbs.astype(np.uint8), "fade"), shot(4, 5, transition="fade", number=1)]
    [span, _] = clip_spans(fading, asked(frames=[37]))  # 2.25 s: all that is whole
    assert (span.start_s, span.end_s) == (1.0, 3.25)
    [plain, *_] = clip_spans([shot(0, 4, transition="dissolve"), shot(4, 5, number=1)], asked(frames=[53]))  # 3.25 s
    assert plain.start_s >= 0.5


def test_where_nothing_moves_the_clip_is_held_and_without_contrast_it_is_blank():
    held = MOVING[:1].repeat(16, axis=0)
    wink = held.copy()
    wink[6, 40] += 3  # one cell, in the middle
    assert clip_spans([shot(0, 4, held)], asked())[0].reason == "held"
    assert clip_spans([shot(0, 4, wink)], asked())[0].reason == ""
    assert clip_spans([shot(0, 4, wink)], asked(min_change=4))[0].reason == "held"
    assert clip_spans([shot(0, 4, held)], asked(min_change=0))[0].reason == ""
    assert clip_spans([shot(0, 4, np.full((16, 144), 7, np.uint8))], asked())[0].reason == "blank"


def test_a_length_that_video_models_do_not_take_is_refused():
    with pytest.raises(ValueError, match=r"4 n \+ 1, as 81 or 85"):
        asked(frames=[82])
