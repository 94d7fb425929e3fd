"""One picture made of all frames of a shot: panoramas of pans, plates without the people who walk through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from dataset_pipeline.assets.corrections import FOUND, IS_FOUND, matcher_of, told_lost
from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.base.ids import PANORAMA, PLATE
from dataset_pipeline.base.progress import track
from dataset_pipeline.characters.tracks import boxes_on
from dataset_pipeline.corrections.addressing import STITCHED, parts_for
from dataset_pipeline.corrections.answers import StitchedAnswers, stitched_answers
from dataset_pipeline.graph.catalog import MEASURING, Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import WITHOUT_GPU
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of, version_of
from dataset_pipeline.images.stills import DOUBTFUL, KEEP, REFUSED
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.media import FOLDER, frames_of
from dataset_pipeline.stitching.candidates import MOST_HIDDEN, Candidate, hidden_share, locked_of, pans_of
from dataset_pipeline.stitching.confidence import Verdict, of_panorama, of_plate
from dataset_pipeline.stitching.drawing import Drawn, Shares, covered_s
from dataset_pipeline.stitching.followed import BoxesByPts
from dataset_pipeline.stitching.making import Judge, Making, before_drawing, before_putting_back, drawn_once
from dataset_pipeline.stitching.placing import placed_once
from dataset_pipeline.stitching.rows import alignment_of, clean_frames_of
from dataset_pipeline.stitching.subject import Subject, subject_of
from dataset_pipeline.store.left_out import UNMEASURED, first_reasons, reason_of
from dataset_pipeline.store.provenance import NOT_LOOKED_AT, Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.video.stream import DecodeReport

DRAWN_TOGETHER = "every_picture_could_be_drawn"
DRAWING = {DRAWN_TOGETHER: Check("The frames of each picture could be read and drawn together.")} | IS_FOUND
WITHOUT_SHOTS = "pictures of a folder have no shots, so no panorama is made of them: only frames of a video are joined"
# Told once a picture is drawn.
DRAWN = ("width_px", "height_px", "known_share", "shown_share", "unknown_share", "whole_px", "unknown")


def looks_for_plates(settings: Settings) -> bool:
    return settings.alignments.backdrops != "off" and settings.tracks.mode != "off"


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["video_probe", "shots", "tracks"],
    reads_if={"tracks": looks_for_plates},
    settings=["alignments", "video"],
    algorithm=5,
    group="frames",
    labels=["opencv"],
    checks={"every_frame_could_be_placed": Check("The decoder gave each frame that was to be looked at.")},
)
def alignments(step: Step) -> Result:
    """Frames of a shot placed on one canvas, and which of them show the place behind where: of pans, and where plates
    are wanted of shots with a still camera before which something moves.

    Decides nothing, so that no other threshold of `[panoramas]` or `[backdrops]` places a frame again; a shot that is
    as it was is taken over. A place before much of which people stand all the time is not looked at. About 40 frames
    for each view that the camera passes are: some 5 core-s and 5 kB a pan at 1080p, 10 core-s and 75 kB where something
    moves before it; for a plate 5 core-s and 11 kB.
    """
    report = DecodeReport()
    wanted, boxes, hidden = _looked_at(step)
    frames_at = partial(_frames, step, step.row("video_probe"), report)
    left_out: dict[str, str] = {}

    def placed(absent: list[str]) -> Iterator[dict[str, Any] | None]:
        rows = placed_once([wanted[image_id] for image_id in absent], boxes, frames_at)
        for image_id, row in zip(absent, track(rows, step.declaration.name, len(absent)), strict=True):
            if isinstance(row, Exception):
                left_out[image_id] = reason_of(row)
            yield None if isinstance(row, Exception) else row

    video = step.pointer("video_probe")
    assert video is not None
    keys = [
        {"image_id": it.image_id, "pixel_sha256": hash_of(version_of(video), it.pts, boxes[it.image_id])}
        for it in wanted.values()
    ]
    table, reuse = step.measure_once(keys, "", str(step.declaration.algorithm), placed)
    reasons = Counter(table["reason"].to_pylist())
    numbers: dict[str, Number] = {
        "measured": reuse.measured,
        "reused": reuse.reused,
        "placed": reasons.pop("", 0),
        **reasons,
        "frames_looked_at": sum(table["frames"].to_pylist()),
        "mb": round(table.nbytes / 1e6, 3),
        "panoramas": step.settings.alignments.panoramas == "on",
        "always_hidden": hidden,
    }
    if step.settings.alignments.panoramas == "on" and step.source["kind"] == FOLDER:
        numbers[NOT_LOOKED_AT] = WITHOUT_SHOTS
    faults = "; ".join([*report.reasons, *filter(None, [first_reasons(left_out)])])
    numbers |= {UNMEASURED: len(left_out)} if left_out else {}
    return Result(table, numbers, {"every_frame_could_be_placed": faults}, left_out=left_out)


def _looked_at(step: Step) -> tuple[dict[str, Candidate], dict[str, BoxesByPts | None], int]:
    """By image id the shots that are looked at, and where people are on their frames; and of how many others before a
    still camera too much is hidden all the time."""
    tracks = step.rows("tracks") if _has_tracks(step) else None
    found = {it.image_id: it for it in _wanted(step, step.row("video_probe"))}
    boxes = {image_id: _boxes(it, tracks) for image_id, it in found.items()}
    hidden = {image_id for image_id, them in boxes.items() if tracks and them and _is_hidden(them, tracks)}
    return {image_id: it for image_id, it in found.items() if image_id not in hidden}, boxes, len(hidden)


def _wanted(step: Step, probe: Mapping[str, Any]) -> list[Candidate]:
    """The shots that are to be looked at."""
    settings, episode = step.settings.alignments, step.episode or ""
    columns = ["number", "frames", "motion", "dx_px", "dy_px", "zoom", "frame_pts", "frame_pts_s", "signatures"]
    shots = step.read_columns("shots", columns).to_pylist()
    if not shots:
        return []
    found: list[Candidate] = []
    if settings.panoramas == "on":
        bars = [probe[f"bar_{side}_px"] or 0 for side in ("left", "right", "top", "bottom")]
        size_px = probe["display_width_px"] - sum(bars[:2]), probe["display_height_px"] - sum(bars[2:])
        found += pans_of(episode, shots, size_px, settings.min_travel)
    if settings.backdrops == "on" or (settings.backdrops == "auto" and _has_tracks(step)):
        found += locked_of(episode, shots)
    return found


def _has_tracks(step: Step) -> bool:
    """Whether people were looked for over the frames of the episode."""
    if "tracks" not in step.declaration.reads:
        return False
    made = step.pointer("tracks")
    return made is not None and not made.provenance.numbers.get(WITHOUT_GPU)


def _boxes(candidate: Candidate, tracks: Sequence[Mapping[str, Any]] | None) -> BoxesByPts | None:
    """Where people are on the frames of a shot before a still camera, by pts; None where nobody was looked for. On a
    pan they belong to the picture."""
    if candidate.kind != PLATE or tracks is None:
        return None
    return boxes_on(candidate.pts, candidate.pts_s, tracks)


def _is_hidden(boxes: BoxesByPts, tracks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether people hide too much of a place all the time."""
    return hidden_share(boxes, (tracks[0]["width_px"], tracks[0]["height_px"])) > MOST_HIDDEN


