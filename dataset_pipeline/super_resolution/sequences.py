"""Consecutive frames of a shot for upscalers of video, never over a cut, under the names that loaders ask for.

- reds: `300/00000000.png`, clips of exactly 100 frames, as BasicSR's REDSDataset picks neighbours among 0..99 whatever
  its list says. Clips are numbered from 300 on: it takes those called 000, 011, 015, 020 ("REDS4") or 240 to 269
  ("official") out of training without a word, so those are the names of what is held out, whichever folder that is in.
  Line: `300 100 (720,1280,3)`.
- vimeo: `00001/0001/im1.png` to `im7.png`; Vimeo90KDataset trains on im4. Line: `00001/0001 7 (256,448,3)`.
- trainner: `<scene>_<number>.png` in one folder; PairedVideoDataset takes what stands before the first underscore for
  the scene and sorts names as text. No list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dataset_pipeline.base.file_names import short_hash
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION

Layout = Literal["reds", "vimeo", "trainner"]
REDS_FRAMES, REDS_FIRST = 100, 300
REDS_HELD_OUT = {"REDS4": ("000", "011", "015", "020"), "official": tuple(f"{it:03d}" for it in range(240, 270))}
VIMEO_FRAMES, VIMEO_IN_FOLDER = 7, 1000
SIGNATURE_VALUES = 18 * 32  # of a frame in `shots`
TAKEN, OTHER_SIZE, UNREADABLE = "taken", "other_size", "unreadable"  # what a look at all frames makes of a run
_NO_SCENE = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True)
class FrameRun:
    """Frames of one shot. frames: numbers of the episode's frames, one after the other."""

    episode: str
    shot: int
    frames: tuple[int, ...]


def sequences_of(
    episode: str, shots: Iterable[Mapping[str, Any]], frames: int, stride: int = 0, most_of_shot: int = 0
) -> list[FrameRun]:
    """Runs of `frames` frames within the shots of an episode, `stride` frames from the begin of one to that of the
    next; 0: they share none. most_of_shot: so many of a shot at most, spread evenly over it; 0: any number.

    shots: of `shots`, all of the episode: number, and how many frames. Raises ValueError for a length or stride that
    is none.
    """
    if frames < 1 or stride < 0 or most_of_shot < 0:
        raise ValueError(
            f"{frames} frames, {stride} from one sequence to the next, {most_of_shot} of a shot: impossible"
        )
    found: list[FrameRun] = []
    first = 0
    for shot in sorted(shots, key=lambda row: row["number"]):
        begins = range(first, first + shot["frames"] - frames + 1, stride or frames)
        first += shot["frames"]
        found += [
            FrameRun(episode, shot["number"], tuple(range(begin, begin + frames)))
            for begin in spread(begins, most_of_shot)
        ]
    return found


