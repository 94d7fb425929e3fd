"""Settings of the trainers that read a super-resolution set, each by the way that works there.

- BasicSR (basicsr/data): pairs by `meta_info_file`; its folder mode searches a list for each name, 13 s at 20,000.
- traiNNer-redux (traiNNer/data): folders. With `meta_info` its pairs raise KeyError 'gt_path', with LMDB lmdb.Error.
  On the fly it pads a picture that is smaller than the crop and 32 pixels with black, so the crop stays below that.
- neosr (neosr/data): folders; it finds a low-quality picture by replacing the one folder's path by the other's. With
  `meta_info` its pairs raise KeyError 'meta_info_file'.

Crops are squares of the tile, in low-quality pixels multiples of 8. Networks are small ones that each trainer ships.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.super_resolution.databases import ENDING, databases_of
from dataset_pipeline.super_resolution.layout import HR, SIZED_META_INFO, TRAIN, VALIDATION, lq_folder
from dataset_pipeline.training.exporters.documents import as_toml, below

CROP_PX, CROP_STEP_PX = 64, 8  # of low-quality pixels
OTF_MARGIN_PX = 32  # what traiNNer-redux wants of a picture beyond the crop


@dataclass(frozen=True)
class SetFacts:
    """What settings say of a set. tile_px: the side of its tiles. scales: of its low-quality pictures. validation:
    whether it has a part that is held out. databases: whether LMDB lies beside it."""

    name: str
    tile_px: int
    scales: Sequence[int]
    validation: bool
    databases: bool = False


def configs(facts: SetFacts, folder: str) -> dict[str, str]:
    """Texts by file name: for each trainer one for each scale of the set, for those that read databases one for them,
    and one for traiNNer-redux that makes the low-quality pictures as it goes. folder: the set's; "" for paths from
    within it, where the trainer is then started; databases lie outside of it and have none then."""
    found = {}
    for scale in facts.scales:
        found[f"basicsr_x{scale}.yml"] = basicsr(facts, scale, folder)
        found[f"trainner_redux_x{scale}.yml"] = trainner_redux(facts, scale, folder)
        found[f"neosr_x{scale}.toml"] = neosr(facts, scale, folder)
        if facts.databases and folder:
            found[f"basicsr_x{scale}_lmdb.yml"] = basicsr(facts, scale, folder, from_databases=True)
            found[f"neosr_x{scale}_lmdb.toml"] = neosr(facts, scale, folder, from_databases=True)
    found["trainner_redux_otf_x4.yml"] = trainner_redux_otf(facts, 4, folder)
    return found


def crop_px(tile_px: int, scale: int, margin_px: int = 0) -> int:
    """The side of a crop in low-quality pixels: CROP_PX or the next smaller multiple of 8 that the tile has room for.
    Raises ValueError for tiles that have none."""
    side = min(CROP_PX, (tile_px - margin_px) // scale // CROP_STEP_PX * CROP_STEP_PX)
    if side < CROP_STEP_PX:
        raise ValueError(f"tiles of {tile_px} px are too small for crops at 1/{scale} of their size")
    return side


def basicsr(facts: SetFacts, scale: int, folder: str, from_databases: bool = False) -> str:
    """Options of BasicSR's basicsr/train.py."""
    backend = "lmdb" if from_databases else "disk"
    pairs = {"type": "PairedImageDataset", "filename_tmpl": "{}", "io_backend": {"type": backend}}
    crop = crop_px(facts.tile_px, scale) * scale
    roots = _databases if from_databases else roots_of
    by_list = {} if from_databases else {"meta_info_file": below(folder, SIZED_META_INFO)}
    train = {
        "name": facts.name, **pairs, **roots(TRAIN, scale, folder), **by_list, "gt_size": crop, **BASICSR_LOADING,
    }  # fmt: skip
    held_out = {"val": {"name": "validation", **pairs, **roots(VALIDATION, scale, folder)}}
    network = {"type": "MSRResNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 16, "upscale": scale}
    datasets = {"train": train, **(held_out if facts.validation else {})}
    return as_yaml(basicsr_options(f"{facts.name}_x{scale}", scale, datasets, network))


def basicsr_options(
    name: str,
    scale: int,
    datasets: Mapping[str, Any],
    network: Mapping[str, Any],
    model: str = "SRModel",
    loss: str = "L1Loss",
    val: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All options of BasicSR but its datasets and network. val: more about validation."""
    held_out = {"val": {"val_freq": 5000, "save_img": True, **(val or {}), "metrics": METRICS}}
    return {
        "name": name, "model_type": model, "scale": scale, "num_gpu": 1, "manual_seed": 0,
        "datasets": datasets, "network_g": network,
        "path": {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None},
        "train": {
            "ema_decay": 0.999, "optim_g": {"type": "Adam", "lr": 0.0002, "weight_decay": 0, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [250000, 400000, 450000, 475000], "gamma": 0.5},
            "total_iter": 500000, "warmup_iter": -1,
            "pixel_opt": {"type": loss, "loss_weight": 1.0, "reduction": "mean"},
        },
        **(held_out if "val" in datasets else {}),
        "logger": {
            "print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": True,
            "wandb": {"project": None, "resume_id": None},
        },
        "dist_params": {"backend": "nccl", "port": 29500},
    }  # fmt: skip


def trainner_redux(facts: SetFacts, scale: int, folder: str) -> str:
    """Options of traiNNer-redux's train.py, with the pairs of the set."""
    train = {
        "name": facts.name, "type": "pairedimagedataset",
        **listed(roots_of(TRAIN, scale, folder)),
        "lq_size": crop_px(facts.tile_px, scale), **TRAINNER_LOADING,
    }  # fmt: skip
    return as_yaml(_trainner(facts, scale, folder, train))


def trainner_redux_otf(facts: SetFacts, scale: int, folder: str) -> str:
    """Options of traiNNer-redux's train.py, which makes low-quality pictures of the tiles alone as it goes."""
    train = {
        "name": facts.name, "type": "realesrgandataset", "dataroot_gt": [below(folder, f"{TRAIN}/{HR}")],
        "lq_size": crop_px(facts.tile_px, scale, OTF_MARGIN_PX), **TRAINNER_LOADING,
    }  # fmt: skip
    degradations = {"high_order_degradation": True, "jpeg_prob": 1.0, "jpeg_range": [40, 95]}
    return as_yaml(_trainner(facts, scale, folder, train, degradations))


def neosr(facts: SetFacts, scale: int, folder: str, from_databases: bool = False) -> str:
    """Options of neosr's train.py, which tells a database by its ending."""
    roots = _databases if from_databases else roots_of
    held_out = {"name": "validation", "type": "paired", **roots(VALIDATION, scale, folder)}
    return as_toml(
        [
            ("", {"name": f"{facts.name}_x{scale}", "model_type": "image", "scale": scale, "use_amp": True}),
            (
                "[datasets.train]",
                {
                    "type": "paired",
                    **roots(TRAIN, scale, folder),
                    "patch_size": crop_px(facts.tile_px, scale),
                    "batch_size": 8,
                },
            ),
            ("[datasets.val]", held_out if facts.validation else {}),
            ("[val]", {"val_freq": 5000} if facts.validation else {}),
            ("[network_g]", {"type": "compact"}),
            ("[train]", {"ema": 0.999}),
            (
                "[train.optim_g]",
                {
                    "type": "adan_sf",
                    "lr": 0.001,
                    "betas": [0.98, 0.92, 0.99],
                    "weight_decay": 0.01,
                    "schedule_free": True,
                    "warmup_steps": 1600,
                },
            ),
            ("[train.mssim_opt]", {"type": "mssim_loss", "loss_weight": 1.0}),
            ("[logger]", {"total_iter": 500000, "save_checkpoint_freq": 5000, "use_tb_logger": True}),
        ]
    )


METRICS = {"psnr": {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False}}
TRAINNER_LOADING = {"use_hflip": True, "use_rot": True, "num_worker_per_gpu": 4, "batch_size_per_gpu": 8}
BASICSR_LOADING = {
    "use_hflip": True, "use_rot": True,
    "num_worker_per_gpu": 4, "batch_size_per_gpu": 16, "dataset_enlarge_ratio": 1, "prefetch_mode": None,
}  # fmt: skip


def roots_of(split: str, scale: int, folder: str) -> dict[str, str]:
    """Where a part's pictures and their low-quality ones lie, as all three trainers call it."""
    return {
        "dataroot_gt": below(folder, f"{split}/{HR}"),
        "dataroot_lq": below(folder, f"{split}/{lq_folder(scale)}"),
    }


def _databases(split: str, scale: int, folder: str) -> dict[str, str]:
    root = databases_of(folder)
    return {
        "dataroot_gt": below(root, f"{split}_{HR}{ENDING}"),
        "dataroot_lq": below(root, f"{split}_{lq_folder(scale)}{ENDING}"),
    }


def listed(roots: Mapping[str, str]) -> dict[str, list[str]]:
    """The same for traiNNer-redux, which takes several folders for one set."""
    return {key: [path] for key, path in roots.items()}


def _trainner(
    facts: SetFacts, scale: int, folder: str, train: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    held_out = {"name": "validation", "type": "pairedimagedataset", **listed(roots_of(VALIDATION, scale, folder))}
    datasets = {"train": train, **({"val": held_out} if facts.validation and scale in facts.scales else {})}
    return trainner_options(f"{scale}x_{facts.name}", scale, datasets, {"type": "compact"}, more)


def trainner_options(
    name: str,
    scale: int,
    datasets: Mapping[str, Any],
    network: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All options of traiNNer-redux but its datasets and network, and `more` of its degradations."""
    return {
        "name": name, "scale": scale, "num_gpu": "auto", "use_amp": True, **(more or {}),
        "datasets": datasets, "network_g": network,
        "path": {"strict_load_g": True},
        "train": {
            "ema_decay": 0.999,
            "optim_g": {"type": "AdamW", "lr": 0.0002, "weight_decay": 0, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [250000, 400000], "gamma": 0.5},
            "total_iter": 500000, "warmup_iter": -1, "losses": [{"type": "charbonnierloss", "loss_weight": 1.0}],
        },
        "val": {
            "val_enabled": "val" in datasets, "val_freq": 5000, "save_img": True, "metrics_enabled": True,
            "metrics": METRICS,
        },
        "logger": {
            "print_freq": 100, "save_checkpoint_freq": 5000, "save_checkpoint_format": "safetensors",
            "use_tb_logger": True,
        },
    }  # fmt: skip


def as_yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """YAML of nested values; texts, numbers and lists stand as in JSON, which YAML reads alike."""
    lines = []
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            lines.append(f"{indent}{key}:\n{as_yaml(inner, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(inner, ensure_ascii=False)}\n")
    return "".join(lines)
