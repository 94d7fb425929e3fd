"""Tiles and selection of a super-resolution set of seed size: 2,000 pictures of 1024 px square, 52,000 tiles.

    python dataset_pipeline_tests/benchmarks/super_resolution.py

Scores are drawn as hyperIQA gives them to each copy. Each step's best of three, in seconds of CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.super_resolution.tiles import plan_tiles
from dataset_pipeline.training.score_cut import TILES, Cut, Limits, ladder, losses, mean_lost, select_by_score

SEED = SimpleNamespace(
    scales=(1, 0.75), shortest_edge_px=512, keep_every_copy=False, tile_px=512, step_px=240, threshold_px=0
)
COUNTS = 30_000, 25_000, 15_000, 10_000
MEAN_SCORES = {"1": 0.70, "0.75": 0.735, "shortest_edge": 0.78}


def main() -> None:
    sources = [
        {"image_id": f"show{n % 5}.e{n % 50}/{n:08d}", "width_px": 1024, "height_px": 1024, "pixel_sha256": f"{n:064x}"}
        for n in range(2000)
    ]
    _, rows = timed("plan_tiles, 2,000 pictures", lambda: plan_tiles(sources, SEED))
    rng = np.random.default_rng(0)
    tiles = pa.Table.from_pylist(rows)
    tiles = tiles.append_column("score", pa.array([rng.normal(MEAN_SCORES[row["copy"]], 0.02) for row in rows]))
    tiles = tiles.append_column("bytes", pa.array(rng.integers(200_000, 500_000, len(rows))))
    who = [["fern"], ["stark"], ["fern", "stark"], []]
    tiles = tiles.append_column("characters", pa.array([who[n] for n in rng.integers(0, 4, len(rows))]))
    best, limits = Cut("keep_best", "count", 10_000), Limits(("show", "copy", "characters"), 50, 4_000, 12)
    timed("select_by_score, the best 10,000", lambda: select_by_score(tiles, best, keys=TILES))
    worst = Cut("drop_worst", "percentile", 10, in_strata=True)
    found = timed(
        "select_by_score, strata, floor, quota and cap", lambda: select_by_score(tiles, worst, limits, keys=TILES)
    )
    timed("losses of those strata", lambda: losses(tiles, found, limits.strata, TILES))
    timed("mean_lost", lambda: mean_lost(found))
    for row in timed("ladder of four sizes", lambda: ladder(tiles, COUNTS, keys=TILES)):
        print("   ", {key: round(value, 4) for key, value in row.items()})


def timed(name: str, function: Callable[[], Any]) -> Any:
    took_s = []
    for _ in range(3):
        start_s = time.process_time()
        answer = function()
        took_s.append(time.process_time() - start_s)
    print(f"{name}: {min(took_s):.3f} CPU-s")
    return answer


if __name__ == "__main__":
    main()
