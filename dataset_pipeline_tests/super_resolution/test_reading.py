"""Many tiles, one picture at a time."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.images.signals import signals_of
from dataset_pipeline.super_resolution.reading import TileReader
from dataset_pipeline.super_resolution.tiles import plan_tiles


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_tiles_that_are_looked_at():
    small = SimpleNamespace(
        scales=(1, 0.75), shortest_edge_px=128, keep_every_copy=False, tile_px=128, step_px=60, threshold_px=0
    )
    sources = [
        {"image_id": f"show.e1/{n:08d}", "width_px": 256, "height_px": 256, "pixel_sha256": str(n)} for n in range(116)
    ]
    rows = plan_tiles(sources, small)[1][:3000]
    drawn = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    reader = TileReader({row["tile_id"]: row for row in rows}, lambda image_id: drawn.copy())
    peaks, looked = [], 0
    tracemalloc.start()
    try:
        for chunk in reader.in_chunks([row["tile_id"] for row in rows], 128):
            looked += sum(
                found["sharpness"] > 0 for found in map_ahead(signals_of, reader.tiles(chunk), threads=2, ahead=6)
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert looked == 3000
    assert max(peaks[4:]) < 1.2 * max(peaks[:4])
