"""The most memory that a process takes while it measures an episode, by asset, and how it grows with the length.

    uv run python dataset_pipeline_tests/benchmarks/episode_memory.py [MINUTES ...] [--height 1080] [--clip VIDEO ...]
        [--folder FOLDER]

Draws an episode of each length (4 and 8 minutes, unless others are given) and measures it with the demo networks, in
one run as an arrival does, in a process of its own. A thread looks at the process's resident memory 50 times a second:
the table holds the highest look while each asset was made, in MB, of every length. What a network takes for a batch is
the same at every length, and most of all; what grows from one length to the next is what is held of the episode, of
which pictures are the most, up to `[store] picture_memory_mib`.
FOLDER keeps what is drawn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from projects import project_at
from rich.console import Console
from rich.table import Table

from dataset_pipeline.demo.episodes import DEMO_SHOW, write_episode
from dataset_pipeline.graph import framework
from dataset_pipeline.orchestration.runs import phases

LOOK_S = 0.02
COUNTED = ("keyframes", "stills", "crops")


class Watch:
    """The highest resident memory of this process, bytes, by what it was at work on."""

    def __init__(self) -> None:
        self.peak: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self._at = "before"
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @contextmanager
    def looking(self) -> Iterator[None]:
        self._thread.start()
        make = framework.materialize

        def materialize(made: Any, step: Any) -> Any:
            self._at, start_s = made.name, time.perf_counter()
            try:
                return make(made, step)
            finally:
                self.seconds[made.name] = time.perf_counter() - start_s

        with mock.patch.object(framework, "materialize", materialize):
            yield
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.peak[self._at] = max(self.peak.get(self._at, 0), self._process.memory_info().rss)


def measured(clip: Path, folder: Path) -> dict[str, Any]:
    """Peaks in bytes and seconds by asset, and rows of some tables."""
    watch = Watch()
    with project_at(folder, [clip]) as project, watch.looking():
        [episode] = project.episodes
        project.make(phases()[0].assets, episode)
    rows = {asset: project.store.read(asset, episode).num_rows for asset in COUNTED}
    return {"peak": watch.peak, "seconds": watch.seconds, "rows": rows}


def draw(minutes: float, height_px: int, folder: Path) -> Path:
    """An episode of about so many minutes; the demo's first is one."""
    folder = folder / f"{minutes:g} minutes of {height_px}p"
    if not (there := list(folder.glob("show/*.m*"))):
        (folder / "show").mkdir(parents=True)
        script = ", ".join([DEMO_SHOW.scripts[0]] * max(1, round(minutes)))
        show = replace(DEMO_SHOW, size=(height_px * 16 // 9, height_px), scripts=(script,))
        there = [write_episode(folder / "show", folder / "truth", show, 1)]
    return there[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="*", type=float, default=[4, 8])
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--clip", type=Path, nargs="+", default=[])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.into:
        print(json.dumps(measured(given.clip[0], given.into)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        clips = given.clip or [draw(it, given.height, given.folder or Path(temporary)) for it in given.minutes]
        results = []
        for number, clip in enumerate(clips):
            command = [sys.executable, __file__, "--clip", str(clip), "--into", f"{temporary}/{number}"]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            results.append(json.loads(said.splitlines()[-1]))
            tell([clip.parent.parent.name if not given.clip else clip.name for clip in clips[: number + 1]], results)


def tell(names: list[str], results: list[dict[str, Any]]) -> None:
    table = Table("asset", *names, title=f"peak of resident memory, MB (load {psutil.getloadavg()[0]:.1f})")
    for column in table.columns[1:]:
        column.justify = "right"
    for asset in results[-1]["peak"]:
        table.add_row(asset, *(f"{it['peak'].get(asset, 0) / 1e6:,.0f}" for it in results))
    table.add_section()
    table.add_row("all", *(f"{max(it['peak'].values()) / 1e6:,.0f}" for it in results))
    table.add_row("seconds", *(f"{sum(it['seconds'].values()):,.0f}" for it in results))
    for counted in COUNTED:
        table.add_row(f"rows of {counted}", *(f"{it['rows'][counted]:,}" for it in results))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
