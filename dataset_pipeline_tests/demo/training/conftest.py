"""The shipped pack, and a pack that a training of a few steps has written."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shipped_pack() -> Path:
    return REPOSITORY / "resources" / "demo_models"


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataset_pipeline.demo.training.build import build_pack
    from dataset_pipeline.demo.training.plans import TINY

    out = tmp_path_factory.mktemp("tiny") / "pack"
    build_pack(out, plan=TINY, seed=3)
    return out
