"""Registration of drawn pans side by side with what OpenCV offers: errors against the drawn camera, and CPU time.

    uv run python dataset_pipeline_tests/benchmarks/stitching.py [--kinds pan,walker] [--size 1280x720] [--frames 96]

The others are chains of neighbours on full-size grey: `cv2.phaseCorrelate`, and `cv2.findTransformECC` from where the
former puts a frame. All on one thread; times are CPU milliseconds a frame, decoding apart. `x decode` is the cost of
registration by that of decoding.

    uv run python dataset_pipeline_tests/benchmarks/stitching.py --budget 1920x1080

What `alignments` costs through its step, decoding and all, of a drawn episode: for each pan by default, for each plate
where tracks are on, for each pan before which people walk, shift about or stand nearer, and what that makes of 24
minutes with such a shot a minute, of which the budget is 400 core-s and 30 MB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import dagster as dg
import numpy as np
from rich.console import Console
from rich.table import Table

from dataset_pipeline.demo.episodes import TEST_SHOW
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.stitching.aligning import align
from dataset_pipeline.stitching.alignment import Alignment
from dataset_pipeline_tests.scenarios.conftest import new_project
from dataset_pipeline_tests.scenarios.test_tracks import Made
from dataset_pipeline_tests.stitching.drawn_shots import DrawnShot, draw_shot, encoded, gauge_free

KINDS = "pan,twos,diagonal,subtitle,walker,sprites,fence"
BUDGET_SCRIPT = "pan 4, talk 4, pan 4, locked 4, pan 4, talk 4"
BUDGET_MOVING, BUDGET_FRAMES = ("walker", "throng", "sprites"), 96
PLATES = {"alignments__panoramas": "off", "tracks__mode": "on"}
ECC_ROUNDS, ECC_STEP = 100, 1e-7

Placed = tuple[np.ndarray, np.ndarray]  # pts [n], places [n, 2]


def ours(shot: DrawnShot, frames: np.ndarray) -> Placed | str:
    found = align(shot.pts, shot.pts_s, lambda pts: ((int(p), frames[int(p)]) for p in pts))
    return (found.pts, found.places) if isinstance(found, Alignment) else found


def _chain(frames: np.ndarray, step: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Placed:
    places, before = [np.zeros(2)], cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
    for frame in frames[1:]:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        places.append(places[-1] - step(before, grey))
        before = grey
    return np.arange(len(frames)), np.array(places)


def phase_chain(_: DrawnShot, frames: np.ndarray) -> Placed:
    window = cv2.createHanningWindow((frames.shape[2], frames.shape[1]), cv2.CV_32F)
    return _chain(frames, lambda a, b: np.array(cv2.phaseCorrelate(a, b, window)[0]))


def ecc_chain(_: DrawnShot, frames: np.ndarray) -> Placed | str:
    window = cv2.createHanningWindow((frames.shape[2], frames.shape[1]), cv2.CV_32F)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_ROUNDS, ECC_STEP)

    def step(before: np.ndarray, grey: np.ndarray) -> np.ndarray:
        matrix = np.eye(2, 3, dtype=np.float32)
        matrix[:, 2] = cv2.phaseCorrelate(before, grey, window)[0]
        mask = np.empty(0, np.uint8)
        return cv2.findTransformECC(before, grey, matrix, cv2.MOTION_TRANSLATION, stop, mask, 5)[1][:, 2]

    try:
        return _chain(frames, step)
    except cv2.error as error:
        return f"failed: {error.err}"


METHODS: dict[str, Callable[[DrawnShot, np.ndarray], Placed | str]] = {
    "ours": ours,
    "phaseCorrelate chain": phase_chain,
    "ECC chain": ecc_chain,
}


def registration(kinds: list[str], size: tuple[int, int], frames: int, seed: int) -> Table:
    table = Table(title=f"registration, {size[0]} x {size[1]}, {frames} frames, seed {seed}")
    for column in ("shot", "method", "rms px", "max px", "ms a frame", "x decode"):
        table.add_column(column, justify="left" if column in ("shot", "method") else "right")
    for kind in kinds:
        shot = draw_shot(kind, size, seed, frames)
        began = time.process_time()
        for _ in shot.frames_at(shot.pts):
            pass
        decoding_s = time.process_time() - began
        for name, method in METHODS.items():
            began = time.process_time()
            placed = method(shot, shot.frames)
            spent_s = time.process_time() - began
            cost = (f"{spent_s / frames * 1000:.1f}", f"{spent_s / decoding_s:.1f}")
            if isinstance(placed, str):
                table.add_row(kind, name, placed, "", *cost)
                continue
            off = np.hypot(*gauge_free(placed[1], shot.places[placed[0]]).T)
            table.add_row(kind, name, f"{np.sqrt(np.mean(off**2)):.3f}", f"{off.max():.3f}", *cost)
    return table


def budget(size: tuple[int, int]) -> Table:
    table = Table(title=f"alignments, {size[0]} x {size[1]}, drawn")
    for column in ("made of", "shots", "frames", "core-s each", "kB each", "24 of them: core-s", "MB"):
        table.add_column(column, justify="left" if column == "made of" else "right")
    show = replace(TEST_SHOW, size=size, scripts=(BUDGET_SCRIPT,), gop_frames=250)
    with TemporaryDirectory() as folder:
        made = Made(Path(folder), show)
        made.run("video_probe", "shots")
        for name, changes in (("pans, as by default", {}), ("plates, tracks on", PLATES)):
            made.run("tracks", **changes)
            table.add_row(name, *_spent_on(made, **changes))
    with TemporaryDirectory() as folder:
        moving = MadeOfShots(Path(folder), [draw_shot(kind, size, 101, BUDGET_FRAMES) for kind in BUDGET_MOVING])
        moving.run("video_probe", "shots", "tracks")
        table.add_row("pans before which much moves", *_spent_on(moving))
    return table


class MadeOfShots(Made):
    """An episode of drawn shots, one after the other."""

    def __init__(self, root: Path, shots: Sequence[DrawnShot]) -> None:
        video = root / "Moving - 01.mkv"
        frames = (frame for shot in shots for _, frame in shot.frames_at(shot.pts))
        video.write_bytes(encoded(frames, shots[0].size_px, crf=18))
        self.project = new_project(root / "project")
        self.instance = dg.DagsterInstance.ephemeral()
        (self.source,) = find_sources([video]).sources
        self.video, self.episode = video, self.source.key


def _spent_on(made: Made, **changes: Any) -> list[str]:
    """The cells of a row of `budget` from the number of shots on."""
    began = time.process_time()
    failures, _ = made.run("alignments", **changes)
    spent_s = time.process_time() - began
    assert not failures, failures
    rows = made.rows("alignments")
    assert rows, "no shot was looked at"
    pointer = made.project.store.pointer("alignments", made.episode)
    assert pointer is not None
    kilobytes = 1000 * pointer.provenance.numbers["mb"] / len(rows)
    told = [str(len(rows)), str(sum(row["frames"] for row in rows)), f"{spent_s / len(rows):.1f}", f"{kilobytes:.0f}"]
    return [*told, f"{24 * spent_s / len(rows):.0f}", f"{24 * kilobytes / 1000:.2f}"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--kinds", default=KINDS)
    arguments.add_argument("--size", default="1280x720")
    arguments.add_argument("--frames", type=int, default=96)
    arguments.add_argument("--seed", type=int, default=101)
    arguments.add_argument("--budget", help="of an episode of that size, and nothing else")
    given = arguments.parse_args()
    cv2.setNumThreads(1)
    if given.budget:
        width, height = map(int, given.budget.split("x"))
        Console(width=120).print(budget((width, height)))
        return
    width, height = map(int, given.size.split("x"))
    Console(width=120).print(registration(given.kinds.split(","), (width, height), given.frames, given.seed))


if __name__ == "__main__":
    main()
