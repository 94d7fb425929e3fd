"""Which shots are worth being placed on one canvas, and by which of their frames.

What `shots` measured at a small size tells it without decoding anything: how far the camera goes, and whether something
moves before a camera that stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import PANORAMA, PLATE, panorama_id, plate_id
from dataset_pipeline.stitching.aligning import MOST_FRAMES, spread
from dataset_pipeline.stitching.followed import BoxesByPts
from dataset_pipeline.stitching.looks import looks_of

SIGNATURE = (18, 32)  # luma levels of a frame in `shots`
MIN_FRAMES = 12
FRAMES_A_VIEW = 40  # while the camera goes as far as a view is wide: a dozen frames show each place, with some to spare
PLATE_FRAMES = 60
MOVES_LEVELS = 6.0  # by which a cell of the signature leaves its median where something moves through it
MIN_MOVING = 0.01  # share of cells through which something moves some time
MOST_AT_ONCE = 0.5  # share of cells of a frame, by the median: beyond it no place stands still
MOST_HIDDEN = 0.35  # share of the picture in which people are all the time: beyond it too little of a place is seen
SAME_LOOK_LEVELS = 4.0  # mean difference of two places behind: one and the same look of a background


@dataclass(frozen=True)
class Candidate:
    """A shot that is to be looked at. image_id: of what may come of it. pts, pts_s: of the frames that are."""

    image_id: str
    kind: str
    shot: int
    start_s: float
    end_s: float
    shot_frames: int
    pts: tuple[int, ...]
    pts_s: tuple[float, ...]


def pans_of(
    episode: str, shots: Iterable[Mapping[str, Any]], size_px: tuple[int, int], min_travel: float
) -> list[Candidate]:
    """Shots in which the camera pans or zooms and goes at least the share `min_travel` of the width or the height.

    shots: rows of `shots` of the episode. size_px: width and height of the upright picture without bars.
    """
    found = []
    for row in shots:
        travel = max(abs(row[name] or 0.0) / side for name, side in zip(("dx_px", "dy_px"), size_px, strict=True))
        if row["motion"] in ("pan", "zoom") and travel >= min_travel and row["frames"] >= MIN_FRAMES:
            wanted = int(np.clip(np.ceil(FRAMES_A_VIEW * (1 + travel)), 2 * MIN_FRAMES, MOST_FRAMES))
            found.append(_candidate(episode, PANORAMA, row, wanted))
    return found


def locked_of(episode: str, shots: Iterable[Mapping[str, Any]]) -> list[Candidate]:
    """Shots of a camera that stands still before which something moves, one for each look of a background: the one that
    shows it on the most frames. Of a shot in which the light changes these are its frames in one light. shots: rows of
    `shots` of the episode, with `signatures`."""
    looks = [look for row in shots if row["motion"] == "static" for look in _looks(row)]
    found: list[tuple[np.ndarray, Mapping[str, Any]]] = []
    for signatures, row in sorted(looks, key=lambda look: (-len(look[0]), look[1]["frame_pts"][0])):
        if len(signatures) < MIN_FRAMES:
            continue
        behind, leaves = behind_and_leaving(signatures)
        is_new = all(np.abs(behind - other).mean() > SAME_LOOK_LEVELS for other, _ in found)
        moving, at_once = leaves.any(0).mean(), np.median(leaves.mean((1, 2)))
        if moving >= MIN_MOVING and at_once <= MOST_AT_ONCE and is_new:
            found.append((behind, row))
    return sorted((_candidate(episode, PLATE, row, PLATE_FRAMES) for _, row in found), key=lambda it: it.image_id)


def _looks(row: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, Mapping[str, Any]]]:
    """For each look of a shot its signatures, and the shot with nothing but its frames."""
    signatures = np.frombuffer(row["signatures"], np.uint8).reshape(-1, *SIGNATURE).astype(np.float32)
    for frames in looks_of(signatures, row["frame_pts_s"]):
        times = {name: [row[name][frame] for frame in frames] for name in ("frame_pts", "frame_pts_s")}
        yield signatures[frames], {**row, **times}


def hidden_share(boxes: BoxesByPts, size_px: tuple[int, int]) -> float:
    """Share of a picture of that width and height that lies in somebody's box on each of the frames."""
    y, x = ((np.arange(cells) + 0.5) * side / cells for cells, side in zip(SIGNATURE, size_px[::-1], strict=True))
    always = np.ones(SIGNATURE, bool)
    for people in boxes.values():
        covered = np.zeros(SIGNATURE, bool)
        for x0, y0, x1, y1 in people:
            covered |= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
        always &= covered
    return float(always.mean())


def behind_and_leaving(signatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median of signatures, float32 [18, 32], and which cells of each leave it, bool [frames, 18, 32]."""
    behind = np.median(signatures, axis=0)
    return behind, np.abs(signatures - behind) > MOVES_LEVELS


def _candidate(episode: str, kind: str, shot: Mapping[str, Any], most_frames: int) -> Candidate:
    pts, pts_s = shot["frame_pts"], shot["frame_pts_s"]
    chosen = spread(len(pts), most_frames)
    id_of = panorama_id if kind == PANORAMA else plate_id
    return Candidate(
        image_id=id_of(episode, pts_s[0], pts_s[-1]),
        kind=kind,
        shot=shot["number"],
        start_s=pts_s[0],
        end_s=pts_s[-1],
        shot_frames=len(pts),
        pts=tuple(pts[i] for i in chosen),
        pts_s=tuple(pts_s[i] for i in chosen),
    )