def _frames(
    step: Step, probe: Mapping[str, Any], report: DecodeReport, pts: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    return frames_of(step.source, list(pts), probe, report, step.settings.video.hardware)


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["video_probe", "alignments", "corrections"],
    settings=["panoramas", "video"],
    algorithm=7,
    group="stills",
    labels=["opencv"],
    checks=DRAWING,
    shows=pictures_of_table,
)
def panoramas(step: Step) -> Result:
    """The whole picture that the camera of a pan passes over: a still of its own, cut to what is known for sure.

    `[panoramas]` says from when on it is kept, when a person is asked, and when it is refused. About 3 core-s a
    megapixel; a picture that is there stays.
    """
    limits = step.settings.panoramas

    def judged(row: Mapping[str, Any], shares: Shares) -> Verdict:
        return of_panorama(alignment_of(row), clean_frames_of(row), shares, limits)

    return _stitched(step, PANORAMA, judged)


@pipeline_asset(
    kind=Kind.RENDER,
    reads=["video_probe", "alignments", "tracks", "corrections"],
    reads_if={"tracks": looks_for_plates},
    settings=["backdrops", "video"],
    algorithm=6,
    group="stills",
    labels=["opencv"],
    checks=DRAWING,
    shows=pictures_of_table,
)
def backdrops(step: Step) -> Result:
    """The place behind the people of a shot whose camera stands still: where it was seen, never invented. And once more
    with the main person put back, from the frame with the least foreground, unless that frame alone shows as much.

    `[backdrops]` says when it is kept; without `tracks` a person is asked, for who stands still passes for a part of
    the place.
    """
    limits = step.settings.backdrops
    tracks = step.rows("tracks") if _has_tracks(step) else []

    def judged(row: Mapping[str, Any], shares: Shares) -> Verdict:
        clean = clean_frames_of(row)
        assert clean is not None
        return of_plate(alignment_of(row), clean, shares, row["with_boxes"], limits)

    def subject_in(row: Mapping[str, Any]) -> Subject | None:
        clean = clean_frames_of(row)
        if clean is None or not row["with_boxes"]:
            return None
        boxes = boxes_on(row["pts"], row["pts_s"], tracks)
        return subject_of(alignment_of(row), clean, boxes)

    return _stitched(step, PLATE, judged, subject_in)


def _nobody(row: Mapping[str, Any]) -> None:
    """Who is put back on a panorama: whoever was there never left."""


