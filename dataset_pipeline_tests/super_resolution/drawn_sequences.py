"""A small set of sequences whose frames tell by their colour which they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION
from dataset_pipeline.super_resolution.sequence_configs import SequenceFacts, sequence_configs
from dataset_pipeline.super_resolution.sequence_files import sequence_files
from dataset_pipeline.super_resolution.sequences import FrameRun, Layout
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline.training.exporters.folder import File, write_folder

HEIGHT_PX, WIDTH_PX = 96, 176
ROOM_FOR_FLOW_PX = 160  # the least height of frames that BasicVSR trains on
LENGTHS: dict[Layout, int] = {"reds": 100, "vimeo": 7, "trainner": 9}


def coded(sequence: int, at: int, height_px: int = HEIGHT_PX) -> np.ndarray:
    """A frame of the sequence of that number: red is 4 times the number, green twice the frame's place in it, blue a
    pattern that fits nowhere else."""
    frame = np.empty((height_px, WIDTH_PX, 3), np.uint8)
    frame[..., 0], frame[..., 1] = 4 * sequence, 2 * at
    frame[..., 2] = np.random.default_rng(sequence).integers(0, 256, (height_px, WIDTH_PX), np.uint8)
    return frame


def runs_of(layout: Layout, trained: int, held_out: int) -> dict[str, list[FrameRun]]:
    """Sequences by their part, each of a shot of its own; its number is that of its shot."""
    length = LENGTHS[layout]
    runs = [FrameRun("show.e1", it, tuple(range(1000 * it, 1000 * it + length))) for it in range(trained + held_out)]
    return {TRAIN: runs[:trained], VALIDATION: runs[trained:]}


def written_sequences(
    root: Path,
    layout: Layout,
    trained: int,
    held_out: int,
    scales: tuple[int, ...] = (2, 4),
    height_px: int = HEIGHT_PX,
) -> Path:
    how, parts = LowQuality(scales, "box"), runs_of(layout, trained, held_out)
    facts = SequenceFacts("a_set", layout, LENGTHS[layout], WIDTH_PX, height_px, scales, held_out)

    def read(run: FrameRun) -> Iterator[np.ndarray]:
        yield from (coded(run.shot, at, height_px) for at in range(len(run.frames)))

    def files(partial: Path) -> Iterator[File]:
        for split, runs in parts.items():
            yield from sequence_files(runs, layout, read, how, split)

    return write_folder(root, "a set", files, lambda it: sequence_configs(facts, it.as_posix()), lambda it: [])[0]