def spread(values: Sequence[int], most: int) -> Sequence[int]:
    """So many of the values at most, from the middles of equal stretches; 0: all."""
    if not most or len(values) <= most:
        return values
    return [values[(2 * number + 1) * len(values) // (2 * most)] for number in range(most)]


def signatures_of(shots: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """uint8 [frames, values]: small copies in grey of all frames of an episode. shots: of `shots`, in their order."""
    return np.frombuffer(b"".join(row["signatures"] for row in shots), np.uint8).reshape(-1, SIGNATURE_VALUES)


def change_of(run: FrameRun, copies: np.ndarray) -> float:
    """How much small copies of its frames differ from one to the next, on the mean, in levels. copies: as
    `signatures_of` gives them."""
    small = copies[run.frames[0] : run.frames[-1] + 1].astype(np.int16)
    return float(np.abs(np.diff(small, axis=0)).mean()) if len(small) > 1 else 0.0


def judged(runs: Iterable[FrameRun], sizes: Mapping[str, Mapping[int, tuple[int, ...]]]) -> dict[str, list[FrameRun]]:
    """The runs by what they are: `taken`, `unreadable`, where a frame is missing, or `other_size`, where frames are not
    of the size that most runs have. sizes: by episode and number of the frame, of those that can be read."""
    of = {run: {sizes[run.episode].get(number, ()) for number in run.frames} for run in runs}
    of_one = (its for its in of.values() if len(its) == 1 and () not in its)
    usual = [{size} for size, _ in Counter(next(iter(its)) for its in of_one).most_common(1)]
    found: dict[str, list[FrameRun]] = {TAKEN: [], OTHER_SIZE: [], UNREADABLE: []}
    for run, its in of.items():
        found[UNREADABLE if () in its else TAKEN if its in usual else OTHER_SIZE].append(run)
    return found


def check_length(layout: Layout, frames: int) -> None:
    """Raises ValueError where a layout's loader takes sequences of another length only."""
    wanted = {"reds": REDS_FRAMES, "vimeo": VIMEO_FRAMES}.get(layout, frames)
    if frames != wanted:
        raise ValueError(f"the layout {layout} takes sequences of {wanted} frames, not of {frames}")


def reds_partition(count: int) -> str:
    """As which of its partitions REDSDataset knows so many clips that are held out. Raises ValueError for more than it
    has names for."""
    partition = next((it for it, names in REDS_HELD_OUT.items() if count <= len(names)), None)
    if partition is None:
        most = max(map(len, REDS_HELD_OUT.values()))
        raise ValueError(f"{count} sequences held out, and REDSDataset takes {most} at most out of training")
    return partition


def frame_paths(sequences: Sequence[FrameRun], layout: Layout, split: str = TRAIN) -> list[list[str]]:
    """Where each frame of each sequence of a part lies below a folder of pictures; high and low quality have the same
    names. Raises ValueError for sequences that the layout does not take."""
    for sequence in sequences:
        check_length(layout, len(sequence.frames))
    if layout == "trainner":
        return [[f"{scene_of(it)}_{number:06d}.png" for number in it.frames] for it in sequences]
    name = "{:08d}.png" if layout == "reds" else "im{}.png"
    first = 0 if layout == "reds" else 1
    return [
        [f"{key}/{name.format(first + at)}" for at in range(len(it.frames))]
        for key, it in zip(_keys(len(sequences), layout, split), sequences, strict=True)
    ]


def scene_of(sequence: FrameRun) -> str:
    """The name of the sequence's scene: episode, shot and first frame, without an underscore, and never two alike."""
    plain = _NO_SCENE.sub("-", sequence.episode).strip("-")
    return f"{plain}-{short_hash(sequence.episode)[:4]}-s{sequence.shot:04d}f{sequence.frames[0]:06d}"


def _keys(count: int, layout: Layout, split: str) -> Sequence[str]:
    if layout == "reds" and split == VALIDATION:
        return REDS_HELD_OUT[reds_partition(count)][:count]
    if layout == "reds":
        return [f"{REDS_FIRST + number:03d}" for number in range(count)]
    return [f"{1 + number // VIMEO_IN_FOLDER:05d}/{1 + number % VIMEO_IN_FOLDER:04d}" for number in range(count)]


def list_name(layout: Layout, split: str = TRAIN) -> str:
    """The file that a part's list lies in."""
    return f"meta_info_{layout}.txt" if split == TRAIN else f"meta_info_{layout}_{split}.txt"


def sequence_list(
    sequences: Sequence[FrameRun], layout: Layout, width_px: int, height_px: int, split: str = TRAIN
) -> str:
    """The lines of the list that a layout's loader reads, `<key> <frames> (height,width,3)`; empty where it reads none.
    Sizes are of the high-quality frames."""
    if layout == "trainner":
        return ""
    keys = _keys(len(sequences), layout, split)
    return "".join(
        f"{key} {len(it.frames)} ({height_px},{width_px},3)\n" for key, it in zip(keys, sequences, strict=True)
    )
