"""Read a super-resolution set with a trainer's own datasets: `run_loader.py TRAINER CHECKOUT FOLDER OUT`; a set of
sequences with `TRAINER_sequences`.

Runs in the trainer's Python, which need not have this project's packages. The trainer's package is taken without its
networks; all that looks for files, pairs and crops them is the trainer's. OUT gets JSON: for each way to give the
trainer the set, a list of [name, high-quality shape, low-quality shape or null] of what its dataset gave. Of
sequences: [red and green of each low-quality frame, of each high-quality one, high-quality shape, low-quality shape, by
how many levels a low-quality frame differs at most from the high-quality one of its time made smaller].
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

Given = list[tuple[str, list[int], list[int] | None]]
Shown = list[tuple[list[list[int]], list[list[int]], list[int], list[int], float]]
SCALES = 2, 4
KERNELS = {
    "blur_kernel_size": 21, "kernel_list": ["iso"], "kernel_prob": [1], "blur_sigma": [0.2, 3], "sinc_prob": 0.1,
    "betag_range": [0.5, 4], "betap_range": [1, 2],
}  # fmt: skip


def given(dataset: Any) -> Given:
    items = [dataset[number] for number in range(len(dataset))]
    return [
        (Path(it["gt_path"]).stem, list(it["gt"].shape), list(it["lq"].shape) if "lq" in it else None) for it in items
    ]


def without_networks(package: str, checkout: Path) -> None:
    """Take the package without what its `__init__` loads."""
    module = types.ModuleType(package)
    module.__path__ = [str(checkout / package)]
    sys.modules[package] = module


def import_basicsr(checkout: Path) -> None:
    from torchvision.transforms import functional

    without_networks("basicsr", checkout)
    # Newer releases of torchvision have no such module, and only installing writes the other.
    sys.modules.setdefault("torchvision.transforms.functional_tensor", functional)
    version = types.ModuleType("basicsr.version")
    version.__dict__.update(__gitsha__="", __version__="")
    sys.modules.setdefault("basicsr.version", version)


def basicsr(folder: Path, checkout: Path) -> dict[str, Given]:
    import yaml

    import_basicsr(checkout)
    from basicsr.data.paired_image_dataset import PairedImageDataset
    from basicsr.data.realesrgan_dataset import RealESRGANDataset

    found = {}
    for scale, backend in product(SCALES, ("", "_lmdb")):
        options = yaml.safe_load((folder / f"absolute/basicsr_x{scale}{backend}.yml").read_text("utf-8"))
        for phase in ("train", "val"):
            told = {**options["datasets"][phase], "scale": scale, "phase": phase}
            found[f"x{scale}{backend} {phase}"] = given(PairedImageDataset(told))
    single = KERNELS | {f"{key}2": value for key, value in KERNELS.items()}
    single |= {"final_sinc_prob": 0.8, "use_hflip": True, "use_rot": True}
    for name, root in (("meta_info.txt", folder), ("meta_info_sizes.txt", folder / "train/hr")):
        told = {**single, "dataroot_gt": str(root), "meta_info": str(folder / name), "io_backend": {"type": "disk"}}
        found[name] = given(RealESRGANDataset(told))
    return found


def trainner_redux(folder: Path, checkout: Path) -> dict[str, Given]:
    names = (*(f"trainner_redux_x{scale}" for scale in SCALES), "trainner_redux_otf_x4")
    return {way: given(dataset) for way, dataset in trainner_datasets(folder, checkout, names)}


def trainner_datasets(folder: Path, checkout: Path, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    import msgspec
    import yaml

    without_networks("traiNNer", checkout)
    from traiNNer.data import build_dataset
    from traiNNer.utils.config import Config
    from traiNNer.utils.redux_options import ReduxOptions

    for name in names:
        options = msgspec.convert(yaml.safe_load((folder / f"absolute/{name}.yml").read_text("utf-8")), ReduxOptions)
        options.manual_seed = 0
        Config._config = options
        for phase, told in options.datasets.items():
            told.phase, told.scale = phase, options.scale
            told.gt_size = told.lq_size * options.scale if told.lq_size else None
            yield f"{name} {phase}", build_dataset(told)


def neosr(folder: Path, checkout: Path) -> dict[str, Given]:
    without_networks("neosr", checkout)
    sys.argv = ["train.py", "-opt", str(folder / "absolute/neosr_x4.toml")]
    from neosr.data.paired_dataset import paired

    found = {}
    for scale, backend in product(SCALES, ("", "_lmdb")):
        text = (folder / f"absolute/neosr_x{scale}{backend}.toml").read_text("utf-8")
        options: Mapping[str, Any] = tomllib.loads(text)
        for phase in ("train", "val"):
            told = {**options["datasets"][phase], "scale": scale, "phase": phase}
            found[f"x{scale}{backend} {phase}"] = given(paired(told))
    return found


def shown(dataset: Any) -> Shown:
    return [shown_by(dataset[number]) for number in range(len(dataset))]


def shown_by(item: Mapping[str, Any]) -> tuple[list[list[int]], list[list[int]], list[int], list[int], float]:
    low, high = (it if it.dim() == 4 else it[None] for it in (255 * item["lq"], 255 * item["gt"]))
    scale = high.shape[-1] // low.shape[-1]
    frames, colours, height, width = high.shape
    smaller = high.reshape(frames, colours, height // scale, scale, width // scale, scale).mean((3, 5))
    off = (low if frames > 1 else low[len(low) // 2][None]) - smaller
    codes = [it[:, :2].mean((2, 3)).round().int().tolist() for it in (low, high)]
    return codes[0], codes[1], list(high.shape), list(low.shape), float(off.abs().max())


def basicsr_sequences(folder: Path, checkout: Path) -> dict[str, Shown]:
    import yaml

    import_basicsr(checkout)
    from basicsr.data import build_dataset

    found = {}
    for path in sorted((folder / "absolute").glob("basicsr*.yml")):
        options = yaml.safe_load(path.read_text("utf-8"))
        for phase, told in options["datasets"].items():
            dataset = build_dataset({**told, "scale": options["scale"], "phase": phase})
            found[f"{path.stem} {phase} {type(dataset).__name__}"] = shown(dataset)
    return found


def trainner_redux_sequences(folder: Path, checkout: Path) -> dict[str, Shown]:
    names = sorted(it.stem for it in (folder / "absolute").glob("trainner_redux*.yml"))
    return {way: shown(dataset) for way, dataset in trainner_datasets(folder, checkout, names)}


LOADERS: dict[str, Callable[[Path, Path], dict[str, Given] | dict[str, Shown]]] = {
    loader.__name__: loader for loader in (basicsr, trainner_redux, neosr, basicsr_sequences, trainner_redux_sequences)
}

if __name__ == "__main__":
    trainer, checkout, exported, out = sys.argv[1:]
    logging.disable(logging.WARNING)
    sys.path[:1] = [checkout]
    os.chdir(checkout)
    Path(out).write_text(json.dumps(LOADERS[trainer](Path(exported), Path(checkout))), encoding="utf-8")
