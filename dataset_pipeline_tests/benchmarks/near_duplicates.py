"""Near-duplicates of 10,000 frames: this project's blocks against the full matrix of cosine similarities.

    python dataset_pipeline_tests/benchmarks/near_duplicates.py [--frames 10000] [--dimensions 512]

Half of the frames are unique, half are copies with noise. Both ways apply the same greedy rule and must keep the same
frames. Each runs in a process of its own; memory is the peak of what it allocates beside the vectors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
import tracemalloc

import numpy as np

SIMILARITY = 0.95


def frames(count: int, dimensions: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    unique = rng.standard_normal((count // 2, dimensions), dtype=np.float32)
    copies = unique[rng.integers(len(unique), size=count - len(unique))]
    copies = copies + 0.15 * rng.standard_normal(copies.shape, dtype=np.float32)
    rows = rng.permutation(np.concatenate([unique, copies]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_blocks(rows: np.ndarray) -> list[int]:
    from dataset_pipeline.images.near_duplicates import distinct

    return distinct(rows, range(len(rows)), SIMILARITY).kept


def by_full_matrix(rows: np.ndarray) -> list[int]:
    from sklearn.metrics.pairwise import cosine_similarity

    matrix = cosine_similarity(rows)
    stays = np.ones(len(rows), dtype=bool)
    for i in range(len(rows)):
        if stays[i]:
            stays[i + 1 :] &= matrix[i, i + 1 :] <= np.float32(SIMILARITY)
    return np.flatnonzero(stays).tolist()


def measure(way: str, count: int, dimensions: int) -> None:
    function = {"blocks": by_blocks, "full matrix": by_full_matrix}[way]
    function(frames(64, dimensions))  # imports and first-call costs
    rows = frames(count, dimensions)
    start = time.perf_counter()
    kept = function(rows)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    function(rows)
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    digest = hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:8]
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib, "kept": len(kept), "digest": digest}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--way", choices=["blocks", "full matrix"])
    given = parser.parse_args()
    if given.way:
        measure(given.way, given.frames, given.dimensions)
        return
    results = {}
    for way in ("blocks", "full matrix"):
        command = [sys.executable, __file__, "--way", way]
        command += ["--frames", str(given.frames), "--dimensions", str(given.dimensions)]
        results[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{way:12} {results[way]['seconds']:7.2f} s   {results[way]['peak_mib']:7.0f} MiB at the peak   "
            f"{results[way]['kept']} of {given.frames} kept ({results[way]['digest']})"
        )
    ours, full = results["blocks"], results["full matrix"]
    print(
        f"blocks take {ours['seconds'] / full['seconds']:.2f} of the time and "
        f"{ours['peak_mib'] / full['peak_mib']:.3f} of the memory of the full matrix"
    )
    if ours["digest"] != full["digest"]:
        sys.exit("the two ways keep different frames")


if __name__ == "__main__":
    main()
