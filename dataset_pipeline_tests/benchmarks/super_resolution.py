"""Tiles and selection of a super-resolution set of seed size: 2,000 pictures of 1024 px square, 52,000 tiles.

    python dataset_pipeline_tests/benchmarks/super_resolution.py [--pixels 50000]

Scores are drawn as hyperIQA gives them to each copy. Each step's best of three, in seconds of CPU time. With --pixels
so many tiles of drawn pictures are really cut, looked at without a model and ranked, the best fifth is written: how
fast, how many cores that kept busy, and how memory grew on the way.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.images.signals import signals_of
from dataset_pipeline.super_resolution.layout import TRAIN, named
from dataset_pipeline.super_resolution.reading import TileReader
from dataset_pipeline.super_resolution.set_files import LowQuality, set_files
from dataset_pipeline.super_resolution.tiles import plan_tiles
from dataset_pipeline.training.exporters.folder import write_folder
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


def with_pixels(count: int, root: Path) -> None:
    """Tiles of pictures that are drawn as they are asked for, as `sr_tile_signals` and `sr_set` work on them."""
    base = draw_scene(3, (1024, 1024), people=1, backdrop_seed=1003).image
    sources = [
        {"image_id": f"show.e1/{n:08d}", "width_px": 1024, "height_px": 1024, "pixel_sha256": f"{n:064x}"}
        for n in range(-(-count // 26))
    ]
    rows = plan_tiles(sources, SEED)[1][:count]

    def picture(image_id: str) -> np.ndarray:
        return np.roll(base, int(image_id[-8:]) * 7, axis=1)

    reader = TileReader({row["tile_id"]: row for row in rows}, picture)
    start_s, start_cpu_s, scores = time.monotonic(), time.process_time(), []
    for chunk in reader.in_chunks([row["tile_id"] for row in rows], 128):
        looked = map_ahead(signals_of, reader.tiles(chunk), threads=2, ahead=6)
        scores += [found["sharpness"] for found in looked]
        if len(scores) * 4 // count > (len(scores) - len(chunk)) * 4 // count:
            _told("looked at", len(scores), start_s, start_cpu_s)
    order = np.argsort(scores)[::-1][: count // 5].tolist()
    parts = named([(rows[at], scores[at]) for at in order], TRAIN)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    write_folder(root, "set", lambda partial: set_files(parts, picture, LowQuality((2,))), lambda it: {}, lambda it: [])
    _told("written", len(parts), start_s, start_cpu_s)


def _told(what: str, count: int, start_s: float, start_cpu_s: float) -> None:
    took_s, cpu_s = time.monotonic() - start_s, time.process_time() - start_cpu_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(
        f"{what} {count:6d} tiles: {took_s:.0f} s, {count / took_s:.0f} a second, {cpu_s / took_s:.2f} of "
        f"{os.cpu_count()} cores, {peak_mb:.0f} MB at most",
        flush=True,
    )


def timed(name: str, function: Callable[[], Any]) -> Any:
    took_s = []
    for _ in range(3):
        start_s = time.process_time()
        answer = function()
        took_s.append(time.process_time() - start_s)
    print(f"{name}: {min(took_s):.3f} CPU-s")
    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pixels", type=int, default=0)
    if pixels := parser.parse_args().pixels:
        with tempfile.TemporaryDirectory() as folder:
            with_pixels(pixels, Path(folder))
    else:
        main()
