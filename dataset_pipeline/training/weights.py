"""The weights of concepts, from a file."""

from __future__ import annotations

import csv
from pathlib import Path

from pydantic import ValidationError

from dataset_pipeline.settings import ConceptWeight, SettingsError


def read_weights(path: Path) -> list[ConceptWeight]:
    """Lines `pattern, weight` in their order; a pattern with a comma stands in quotes. Raises SettingsError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            return [_weight(cells, f"{path}, line {lines.line_num}") for cells in lines if any(map(str.strip, cells))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} is no table of `pattern, weight` in UTF-8: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from None


def _weight(cells: list[str], where: str) -> ConceptWeight:
    try:
        pattern, weight = cells
        return ConceptWeight(pattern=pattern.strip(), weight=float(weight))
    except (ValueError, ValidationError):
        raise SettingsError(
            f"{where}: {', '.join(cells)!r} is no `pattern, weight` with a weight above 0, e.g. 1_character, 1.5"
        ) from None
