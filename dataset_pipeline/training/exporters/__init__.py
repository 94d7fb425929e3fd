"""One module per trainer profile; each has the function `export` of the same signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dataset_pipeline.training.exporters import everydream
from dataset_pipeline.training.exporters.folder import ExportError, ExportReport

PROFILES = {"everydream": everydream.export}

__all__ = ["PROFILES", "ExportError", "ExportReport", "export"]


def export(
    profile: str,
    rows: Iterable[Mapping[str, Any]],
    read_picture: Callable[[str], bytes],
    root: Path,
    about: Mapping[str, Any],
) -> ExportReport:
    """Write the set for the trainer `profile` into a folder of its own below `root`; see the profile's module.
    Raises ExportError for an unknown profile and for rows that cannot be written."""
    if profile not in PROFILES:
        raise ExportError(f"unknown trainer profile {profile!r}; known: {', '.join(sorted(PROFILES))}")
    return PROFILES[profile](rows, read_picture, root, about)
