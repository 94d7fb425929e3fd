"""The demo killed at random moments and started again, against one that nobody disturbed.

    uv run python dataset_pipeline_tests/benchmarks/killed_runs.py [--kills 10] [--seed 1]

After every kill each table that a pointer names must be whole. Once a demo comes to its end, tables, pictures and the
exported set must be those of the undisturbed one, no run may look unfinished and no pool slot be taken; if there are
kills left, the next begins with nothing. Exit code 1 if anything is not so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store
from dataset_pipeline_tests.store.looks import intact

PROGRAM = "from dataset_pipeline.cli.app import main; main()"


def demo(folder: Path) -> subprocess.Popen:
    log = folder.with_suffix(".log").open("a")
    command = [sys.executable, "-c", PROGRAM, "demo", str(folder)]
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill(process: subprocess.Popen) -> None:
    """The process and all its children, at once."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every current table and its pictures, and of everything exported."""
    store = Store(str(folder / "store"))
    files = [path for path in (folder / "exports").rglob("*") if path.is_file()]
    for asset in SCHEMAS:
        for episode in [*store.episodes(asset), None]:
            pointer = store.pointer(asset, episode)
            if pointer is None:
                continue
            table = store.read(asset, episode)
            pictures = table["path"].to_pylist() if "path" in table.column_names else []
            files += [folder / "store" / name for name in (pointer.file, *filter(None, pictures))]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def broken(folder: Path) -> list[str]:
    """Tables that a pointer names and nobody can read, or whose pictures are not there."""
    store = Store(str(folder / "store"))
    found = []
    for asset in SCHEMAS:
        for episode in [*store.episodes(asset), None]:
            try:
                if store.pointer(asset, episode) and not intact(store, asset, episode):
                    found.append(f"{asset} {episode}")
            except Exception as error:  # whatever is wrong is what is looked for
                found.append(f"{asset} {episode}: {error}")
    return found


def left_behind(folder: Path) -> list[str]:
    """Runs that look unfinished and pool slots that are taken."""
    with dg.DagsterInstance.from_config(str(folder / ".dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        slots = instance.event_log_storage.get_concurrency_keys()
        taken = [key for key in slots if instance.event_log_storage.get_concurrency_info(key).active_slot_count]
    return [f"run {run.run_id} {run.status.value}" for run in runs] + [f"slot of pool {key}" for key in taken]


def ended(folder: Path, code: int, expected: dict[str, str]) -> list[str]:
    """What is wrong with a demo that came to its end."""
    seen = digests(folder)
    other = sorted(name for name in expected.keys() | seen.keys() if expected.get(name) != seen.get(name))
    behind = left_behind(folder)
    print(f"ended with exit code {code}: {len(other)} of {len(expected)} files differ {other[:3]}")
    print(f"left behind: {behind or 'nothing'}", flush=True)
    return other + behind + ([f"exit code {code}"] if code else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        calm, disturbed = Path(temporary) / "calm", Path(temporary) / "disturbed"
        start_s = time.monotonic()
        if demo(calm).wait() != 0:
            sys.exit(f"the undisturbed demo failed:\n{calm.with_suffix('.log').read_text()}")
        whole_s = time.monotonic() - start_s
        expected = digests(calm)
        print(f"undisturbed: {whole_s:.0f} s, {len(expected)} files", flush=True)
        killed = 0
        while killed < arguments.kills:
            wait_s = moments.uniform(0.05, 0.6) * whole_s
            process = demo(disturbed)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                kill(process)
                killed += 1
                lost = broken(disturbed)
                faults += lost
                print(f"{killed}: killed after {wait_s:.0f} s, {len(lost)} tables lost or half-written", flush=True)
            else:
                faults += ended(disturbed, process.returncode, expected)
                shutil.rmtree(disturbed)
        faults += ended(disturbed, demo(disturbed).wait(), expected)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
