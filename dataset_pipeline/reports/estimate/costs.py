"""What was measured on excerpts, scaled to all that is due: time, disk and memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.project import export_root, store_of
from dataset_pipeline.models.device import onnx_device, torch_device
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.reports.estimate.excerpts import Excerpt
from dataset_pipeline.reports.estimate.passes import Pass, Spent
from dataset_pipeline.reports.estimate.scaling import (
    Rate,
    Units,
    driver_of,
    fitted,
)
from dataset_pipeline.reports.estimate.subjects import Subject, like
from dataset_pipeline.settings import Settings

TORCH_ROLES = frozenset({"embedder", "quality"})


@dataclass(frozen=True)
class Stage:
    """What one asset will cost over all episodes."""

    asset: str
    seconds: float
    disk_bytes: float
    driver: str
    units: float


@dataclass(frozen=True)
class Estimate:
    """What a run will cost. `seconds` is of the wall clock; stages besides assets: what is paid once (`start`), each
    run's own (`dagster`). `disk_bytes` by place: store, exports, history. `rests_on` says what was measured."""

    seconds: float
    core_seconds: float
    stages: list[Stage]
    disk_bytes: dict[str, float]
    free_bytes: dict[str, int]
    units: dict[str, float]
    episodes: int
    done: list[str]
    rests_on: dict[str, Any]
    devices: dict[str, str]
    peak_memory_bytes: int
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def lacking_bytes(self) -> dict[str, float]:
        """By disk, what is needed beyond what is free on it."""
        need: dict[str, float] = {}
        for place, disk in self._disks().items():
            need[disk] = need.get(disk, 0.0) + self.disk_bytes[place]
        return {disk: more - self.free_bytes[disk] for disk, more in need.items() if more > self.free_bytes[disk]}

    def _disks(self) -> dict[str, str]:
        return {place: self.rests_on["disks"][place] for place in self.disk_bytes if place in self.rests_on["disks"]}


@dataclass(frozen=True)
class Measured:
    """The three passes, which excerpts the third was of, and what is known of the whole sources."""

    cold: Pass
    small: Pass
    large: Pass
    excerpts: dict[str, Excerpt]
    subjects: list[Subject]
    wholes: dict[str, Units]
    probe_s: dict[str, float]
    probe_core_s: float
    took_s: float


@dataclass(frozen=True)
class Job:
    """What is to be done: the units of every episode, which assets of it are due, and the sampled source that stands
    for it."""

    to_do: list[Subject]
    units: dict[str, Units]
    due: Mapping[str, set[str]]
    stands_for: dict[str, Subject]
    every_frame_is_looked_at: bool


def scaled(
    settings: Settings,
    subjects: Sequence[Subject],
    to_do: list[Subject],
    due: Mapping[str, set[str]],
    done: list[str],
    faults: dict[str, str],
    found: Measured,
    start_s: float,
    start_core_s: float,
) -> Estimate:
    """What was measured, scaled to all that is due."""
    large = found.large
    stands_for = {subject.source.key: like(subject, found.subjects) for subject in subjects}
    units = {}
    for subject in subjects:
        other = stands_for[subject.source.key]
        grown = found.wholes[other.source.key] * (subject.length / other.length)
        units[subject.source.key] = replace(grown, sources=1.0, seconds=subject.seconds)
    job = Job(to_do, units, due, stands_for, settings.keyframes.looks_at_every_frame)
    each = large.wall.each_s, large.core.each_s
    small_each = found.small.wall.each_s, found.small.core.each_s
    probes = sum(found.probe_s.values()) or 1.0
    stages = _stages(
        job,
        found,
        found.cold.wall.as_if_all(small_each[0]),
        found.small.wall.as_if_all(small_each[0]),
        large.wall.as_if_all(each[0]),
        found.probe_s,
        start_s,
    )
    of_cores = _stages(
        job,
        found,
        found.cold.core.as_if_all(small_each[1]),
        found.small.core.as_if_all(small_each[1]),
        large.core.as_if_all(each[1]),
        {key: spent_s * found.probe_core_s / probes for key, spent_s in found.probe_s.items()},
        start_core_s,
    )
    exported = next(stage for stage in stages if stage.asset == "exported_set")
    selected = large.all_units.selected
    needs = {
        "store": sum(stage.disk_bytes for stage in stages if stage.asset in DECLARATIONS),
        "exports": large.bytes_of["exports"] * exported.units / selected if selected else 0.0,
        "history": large.history_bytes / len(large.units) * len(to_do),
    }
    disks, free = _free(settings, needs)
    return Estimate(
        seconds=sum(stage.seconds for stage in stages),
        core_seconds=sum(stage.seconds for stage in of_cores),
        stages=stages,
        disk_bytes=needs,
        free_bytes=free,
        units=sum(units.values(), Units()).as_dict(),
        episodes=len(to_do),
        done=done,
        rests_on={
            "took_s": found.took_s,
            "episodes": [subject.source.key for subject in found.subjects],
            "windows": sum(excerpt.windows for excerpt in found.excerpts.values()),
            "seconds_of_video": sum(excerpt.seconds for excerpt in found.excerpts.values()),
            "units": large.all_units.as_dict(),
            "looked_at": {role: looks.looked_at for role, looks in large.wall.all_looks.items() if looks.given},
            "each_s": each[0],
            "disks": disks,
        },
        devices=devices_of(settings),
        peak_memory_bytes=peak_memory_bytes(),
        faults=faults,
    )


