"""HyperIQA on a CPU: pyiqa's own call against the role `quality`, on random weights of real size, in one run.

    uv run python dataset_pipeline_tests/benchmarks/quality.py CACHE [--pictures N] [--rounds N]

The network is that of real_size_pack.py, written to the folder CACHE unless one is there. Rounds alternate, as
other work on the machine would spoil one side of a comparison; what counts is the best of each. The first call of the
role exports its network, which is told apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_size_pack import WRITERS

from dataset_pipeline.models import QualityMetric
from dataset_pipeline.models.pyiqa_files import metric_of

SIZE = (512, 910)


def compared(cache: Path, count: int, rounds: int) -> tuple[tuple[float, float], tuple[float, float], float]:
    """(wall s, core-s) a picture of pyiqa's call and of the role, and how far their answers are apart."""
    role = QualityMetric(cache=str(cache), device="cpu", batch_size=4)
    pack = role.open_pack()
    [entry] = pack.models("quality")
    if not pack.has(entry):
        WRITERS["quality"](pack, entry)
    weights = pack.file(entry, "weights")
    metric = metric_of(entry, {weights.name: weights}, "cpu")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*SIZE, 3), np.uint8) // number for number in range(1, count + 1)]
    inputs = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) / 255 for picture in pictures])
    _, first_wall_s, first_core_s = timed(lambda: role.score(pictures[:1]))
    print(
        f"first picture of the role, with the export if there was none: {first_wall_s:.1f} s, {first_core_s:.1f} core-s"
    )
    calls: dict[str, Callable[[], Any]] = {
        "pyiqa": lambda: np.array([float(metric(inputs[at : at + 1])) for at in range(len(inputs))]),
        "pyiqa, all at once": lambda: metric(inputs).reshape(-1).numpy(),
        "role quality": lambda: role.score(pictures),
    }
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    answers = {}
    for _ in range(rounds):
        for name, call in calls.items():
            answers[name], wall_s, core_s = timed(call)
            costs[name].append((wall_s / len(pictures), core_s / len(pictures)))
    best = {name: np.min(its, axis=0) for name, its in costs.items()}
    for name, (wall_s, core_s) in best.items():
        print(f"{name}: {wall_s:.2f} s and {core_s:.2f} core-s a picture")
    off = float(np.abs(answers["pyiqa"] - answers["role quality"]).max())
    theirs, ours = ((float(wall_s), float(core_s)) for wall_s, core_s in (best["pyiqa"], best["role quality"]))
    return theirs, ours, off


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    theirs, ours, off = compared(told.cache, told.pictures, told.rounds)
    wall, core = np.array(theirs) / ours
    print(f"pyiqa's call takes {wall:.2f} times the wall time and {core:.2f} times the core time of the role")
    print(f"answers differ by at most {off:.1e}")


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """(answer, wall s, core-s)."""
    wall_s, core_s = time.perf_counter(), time.process_time()
    answer = call()
    return answer, time.perf_counter() - wall_s, time.process_time() - core_s


if __name__ == "__main__":
    main()
