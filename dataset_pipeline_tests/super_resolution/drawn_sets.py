"""A small super-resolution set of drawn pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.settings.degradation import DegradationStep, Kind
from dataset_pipeline.super_resolution.configs import SetFacts, configs
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION, Tile, named
from dataset_pipeline.super_resolution.set_files import LowQuality, set_files
from dataset_pipeline.super_resolution.tiles import plan_tiles
from dataset_pipeline.training.exporters.folder import write_folder

NAMES = ("show.e1/00000100", "show.e1/00000200", "show.e2/00000300")
TRAINED, HELD_OUT = 12, 3


@dataclass(frozen=True)
class Settings:
    scales: tuple[float, ...] = (1, 0.75)
    shortest_edge_px: int = 0
    keep_every_copy: bool = False
    tile_px: int = 96
    step_px: int = 60
    threshold_px: int = 0


def step(kind: Kind, low: float = 0.0, high: float = 0.0, probability: float = 1.0) -> DegradationStep:
    return DegradationStep(kind=kind, low=low, high=high, probability=probability)


def drawn_pictures() -> dict[str, np.ndarray]:
    return {
        name: draw_scene(seed, (256, 192), people=1, backdrop_seed=1000 + seed).image for seed, name in enumerate(NAMES)
    }


def ranked_tiles() -> list[Tile]:
    """Tiles of all pictures in an order that is none of them."""
    sources = [{"image_id": name, "width_px": 256, "height_px": 192, "pixel_sha256": name} for name in NAMES]
    rows = plan_tiles(sources, Settings())[1]
    order = np.random.default_rng(2).permutation(len(rows)).tolist()
    ranked = [(rows[at], 1 - place / 100) for place, at in enumerate(order)]
    return named(ranked[:TRAINED], TRAIN) + named(ranked[TRAINED : TRAINED + HELD_OUT], VALIDATION)


def written(root: Path, name: str, tiles: list[Tile], pictures: dict[str, np.ndarray], how: LowQuality) -> Path:
    facts = SetFacts("a_set", 96, how.scales, validation=True, databases=True)
    return write_folder(
        root,
        name,
        lambda partial: set_files(tiles, pictures.__getitem__, how),
        lambda folder: configs(facts, folder.as_posix()),
        lambda folder: [],
    )[0]
