"""How long the store takes: `python dataset_pipeline_tests/benchmarks/store.py [root]`, else in a temporary folder.

`--bucket` instead shows what a store in a bucket costs an episode of 24 minutes where each request takes 30 ms more:
`uv run --extra bucket --group servers python dataset_pipeline_tests/benchmarks/store.py --bucket`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.base.ids import crop_id, frame_id
from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.store import pointers
from dataset_pipeline.store.reuse import measure_missing
from dataset_pipeline.store.schemas import MEASURED, SCHEMAS
from dataset_pipeline.store.store import Store, schema_of
from dataset_pipeline.store.versions import data_version

ROWS, VECTORS, WIDTH, EPISODES = 100_000, 10_000, 512, 1_000
EPISODE = "bench.e01"
PICTURES, PICTURE_BYTES, ROUND_TRIP_S = 1_850, 270_000, 0.03  # of an episode of 24 minutes


assert build_definitions  # declares the assets
MEASURING = phases()[0].assets


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


def episode_in_bucket(root: str, look_s: float) -> None:
    """What the measuring assets ask of the store, at the size of an episode of 24 minutes: pictures are put, the table
    that names them is written, and later assets read them. Nothing is computed, so that no request hides behind work.

    look_s: how long a look at a pointer counts; none does in an episode whose every step takes a minute."""
    pointers.LOOK_S = look_s
    store, step_rows = Store(root), crops(PICTURES)
    paths: list[str] = []
    for asset in MEASURING:
        declaration = DECLARATIONS[asset]
        for read in (asset, *declaration.reads):
            store.pointer(read, EPISODE)
        if declaration.models and paths:
            for encoded in map_ahead(store.read_picture, store.ahead(paths), threads=2, ahead=6):
                assert len(encoded) == PICTURE_BYTES
        if asset == "crops":
            some = (frame_id(EPISODE, number) for number in range(PICTURES))
            paths = list(map_ahead(lambda it: put_one(store, it), some, threads=2, ahead=6))
        schema = schema_of(asset)
        rows = step_rows if asset == "crops" else schema.empty()
        measured = schema_of(f"{asset}__measured")
        if declaration.models and measured.columns.keys() >= set(measured.key):
            row = dict.fromkeys(measured.columns) | dict.fromkeys(measured.key, "x")
            store.previous(measured.name, EPISODE)
            store.add_rows(measured.name, measured.table([row]), EPISODE)
        store.write(asset, rows, EPISODE)


def put_one(store: Store, image_id: str) -> str:
    content = image_id.encode().ljust(PICTURE_BYTES, b"-")
    return store.put_picture("crops", EPISODE, image_id, content, "webp")


def bucket() -> None:
    from dataset_pipeline_tests.servers.counting import counted
    from dataset_pipeline_tests.servers.s3 import s3_server

    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server, counted(server.url) as requests:
        os.environ |= server.environment | {"AWS_ENDPOINT_URL": requests.url}
        took_s = {}
        for wait_s in (0.0, ROUND_TRIP_S):
            requests.clear()
            requests.wait_s = wait_s
            start = time.perf_counter()
            episode_in_bucket(server.root(f"wait-{wait_s}"), look_s=0.0)
            took_s[wait_s] = time.perf_counter() - start
            print(
                f"{PICTURES} pictures, {wait_s:g} s more a request: {took_s[wait_s]:6.1f} s, {dict(requests.by_kind)}"
            )
        print(f"the round trips of {ROUND_TRIP_S:g} s cost {took_s[ROUND_TRIP_S] - took_s[0.0]:.1f} s of an episode")


if __name__ == "__main__":
    if sys.argv[1:] == ["--bucket"]:
        bucket()
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