def _stitched(
    step: Step, kind: str, judge: Judge, subject_in: Callable[[Mapping[str, Any]], Subject | None] = _nobody
) -> Result:
    """The table of what is made of the shots of this kind. judge: by a row of `alignments` and what is known.
    subject_in: who of such a row is put back."""
    probe, report = step.row("video_probe"), DecodeReport()
    makings = {row["image_id"]: Making(row) for row in step.rows("alignments") if row["kind"] == kind}
    previous = {row["image_id"]: row for row in step.previous()}
    told: dict[str, dict[str, Any]] = {}

    def draw(absent: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, np.ndarray | Exception]]:
        wanted = {row["image_id"]: makings[row["image_id"]] for row in absent}
        for image_id, drawn in drawn_once(wanted, partial(_frames, step, probe, report)):
            if isinstance(drawn, Drawn):
                told[image_id] = drawn.told
            yield image_id, drawn.image if isinstance(drawn, Drawn) else drawn

    rows = _before_drawing(step.episode or "", makings, judge, subject_in)
    said = _answers(step, [row | _picture_of(previous.get(row["image_id"])) for row in rows])
    for row in rows:  # what a person keeps is drawn whatever the limits say
        kept_by_hand = said.verdict_on(row | {"path": "any"}).get("verdict") == KEEP
        row["kept"] |= kept_by_hand and not makings[row["image_id"]].row["reason"]
    wanted = {row["image_id"] for row in rows if row["kept"]}
    rows, left_out = step.render(rows, same=("image_id", "aligned_sha256"), given="", draw=draw)
    for row in rows:
        if row.pop("kept"):
            row |= told.get(row["image_id"]) or {name: previous[row["image_id"]][name] for name in DRAWN}
            verdict = makings[row["image_id"]].judged(row, judge)
            row |= {"verdict": verdict.verdict, "reason": verdict.reason}
            if kind == PANORAMA:
                row["covered_s"] = covered_s(alignment_of(makings[row["image_id"]].row), row)
        elif row["image_id"] in wanted:
            row["verdict"] = REFUSED  # the reason says that it could not be drawn
    answers = _answers(step, rows)
    rows = [row | answers.verdict_on(row) for row in rows]
    verdicts, reasons = Counter(row["verdict"] for row in rows), Counter(row["reason"] for row in rows)
    numbers: dict[str, Number] = {it: verdicts[it] for it in (KEEP, DOUBTFUL, REFUSED)}
    return Result(
        SCHEMAS[step.declaration.name].table(rows),
        numbers | dict(reasons),
        {DRAWN_TOGETHER: first_reasons(left_out) or "; ".join(report.reasons), FOUND: told_lost(answers.lost)},
        left_out=left_out,
    )


def _picture_of(row: Mapping[str, Any] | None) -> dict[str, str]:
    """Which picture a row of last time has; none if it has none."""
    return {name: (row or {}).get(name) or "" for name in ("path", "pixel_sha256")}


def _before_drawing(
    episode: str,
    makings: dict[str, Making],
    judge: Judge,
    subject_in: Callable[[Mapping[str, Any]], Subject | None],
) -> list[dict[str, Any]]:
    """A row for each of the makings; those of plates with somebody put back are added to both."""
    rows = [
        before_drawing(making, judge) | {"episode": episode, "aligned_sha256": _drawn_from(making.row)}
        for making in makings.values()
    ]
    for row in list(rows):
        of_plate = makings[row["image_id"]].row
        if (subject := subject_in(of_plate)) is not None:
            making = Making(of_plate, subject)
            drawn_from = {"aligned_sha256": hash_of([row["aligned_sha256"], subject.frame, subject.box])}
            rows.append(row | before_putting_back(episode, making, judge) | drawn_from)
            makings[rows[-1]["image_id"]] = making
    return rows


def _answers(step: Step, rows: Sequence[Mapping[str, Any]]) -> StitchedAnswers:
    """What a person said of what is made of shots."""
    parts = parts_for(step.declaration.name, step.rows("corrections"))
    paths = {row["image_id"]: row["path"] for row in rows}
    if not parts:
        return StitchedAnswers()
    return stitched_answers(parts, matcher_of(step, rows, paths), STITCHED[step.declaration.name])


def _drawn_from(row: Mapping[str, Any]) -> str:
    """The hash of all that a picture is drawn from."""
    return hash_of({name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()})


@pipeline_asset(
    kind=Kind.MEASURE,
    reads=["panoramas", "backdrops"],
    models=["embedder"],
    group="stills",
    labels=["torch"],
    checks=MEASURING,
)
def stitched_embeddings(step: Step) -> Result:
    """The CLIP vector of every panorama and plate that is a still."""
    rows = [*step.rows("panoramas"), *step.rows("backdrops")]
    return step.measure(
        "embedder",
        [row for row in rows if row["verdict"] == KEEP and row["path"]],
        lambda model, pictures: ({"embedding": vector} for vector in model.embed(pictures)),
    )
