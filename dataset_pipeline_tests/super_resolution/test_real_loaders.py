"""The datasets of BasicSR, traiNNer-redux and neosr on a set, where their code is there.

`DATASET_PIPELINE_TRAINERS` names a folder with their checkouts, called as their repositories are; a folder `venv` in a
checkout is its Python, which needs what its loader imports (traiNNer-redux: pyvips and msgspec). What they demand is
restated in `loaders.py`, whose checks always run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.settings.degradation import DOWNSCALE
from dataset_pipeline.super_resolution.configs import OTF_MARGIN_PX
from dataset_pipeline.super_resolution.databases import write_databases
from dataset_pipeline.super_resolution.layout import Tile
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline_tests.super_resolution import run_loader
from dataset_pipeline_tests.super_resolution.drawn_sets import HELD_OUT, TRAINED, step, written

TRAINERS = os.environ.get("DATASET_PIPELINE_TRAINERS", "")
CHECKOUTS = {"basicsr": "BasicSR", "trainner_redux": "traiNNer-redux", "neosr": "neosr"}
RECIPE = (
    step("blur", 0.3, 1.5, 0.5), step(DOWNSCALE), step("noise", 1, 4, 0.5), step("h264", 20, 32),
    step("webp", 70, 95, 0.3),
)  # fmt: skip
CROPS = {"x2": 48, "x4": 24, "otf": 16}  # of low-quality pixels, of tiles of 96 px


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiles: list[Tile], pictures: dict[str, np.ndarray]) -> Path:
    """A set whose low-quality pictures went through a recipe, with databases beside it."""
    folder = written(tmp_path_factory.mktemp("sets"), "a set", tiles, pictures, LowQuality((2, 4), recipe=RECIPE))
    write_databases(folder)
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("trainer", CHECKOUTS)
def test_the_trainers_own_dataset_gives_every_pair_of_the_set(folder: Path, tmp_path: Path, trainer: str):
    checkout = Path(TRAINERS) / CHECKOUTS[trainer]
    if not TRAINERS or not checkout.is_dir():
        pytest.skip(f"DATASET_PIPELINE_TRAINERS names no folder with {CHECKOUTS[trainer]}")
    python = checkout / ("venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python")
    command = [python if python.exists() else sys.executable, run_loader.__file__, trainer, checkout, folder]
    out = tmp_path / "given.json"
    done = subprocess.run([*map(str, command), str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text("utf-8"))
    assert len(found) >= 4
    for way, items in found.items():
        names = sorted(name for name, _, _ in items)
        held_out = way.endswith("val")
        assert names == [f"{it}" if held_out else f"{it:02d}" for it in range(HELD_OUT if held_out else TRAINED)]
        sizes = {(tuple(gt), tuple(lq) if lq else None) for _, gt, lq in items}
        assert sizes == {expected(way, held_out)}, way


def expected(way: str, held_out: bool) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """What a dataset gives: of what is held out the whole, else a crop; with BasicSR's own way of making low quality
    the tile padded to 400 px."""
    if way.startswith("meta_info"):
        return (3, 400, 400), None
    scale = 2 if "x2" in way else 4
    if held_out:
        return (3, 96, 96), (3, 96 // scale, 96 // scale)
    if "otf" in way:
        side = CROPS["otf"] * scale + OTF_MARGIN_PX
        return (3, side, side), None
    crop = CROPS[f"x{scale}"]
    return (3, crop * scale, crop * scale), (3, crop, crop)
