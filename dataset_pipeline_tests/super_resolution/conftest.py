from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.super_resolution.layout import Tile
from dataset_pipeline.super_resolution.set_files import LowQuality
from dataset_pipeline_tests.super_resolution.drawn_sets import drawn_pictures, ranked_tiles, written


@pytest.fixture(scope="session")
def pictures() -> dict[str, np.ndarray]:
    return drawn_pictures()


@pytest.fixture(scope="session")
def tiles() -> list[Tile]:
    return ranked_tiles()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, tiles: list[Tile], pictures: dict[str, np.ndarray]) -> Path:
    """A set with low-quality pictures at a half and a quarter of the size."""
    return written(tmp_path_factory.mktemp("sets"), "a set", tiles, pictures, LowQuality((2, 4)))
