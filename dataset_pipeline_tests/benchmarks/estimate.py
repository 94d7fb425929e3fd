"""What `estimate` says of sources, held against what `run` then takes, each source in a project of its own.

uv run python dataset_pipeline_tests/benchmarks/estimate.py PATH... [--models demo] [--seconds 60]

Seconds of the wall clock hold on an idle machine alone; core-seconds hold nearly anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dataset_pipeline.settings import PACKAGE

PROGRAM = "from dataset_pipeline.cli.app import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--models", default="demo")
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    for path in asked.paths:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("workspace.yaml", "dagster.yaml"):
                shutil.copy(PACKAGE.parent / name, folder)
            of = [str(path.resolve()), "--models", asked.models, "--json"]
            told, _, _ = called(Path(folder), ["estimate", *of, "--seconds", str(asked.seconds)])
            _, wall_s, core_s = called(Path(folder), ["run", *of])
        print(
            f"{path.name}: told {told['seconds']:.1f} s, took {wall_s:.1f} s ({told['seconds'] / wall_s:.2f}); "
            f"told {told['core_seconds']:.1f} core-seconds, took {core_s:.1f} ({told['core_seconds'] / core_s:.2f})",
            flush=True,
        )


def called(project: Path, command: list[str]) -> tuple[dict[str, Any], float, float]:
    """What a command prints, and the seconds of the clock and of cores that it takes."""
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    start_s, before = time.monotonic(), os.times()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=project,
        env=environment | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    after = os.times()
    cores_s = after.children_user + after.children_system - before.children_user - before.children_system
    if not done.stdout.strip():  # a run from which no image comes into a set fails too, and tells what it did
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout), time.monotonic() - start_s, cores_s


if __name__ == "__main__":
    main()
