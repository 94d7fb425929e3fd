"""Whether what was made of a shot is to be trusted: keep it, ask a person, or refuse it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataset_pipeline.images.stills import DOUBTFUL, KEEP, REFUSED
from dataset_pipeline.settings import BackdropsSettings, PanoramasSettings
from dataset_pipeline.stitching.alignment import TURNED_RAD, Alignment, CleanFrames, Layer
from dataset_pipeline.stitching.drawing import LEAST_SHOWN, Shares

KEPT = "kept"
PARALLAX, ROTATION, ZOOM_ADDS_NOTHING, CONTENT_MOVES = "parallax", "rotation", "zoom_adds_nothing", "content_moves"
TOO_LITTLE_TRAVEL, TOO_MUCH_UNKNOWN, BADLY_PLACED, NO_BOXES = (
    "too_little_travel", "too_much_unknown", "badly_placed", "no_boxes",
)  # fmt: skip
ZOOMS_FROM = 0.03  # of the scale
FIXED_RATIO = 0.2  # layers that go so little over the screen are text and logos
LEAST_SIDE = 0.8  # of a frame's, for a picture: lines of subtitles hide up to .16 of the height all the time
LARGE_LAYER = 0.12  # share of the area in sight from which a layer is a part of the place, no figure in it


@dataclass(frozen=True)
class Verdict:
    """verdict: KEEP, DOUBTFUL or REFUSED. reason: KEPT, or what speaks against it."""

    verdict: str
    reason: str


def views_passed(alignment: Alignment) -> float:
    """How far the view goes, in views: the larger of both directions, each by that side of the frame."""
    ways = np.ptp(alignment.places[:, :2], axis=0)
    return float((ways / alignment.size_px).max())


def refusal(alignment: Alignment, limits: PanoramasSettings) -> str:
    """Why no panorama is worth being drawn of a shot, as its frames lie; empty if one may be."""
    if np.ptp(alignment.places[:, 3]) > TURNED_RAD:
        return ROTATION
    travel = views_passed(alignment)
    return _too_little(alignment) if travel < limits.min_travel else ""


def _too_little(alignment: Alignment) -> str:
    return ZOOM_ADDS_NOTHING if np.ptp(np.exp(alignment.places[:, 2])) > ZOOMS_FROM else TOO_LITTLE_TRAVEL


WHOLE = Shares()


def of_panorama(alignment: Alignment, clean: CleanFrames | None, shares: Shares, limits: PanoramasSettings) -> Verdict:
    """What is to be thought of a panorama; before it is drawn, by `shares_by_blocks`."""
    like_frame = clean.like_frame if clean else alignment.agreement
    if refused := refusal(alignment, limits):
        return Verdict(REFUSED, refused)
    return _worst(
        _by_share(like_frame, limits.like_frame, limits.doubtful_like_frame, _what_moves(alignment.layers)),
        Verdict(DOUBTFUL, _what_moves(alignment.layers)) if clean and clean.place_moves else Verdict(KEEP, KEPT),
        _by_share(shares.known, limits.known, limits.doubtful_known, _what_hides(alignment.layers)),
        _by_share(shares.shown, LEAST_SHOWN, 0.0, _what_hides(alignment.layers)),
        _by_size(alignment, shares, limits),
        _by_residual(alignment, limits.max_residual_px),
    )


def of_plate(
    alignment: Alignment, clean: CleanFrames, shares: Shares, with_boxes: bool, limits: BackdropsSettings
) -> Verdict:
    """As `of_panorama`. with_boxes: tracks said where people are; without that who stands still passes for a part of
    the place. With it, what is known is told by more than by what the place looks like in most frames."""
    like_frame_from = 0.0 if with_boxes else limits.doubtful_like_frame
    return _worst(
        _by_share(clean.like_frame, limits.like_frame, like_frame_from, CONTENT_MOVES),
        _by_share(shares.known, limits.known, limits.doubtful_known, TOO_MUCH_UNKNOWN),
        _by_share(shares.shown, LEAST_SHOWN, 0.0, TOO_MUCH_UNKNOWN),
        _by_residual(alignment, limits.max_residual_px),
        Verdict(KEEP, KEPT) if with_boxes else Verdict(DOUBTFUL, NO_BOXES),
    )


def _what_moves(layers: Sequence[Layer]) -> str:
    return PARALLAX if _of_place(layers) else CONTENT_MOVES


def _what_hides(layers: Sequence[Layer]) -> str:
    return PARALLAX if _of_place(layers) else TOO_MUCH_UNKNOWN


def _of_place(layers: Sequence[Layer]) -> bool:
    """Whether another part of the place lies nearer or farther than the anchor."""
    return any(abs(it.ratio) > FIXED_RATIO and it.share >= LARGE_LAYER for it in layers)


def _by_share(share: float, keep_from: float, doubtful_from: float, reason: str) -> Verdict:
    if share >= keep_from:
        return Verdict(KEEP, KEPT)
    return Verdict(DOUBTFUL if share >= doubtful_from else REFUSED, reason)


def _by_size(alignment: Alignment, shares: Shares, limits: PanoramasSettings) -> Verdict:
    """A picture hardly larger than a frame, or narrower or lower than one, adds nothing: that of a zoom, or of a way
    from corner to corner. The widest frame is what it is held against, for its pixels are those of the canvas."""
    (across, down), (width, height) = shares.size_px, alignment.size_px
    is_larger = across * down >= (1 + limits.min_travel) * width * height
    is_as_long = across >= LEAST_SIDE * width and down >= LEAST_SIDE * height
    return Verdict(KEEP, KEPT) if is_larger and is_as_long else Verdict(REFUSED, _too_little(alignment))


def _by_residual(alignment: Alignment, limit_px: float) -> Verdict:
    return Verdict(KEEP, KEPT) if alignment.residual_px <= limit_px else Verdict(DOUBTFUL, BADLY_PLACED)


def _worst(*verdicts: Verdict) -> Verdict:
    """The first of those that are worst."""
    return max(verdicts, key=lambda it: (KEEP, DOUBTFUL, REFUSED).index(it.verdict))
