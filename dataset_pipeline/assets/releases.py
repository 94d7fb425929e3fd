"""Two releases of one episode laid on each other, and the pairs of pictures that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from dataset_pipeline.assets.frames import pictures_of_table
from dataset_pipeline.base.ids import pair_id
from dataset_pipeline.base.progress import track
from dataset_pipeline.base.timing import span
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import hash_of, version_of
from dataset_pipeline.images.defects import as_row
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.media import frames_of
from dataset_pipeline.store.provenance import Number
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.pair_pictures import CannotPair, Pair, Pairing, Sides, fitted
from dataset_pipeline.super_resolution.releases import (
    Match,
    Paired,
    alignment_row,
    alignments_markdown,
    chosen,
    for_geometry,
    matches_in,
    paired,
)
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.keyframes import measure
from dataset_pipeline.video.stream import DecodeReport

HIGH, LOW = "high", "low"  # the pictures of a pair
LOW_SHARES = "low_width_share", "low_height_share"
AT_ONCE = 16  # pairs of frames in memory
FEW = 0.5  # of a release's frames: fewer matched ones speak of another episode


def of_releases(settings: Settings) -> bool:
    """Whether tiles are cut from pairs of releases."""
    return settings.sr_sources.of == "releases"


@pipeline_asset(
    kind=Kind.JOIN,
    reads=["video_probe", "shots"],
    settings=["release_alignment"],
    group="super_resolution",
    labels=["python"],
    algorithm=2,
    on_demand=True,
    checks={
        "every_named_release_is_there": Check("Each episode that `[release_alignment] pairs` names is registered."),
        "releases_show_the_same": Check("Most frames of each low release were found in its high one."),
    },
)
def release_alignment(step: Step) -> Result:
    """Which frames of two releases of one episode show the same: releases named in `[release_alignment] pairs`, or
    found by their names, by the signatures of all frames that `shots` keeps. Nothing is decoded.

    What one of them lacks is told. Two releases are matched once; some 9 core-s for 24 minutes, 12 with pulldown.
    """
    found = _paired(step)
    keys = [
        {"image_id": low, "pixel_sha256": hash_of(high, *(_version(step, it) for it in (high, low)))}
        for low, high in found.pairs.items()
    ]

    def matched(lows: list[str]) -> Iterator[dict[str, Any]]:
        for low in track(lows, step.declaration.name, len(lows)):
            high = found.pairs[low]
            with span("match releases"):
                row = alignment_row(step.rows_of("shots", high), step.rows_of("shots", low))
            yield {"episode": low, "high": high, **row}

    table, reuse = step.measure_once(keys, "", str(step.declaration.algorithm), matched)
    shares = dict(zip(table["episode"].to_pylist(), table["matched_share"].to_pylist(), strict=True))
    few = [f"of {low} {share:.0%} is shown by {found.pairs[low]}" for low, share in shares.items() if share < FEW]
    return Result(
        table,
        {"releases": len(table), "measured": reuse.measured, "reused": reuse.reused},
        {"every_named_release_is_there": _told(found), "releases_show_the_same": "; ".join(few)},
        notes={"releases": alignments_markdown(table.to_pylist())} if len(table) else {},
    )


def _paired(step: Step) -> Paired:
    """The releases of which there are shots."""
    settings = step.settings.release_alignment
    areas_px = {
        row["episode"]: (row["display_width_px"] or 0) * (row["display_height_px"] or 0)
        for row in step.rows("video_probe")
        if row["readable"] and (pointer := step.pointer("shots", row["episode"])) and pointer.rows
    }
    return paired(areas_px, settings.pairs, settings.by_name)


def _version(step: Step, episode: str) -> list[str]:
    pointers = (step.pointer(asset, episode) for asset in ("video_probe", "shots"))
    return [version_of(pointer) for pointer in pointers if pointer]


def _told(found: Paired) -> str:
    faults = [f"{episode} is no episode with shots" for episode in found.absent]
    return "; ".join([*faults, *(f"{low} is named as the low release of two" for low in found.ambiguous)])


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=["video_probe", "release_alignment"],
    settings=["release_pairs", "video"],
    group="super_resolution",
    labels=["opencv"],
    on_demand=True,
    shows=pictures_of_table,
)
def release_pairs(step: Step) -> Result:
    """Pairs of pictures of two releases of an episode, made with the low one: its own pixels, and the high one's frame
    laid on them at `[release_pairs] scale` times their number, never enlarged. Where it has too few pixels for that,
    the low one's are shrunk a little (`shrink_low_to`), and rows and numbers say to which share.

    Each with its correlation, and the blocks in which the two show something else: subtitles, a part that was drawn
    anew. Two seeks and some half a core-s a pair.
    """
    rows = [row for row in step.rows("release_alignment") if row["episode"] == step.episode]
    if not rows:
        return Result(SCHEMAS["release_pairs"].empty(), {"pairs": 0})
    [row] = rows
    report, settings = DecodeReport(), step.settings.release_pairs
    matches = matches_in(row)
    frames = _Frames(step, row["high"], report)
    wanted = chosen(matches, settings.per_shot, settings.most)
    try:
        fit = [pair for _, pair in frames.of(for_geometry(matches))]
        bars = frames.high_bars, frames.low_bars
        pairing = fitted(fit, settings.scale, settings.colours, *bars, settings.shrink_low_to)
    except CannotPair as error:
        step.log.warning(f"{step.episode}, {row['high']}: {error}")
        return Result(SCHEMAS["release_pairs"].empty(), {"pairs": 0, "why_none": str(error)})
    left_out: dict[str, str] = {}
    made = list(
        step.save_pictures(_drawn(step, pairing, frames.of(wanted), (row["high"], len(wanted)), left_out), left_out)
    )
    whole = _whole(made)
    for reason in [*report.reasons, *_shrunk(pairing, f"{step.episode}, {row['high']}")]:
        step.log.warning(reason)
    return Result(SCHEMAS["release_pairs"].table(whole), _numbers(row, pairing, whole), left_out=left_out)


def _drawn(
    step: Step, pairing: Pairing, pairs: Iterator[tuple[Match, Pair]], of: tuple[str, int], left_out: dict[str, str]
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The rows of both pictures of each pair, with the picture. of: the high release, and how many pairs there are."""
    episode, (high_of, count) = step.episode or "", of
    for match, (high, low) in track(pairs, step.declaration.name, count):
        image_id = pair_id(episode, match.low_s)
        try:
            made = pairing.pictures(high, low)
        except ValueError as error:
            left_out[image_id] = str(error)
            continue
        signals, differs = measure(made.high), made.comparison.differs
        common = {"episode": episode, "high": high_of, "of": image_id, "scale": pairing.scale, "pts_s": match.low_s}
        common |= dict(zip(LOW_SHARES, pairing.low_shares, strict=True))
        measured = {name: getattr(signals, name) for name in ("sharpness", "contrast")} | as_row(signals.defects)
        compared = {
            "correlation": made.comparison.correlation,
            "differs_share": made.comparison.share,
            "differs": np.packbits(differs).tobytes(),
            "differs_columns": differs.shape[1],
        }
        yield common | measured | compared | {"image_id": image_id, "part": HIGH, **_size(made.high)}, made.high
        yield common | {"image_id": f"{image_id}-{LOW}", "part": LOW, **_size(made.low)}, made.low


