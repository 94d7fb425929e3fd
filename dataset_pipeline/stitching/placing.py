"""What `alignments` says of a shot: its frames placed, and where something moves before the camera which are clean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.ids import PLATE
from dataset_pipeline.base.timing import span
from dataset_pipeline.stitching.aligning import align
from dataset_pipeline.stitching.alignment import Alignment, CleanFrames, FramesAt
from dataset_pipeline.stitching.candidates import Candidate
from dataset_pipeline.stitching.cleaning import clean_frames
from dataset_pipeline.stitching.followed import BoxesByPts
from dataset_pipeline.stitching.once import Once
from dataset_pipeline.stitching.rows import row_of
from dataset_pipeline.store.left_out import tried

CLEAN_FROM = 0.97  # agreement of far pairs: below it something moves before the camera, and the solver says where


def placed_once(
    candidates: Sequence[Candidate], boxes: Mapping[str, BoxesByPts | None], frames_at: FramesAt
) -> Iterator[dict[str, Any] | Exception]:
    """The columns of `alignments` of each candidate, on one way through the video for each kind of them.

    candidates: by kind, and each kind in order of time. boxes: by their ids. An error that is one shot's alone is given
    in its stead.
    """
    once = {
        kind: Once(frames_at, [pts for it in candidates if it.kind == kind for pts in it.pts])
        for kind in {it.kind for it in candidates}
    }
    for candidate in candidates:
        with span("place and solve"):
            of_shot = once[candidate.kind].of(candidate.pts)
            yield tried(_placed, candidate, boxes[candidate.image_id], of_shot)


def cleaned(
    alignment: Alignment, frames_at: FramesAt, is_plate: bool, boxes: BoxesByPts | None = None
) -> CleanFrames | None:
    """Which frames show what where, as far as that is asked: of plates, and where something moves before a camera."""
    if is_plate or alignment.agreement < CLEAN_FROM:
        return clean_frames(alignment, frames_at, boxes)
    return None


def _placed(candidate: Candidate, boxes: BoxesByPts | None, frames_at: FramesAt) -> dict[str, Any]:
    told = {
        "kind": candidate.kind,
        "start_s": candidate.start_s,
        "end_s": candidate.end_s,
        "shot_frames": candidate.shot_frames,
        "frames": len(candidate.pts),
        "with_boxes": boxes is not None,
    }
    alignment = align(candidate.pts, candidate.pts_s, frames_at)
    if isinstance(alignment, str):
        return told | {"reason": alignment}
    return told | row_of(alignment, cleaned(alignment, frames_at, candidate.kind == PLATE, boxes))
