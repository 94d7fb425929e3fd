"""Seconds that loading both code locations costs over importing dagster, in fresh processes.

uv run python dataset_pipeline_tests/benchmarks/loading.py
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import time
start_s = time.perf_counter()
import dagster
dagster_s = time.perf_counter() - start_s
from dataset_pipeline.definitions import defs, demo_defs
defs(), demo_defs()
print(dagster_s, time.perf_counter() - start_s - dagster_s)
"""


def main() -> None:
    runs = [
        subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    dagster_s, ours_s = min(tuple(float(part) for part in run.stdout.split()) for run in runs)
    print(f"dagster {dagster_s:.2f} s, our definitions {ours_s:.2f} s more")


if __name__ == "__main__":
    main()
