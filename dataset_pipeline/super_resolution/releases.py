"""Which episodes are two releases of one, and which frames of them are laid on each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from dataset_pipeline.images.sheets import spread
from dataset_pipeline.settings import SrTilesSettings
from dataset_pipeline.sources.keys import without_hash
from dataset_pipeline.super_resolution.release_geometry import FRAMES
from dataset_pipeline.super_resolution.release_matching import UNMATCHED, Matching, match_releases, release_of
from dataset_pipeline.super_resolution.release_pairs import BLOCK_PX, Comparison

MISSING_NAMED = 20  # more stretches are counted
_EDGE_FRAMES = 2  # of a shot, which codecs blur


@dataclass(frozen=True)
class Paired:
    """pairs: by episode of a low release that of its high one. absent: episodes that the settings name and that are not
    there. ambiguous: low releases that they name twice."""

    pairs: dict[str, str]
    absent: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()


def paired(areas_px: Mapping[str, int], named: Sequence[Sequence[str]], by_name: bool) -> Paired:
    """Which releases belong together. areas_px: width times height of each episode. named: high and low, as settings
    name them. by_name: also episodes whose names say the same show and episode: the largest is the high one for each
    that is smaller."""
    absent = tuple(sorted({episode for pair in named for episode in pair if episode not in areas_px}))
    lows = [low for _, low in named]
    ambiguous = tuple(sorted({low for low in lows if lows.count(low) > 1}))
    pairs = {low: high for high, low in named if not {high, low}.intersection(absent) and low not in ambiguous}
    claims: dict[str, list[str]] = {}
    for episode in sorted(areas_px):
        claims.setdefault(without_hash(episode), []).append(episode)
    for its in claims.values() if by_name else ():
        high = max(its, key=lambda episode: areas_px[episode])
        for low in its:
            if low not in lows and areas_px[low] < areas_px[high]:
                pairs[low] = high
    return Paired(dict(sorted(pairs.items())), absent, ambiguous)


def alignment_row(high: Sequence[Mapping[str, Any]], low: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `release_alignment` says of two releases by their rows of `shots`, whole: the columns of the matching."""
    high, low = (sorted(rows, key=lambda row: row["number"]) for rows in (high, low))
    found = match_releases(release_of(high), release_of(low))
    high_pts = [pts for row in high for pts in row["frame_pts"]]
    return {
        "speed": found.speed,
        "matched_share": float((found.high != UNMATCHED).mean()) if len(found.high) else 0.0,
        "segments": [vars(segment) for segment in found.segments],
        "missing": _missing(found, high),
        "low_pts": [pts for row in low for pts in row["frame_pts"]],
        "low_s": [pts_s for row in low for pts_s in row["frame_pts_s"]],
        "low_shot": [row["number"] for row in low for _ in row["frame_pts"]],
        "high_pts": [high_pts[frame] if frame != UNMATCHED else None for frame in found.high.tolist()],
        "likeness": found.likeness.tolist(),
    }


def alignments_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """A line for each low release: its high one, and what was matched of it. rows: of `release_alignment`."""
    lines = ["| release | of | matched | speed | stretches | lacks |", "| :--- | :--- | ---: | ---: | ---: | :--- |"]
    for row in rows:
        lacks = ", ".join(f"{it['start_s']:.1f} to {it['end_s']:.1f} s" for it in row["missing"][:MISSING_NAMED])
        more = f", and {len(row['missing']) - MISSING_NAMED} more" if len(row["missing"]) > MISSING_NAMED else ""
        told = row["episode"], row["high"], f"{row['matched_share']:.1%}", f"{row['speed']:.4f}"
        lines.append(f"| {' | '.join(told)} | {len(row['segments'])} | {lacks}{more} |")
    return "\n".join(lines)


def _missing(found: Matching, high: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """From when to when the high release shows what the low one lacks, in seconds."""
    times_s = [pts_s for row in high for pts_s in row["frame_pts_s"]]
    return [{"start_s": times_s[first], "end_s": times_s[last]} for first, last in found.missing_from_low(len(times_s))]


@dataclass(frozen=True)
class Match:
    """A frame of the low release, shown at `low_s` in that shot of it, and the frame of the high one that shows the
    same, by their timestamps."""

    low_pts: int
    high_pts: int
    low_s: float
    shot: int
    likeness: float


def matches_in(row: Mapping[str, Any]) -> list[Match]:
    """The frames of a row of `release_alignment` that were matched, in order of time."""
    columns = (row[name] for name in ("low_pts", "high_pts", "low_s", "low_shot", "likeness"))
    return [Match(*its) for its in zip(*columns, strict=True) if its[1] is not None]


def chosen(matches: Iterable[Match], per_shot: int, most: int) -> list[Match]:
    """Of each shot so many of its frames at most, those of equal parts that are most alike, none at its edges where it
    has others; of all of them `most` at even distances, 0 for all."""
    found: list[Match] = []
    for _, its in groupby(matches, key=lambda match: match.shot):
        shot = list(its)
        inner = shot[_EDGE_FRAMES:-_EDGE_FRAMES] or shot
        parts = np.array_split(np.arange(len(inner)), min(per_shot, len(inner)))
        found += [inner[max(part, key=lambda at: inner[at].likeness)] for part in parts]
    return spread(found, most) if most else found


def for_geometry(matches: Sequence[Match]) -> list[Match]:
    """The frames that tell how two releases lie: as many as are enough, of as many shots as there are."""
    shots = len({match.shot for match in matches})
    return spread(chosen(matches, -(-FRAMES // max(1, shots)), 0), FRAMES)


def at_full_size(settings: SrTilesSettings) -> SrTilesSettings:
    """The settings for tiles of pairs: of the pictures alone, since no copy of the low one is of another size."""
    return settings.model_copy(update={"scales": [1.0], "shortest_edge_px": 0})


def where_both_agree(tiles: Iterable[dict[str, Any]], pairs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tiles, rows of `sr_tiles`, on which both pictures of their pair show the same. pairs: rows of
    `release_pairs`."""
    found = {row["image_id"]: (row["scale"], _comparison(row)) for row in pairs if row["differs"] is not None}

    def agrees(tile: Mapping[str, Any]) -> bool:
        scale, comparison = found[tile["image_id"]]
        x, y, side = (tile[name] // scale for name in ("x_px", "y_px", "side_px"))
        return not comparison.differs_in(x, y, x + side, y + side)

    return [tile for tile in tiles if agrees(tile)]


def _comparison(row: Mapping[str, Any]) -> Comparison:
    columns = row["differs_columns"]
    rows = -(-row["height_px"] // (row["scale"] * BLOCK_PX))
    bits = np.unpackbits(np.frombuffer(row["differs"], np.uint8), count=rows * columns)
    return Comparison(row["correlation"], bits.reshape(rows, columns).astype(bool), row["differs_share"])


def own_low(tile: Mapping[str, Any], low: np.ndarray, scale: int) -> np.ndarray:
    """Of a pair's low picture uint8 [h, w, 3] what a tile of its high one shows."""
    x, y, side = (tile[name] // scale for name in ("x_px", "y_px", "side_px"))
    return low[y : y + side, x : x + side]
