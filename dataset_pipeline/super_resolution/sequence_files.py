"""The files of a set of frame sequences, for trainers of upscalers of video."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from dataset_pipeline.images.png import encode_png
from dataset_pipeline.settings.degradation import DOWNSCALE, DegradationStep
from dataset_pipeline.super_resolution.layout import HR, TRAIN, VALIDATION, lq_folder
from dataset_pipeline.super_resolution.low_quality import degraded_run, frame_by_frame
from dataset_pipeline.super_resolution.recode import CODECS
from dataset_pipeline.super_resolution.sequences import (
    FrameRun,
    Layout,
    frame_paths,
    list_name,
    scene_of,
    sequence_list,
)
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline.training.exporters.folder import File


def sequence_files(
    sequences: Sequence[FrameRun],
    layout: Layout,
    read: Callable[[FrameRun], Iterable[np.ndarray]],
    how: LowQuality,
    split: str = TRAIN,
) -> Iterator[File]:
    """The files of one part: frames, their low-quality ones at each scale, and the list that the layout's loader reads,
    if it reads one.

    read: the frames of a sequence in order, uint8 [height, width, 3] RGB, all of one size. It is called once for the
    frames, which are taken one by one, and once for each scale if the recipe has a video codec, which sees a whole
    sequence together. What of the sides does not divide by all scales is cut off on the right and below. Raises
    ValueError for sequences that the layout does not take, and for frames that are missing or of another size.
    """
    recipe = how.recipe or (DegradationStep(kind=DOWNSCALE),)
    together = any(step.kind in CODECS for step in recipe)
    unit = unit_of(how.scales)
    size: tuple[int, int] | None = None
    for sequence, paths in zip(sequences, frame_paths(sequences, layout, split), strict=True):
        name = scene_of(sequence)
        degraders = {
            scale: frame_by_frame(scale, recipe, how.seed, name, how.filter) for scale in how.scales if not together
        }
        count = 0
        for path, frame in zip(paths, _cut(read(sequence), unit), strict=False):
            count += 1
            if size not in (None, frame.shape[:2]):
                raise ValueError(f"frames of {name} are of {frame.shape[:2]} px, others of {size} (height, width)")
            size = frame.shape[0], frame.shape[1]
            yield File(f"{split}/{HR}/{path}", encode_png(frame), of=name)
            for scale, degrade in degraders.items():
                yield File(f"{split}/{lq_folder(scale)}/{path}", encode_png(degrade(frame)), of=name)
        if count < len(paths):
            raise ValueError(f"{name} has {count} frames of {len(paths)}")
        for scale in how.scales if together else ():
            low, _ = degraded_run(_cut(read(sequence), unit), scale, recipe, how.seed, name, how.filter)
            for path, frame in zip(paths, low, strict=True):
                yield File(f"{split}/{lq_folder(scale)}/{path}", encode_png(frame), of=name)
    if size and (lines := sequence_list(sequences, layout, size[1], size[0], split)):
        yield File(list_name(layout, split), lines.encode())


def unit_of(scales: Sequence[int]) -> int:
    """What the sides of frames are cut down to a multiple of, in pixels."""
    return math.lcm(*scales)


_APART = f"Nothing in `{TRAIN}` is of a shot of `{VALIDATION}`, or of one that looks like it."
_READ_BY = {
    "reds": "BasicSR: `basicsr_x*.yml` by REDSDataset, `basicsr_recurrent_x4.yml` by REDSRecurrentDataset. Clips that "
    "are held out have names that both take out of training, so no harm is done where the parts get mixed.",
    "vimeo": "BasicSR: `basicsr_x*.yml` by Vimeo90KDataset, `basicsr_recurrent_x4.yml` by Vimeo90KRecurrentDataset.",
    "trainner": "traiNNer-redux: `trainner_redux_x*.yml` by PairedVideoDataset, which takes what stands before the "
    "underscore for the scene. It warns of fewer than 100 scenes.",
}


def sequence_card(
    parts: Mapping[str, Sequence[FrameRun]], layout: Layout, how: LowQuality, settings: Collection[str]
) -> str:
    """The card in Markdown: what lies where, who reads it, and where each sequence comes from. parts: by their folder.
    settings: names of the files that trainers are started with."""
    frames = len(next(its[0] for its in parts.values() if its).frames)
    folders = ", ".join(f"`{folder}`" for folder in (HR, *map(lq_folder, how.scales)))
    lines = [
        "# Sequences of frames for super-resolution", "",
        f"Sequences of {frames} frames, each of one shot; in each part the folders {folders}, with the same names.", "",
        "| part | sequences |", "| --- | ---: |",
        *(f"| {split} | {len(its)} |" for split, its in parts.items() if its), "",
        *([f"- {_READ_BY[layout]}", ""] if settings else []),
        *([_APART, ""] if parts.get(VALIDATION) else []),
        "| sequence | episode | shot | first frame |", "| --- | --- | ---: | ---: |",
    ]  # fmt: skip
    for split, its in parts.items():
        for sequence, paths in zip(its, frame_paths(its, layout, split), strict=True):
            name = paths[0].rpartition("/")[0] or scene_of(sequence)
            lines.append(f"| {split}: {name} | {sequence.episode} | {sequence.shot} | {sequence.frames[0]} |")
    return "\n".join(lines) + "\n"


def _cut(frames: Iterable[np.ndarray], unit: int) -> Iterator[np.ndarray]:
    for frame in frames:
        height, width = (side // unit * unit for side in frame.shape[:2])
        yield np.ascontiguousarray(frame[:height, :width])
