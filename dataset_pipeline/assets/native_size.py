"""The height that an episode was drawn at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dataset_pipeline.base.timing import span
from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.plots import plot
from dataset_pipeline.settings import KeyframesSettings
from dataset_pipeline.sources.media import full_size
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.native_height import Upscale, frames_to_look_at, native_height
from dataset_pipeline.video.color import luma_weights

CURVE = "what each height leaves, a logarithm: an upscale dips"  # the note
IN_FIELDS = frozenset({"tff", "bff"})  # of frames whose fields were put together the rows do not lie as they were drawn


@pipeline_asset(
    kind=Kind.MEASURE,
    algorithm=2,
    reads=["video_probe", "keyframes"],
    settings=["keyframes", "video"],
    group="super_resolution",
    labels=["opencv"],
    on_demand=True,
)
def native_size(step: Step) -> Result:
    """The height in pixels that an episode was drawn at before it was upscaled to that of its video, with the curve
    that tells; `unknown` where it does not.

    By two dozen sharp candidates of different places, decoded once more: some 15 core-s an episode at 1080p, whatever
    its length. Nothing is looked at of an interlaced one, nor of one whose pixels are not square: what makes them so
    would be found for an upscale.
    """
    probe = step.row("video_probe")
    as_drawn = probe["cadence"] not in IN_FIELDS and (probe["sample_aspect"] or 1) == 1
    rows = frames_to_look_at(step.rows("keyframes")) if as_drawn else []
    luma = luma_of(step.source, rows, probe, step.settings.keyframes, step.settings.video.hardware)
    with span("find the native height"):
        found = native_height(luma, probe["bar_top_px"] or 0, probe["bar_bottom_px"] or 0)
    taken_over = ("verdict", "height_px", "kernel", "frames", "frame_width_px", "frame_height_px", "dip", "z", "share")
    row: dict[str, Any] = {name: getattr(found, name) for name in taken_over} | {"episode": step.episode}
    row |= {"heights_px": found.heights_px.tolist(), "curve": found.curve.tolist()}
    row |= {"looked_at": [it["image_id"] for it in rows]}
    marked = found.height_px if found.height_px in found.heights_px else None  # a native one lies above all of them
    curve = plot(found.heights_px, found.curve, marked) if found.frames else ""
    return Result(
        SCHEMAS["native_size"].table([row]),
        {name: row[name] for name in ("verdict", "height_px", "frame_height_px", "dip", "z", "share", "frames")},
        notes={CURVE: curve} if curve else {},
    )


def luma_of(
    source: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    probe: Mapping[str, Any],
    keyframes: KeyframesSettings,
    hardware: str = "none",
) -> Iterator[np.ndarray]:
    """float32 [height, width] of the frames of these candidates, with their bars, less those that are of another size
    than the first. probe: the row of `video_probe`."""
    frames, weights = {row["image_id"]: row for row in rows}, np.array(luma_weights(probe["used_matrix"]), np.float32)
    size = None
    for _, picture in full_size(source, frames, probe, keyframes, hardware, with_bars=True) if frames else ():
        size = size or picture.shape
        if picture.shape == size:
            yield picture.astype(np.float32) @ weights


def upscale_of(step: Step) -> Upscale | None:
    """How the frames of a step's episode were upscaled; None where that is not certain, or nobody asks."""
    if "native_size" not in step.declaration.reads:
        return None
    row, probe = step.row("native_size"), step.row("video_probe")
    if row["verdict"] != "upscaled":
        return None
    return Upscale((row["frame_width_px"], row["frame_height_px"]), row["height_px"], row["kernel"], _bars(probe))


def beside(picture: Mapping[str, Any], frame: np.ndarray, probe: Mapping[str, Any]) -> np.ndarray | None:
    """A frame uint8 [height, width, 3] near that of a row of `sr_sources`, as the row's picture was made of its own;
    None where that gives another size. An upscale is undone of frames with their bars."""
    size, (height, width) = (picture["width_px"], picture["height_px"]), frame.shape[:2]
    if not picture["kernel"]:
        return frame if (width, height) == size else None
    lies = Upscale((width, height), picture["native_px"], picture["kernel"], _bars(probe))
    fits = lies.giving(size) if height > lies.height_px else None
    return fits.undone(frame) if fits else None


def _bars(probe: Mapping[str, Any]) -> tuple[int, int, int, int]:
    left, top, right, bottom = (probe[f"bar_{side}_px"] or 0 for side in ("left", "top", "right", "bottom"))
    return left, top, right, bottom
