"""An alignment that was stored comes back as it was."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from dataset_pipeline.stitching.alignment import Layer
from dataset_pipeline.stitching.rows import alignment_of, clean_frames_of, row_of
from dataset_pipeline.store.schemas import MEASURED, SCHEMAS
from dataset_pipeline_tests.stitching.test_confidence import ALIGNMENT, CLEAN


def stored(row: dict) -> dict:
    """The row as the table gives it back."""
    whole = dict.fromkeys(MEASURED, "x") | {"kind": "panorama"} | row
    return SCHEMAS["alignments"].table([whole]).to_pylist()[0]


def test_alignments_and_clean_frames_come_back_as_they_were_and_are_small():
    rng = np.random.default_rng(1)
    given = replace(
        ALIGNMENT, fixed=rng.random((63, 125)) < 0.02, layers=(Layer(1.6, 0.1),), places=rng.normal(size=(3, 4))
    )
    clean = replace(
        CLEAN,
        clean=rng.integers(0, 2**63, (90, 161), np.uint64),
        known=rng.random((90, 161)) < 0.9,
        moving=(rng.integers(0, 256, (90, 161)) / 255).astype(np.float32),
    )
    row = stored(row_of(given, clean))
    for one, other in ((given, alignment_of(row)), (clean, clean_frames_of(row))):
        for field in fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)
    assert clean_frames_of(stored(row_of(given))) is None
    assert sum(len(value) for value in row.values() if isinstance(value, bytes)) < 140_000