def _shrunk(pairing: Pairing, releases: str) -> list[str]:
    if pairing.low_px == pairing.pair_px:
        return []
    sizes = " to ".join(f"{across}x{down}" for across, down in (pairing.low_px, pairing.pair_px))
    return [
        f"{releases}: low pictures are shrunk from {sizes} px, since the high release has fewer than {pairing.scale} "
        "times their pixels; with [release_pairs] shrink_low_to = 1 there would be no pairs"
    ]


def _size(picture: np.ndarray) -> dict[str, int]:
    return {"width_px": picture.shape[1], "height_px": picture.shape[0]}


def _whole(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of pairs of which both pictures could be written."""
    parts = {(row["of"], row["part"]) for row in rows}
    return [row for row in rows if {(row["of"], HIGH), (row["of"], LOW)} <= parts]


def _numbers(alignment: Mapping[str, Any], pairing: Pairing, rows: Sequence[Mapping[str, Any]]) -> dict[str, Number]:
    lies, highs = pairing.geometry, [row for row in rows if row["part"] == HIGH]
    numbers: dict[str, Number] = {
        "pairs": len(highs),
        "high": alignment["high"],
        "matched_share": alignment["matched_share"],
        "speed": alignment["speed"],
        **{name: getattr(lies, name) for name in ("step_x", "step_y", "start_x_px", "start_y_px")},
        "geometry_error_px": lies.error_px,
        "geometry_spread_px": lies.spread_px,
        **dict(zip(LOW_SHARES, pairing.low_shares, strict=True)),
        "colour_error": pairing.to_low.error,
    }
    if highs:
        numbers["mean_correlation"] = float(np.mean([row["correlation"] for row in highs]))
        numbers["differs_share"] = float(np.mean([row["differs_share"] for row in highs]))
    return numbers


class _Frames:
    """The frames of both releases as they are coded: not resized, with their bars."""

    def __init__(self, step: Step, high: str, report: DecodeReport) -> None:
        low = step.episode or ""
        self._report, self._hardware = report, step.settings.video.hardware
        self._sources = {HIGH: step.source_of(high), LOW: step.source_of(low)}
        self._probes = {HIGH: step.rows_of("video_probe", high)[0], LOW: step.row("video_probe")}

    @property
    def high_bars(self) -> Sides:
        return _bars(self._probes[HIGH])

    @property
    def low_bars(self) -> Sides:
        return _bars(self._probes[LOW])

    def of(self, matches: Sequence[Match]) -> Iterator[tuple[Match, Pair]]:
        """Those of which both frames could be read, a few at a time."""
        for begin in range(0, len(matches), AT_ONCE):
            some = matches[begin : begin + AT_ONCE]
            low = self._read(LOW, [it.low_pts for it in some])
            high = self._read(HIGH, [it.high_pts for it in some])
            there = (it for it in some if it.high_pts in high and it.low_pts in low)
            yield from ((it, (high[it.high_pts], low[it.low_pts])) for it in there)

    def _read(self, part: str, pts: Sequence[int]) -> dict[int, np.ndarray]:
        probe = self._probes[part]
        as_coded = Conversion.of(probe).as_coded()
        wanted = sorted(set(pts))
        return dict(frames_of(self._sources[part], wanted, probe, self._report, self._hardware, as_coded))


def _bars(probe: Mapping[str, Any]) -> Sides:
    """The bars of a video in its coded pixels, whole ones."""
    across = (probe["width_px"] or 1) / (probe["display_width_px"] or probe["width_px"] or 1)
    down = (probe["height_px"] or 1) / (probe["display_height_px"] or probe["height_px"] or 1)
    left, top, right, bottom = (probe[f"bar_{side}_px"] or 0 for side in ("left", "top", "right", "bottom"))
    return ceil(left * across), ceil(top * down), ceil(right * across), ceil(bottom * down)