def _stages(
    job: Job, found: Measured, cold: Spent, small: Spent, large: Spent, probe_s: Mapping[str, float], start_s: float
) -> list[Stage]:
    """Every asset over all episodes that are due, what is paid once and what runs cost, by one clock."""
    stages = [
        _together(asset, job, found, small, large)
        if declaration.joined or declaration.projection
        else _one_by_one(asset, job, found, small, large, probe_s)
        for asset, declaration in DECLARATIONS.items()
        if not declaration.on_demand
    ]
    runs = len(job.to_do) + found.large.outcome.runs - len(found.large.units)
    run_s = max(0.0, large.total_s - sum(large.steps.values())) / found.large.outcome.runs
    once_s = start_s + max(0.0, cold.total_s - small.total_s)
    return [*stages, Stage("start", once_s, 0.0, "once", 1), Stage("dagster", run_s * runs, 0.0, "runs", runs)]


def _together(asset: str, job: Job, found: Measured, small: Spent, large: Spent) -> Stage:
    """A join or a projection: one step for all episodes."""
    driver = driver_of(asset)
    every = DECLARATIONS[asset].joined
    mine = [job.units[key] for key, assets in job.due.items() if every or asset in assets]
    amount, many = sum(getattr(it, driver) for it in mine), getattr(found.large.all_units, driver)
    before = getattr(found.small.all_units, driver), small.steps.get((asset, ""), 0.0)
    rate = fitted(before, (many, large.steps.get((asset, ""), 0.0)))
    bytes_each = found.large.bytes_of.get(asset, 0) / many if many else 0.0
    return Stage(asset, rate.of(amount) if mine else 0.0, bytes_each * amount, driver, amount)


def _one_by_one(
    asset: str, job: Job, found: Measured, small: Spent, large: Spent, probe_s: Mapping[str, float]
) -> Stage:
    """An asset of each episode by itself, at the rate of the sampled source that stands for it.

    Where `keyframes` looks at every frame, what it takes finds the shots too: that is what `shots` costs without it.
    """
    drivers, rates = _rates(asset, job, found, small, large)
    by_keyframes = _rates("keyframes", job, found, small, large)[1] if asset == "shots" else rates
    seconds = amount = 0.0
    for subject in job.to_do:
        key, other = subject.source.key, job.stands_for[subject.source.key].source.key
        if asset in job.due[key]:
            work = getattr(job.units[key], drivers[other])
            amount += work
            looks_itself = job.every_frame_is_looked_at and "keyframes" not in job.due[key]
            probed = asset == "video_probe" and not subject.is_folder
            seconds += probe_s[other] if probed else (by_keyframes if looks_itself else rates)[other].of(work)
    much = sum(getattr(units, drivers[key]) for key, units in found.large.units.items())
    bytes_each = found.large.bytes_of.get(asset, 0) / much if much else 0.0
    return Stage(asset, seconds, bytes_each * amount, drivers[found.subjects[0].source.key], amount)


def _rates(asset: str, job: Job, found: Measured, small: Spent, large: Spent) -> tuple[dict[str, str], dict[str, Rate]]:
    """By sampled source, the unit that an asset's cost grows with, and its rate."""
    first = found.subjects[0].source.key
    drivers = {
        subject.source.key: driver_of(asset, subject.is_folder, job.every_frame_is_looked_at)
        for subject in found.subjects
    }
    much = {key: getattr(units, drivers[key]) for key, units in found.large.units.items()}
    before = getattr(found.small.units[first], drivers[first]), small.steps.get((asset, first), 0.0)
    rates = {first: fitted(before, (much[first], large.steps.get((asset, first), 0.0)))}
    for key in much.keys() - {first}:
        fixed_s, spent_s = rates[first].fixed, large.steps.get((asset, key), 0.0)
        rates[key] = Rate(fixed_s, max(0.0, spent_s - fixed_s) / much[key]) if much[key] else Rate(spent_s, 0.0)
    return drivers, rates


def nothing_due(settings: Settings, done: list[str]) -> Estimate:
    needs = {"store": 0.0, "exports": 0.0, "history": 0.0}
    disks, free = _free(settings, needs)
    rests_on = {"took_s": 0.0, "episodes": [], "disks": disks}
    return Estimate(0.0, 0.0, [], needs, free, {}, 0, done, rests_on, devices_of(settings), peak_memory_bytes())


def _free(settings: Settings, needs: Mapping[str, float]) -> tuple[dict[str, str], dict[str, int]]:
    """The disk of each place, named by the folder that is there of it, and what is free on each disk. A store that is
    no folder of this machine has none."""
    root = store_of(settings).root
    places = {"exports": export_root(settings)} | ({} if "://" in root else {"store": Path(root)})
    disks: dict[str, str] = {}
    free: dict[str, int] = {}
    by_device: dict[int, str] = {}
    for place, folder in sorted(places.items(), reverse=True):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        disk = by_device.setdefault(there.stat().st_dev, str(there))
        disks[place], free[disk] = disk, shutil.disk_usage(disk).free
    return disks, free


def devices_of(settings: Settings) -> dict[str, str]:
    """On which device each role's model runs."""
    torch_on, onnx_on = str(torch_device(settings.models.device)), str(onnx_device(settings.models.device))
    return {role: torch_on if role in TORCH_ROLES else onnx_on for role in model_resources(settings)}


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
