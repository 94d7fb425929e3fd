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
from typing import Any

import numpy as np
import pytest

from dataset_pipeline.settings.degradation import DOWNSCALE
from dataset_pipeline.super_resolution.configs import OTF_MARGIN_PX
from dataset_pipeline.super_resolution.databases import write_databases
from dataset_pipeline.super_resolution.layout import Tile
from dataset_pipeline.super_resolution.sequence_configs import WINDOW
from dataset_pipeline.super_resolution.sequences import Layout
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline_tests.super_resolution import run_loader
from dataset_pipeline_tests.super_resolution.drawn_sequences import (
    LENGTHS,
    ROOM_FOR_FLOW_PX,
    WIDTH_PX,
    written_sequences,
)
from dataset_pipeline_tests.super_resolution.drawn_sets import HELD_OUT, TRAINED, step, written

TRAINERS = os.environ.get("DATASET_PIPELINE_TRAINERS", "")
CHECKOUTS = {"basicsr": "BasicSR", "trainner_redux": "traiNNer-redux", "neosr": "neosr"}
RECIPE = (
    step("blur", 0.3, 1.5, 0.5), step(DOWNSCALE), step("noise", 1, 4, 0.5), step("h264", 20, 32),
    step("webp", 70, 95, 0.3),
)  # fmt: skip
CROPS = {"x2": 48, "x4": 24, "otf": 16}  # of low-quality pixels, of tiles of 96 px
SEQUENCE_CROPS = {2: 64, 4: 40}  # of frames of 160 px

TRAINED_SEQUENCES = 6
HELD_OUT_SEQUENCES = {"reds": 5, "vimeo": 3, "trainner": 3}  # of reds more than its smaller partition has
# What the dataset of each setting gives of a sequence.
ITEMS: dict[Layout, dict[str, int]] = {
    "reds": {
        "basicsr_recurrent_x4 train REDSRecurrentDataset": 100, "basicsr_recurrent_x4 val VideoRecurrentTestDataset": 1,
        "basicsr_x2 train REDSDataset": 100, "basicsr_x2 val VideoTestDataset": 100,
        "basicsr_x4 train REDSDataset": 100, "basicsr_x4 val VideoTestDataset": 100,
    },
    "vimeo": {
        "basicsr_recurrent_x4 train Vimeo90KRecurrentDataset": 1,
        "basicsr_recurrent_x4 val VideoTestVimeo90KDataset": 1,
        "basicsr_x2 train Vimeo90KDataset": 1, "basicsr_x2 val VideoTestVimeo90KDataset": 1,
        "basicsr_x4 train Vimeo90KDataset": 1, "basicsr_x4 val VideoTestVimeo90KDataset": 1,
    },
    "trainner": {f"trainner_redux_x{scale} {phase}": LENGTHS["trainner"] - 4 for scale in (2, 4) for phase in
                 ("train", "val")},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiles: list[Tile], pictures: dict[str, np.ndarray]) -> Path:
    """A set whose low-quality pictures went through a recipe, with databases beside it."""
    folder = written(tmp_path_factory.mktemp("sets"), "a set", tiles, pictures, LowQuality((2, 4), recipe=RECIPE))
    write_databases(folder)
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize("trainer", CHECKOUTS)
def test_the_trainers_own_dataset_gives_every_pair_of_the_set(folder: Path, tmp_path: Path, trainer: str):
    found = loaded(trainer, trainer, folder, tmp_path / "given.json")
    assert len(found) >= 4
    for way, items in found.items():
        names = sorted(name for name, _, _ in items)
        held_out = way.endswith("val")
        assert names == [f"{it}" if held_out else f"{it:02d}" for it in range(HELD_OUT if held_out else TRAINED)]
        sizes = {(tuple(gt), tuple(lq) if lq else None) for _, gt, lq in items}
        assert sizes == {expected(way, held_out)}, way


def loaded(trainer: str, loader: str, folder: Path, out: Path) -> dict[str, list[Any]]:
    """What a loader of a trainer gives of a folder; skips the test where the trainer is not there."""
    checkout = Path(TRAINERS) / CHECKOUTS[trainer]
    if not TRAINERS or not checkout.is_dir():
        pytest.skip(f"DATASET_PIPELINE_TRAINERS names no folder with {CHECKOUTS[trainer]}")
    python = checkout / ("venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python")
    command = [python if python.exists() else sys.executable, run_loader.__file__, loader, checkout, folder]
    done = subprocess.run([*map(str, command), str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text("utf-8"))


@pytest.mark.thorough
@pytest.mark.parametrize("layout", ITEMS)
def test_the_trainers_own_dataset_gives_every_window_of_the_sequences(tmp_path: Path, layout: Layout):
    trainer = "trainner_redux" if layout == "trainner" else "basicsr"
    held_out = HELD_OUT_SEQUENCES[layout]
    folder = written_sequences(tmp_path, layout, TRAINED_SEQUENCES, held_out, height_px=ROOM_FOR_FLOW_PX)
    found = loaded(trainer, f"{trainer}_sequences", folder, tmp_path / "given.json")
    assert {way: len(items) for way, items in found.items()} == {
        way: count * (held_out if " val" in way else TRAINED_SEQUENCES) for way, count in ITEMS[layout].items()
    }
    for way, items in found.items():
        trained = " train" in way
        numbers = range(TRAINED_SEQUENCES) if trained else range(TRAINED_SEQUENCES, TRAINED_SEQUENCES + held_out)
        assert {low[0][0] for low, *_ in items} == {4 * it for it in numbers}
        scale = 2 if "x2" in way else 4
        for low, high, high_shape, low_shape, off in items:
            assert {red for red, _ in (*low, *high)} == {low[0][0]}
            assert high == low or high == [low[len(low) // 2]]
            assert is_window([green // 2 for _, green in low], LENGTHS[layout])
            assert high_shape[2:] == [scale * side for side in low_shape[2:]]
            assert high_shape[2:] == ([SEQUENCE_CROPS[scale] * scale] * 2 if trained else [ROOM_FOR_FLOW_PX, WIDTH_PX])
            assert off < 0.51


def is_window(places: list[int], length: int) -> bool:
    """Whether frames follow one another: at an edge of a clip what is beyond it is mirrored, and for a recurrent
    network a sequence comes forth and back."""
    half = len(places) // 2
    if places == [*places[:half], *places[:half][::-1]]:
        places = places[:half]
    middle = places[len(places) // 2]
    at_edge = len(places) == WINDOW and not WINDOW // 2 <= middle < length - WINDOW // 2
    whole = [*range(places[0], places[0] + len(places))]
    return all(0 <= it < length for it in places) and (at_edge or places == whole)


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
