"""The versions of a picture of which regions are drawn again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataset_pipeline.regularization.requests import SEEDS


def versions_of(image_ids: Iterable[str], versions: int) -> list[dict[str, Any]]:
    """Rows of `regularization_repairs` before they are drawn: `<picture>-v<number>`, numbered from 1."""
    return [
        {"image_id": f"{image_id}-v{number}", "of": image_id, "version": number}
        for image_id in image_ids
        for number in range(1, versions + 1)
    ]


def seed_of_version(seed: int, version: int) -> int:
    """Another seed for each version, and never that of the picture itself."""
    return (seed + version) % SEEDS
