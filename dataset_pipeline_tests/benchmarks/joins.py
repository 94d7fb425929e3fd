"""CPU seconds and memory of each join, and of projections, over a store of very many images.

    python dataset_pipeline_tests/benchmarks/joins.py [--episodes 1000] [--images 100] [--root FOLDER] [ASSET ...]

One show of a dozen episodes is drawn and goes through the whole graph (`thousand_episodes.py`); the others are copies
of its tables under other keys, so that all tables are as the assets write them. Pictures are not copied. Each asset is
made, due or not, in a process of its own, whose peak memory counts what it imports. A projection is made for PROJECTED
episodes in one run, so what it prepares once for all of them counts in full. `--root` keeps the store. `--profile`
prints where an asset's time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import pyarrow as pa
import pyarrow.compute
import thousand_episodes as drawing

from dataset_pipeline.graph import materializing, step
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS, is_joined
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.staleness import Verdict
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import MAY_BE_ABSENT
from dataset_pipeline.orchestration.runs import materialize_all, phases
from dataset_pipeline.store.store import Store

pc: Any = pyarrow.compute
SHOW, EPISODES_A_SHOW = "show-000", 12
PROJECTED = 24
ROW = "{:22} {:>9} {:>8} {:>8} {:>8}  {}"
ORDER = [asset for phase in phases(leave_out=["exported_set"]) for asset in phase.assets]
JOINS = [asset for asset in ORDER if DECLARATIONS[asset].joined]
PROJECTIONS = [asset for asset in ORDER if DECLARATIONS[asset].projection and asset != "training_images"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100, help="an episode: half of them stills, half crops")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--here", action="store_true", help="make the assets in this process")
    parser.add_argument("assets", nargs="*", default=[*JOINS, *PROJECTIONS])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    keys = [f"show-{show:03d}.e{n:02d}" for show in range(-(-given.episodes // EPISODES_A_SHOW)) for n in range(12)]
    keys = keys[: given.episodes]
    with contextlib.ExitStack() as stack:
        root = given.root or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.here:
            stack.enter_context(mock.patch.object(materializing, "verdict_on", _due))
            # Joins by show keep no rows of last time.
            stack.enter_context(mock.patch.object(step, "_rows_made_from", lambda _, made_from, schema: schema.empty()))
            return make(root, given.assets, keys, given.profile)
        draw(root, keys, given.images, {it for asset in given.assets for it in DECLARATIONS[asset].reads})
        print(ROW.format("made", "rows", "CPU s", "wall s", "peak MB", "data version"))
        for asset in given.assets:
            print(ROW.format(*by_itself(root, asset, given)), flush=True)


def by_itself(root: Path, asset: str, given: argparse.Namespace) -> list[str]:
    command = [sys.executable, __file__, asset, "--here", "--root", str(root), "--episodes", str(given.episodes)]
    done = subprocess.run([*command, *(["--profile"] if given.profile else [])], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return [asset, "failed", "", "", "", ""]
    *told, line = done.stdout.splitlines()
    print("\n".join(told), end="\n" if told else "", flush=True)
    return json.loads(line)


def make(root: Path, assets: Sequence[str], keys: Sequence[str], profile: bool) -> None:
    """Make assets and print a line on each."""
    settings = drawing.settings_of(root)
    resources = drawing.bundle_of(settings)
    for asset in assets:
        declaration, shared = DECLARATIONS[asset], {}
        episodes = [None] if declaration.joined else keys[:PROJECTED]
        profiler = cProfile.Profile()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        with profiler if profile else contextlib.nullcontext():
            made = [
                materialize(
                    ASSETS[asset],
                    Step(declaration, resources, it, _Log(), keys if declaration.joined else keys[:PROJECTED], shared),
                )[0]
                for it in episodes
            ]
        cpu_s, wall_s = time.process_time() - start_cpu_s, time.perf_counter() - start_s
        if profile:
            pstats.Stats(profiler, stream=sys.stdout).sort_stats("cumulative").print_stats(45)
        peak_mb = drawing.memory_peak().rpartition("peak ")[2].removesuffix(" MB")
        version = made[0].data_version if declaration.joined else ""
        rows = str(sum(pointer.rows for pointer in made))
        print(json.dumps([asset, rows, f"{cpu_s:.1f}", f"{wall_s:.1f}", peak_mb, version]))


def _due(*_: Any) -> Verdict:
    """A mock would keep what it is asked about: the names of all pictures that are not there."""
    return Verdict(stale=("asked for",))


class _Log:
    def __getattr__(self, name: str) -> Any:
        return lambda text: None


def draw(root: Path, keys: Sequence[str], images: int, read: Set[str]) -> None:
    """Write the tables that are `read`, of all episodes, into the store below `root`, unless they are there. Of these
    the joined tables are those of the drawn show."""
    store = drawing.store_of(drawing.settings_of(root))
    there = [set(store.episodes(asset)) for asset in read if not is_joined(asset) and asset not in MAY_BE_ABSENT]
    if absent := [key for key in keys if not all(key in episodes for episodes in there)]:
        start_s = time.perf_counter()
        drawn = drawn_show(root / "drawn", images)
        with mock.patch("os.fsync"):
            for asset in filter(is_joined, read):
                store.write(asset, drawn.read(asset))
            for key in absent:
                copy(drawn, store, key, read)
        print(f"{len(absent)} episodes in {time.perf_counter() - start_s:.0f} s", flush=True)


def drawn_show(root: Path, images: int) -> Store:
    """The store of one show whose episodes went through the graph."""
    drawing.STILLS, drawing.CANDIDATES = images // 2, images * 6 // 10
    (root / "dagster").mkdir(parents=True, exist_ok=True)
    history = root.absolute() / "dagster" / "history"
    (root / "dagster" / "dagster.yaml").write_text(drawing.INSTANCE.format(history=history))
    with dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
        project = drawing.Project(root, drawing.settings_of(root), instance)
        names = [f"{SHOW}.e{number:02d}" for number in range(EPISODES_A_SHOW)]
        if not project.store.episodes("tag_scores"):
            drawing.add(project, names, drawing.CHARACTERS)
        outcome = materialize_all(project.definitions, instance, project.settings, [], leave_out=["exported_set"])
        if outcome.failures:
            sys.exit(f"{outcome.failures[0].asset}: {outcome.failures[0].error}")
        return project.store


def copy(drawn: Store, store: Store, key: str, read: Set[str]) -> None:
    """Write the tables of the drawn episode of that number under another key."""
    show = key.partition(".")[0]
    of = key.replace(show, SHOW)
    for asset, table, pointer in tables_of(drawn, of):
        if asset in read:
            store.write(asset, renamed(table, show), key, pointer.provenance)


_TABLES: dict[str, list] = {}


def tables_of(drawn: Store, episode: str) -> list:
    if episode not in _TABLES:
        found = [
            (asset, drawn.find(asset, episode), drawn.pointer(asset, episode)) for asset in drawn.assets_of(episode)
        ]
        _TABLES[episode] = [(asset, table, pointer) for asset, table, pointer in found if table is not None]
    return _TABLES[episode]


def renamed(table: pa.Table, show: str) -> pa.Table:
    return pa.table([_renamed(column.combine_chunks(), show) for column in table.columns], schema=table.schema)


def _renamed(array: Any, show: str) -> Any:
    kind = array.type
    if pa.types.is_string(kind):
        return pc.replace_substring(array, SHOW, show)
    if pa.types.is_struct(kind):
        fields = [_renamed(values, show) for values in array.flatten()]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())
    if pa.types.is_list(kind) and not pa.types.is_primitive(kind.value_type):
        offsets = pa.array([0, *pc.cumulative_sum(pc.fill_null(array.value_lengths(), 0)).to_pylist()], pa.int32())
        return pa.ListArray.from_arrays(offsets, _renamed(array.flatten(), show), type=kind, mask=array.is_null())
    return array


if __name__ == "__main__":
    main()
