"""Near-duplicates: this project's search against scikit-learn's full matrix of cosines, and at larger sizes.

    python dataset_pipeline_tests/benchmarks/near_duplicates.py [matrix | exact | index] [--frames N] [--unique SHARE]

matrix: 10,000 frames; scikit-learn gets the time of the matrix alone, without any decision, and both must keep the
same frames. exact: 100,000 frames. index: 1,000,000 frames through the index; each of a sample of rows that has a kept
row above the threshold, by an exact search, counts as a duplicate, and the share of them that was dropped is the
recall. Frames are 512 numbers each, `unique` of them without a copy in the set and the rest copies with noise.

matrix comes to six or seven times. Two fifths of the search are products of sketches, 64 numbers wide where the matrix
has 512, which is too few for a processor to be at its best; an eighth each are sketching, telling which products pass,
and the pairs inside a block. Other sizes of blocks and widths gain nothing. A kernel compiled at run time that forgets
each product at once might come to ten times, and takes longer to compile than a hundred episodes to be searched.

Every way runs in a process of its own; the search's memory is counted beside the vectors, the process's with them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
from costs import most_memory_mb, timed

SIMILARITY = 0.95
DIMENSIONS = 512
NOISE = 0.15
ROUNDS = 25
SIZES = {"matrix": 10_000, "exact": 100_000, "index": 1_000_000}
SAMPLE = 2_000


def frames(count: int, unique: float) -> np.ndarray:
    """float32 [count, DIMENSIONS]; filled piece by piece, so that no second copy is ever needed."""
    rng = np.random.default_rng(0)
    rows = np.empty((count, DIMENSIONS), dtype=np.float32)
    originals = round(count * unique)
    place = rng.permutation(count)
    for part in np.array_split(np.arange(originals), max(1, originals // 4096)):
        rows[place[part]] = rng.standard_normal((len(part), DIMENSIONS), dtype=np.float32)
    copied = rng.integers(originals, size=count - originals)
    for part in np.array_split(np.arange(originals, count), max(1, (count - originals) // 4096)):
        noise = NOISE * rng.standard_normal((len(part), DIMENSIONS), dtype=np.float32)
        rows[place[part]] = rows[place[copied[part - originals]]] + noise
    for start in range(0, count, 4096):
        rows[start : start + 4096] /= np.linalg.norm(rows[start : start + 4096], axis=1, keepdims=True)
    return rows


def by_matrix(rows: np.ndarray) -> list[int]:
    from sklearn.metrics.pairwise import cosine_similarity

    matrix = cosine_similarity(rows)
    stays = np.ones(len(rows), dtype=bool)
    for i in range(len(rows)):
        if stays[i]:
            stays[i + 1 :] &= matrix[i, i + 1 :] <= np.float32(SIMILARITY)
    return np.flatnonzero(stays).tolist()


def matrix_alone(rows: np.ndarray) -> None:
    from sklearn.metrics.pairwise import cosine_similarity

    cosine_similarity(rows)


def by_search(rows: np.ndarray, exact: bool = True) -> list[int]:
    from dataset_pipeline.repeated.near_duplicates import distinct

    return distinct(rows, range(len(rows)), SIMILARITY, exact=exact).kept


def peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def against_matrix(count: int, unique: float) -> tuple[float, float]:
    """Rounds in turn, so that a busy machine slows both alike. How many times the search's clock time and
    core-seconds the matrix takes."""
    rows = frames(count, unique)
    by_search(rows[:64])
    matrix_alone(rows[:64])
    rounds = [(timed(lambda: by_search(rows))[1], timed(lambda: matrix_alone(rows))[1]) for _ in range(ROUNDS)]
    wall = statistics.median(matrix.wall_s / search.wall_s for search, matrix in rounds)
    core = statistics.median(matrix.core_s / search.core_s for search, matrix in rounds)
    search_mib, matrix_mib = peak_mib(lambda: by_search(rows)), peak_mib(lambda: matrix_alone(rows))
    ours, theirs = by_search(rows), by_matrix(rows)
    for name, at, mib in (("search", 0, search_mib), ("matrix alone", 1, matrix_mib)):
        print(f"{name:13} {min(r[at][0] for r in rounds):6.3f} s at best, {mib:6.1f} MiB")
    print(f"search is {wall:.1f} times faster by the clock, {core:.1f} by core-seconds (medians of {ROUNDS} rounds)")
    print(f"and takes {search_mib / matrix_mib:.3f} of the memory")
    digests = [hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:8] for kept in (ours, theirs)]
    print(f"kept: {len(ours)} ({digests[0]}) and {len(theirs)} ({digests[1]})")
    if ours != theirs:
        sys.exit("the two ways keep different frames")
    return wall, core


def at_size(count: int, unique: float, exact: bool) -> None:
    rows = frames(count, unique)
    by_search(rows[:1000], exact)
    kept, cost = timed(lambda: by_search(rows, exact))
    print(
        f"{count} frames, {unique:.0%} unique: {cost.wall_s:.1f} s by the clock, {cost.core_s:.1f} core-s, "
        f"{len(kept)} kept, {most_memory_mb():,.0f} MB of the whole process with its vectors"
    )
    if not exact:
        print(f"recall of duplicates on {SAMPLE} rows: {recall(rows, np.array(kept)):.4f}")


def recall(rows: np.ndarray, kept: np.ndarray) -> float:
    """Of sampled rows near a row kept before them, the share that was dropped."""
    sample = np.sort(np.random.default_rng(1).choice(len(rows), SAMPLE, replace=False))
    duplicate = np.zeros(SAMPLE, dtype=bool)
    for part in np.array_split(kept, max(1, len(kept) // 16384)):
        near = rows[sample] @ rows[part].T > np.float32(SIMILARITY)
        duplicate |= (near & (part[None, :] < sample[:, None])).any(axis=1)
    return float(1 - np.isin(sample[duplicate], kept).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*SIZES], help="one of them; without it all in turn")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--unique", type=float)
    given = parser.parse_args()
    if given.what is None:
        for what, unique in (("matrix", 0.5), ("exact", 0.5), ("exact", 0.1), ("index", 0.5), ("index", 0.1)):
            subprocess.run([sys.executable, __file__, what, "--unique", str(unique)], check=True)
        return
    count, unique = given.frames or SIZES[given.what], 0.5 if given.unique is None else given.unique
    if given.what == "matrix":
        against_matrix(count, unique)
    else:
        at_size(count, unique, exact=given.what == "exact")


if __name__ == "__main__":
    main()
