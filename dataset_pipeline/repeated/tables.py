"""From the tables of a show's episodes to its rows of `repeated_frames`, and those as a Markdown table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.images.stills import KEEP
from dataset_pipeline.repeated.copies import decide_repeated
from dataset_pipeline.repeated.near_duplicates import DEFECTS, as_matrix
from dataset_pipeline.repeated.runs import find_runs
from dataset_pipeline.repeated.segments import Segment, segments
from dataset_pipeline.repeated.tracks import THUMB, Track, track_of_fingerprints
from dataset_pipeline.settings import FrameDefectsSettings, RepeatedFramesSettings

FINGERPRINT_BYTES = THUMB[0] * THUMB[1]
# What the rows of a show are made from, by asset, and of each the columns that they take.
OF_SHOW = {
    "video_probe": ("episode", "duration_s", "chapters"),
    "shots": ("episode", "fingerprint_pts_s", "fingerprints"),
    "keyframes": ("image_id", "episode", "pts_s", "sharpness", *DEFECTS),
    "frame_embeddings": ("image_id", "embedding"),
    "distinct_frames": ("image_id", "kept"),
}
OF_STITCHED = ("image_id", "episode", "kind", "start_s", "verdict", "width_px", "height_px")


def repeats_of_show(
    show: str,
    probes: pa.Table,
    shots: pa.Table,
    keyframes: pa.Table,
    embeddings: pa.Table,
    stills: pa.Table,
    stitched: pa.Table,
    stitched_embeddings: pa.Table,
    settings: RepeatedFramesSettings,
    defects: FrameDefectsSettings,
    earlier_choice: Collection[str],
) -> list[dict[str, Any]]:
    """Rows of `repeated_frames` for the episodes of a show, but for `made_from`.

    probes, shots, keyframes, embeddings, stills: `video_probe`, `shots`, `keyframes`, `frame_embeddings` and
    `distinct_frames` of its episodes. Pictures of folders repeat nothing. stitched: their rows of `panoramas` and
    `backdrops`; panoramas are copies of panoramas alone, and plates of plates, since the frames that they are made of
    look like them. defects: from which value on a defect counts. earlier_choice: the image ids that stayed last time.
    """
    tracks = tracks_of(probes, shots)
    runs = find_runs(tracks)
    found = segments(tracks, runs)
    frames, vectors = _kept_frames(keyframes, embeddings, stills)
    limits = {name: getattr(defects, f"max_{name}") for name in DEFECTS}
    together = [(frames, vectors, limits), *((*of_kind, {}) for of_kind in _stitched(stitched, stitched_embeddings))]
    decided = [
        row
        for pictures, their_vectors, their_limits in together
        for row in decide_repeated(
            pictures,
            their_vectors,
            runs,
            found,
            similarity=settings.similarity,
            aligned_similarity=settings.aligned_similarity,
            limits=their_limits,
            earlier_choice=earlier_choice,
        )
    ]
    of_episode: dict[str, list[dict]] = defaultdict(list)
    for row in decided:
        of_episode[row.pop("episode")].append(row)
    return [
        {
            "episode": episode,
            "show": show,
            "segments": [_segment_row(segment) for segment in found if segment.episode == episode],
            "frames": sorted(of_episode[episode], key=lambda row: row["image_id"]),
        }
        for episode in sorted(probes["episode"].to_pylist())
    ]


def tracks_of(probes: pa.Table, shots: pa.Table) -> list[Track]:
    """What can be compared of each episode that has shots, in the order of their keys."""
    about = {row["episode"]: row for row in probes.select(OF_SHOW["video_probe"]).to_pylist()}
    episodes, places = np.unique(np.array(shots["episode"].to_pylist(), dtype=str), return_inverse=True)
    by_episode = shots.take(pa.array(np.argsort(places, kind="stable")))
    ends = np.cumsum(np.bincount(places, minlength=len(episodes)))
    tracks = []
    for episode, start, end in zip(episodes.tolist(), [0, *ends[:-1].tolist()], ends.tolist(), strict=False):
        mine = by_episode.slice(start, end - start)
        times_s = mine["fingerprint_pts_s"].combine_chunks().flatten()
        thumbs = mine["fingerprints"].combine_chunks().flatten()
        offsets = pa.array(np.arange(len(times_s) + 1, dtype=np.int32) * FINGERPRINT_BYTES)
        table = pa.table({"pts_s": times_s, "thumb": pa.ListArray.from_arrays(offsets, thumbs)})
        row = about[episode]
        tracks.append(track_of_fingerprints(episode, table, row["duration_s"], row["chapters"] or ()))
    return tracks


def _kept_frames(keyframes: pa.Table, embeddings: pa.Table, stills: pa.Table) -> tuple[list[dict], np.ndarray]:
    """Rows of the video frames that stayed in their episode, and their vectors, float32 [n, d]."""
    kept = {row["image_id"] for row in stills.select(["image_id", "kept"]).to_pylist() if row["kept"]}
    rows = [row for row in keyframes.select(OF_SHOW["keyframes"]).to_pylist() if row["image_id"] in kept]
    place = {image_id: i for i, image_id in enumerate(embeddings["image_id"].to_pylist())}
    frames = [row for row in rows if row["pts_s"] is not None and row["image_id"] in place]
    if not frames:
        return [], np.zeros((0, 1), np.float32)
    return frames, as_matrix(embeddings)[[place[row["image_id"]] for row in frames]]


def _stitched(rows: pa.Table, embeddings: pa.Table) -> Iterator[tuple[list[dict], np.ndarray]]:
    """For each kind the panoramas or plates that are stills, with their vectors. Of copies the largest is the best."""
    place = {image_id: i for i, image_id in enumerate(embeddings["image_id"].to_pylist())}
    of_kind: dict[str, list[dict]] = defaultdict(list)
    for row in rows.select(OF_STITCHED).to_pylist():
        if row["verdict"] == KEEP and row["image_id"] in place:
            area_px = row["width_px"] * row["height_px"]
            of_kind[row["kind"]].append(row | {"pts_s": row["start_s"], "sharpness": float(area_px)})
    for _, pictures in sorted(of_kind.items()):
        yield pictures, as_matrix(embeddings)[[place[row["image_id"]] for row in pictures]]


def _segment_row(segment: Segment) -> dict[str, Any]:
    row = asdict(segment)
    del row["episode"]
    return {**row, "matched": list(segment.matched)}


def segments_markdown(rows: Iterable[Mapping[str, Any]], most: int = 100) -> str:
    """What repeats in which episode, as a Markdown table of at most `most` rows."""
    lines = ["| episode | from | to | kind | found by | also in |", "| --- | ---: | ---: | --- | --- | --- |"]
    repeats = [(row["episode"], segment) for row in rows for segment in row["segments"]]
    for episode, segment in repeats[:most]:
        others = ", ".join(segment["matched"][:3]) + (" …" if len(segment["matched"]) > 3 else "")
        start, end = (f"{seconds:.1f} s" for seconds in (segment["start_s"], segment["end_s"]))
        lines.append(f"| {episode} | {start} | {end} | {segment['kind']} | {segment['found']} | {others} |")
    if len(repeats) > most:
        lines.append(f"| … {len(repeats) - most} more | | | | | |")
    return "\n".join(lines)
