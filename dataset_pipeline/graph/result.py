"""What an asset hands back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from dataset_pipeline.store.provenance import Number


@dataclass
class Result:
    """An asset's answer: its table and the numbers a person would plot.

    `faults`: by the name of a declared check, what speaks against its statement; empty or absent where it holds.
    `notes`: Markdown by title, for the web UI. `left_out`: by image id, why there is no row or no picture of it.
    """

    table: pa.Table
    numbers: dict[str, Number] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
