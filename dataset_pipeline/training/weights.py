"""The weights of concepts, from a file."""

from __future__ import annotations

import csv
from pathlib import Path

from pydantic import ValidationError

from dataset_pipeline.settings import ConceptWeight, SettingsError

HEADING = ["pattern", "weight"]


def read_weights(path: Path) -> list[ConceptWeight]:
    """Lines `pattern, weight` in their order, under a heading of these words or none; `#` begins a comment line, and a
    pattern with a comma stands in quotes. Raises SettingsError, also for a file without any."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            told = ((lines.line_num, [cell.strip() for cell in cells]) for cells in lines)
            kept = [
                (number, cells)
                for number, cells in told
                if any(cells) and cells != HEADING and not cells[0].startswith("#")
            ]
            if not kept:
                raise SettingsError(f"{path} holds no line `pattern, weight`, e.g. 1_character, 1.5")
            return [_weight(cells, f"{path}, line {number}") for number, cells in kept]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} is no table of `pattern, weight` in UTF-8: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from None


def _weight(cells: list[str], where: str) -> ConceptWeight:
    try:
        pattern, weight = cells
        return ConceptWeight(pattern=pattern, weight=float(weight))
    except (ValueError, ValidationError):
        raise SettingsError(
            f"{where}: {', '.join(cells)!r} is no `pattern, weight` with a weight above 0, e.g. 1_character, 1.5"
        ) from None
