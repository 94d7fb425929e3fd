"""Settings of the trainers that read a set of frame sequences, each by the way that works there.

- BasicSR, windows (REDSDataset, Vimeo90KDataset): seven frames in, the middle one out, by DUF, its one network of video
  that has other scales than 4 and takes no extension that has to be compiled. Validation by VideoTestDataset, which
  takes no name of a dataset but Vid4, REDS4 and REDSofficial, or VideoTestVimeo90KDataset.
- BasicSR, recurrent (REDSRecurrentDataset, Vimeo90KRecurrentDataset): BasicVSR, which knows scale 4 alone. Its optical
  flow is learnt with the rest; `spynet_path` takes weights of it. VideoRecurrentTestDataset wants `cache_data`, so what
  is held out has to fit into memory; of Vimeo90K's clips `center_frame_only` is compared.
- traiNNer-redux (PairedVideoDataset): TemporalSPAN, whose `num_frames` has to be the data's `clip_size`.

While they train, BasicSR's models of video stop with an error where pictures of the validation are to be saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.super_resolution.configs import (
    BASICSR_LOADING,
    TRAINNER_LOADING,
    as_yaml,
    basicsr_options,
    crop_px,
    listed,
    roots_of,
    trainner_options,
)
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION
from dataset_pipeline.super_resolution.sequences import VIMEO_FRAMES, Layout, list_name, reds_partition
from dataset_pipeline.training.exporters.documents import below

WINDOW, RECURRENT_WINDOW, CLIP_SIZE = 7, 15, 5  # frames that BasicSR's networks, and traiNNer-redux's, take at once
RECURRENT_SCALE = 4
TEST_NAMES = {"REDS4": "REDS4", "official": "REDSofficial"}  # that VideoTestDataset knows
# Of low-quality pixels: TemporalSPAN mirrors a crop up to 64, and the flow of BasicVSR halves one six times, which it
# enlarges to a multiple of 32 before.
LEAST_CROP_PX, RECURRENT_LEAST_CROP_PX = 24, 40


@dataclass(frozen=True)
class SequenceFacts:
    """What settings say of a set of sequences. frames: of each. held_out: how many sequences are. width_px, height_px:
    of the high-quality frames."""

    name: str
    layout: Layout
    frames: int
    width_px: int
    height_px: int
    scales: Sequence[int]
    held_out: int


def sequence_configs(facts: SequenceFacts, folder: str) -> dict[str, str]:
    """Texts by file name, for each scale at which the frames have room for a crop. folder: the set's; "" for paths from
    within it, where the trainer is then started."""
    found = {}
    for scale in facts.scales:
        side_px = min(facts.width_px, facts.height_px) // scale
        if side_px < LEAST_CROP_PX:
            continue
        if facts.layout == "trainner":
            found[f"trainner_redux_x{scale}.yml"] = as_yaml(_trainner(facts, scale, folder))
            continue
        found[f"basicsr_x{scale}.yml"] = as_yaml(_by_windows(facts, scale, folder))
        if scale == RECURRENT_SCALE and side_px >= RECURRENT_LEAST_CROP_PX:
            found[f"basicsr_recurrent_x{scale}.yml"] = as_yaml(_recurrent(facts, folder))
    return found


def _by_windows(facts: SequenceFacts, scale: int, folder: str) -> dict[str, Any]:
    reds = facts.layout == "reds"
    train = _train(facts, scale, folder) | {
        "type": "REDSDataset" if reds else "Vimeo90KDataset",
        **({"dataroot_flow": None, "interval_list": [1]} if reds else {}),
        "num_frame": WINDOW,
    }
    held_out = {
        "type": "VideoTestDataset" if reds else "VideoTestVimeo90KDataset",
        **_held_out(facts, scale, folder),
        "cache_data": False, "num_frame": WINDOW, **({"padding": "reflection_circle"} if reds else {}),
    }  # fmt: skip
    network = {"type": "DUF", "scale": scale, "num_layer": 16, "adapt_official_weights": False}
    return _basicsr(facts, scale, train, held_out, network, "VideoBaseModel", {"save_img": False})


def _recurrent(facts: SequenceFacts, folder: str) -> dict[str, Any]:
    reds, scale = facts.layout == "reds", RECURRENT_SCALE
    train = _train(facts, scale, folder) | {
        "type": "REDSRecurrentDataset" if reds else "Vimeo90KRecurrentDataset",
        **({"test_mode": False, "interval_list": [1]} if reds else {"flip_sequence": True}),
        "num_frame": RECURRENT_WINDOW if reds else VIMEO_FRAMES,
    }
    held_out = {
        "type": "VideoRecurrentTestDataset" if reds else "VideoTestVimeo90KDataset",
        **_held_out(facts, scale, folder),
        "cache_data": reds, "num_frame": WINDOW,
    }  # fmt: skip
    network = {"type": "BasicVSR", "num_feat": 64, "num_block": 30, "spynet_path": None}
    val = {"save_img": False, **({} if reds else {"center_frame_only": True})}
    return _basicsr(facts, scale, train, held_out, network, "VideoRecurrentModel", val)


def _train(facts: SequenceFacts, scale: int, folder: str) -> dict[str, Any]:
    """What BasicSR's datasets of sequences all take for training."""
    return {
        "name": facts.name, "type": "", **roots_of(TRAIN, scale, folder),
        "meta_info_file": below(folder, list_name(facts.layout)),
        **({"val_partition": reds_partition(facts.held_out)} if facts.layout == "reds" else {}),
        "io_backend": {"type": "disk"}, "gt_size": _crop_px(facts, scale) * scale, "random_reverse": False,
        **BASICSR_LOADING, "batch_size_per_gpu": 4,
    }  # fmt: skip


def _held_out(facts: SequenceFacts, scale: int, folder: str) -> dict[str, Any]:
    reds = facts.layout == "reds"
    return {
        "name": TEST_NAMES[reds_partition(facts.held_out)] if reds else "vimeo90k",
        **roots_of(VALIDATION, scale, folder),
        "meta_info_file": below(folder, list_name(facts.layout, VALIDATION)), "io_backend": {"type": "disk"},
    }  # fmt: skip


def _basicsr(
    facts: SequenceFacts,
    scale: int,
    train: dict[str, Any],
    held_out: dict[str, Any],
    network: dict[str, Any],
    model: str,
    val: dict[str, Any],
) -> dict[str, Any]:
    datasets = {"train": train, **({"val": held_out} if facts.held_out else {})}
    name = f"{facts.name}_{network['type'].lower()}_x{scale}"
    return basicsr_options(name, scale, datasets, network, model, "CharbonnierLoss", val)


def _trainner(facts: SequenceFacts, scale: int, folder: str) -> dict[str, Any]:
    clip = min(CLIP_SIZE, facts.frames - (facts.frames + 1) % 2)
    pairs = {"type": "pairedvideodataset", "clip_size": clip}
    train = {
        "name": facts.name, **pairs, **listed(roots_of(TRAIN, scale, folder)), "lq_size": _crop_px(facts, scale),
        **TRAINNER_LOADING,
    }  # fmt: skip
    held_out = {"name": "validation", **pairs, **listed(roots_of(VALIDATION, scale, folder))}
    datasets = {"train": train, **({"val": held_out} if facts.held_out else {})}
    network = {"type": "temporalspanv2", "num_frames": clip}
    return trainner_options(f"{scale}x_{facts.name}", scale, datasets, network)


def _crop_px(facts: SequenceFacts, scale: int) -> int:
    return crop_px(min(facts.width_px, facts.height_px), scale)
