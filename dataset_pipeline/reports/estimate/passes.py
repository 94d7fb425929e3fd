"""Excerpts in the real graph, in a store and a Dagster instance that are thrown away, with clocks on every step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import numpy as np

from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Outcome, materialize_all
from dataset_pipeline.orchestration.unfinished import PARTITION_TAG
from dataset_pipeline.reports.estimate.sampled_models import METHODS, SampledModel
from dataset_pipeline.reports.estimate.scaling import (
    Looks,
    Units,
)
from dataset_pipeline.reports.estimate.subjects import NothingToMeasure
from dataset_pipeline.reports.run_report import report_on, write_character_sheet
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.left_out import PLAIN
from dataset_pipeline.store.store import Store

NOTED_EVERY_S = 0.02

Key = tuple[str, str]  # an asset, and its episode; "" of joins and projections


@dataclass(frozen=True)
class Spent:
    """What a pass took by one clock: in all, in each step, and what models did in it, by role."""

    total_s: float
    steps: dict[Key, float]
    looks: dict[Key, dict[str, Looks]]

    @property
    def all_looks(self) -> dict[str, Looks]:
        found: dict[str, Looks] = {}
        for by_role in self.looks.values():
            for role, looks in by_role.items():
                found[role] = found.get(role, Looks()) + looks
        return found

    @property
    def each_s(self) -> dict[str, float]:
        """What a picture costs, by role."""
        return {role: looks.each_s for role, looks in self.all_looks.items()}

    def as_if_all(self, each_s: Mapping[str, float]) -> Spent:
        """The same, had the models looked at all that they were given."""
        steps = dict(self.steps)
        for key, by_role in self.looks.items():
            for role, looks in by_role.items():
                steps[key] = looks.as_if_all(steps[key], each_s.get(role, 0.0))
        more_s = sum(steps.values()) - sum(self.steps.values())
        return Spent(self.total_s + more_s, steps, {})


@dataclass(frozen=True)
class Pass:
    """One go of the graph over excerpts: what it took by the wall clock and in seconds of one core, and what it made.
    `bytes_of`: by asset, and of the `exports`."""

    wall: Spent
    core: Spent
    outcome: Outcome
    units: dict[str, Units]
    bytes_of: dict[str, int]
    history_bytes: int
    store: Store

    @property
    def all_units(self) -> Units:
        return sum(self.units.values(), Units())


class Cores:
    """Notes the seconds of one core that this process has spent, again and again, so that they can be told of any
    stretch of time."""

    def __init__(self) -> None:
        self.at_s, self.spent_s = [time.time()], [time.process_time()]
        self._over = threading.Event()
        threading.Thread(target=self._note, daemon=True).start()

    def _note(self) -> None:
        while not self._over.wait(NOTED_EVERY_S):
            self.at_s.append(time.time())
            self.spent_s.append(time.process_time())

    def close(self) -> None:
        self._over.set()

    def between(self, start_s: float, end_s: float) -> float:
        many = len(self.spent_s)
        before, after = np.interp([start_s, end_s], self.at_s[:many], self.spent_s[:many])
        return float(after - before)


class Bench:
    """A Dagster instance and stores in a folder that is thrown away, in which excerpts go through the graph."""

    def __init__(
        self, root: Path, instance: dg.DagsterInstance, settings: Settings, build: Callable[..., dg.Definitions]
    ) -> None:
        self.root, self.instance, self.settings = root, instance, settings
        self.models = {role: SampledModel(model) for role, model in model_resources(settings).items()}
        self.build = build
        self.seen: set[str] = set()

    def let_look(self, seconds: float) -> None:
        """For how long each model may look in the next pass. What is embedded decides which frames are distinct."""
        for role, model in self.models.items():
            model.budget_s = math.inf if role == "embedder" else seconds

    def run(self, name: str, sources: Sequence[Source]) -> Pass:
        """Take excerpts through the graph, in a store of the pass's own. Raises NothingToMeasure."""
        places = {"store": self.root / name / "store", "exported_set": self.root / name / "exports"}
        settings = self.settings.model_copy(
            update={
                section: getattr(self.settings, section).model_copy(update={"root": str(place)})
                for section, place in places.items()
            }
        )
        history_bytes = bytes_in(self.root / "home")
        for model in self.models.values():
            model.calls.clear()
        store, keys = store_of(settings), [source.key for source in sources]
        start_s, start_core_s = time.perf_counter(), time.process_time()
        cores = Cores()
        try:
            register(self.instance, store, settings, sources)
            outcome = materialize_all(self.build(settings, self.models), self.instance, settings, keys)
            report_on(store, outcome, {}, {})
            write_character_sheet(store, self.root / name / "characters.jpg")
        finally:
            cores.close()
        wall_s, core_s = time.perf_counter() - start_s, time.process_time() - start_core_s
        if bad := next((failure for failure in outcome.failures if failure.episode), None):
            raise NothingToMeasure(f"{bad.asset} failed on an excerpt of {bad.episode}: {bad.error}")
        sizes = {folder.name: bytes_in(folder) for folder in places["store"].iterdir() if folder.is_dir()}
        sizes["exports"] = bytes_in(places["exported_set"])
        wall, core = Spent(wall_s, {}, {}), Spent(core_s, {}, {})
        self._note_steps(wall, core, cores)
        return Pass(
            wall,
            core,
            outcome,
            {key: _units_in(store, key) for key in keys},
            sizes,
            bytes_in(self.root / "home") - history_bytes,
            store,
        )

    def warmed(self, cold: Pass) -> Pass:
        """The first pass, and the loading of models that had nothing to look at in it."""
        start_s, start_core_s = time.perf_counter(), time.process_time()
        for role, model in self.models.items():
            if not any(call.wall.looked_at for call in model.calls):
                kinds = [self.settings.detections.kinds] if role == "detector" else []
                getattr(model, METHODS[role])(iter([PLAIN]), *kinds)
        wall_s, core_s = time.perf_counter() - start_s, time.process_time() - start_core_s
        wall, core = cold.wall, cold.core
        return replace(
            cold,
            wall=replace(wall, total_s=wall.total_s + wall_s),
            core=replace(core, total_s=core.total_s + core_s),
        )

    def _note_steps(self, wall: Spent, core: Spent, cores: Cores) -> None:
        """Note the steps of the runs since the last pass."""
        for record in self.instance.get_run_records():
            run = record.dagster_run
            if run.run_id in self.seen:
                continue
            self.seen.add(run.run_id)
            for step in self.instance.get_run_step_stats(run.run_id):
                start_s, end_s = step.start_time, step.end_time
                if start_s is None or end_s is None:
                    continue
                asset = step.step_key.split("__")[-1]
                alone = not (DECLARATIONS[asset].joined or DECLARATIONS[asset].projection)
                key = asset, run.tags.get(PARTITION_TAG, "") if alone else ""
                for spent, seconds in ((wall, end_s - start_s), (core, cores.between(start_s, end_s))):
                    spent.steps[key] = spent.steps.get(key, 0.0) + seconds
                for role in DECLARATIONS[asset].models:
                    calls = [call for call in self.models[role].calls if start_s <= call.at_s <= end_s]
                    for spent, looks in (
                        (wall, sum((call.wall for call in calls), Looks())),
                        (core, sum((call.core for call in calls), Looks())),
                    ):
                        spent.looks.setdefault(key, {})[role] = looks


def _units_in(store: Store, episode: str) -> Units:
    """What a pass made of an excerpt."""
    seconds = store.read("video_probe", episode).to_pylist()[0].get("duration_s") or 0.0
    rows = {asset: store.read(asset, episode).num_rows for asset in ("keyframes", "stills", "images")}
    crops = sum(bool(path) for path in store.read("crops", episode)["path"].to_pylist())
    selected = reasons(store, episode).count("selected")
    return Units(1, seconds, rows["keyframes"], rows["stills"], crops, rows["images"], selected)


def reasons(store: Store, episode: str) -> list[str]:
    """Why each image of an excerpt was selected or not."""
    found = store.find("selection", episode)
    return [] if found is None else found["reason"].to_pylist()


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
