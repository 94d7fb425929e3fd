"""The pictures of aligned shots: a panorama, a plate, and that plate with somebody put back, which are drawn as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dataset_pipeline.base.ids import PLATE_WITH_SUBJECT, plate_id
from dataset_pipeline.images.stills import REFUSED
from dataset_pipeline.stitching.alignment import Alignment, FramesAt, Mosaic
from dataset_pipeline.stitching.choosing import spread_frames
from dataset_pipeline.stitching.confidence import WHOLE, Verdict
from dataset_pipeline.stitching.drawing import Drawn, Shares, drawn_of, shares_by_blocks
from dataset_pipeline.stitching.fusing import fuse
from dataset_pipeline.stitching.once import Once
from dataset_pipeline.stitching.rows import alignment_of, clean_frames_of
from dataset_pipeline.stitching.subject import SURROUNDINGS_UNKNOWN, Subject, shown_of, with_subject
from dataset_pipeline.store.left_out import tried

LEAST_OF_SUBJECT = 0.95  # of their box: a picture that shows less cuts them off
Judge = Callable[[Mapping[str, Any], Shares], Verdict]  # by a row of `alignments` and what is known


@dataclass(frozen=True, eq=False)
class Making:
    """What a picture is made of: a row of `alignments`, and who is put back if that is somebody."""

    row: Mapping[str, Any]
    subject: Subject | None = None

    def judged(self, told: Mapping[str, Any], judge: Judge) -> Verdict:
        """told: the columns that are known once it is drawn, as of `Drawn`."""
        verdict = judge(self.row, Shares.told(told))
        if self.subject is None or verdict.verdict == REFUSED:
            return verdict
        cut_px = *told["whole_px"][2:], told["width_px"], told["height_px"]
        is_whole = shown_of(self.subject, alignment_of(self.row), cut_px) >= LEAST_OF_SUBJECT
        return verdict if is_whole else Verdict(REFUSED, SURROUNDINGS_UNKNOWN)


def before_drawing(making: Making, judge: Judge) -> dict[str, Any]:
    """What is told of a shot's picture before it is drawn. kept: whether it is, for what would be refused is not."""
    row = making.row
    shares = WHOLE if row["reason"] else shares_by_blocks(alignment_of(row), clean_frames_of(row))
    verdict = Verdict(REFUSED, row["reason"]) if row["reason"] else judge(row, shares)
    return {
        **{name: row[name] for name in ("image_id", "kind", "start_s", "end_s", "layers")},
        "like_frame": row["like_frame"] if row["like_frame"] is not None else row["agreement"],
        "known_share": None if row["rows"] is None else shares.known,
        "frames": len(row["pts"] or ()),
        **_as_columns(verdict),
    }


def before_putting_back(episode: str, making: Making, judge: Judge) -> dict[str, Any]:
    """What differs from that, of a plate with somebody put back."""
    subject, row = making.subject, making.row
    assert subject is not None
    verdict = Verdict(REFUSED, subject.refusal) if subject.refusal else judge(row, WHOLE)
    return {
        "image_id": plate_id(episode, row["start_s"], row["end_s"], row["pts_s"][subject.frame]),
        "kind": PLATE_WITH_SUBJECT,
        **_as_columns(verdict),
    }


def _as_columns(verdict: Verdict) -> dict[str, Any]:
    return {"kept": verdict.verdict != REFUSED, "verdict": verdict.verdict, "reason": verdict.reason}


def drawn_once(wanted: Mapping[str, Making], frames_at: FramesAt) -> Iterator[tuple[str, Drawn | Exception]]:
    """By id the pictures, on one way through the video; each shot is fused once. An error that is one picture's alone
    is given in its stead."""
    makings = sorted(wanted.items(), key=lambda item: (item[1].row["start_s"], item[1].row["image_id"], item[0]))
    shots = [list(of_shot) for _, of_shot in groupby(makings, key=lambda item: item[1].row["image_id"])]
    once = Once(frames_at, [pts for (_, making), *_ in shots for pts in _fused_of(making.row)])
    for of_shot in shots:
        yield from _of_shot(of_shot, once)


def _of_shot(makings: Sequence[tuple[str, Making]], once: Once) -> Iterator[tuple[str, Drawn | Exception]]:
    row = makings[0][1].row
    alignment = alignment_of(row)
    subjects = [making.subject for _, making in makings if making.subject is not None]
    frames_at = once.of([int(alignment.pts[subject.frame]) for subject in subjects])
    mosaic = tried(fuse, alignment, frames_at, clean_frames_of(row))
    for image_id, making in makings:
        is_there = isinstance(mosaic, Mosaic)
        yield image_id, tried(_drawn, mosaic, alignment, frames_at, making.subject) if is_there else mosaic


def _drawn(mosaic: Mosaic, alignment: Alignment, frames_at: FramesAt, subject: Subject | None) -> Drawn:
    if subject is not None:
        mosaic = with_subject(mosaic, alignment, frames_at, subject)
    return drawn_of(mosaic, alignment)


def _fused_of(row: Mapping[str, Any]) -> list[int]:
    """The timestamps of the frames that a shot's picture is fused of."""
    chosen = spread_frames(alignment_of(row)) if row["used"] is None else row["used"]
    return [row["pts"][frame] for frame in chosen]
