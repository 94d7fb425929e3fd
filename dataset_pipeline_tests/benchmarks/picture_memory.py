"""What it saves that a run hands its pictures from step to step instead of reading them back.

    uv run python dataset_pipeline_tests/benchmarks/picture_memory.py [--clip VIDEO] [--mib 768]

Measures one 1080p clip (a drawn one of a minute, unless another is given) with the demo networks, in a fresh process
each: without a memory for pictures and with one. Prints CPU seconds and the most memory of both, their ratio, and
whether all tables came out the same. On Linux and macOS only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from costs import most_memory_mb, timed
from projects import project_at

from dataset_pipeline.demo.episodes import DEMO_SHOW, write_episode
from dataset_pipeline.orchestration.runs import phases

SIZE = (1920, 1080)


def measured(clip: Path, folder: Path, mib: int) -> dict[str, float | dict[str, str]]:
    """CPU seconds, wall seconds, the most memory in MB, and the data version of each table, of measuring one clip."""
    assets = next(phase.assets for phase in phases() if not phase.joined)
    with project_at(folder, [clip], store__picture_memory_mib=mib) as project:
        [episode] = project.episodes
        _, cost = timed(lambda: project.make(assets, episode))
    pointers = {asset: project.store.pointer(asset, episode) for asset in assets}
    versions = {asset: pointer.data_version for asset, pointer in pointers.items() if pointer}
    return {**cost._asdict(), "peak_mb": most_memory_mb(), "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--mib", type=int, default=768)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.into:
        print(json.dumps(measured(arguments.clip, arguments.into, arguments.mib)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, clip = Path(temporary), arguments.clip
        if clip is None:
            (folder / "show").mkdir()
            clip = write_episode(folder / "show", folder / "truth", dataclasses.replace(DEMO_SHOW, size=SIZE), 1)
        results = {}
        for mib in (0, arguments.mib):
            command = [sys.executable, __file__, "--clip", str(clip), "--mib", str(mib), "--into", f"{folder}/{mib}"]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            results[mib] = json.loads(out.splitlines()[-1])
            row = results[mib]
            print(
                f"{mib:5} MiB: {row['core_s']:.1f} core-s, {row['wall_s']:.1f} s, at most {row['peak_mb']:,.0f} MB "
                f"({clip.name})",
                flush=True,
            )
        without, with_memory = results[0], results[arguments.mib]
        print(f"core-s without : with = {without['core_s'] / with_memory['core_s']:.2f}")
        print("tables are", "the same" if without["versions"] == with_memory["versions"] else "NOT the same")


if __name__ == "__main__":
    main()
