"""Where clips lie in an episode: stretches of one shot, off its cuts and fades, of a length that trainers take.

Of each shot the fingerprints tell what moves: 9x16 luma values four times a second, as the table `shots` holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

from dataset_pipeline.corrections.answers import EXCLUDED

SOFT_MARGIN_S = 0.5  # off a transition that is no hard cut: how long those last is not measured
FADED_SHARE = 0.85  # of the shot's usual contrast: less of it beside such a transition is a picture that is not whole
_HARD = ("start", "cut")
_CELLS = 9 * 16  # of a fingerprint


class SpanSettings(Protocol):
    """A section [clips]; see settings.toml."""

    @property
    def frames(self) -> Sequence[int]: ...
    @property
    def fps(self) -> int: ...
    @property
    def max_per_shot(self) -> int: ...
    @property
    def margin_s(self) -> float: ...
    @property
    def min_change(self) -> int: ...
    @property
    def min_contrast(self) -> float: ...


class Span(NamedTuple):
    """A stretch of a shot. The frame `i` of `frames` is shown at `start_s` + i / fps, the last one at `end_s`.

    reason: why it is no clip: `short`, `blank`, `held`, `excluded_by_hand`; else empty. A short one is the whole shot
    and has no frames.
    """

    shot: int
    start_s: float
    end_s: float
    frames: int
    reason: str


def clip_spans(shots: Iterable[Mapping[str, Any]], settings: SpanSettings) -> list[Span]:
    """The clips that fit into each shot, rows of `shots`, in order of time.

    They are of the longest length that fits, at most `max_per_shot`, and lie evenly in what is left of the shot once
    its edges are cut off. Where nothing fits the shot is `short`.
    """
    rows = sorted(shots, key=lambda row: row["start_s"])
    found: list[Span] = []
    for row, after in pairwise([*rows, None]):
        assert row is not None
        times_s = np.asarray(row["fingerprint_pts_s"], np.float64)
        thumbs = np.asarray(row["fingerprints"], np.int16).reshape(-1, _CELLS)
        first_s, last_s = _whole(row, after, times_s, thumbs, settings.margin_s)
        starts_s, frames = _places(first_s, last_s, settings)
        if not frames:
            found.append(Span(row["number"], _whole_ms(row["start_s"]), _whole_ms(row["end_s"]), 0, "short"))
        for start_s in starts_s:
            end_s = start_s + (frames - 1) / settings.fps
            found.append(Span(row["number"], start_s, end_s, frames, _fault(row, start_s, end_s, settings)))
    return found


def without(spans: Iterable[Span], out: Iterable[tuple[float, float]]) -> list[Span]:
    """The spans, of which those that share time with one `out`, in seconds, are `excluded_by_hand`."""
    out = list(out)
    return [
        span._replace(reason=EXCLUDED)
        if any(span.start_s < end and span.end_s >= start for start, end in out)
        else span
        for span in spans
    ]


def _whole(
    row: Mapping[str, Any], after: Mapping[str, Any] | None, times_s: np.ndarray, thumbs: np.ndarray, margin_s: float
) -> tuple[float, float]:
    """When the first and the last frame of a shot are shown that nothing of the shots beside it is in."""
    frame_s = (row["end_s"] - row["start_s"]) / max(1, row["frames"])
    contrasts = thumbs.std(axis=1)
    whole_s = times_s[contrasts >= FADED_SHARE * np.median(contrasts)] if len(thumbs) else times_s
    first_s, last_s = row["start_s"] + margin_s, row["end_s"] - frame_s - margin_s
    if row["transition"] not in _HARD:
        first_s = max(row["start_s"] + max(margin_s, SOFT_MARGIN_S), *whole_s[:1])
    if after is not None and after["transition"] not in _HARD:
        last_s = min(row["end_s"] - frame_s - max(margin_s, SOFT_MARGIN_S), *whole_s[-1:])
    return first_s, last_s


def _places(first_s: float, last_s: float, settings: SpanSettings) -> tuple[list[float], int]:
    """When the clips of a shot start, and of how many frames they are; none and 0 if nothing fits."""
    spare = (last_s - first_s) * settings.fps + 1 + 1e-6  # frames, of a clip's rate
    fitting = [frames for frames in settings.frames if frames <= spare]
    if not fitting:
        return [], 0
    frames = max(fitting)
    count = min(settings.max_per_shot, int(spare / frames))
    gap = (spare - count * frames) / (count + 1)
    return [_whole_ms(first_s + (gap * (i + 1) + frames * i) / settings.fps) for i in range(count)], frames


def contrast_and_change(shot: Mapping[str, Any], start_s: float, end_s: float) -> tuple[float | None, int | None]:
    """Of a stretch of a shot, a row of `shots`: its usual contrast, 0..1, and by how much brightness, 0..255, that
    part of the picture changes which changes most. None where too few fingerprints lie in it to tell."""
    times_s = np.asarray(shot["fingerprint_pts_s"], np.float64)
    thumbs = np.asarray(shot["fingerprints"], np.int16).reshape(-1, _CELLS)
    inside = thumbs[(times_s >= start_s) & (times_s <= end_s)]
    contrast = float(np.median(inside.std(axis=1))) / 255 if len(inside) else None
    return contrast, int(np.ptp(inside, axis=0).max()) if len(inside) > 1 else None


def _fault(shot: Mapping[str, Any], start_s: float, end_s: float, settings: SpanSettings) -> str:
    contrast, change = contrast_and_change(shot, start_s, end_s)
    if contrast is not None and contrast < settings.min_contrast:
        return "blank"
    return "held" if change is not None and change < settings.min_change else ""


def _whole_ms(seconds: float) -> float:
    return round(seconds * 1000) / 1000
