"""The files of a set of frame sequences, for trainers of upscalers of video."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from dataset_pipeline.images.png import encode_png
from dataset_pipeline.settings.degradation import DOWNSCALE, DegradationStep
from dataset_pipeline.super_resolution.layout import HR, TRAIN, lq_folder
from dataset_pipeline.super_resolution.low_quality import degraded_run, frame_by_frame
from dataset_pipeline.super_resolution.recode import CODECS
from dataset_pipeline.super_resolution.sequences import FrameRun, Layout, frame_paths, scene_of, sequence_list
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline.training.exporters.folder import File


def sequence_files(
    sequences: Sequence[FrameRun],
    layout: Layout,
    read: Callable[[FrameRun], Iterable[np.ndarray]],
    how: LowQuality,
    split: str = TRAIN,
) -> Iterator[File]:
    """Frames, their low-quality ones at each scale, and the list that the layout's loader reads, if it reads one.

    read: the frames of a sequence in order, uint8 [height, width, 3] RGB, all of one size. It is called once for the
    frames, which are taken one by one, and once for each scale if the recipe has a video codec, which sees a whole
    sequence together. What of the sides does not divide by all scales is cut off on the right and below. Raises
    ValueError for sequences that the layout does not take, and for frames that are missing or of another size.
    """
    recipe = how.recipe or (DegradationStep(kind=DOWNSCALE),)
    together = any(step.kind in CODECS for step in recipe)
    unit = math.lcm(*how.scales)
    size: tuple[int, int] | None = None
    for sequence, paths in zip(sequences, frame_paths(sequences, layout), strict=True):
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
    if size and (lines := sequence_list(sequences, layout, size[1], size[0])):
        yield File(f"meta_info_{layout}.txt", lines.encode())


_READ_BY = {
    "reds": "BasicSR's REDSDataset, with `meta_info_reds.txt` as meta_info_file",
    "vimeo": "BasicSR's Vimeo90KDataset, with `meta_info_vimeo.txt` as meta_info_file",
    "trainner": "traiNNer-redux's PairedVideoDataset, which takes what stands before the underscore for the scene",
}


def sequence_card(sequences: Sequence[FrameRun], layout: Layout, how: LowQuality) -> str:
    """The card in Markdown: what lies where, and where each sequence comes from."""
    folders = " and ".join(f"`{TRAIN}/{lq_folder(scale)}`" for scale in how.scales)
    lines = [
        "# Sequences of frames for super-resolution", "",
        f"{len(sequences)} sequences of {len(sequences[0].frames)} frames, each of one shot: `{TRAIN}/{HR}` as "
        f"dataroot_gt, {folders or 'nothing'} as dataroot_lq, for {_READ_BY[layout]}.", "",
        "| sequence | episode | shot | first frame |", "| --- | --- | ---: | ---: |",
    ]  # fmt: skip
    for sequence, paths in zip(sequences, frame_paths(sequences, layout), strict=True):
        name = paths[0].rpartition("/")[0] or scene_of(sequence)
        lines.append(f"| {name} | {sequence.episode} | {sequence.shot} | {sequence.frames[0]} |")
    return "\n".join(lines) + "\n"


def _cut(frames: Iterable[np.ndarray], unit: int) -> Iterator[np.ndarray]:
    for frame in frames:
        height, width = (side // unit * unit for side in frame.shape[:2])
        yield np.ascontiguousarray(frame[:height, :width])
