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

HEIGHT_PX, WIDTH_PX = 96, 136
LENGTHS: dict[Layout, int] = {"reds": 100, "vimeo": 7, "trainner": 9}


def coded(sequence: int, at: int) -> np.ndarray:
    """A frame of the sequence of that number: red is 4 times the number, green twice the frame's place in it, blue a
    pattern that fits nowhere else."""
    frame = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    frame[..., 0], frame[..., 1] = 4 * sequence, 2 * at
    frame[..., 2] = np.random.default_rng(sequence).integers(0, 256, (HEIGHT_PX, WIDTH_PX), np.uint8)
    return frame


def runs_of(layout: Layout, trained: int, held_out: int) -> dict[str, list[FrameRun]]:
    """Sequences by their part, each of a shot of its own; its number is that of its shot."""
    length = LENGTHS[layout]
    runs = [FrameRun("show.e1", it, tuple(range(1000 * it, 1000 * it + length))) for it in range(trained + held_out)]
    return {TRAIN: runs[:trained], VALIDATION: runs[trained:]}


def written_sequences(
    root: Path, layout: Layout, trained: int, held_out: int, scales: tuple[int, ...] = (2, 4)
) -> Path:
    how, parts = LowQuality(scales, "box"), runs_of(layout, trained, held_out)
    facts = SequenceFacts("a_set", layout, LENGTHS[layout], WIDTH_PX, HEIGHT_PX, scales, held_out)

    def read(run: FrameRun) -> Iterator[np.ndarray]:
        yield from (coded(run.shot, at) for at in range(len(run.frames)))

    def files(partial: Path) -> Iterator[File]:
        for split, runs in parts.items():
            yield from sequence_files(runs, layout, read, how, split)

    return write_folder(root, "a set", files, lambda it: sequence_configs(facts, it.as_posix()), lambda it: [])[0]
