"""How long the store takes: `python dataset_pipeline_tests/benchmarks/store.py [root]`, else in a temporary folder."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.ids import crop_id, frame_id
from dataset_pipeline.store.reuse import measure_missing
from dataset_pipeline.store.schemas import MEASURED, SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline.store.versions import data_version

ROWS, VECTORS, WIDTH, EPISODES = 100_000, 10_000, 512, 1_000
EPISODE = "bench.e01"


def timed(label: str, do: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = do()
    print(f"{label:<58} {time.perf_counter() - start:7.3f} s")
    return result


def crops(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    boxes = np.sort(random.uniform(0, 1080, (rows, 4)).reshape(rows, 2, 2), axis=1).reshape(rows, 4)
    return SCHEMAS["crops"].table(
        [
            {
                "image_id": crop_id(frame_id(EPISODE, 40 * i), "person", tuple(box), (1920, 1080)),
                "still_id": frame_id(EPISODE, 40 * i),
                "kind": "person",
                "x_px": int(box[0]),
                "y_px": int(box[1]),
                "width_px": int(box[2] - box[0]),
                "height_px": int(box[3] - box[1]),
                "score": float(box[0] / 1080),
                "kept": i % 3 > 0,
                "reason": "kept" if i % 3 else "small",
                "path": f"crops/{EPISODE}/{i:012x}.webp",
                "pixel_sha256": f"{i:064x}",
            }
            for i, box in enumerate(boxes)
        ]
    )


def vectors(rows: int) -> pa.Table:
    values = np.random.default_rng(1).standard_normal((rows, WIDTH), dtype=np.float32)
    columns = {name: [f"{name}-{i:08d}" for i in range(rows)] for name in MEASURED}
    embedding = pa.ListArray.from_arrays(
        pa.array(np.arange(rows + 1, dtype=np.int32) * WIDTH), pa.array(values.ravel())
    )
    return pa.table({**columns, "embedding": embedding}, schema=SCHEMAS["frame_embeddings"].arrow)


def main(root: str) -> None:
    store = Store(root)
    table, embeddings = crops(ROWS), vectors(VECTORS)
    timed(f"data_version of {ROWS} crops", lambda: data_version(table, SCHEMAS["crops"]))
    timed(f"write {ROWS} crops", lambda: store.write("crops", table, EPISODE))
    timed(f"write {ROWS} equal crops", lambda: store.write("crops", table, EPISODE))
    timed(f"read {ROWS} crops", lambda: store.read("crops", EPISODE))
    timed(f"data_version of {VECTORS} x {WIDTH}", lambda: data_version(embeddings, SCHEMAS["frame_embeddings"]))
    timed(f"write {VECTORS} x {WIDTH}", lambda: store.write("frame_embeddings", embeddings, EPISODE))
    timed(f"read {VECTORS} x {WIDTH}", lambda: store.read("frame_embeddings", EPISODE))

    small = table.slice(0, 200)
    names = [f"bench.e{i:04d}" for i in range(EPISODES)]
    timed(f"write 200 rows for {EPISODES} episodes", lambda: [store.write("crops", small, name) for name in names])
    timed(f"read_many of {EPISODES} episodes", lambda: store.read_many("crops", names))

    wanted = table.select(["image_id", "pixel_sha256"]).slice(0, 20_000)
    row = np.full(WIDTH, 0.5, dtype=np.float32)

    def measure(images: list[str]) -> Any:
        return ({"embedding": row} for _ in images)

    for label in ("measure", "reuse"):
        timed(
            f"{label} 20000 vectors",
            lambda: measure_missing(store, "crop_embeddings", EPISODE, wanted, "m", "1", measure),
        )
    timed("put 2000 pictures of 100 kB", lambda: put(store, 2000))
    timed("put them again", lambda: put(store, 2000))
    timed("clean", lambda: store.clean(3600))


def put(store: Store, count: int) -> None:
    for i in range(count):
        store.put_picture("crops", EPISODE, frame_id(EPISODE, i), i.to_bytes(4, "big") * 25_000, "webp")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
