"""Measuring what a run will cost: the real graph, on excerpts, in a store and a Dagster instance that are thrown away.

Three passes. The first two are of the same short excerpt: what the first costs more is what is paid once (imports,
weights). The third is as long as the time that is left allows: its difference to the second tells what grows with the
work from what every step costs. Slow models look at a few pictures only.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import psutil

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.graph.declaration import DECLARATIONS, is_joined
from dataset_pipeline.graph.materializing import is_current
from dataset_pipeline.graph.project import export_root, store_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.pictures import PictureFile, list_pictures
from dataset_pipeline.models.device import onnx_device, torch_device
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Outcome, materialize_all
from dataset_pipeline.orchestration.unfinished import PARTITION_TAG
from dataset_pipeline.repeated.near_duplicates import decide_distinct
from dataset_pipeline.reports.estimate.excerpts import Excerpt, copied, cut, key_frames_of, spread
from dataset_pipeline.reports.estimate.sampled_models import METHODS, SampledModel
from dataset_pipeline.reports.estimate.scaling import (
    Looks,
    Rate,
    Units,
    distinct_of,
    driver_of,
    fitted,
    whole_of,
)
from dataset_pipeline.reports.run_report import report_on, write_character_sheet
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.media import probe_source
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.left_out import PLAIN
from dataset_pipeline.store.store import Store, TableOutdated
from dataset_pipeline.video.durations import measured, promised_duration_s
from dataset_pipeline.video.stream import VideoError, open_video

FIRST_SHARE = 1 / 10  # of the time for measuring: so long is the excerpt of the first two passes ...
FIRST_PICTURES = 6  # ... or so many pictures of a folder
LEAST_GROWTH = 2.5  # the third pass is so much longer than the second, whatever time is left
WINDOW_S = 8.0  # shortest window of the third pass: long enough for neighbours to be near-duplicates
MOST_WINDOWS = 12
SAMPLED_SOURCES = 3
LOOK_SHARE = 1 / 12  # of the time for measuring, one model may look for so long in the third pass
NOTED_EVERY_S = 0.02
TORCH_ROLES = frozenset({"embedder", "quality"})


class NothingToMeasure(PermanentError):
    """No source can be read, or no excerpt of any went through the graph."""


@dataclass(frozen=True)
class Subject:
    """A source as its headers show it: seconds of video, or pictures of a folder. `look`: codec and size in pixels."""

    source: Source
    seconds: float
    look: tuple[str, int, int]
    pictures: tuple[PictureFile, ...] = ()

    @property
    def is_folder(self) -> bool:
        return self.source.kind == "folder"

    @property
    def length(self) -> float:
        """Pictures of a folder, seconds of a video."""
        return float(len(self.pictures)) if self.is_folder else self.seconds


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


def subjects_of(sources: Sequence[Source]) -> tuple[list[Subject], dict[str, str]]:
    """What the headers of the sources say, and why of some nothing can be told, by path."""

    def look_at(source: Source) -> Subject | str:
        if source.kind == "folder":
            pictures = tuple(list_pictures(source.path))
            return Subject(source, 0.0, ("pictures", 0, 0), pictures) if pictures else "holds no pictures"
        try:
            with open_video(source.path) as (container, stream):
                seconds = promised_duration_s(container, stream)
                rate, look = float(stream.average_rate or 0), (stream.codec.name, stream.width, stream.height)
            seconds = seconds or measured(source.path, rate)[1]
        except (VideoError, OSError) as error:
            return getattr(error, "reason", "") or str(error)
        return Subject(source, seconds, look) if seconds > 0 else "holds no frames"

    found = map_all(look_at, list(sources))
    faults = {str(source.path): it for source, it in zip(sources, found, strict=True) if isinstance(it, str)}
    return [it for it in found if isinstance(it, Subject)], faults


def due_of(settings: Settings, sources: Sequence[Source]) -> dict[str, set[str]]:
    """By episode, the assets that the next run makes again, as far as the store tells; what only reads a join counts if
    anything is due at all."""
    store = store_of(settings)
    resources = SimpleNamespace(settings=settings, store=store, **model_resources(settings))
    by_episode = [asset for asset in DECLARATIONS if not is_joined(asset)]

    def due(source: Source) -> set[str]:
        found: set[str] = set()
        try:
            pointer = store.pointer("video", source.key)
        except TableOutdated:
            pointer = None
        if pointer is None or pointer.provenance.fingerprint != source.fingerprint:
            return set(by_episode)
        for asset in by_episode:
            declaration = DECLARATIONS[asset]
            try:
                fresh = is_current(Step(declaration, resources, source.key, None, [source.key]))
            except PermanentError:
                fresh = False
            if not fresh or found & set(declaration.reads):
                found.add(asset)
        return found

    return dict(zip([source.key for source in sources], map_all(due, list(sources)), strict=True))


def sampled(subjects: Sequence[Subject]) -> list[Subject]:
    """The sources to cut excerpts from: one of each look, those with most to do first, then others of the first."""
    by_look: dict[tuple[str, int, int], list[Subject]] = {}
    for subject in subjects:
        by_look.setdefault(subject.look, []).append(subject)
    looks = sorted(by_look.values(), key=lambda members: -sum(member.length for member in members))
    chosen = [members[len(members) // 2] for members in looks[:SAMPLED_SOURCES]]
    rest = [member for member in looks[0] if member not in chosen]
    wanted = min(SAMPLED_SOURCES - len(chosen), len(rest))
    return chosen + [rest[(2 * n + 1) * len(rest) // (2 * wanted)] for n in range(wanted)]


def like(subject: Subject, among: Sequence[Subject]) -> Subject:
    """The sampled source that stands for another: of the same kind and codec if there is one, nearest in pixels."""

    def distance(other: Subject) -> tuple[bool, bool, int, float]:
        pixels = subject.look[1] * subject.look[2], other.look[1] * other.look[2]
        length = abs(subject.length - other.length)
        return (
            subject.is_folder != other.is_folder,
            subject.look[0] != other.look[0],
            abs(pixels[0] - pixels[1]),
            length,
        )

    return subject if subject in among else min(among, key=distance)


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
        history_bytes = _bytes_in(self.root / "home")
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
        sizes = {folder.name: _bytes_in(folder) for folder in places["store"].iterdir() if folder.is_dir()}
        sizes["exports"] = _bytes_in(places["exported_set"])
        wall, core = Spent(wall_s, {}, {}), Spent(core_s, {}, {})
        self._note_steps(wall, core, cores)
        return Pass(
            wall,
            core,
            outcome,
            {key: _units_in(store, key) for key in keys},
            sizes,
            _bytes_in(self.root / "home") - history_bytes,
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
    selected = _reasons(store, episode).count("selected")
    return Units(1, seconds, rows["keyframes"], rows["stills"], crops, rows["images"], selected)


def _reasons(store: Store, episode: str) -> list[str]:
    """Why each image of an excerpt was selected or not."""
    found = store.find("selection", episode)
    return [] if found is None else found["reason"].to_pylist()


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _halves(store: Store, episode: str, settings: Settings) -> list[int]:
    """How many stay of either half of an excerpt's candidates, each on its own."""
    frames = store.read("keyframes", episode).sort_by([("pts", "ascending"), ("image_id", "ascending")])
    embeddings = store.read("frame_embeddings", episode)
    middle = frames.num_rows // 2
    if not middle:
        return []
    halves = [frames.slice(0, middle), frames.slice(middle)]
    return [
        sum(row["kept"] for row in decide_distinct(half, embeddings, settings.distinct_frames, settings.frame_defects))
        for half in halves
    ]


def estimate(
    settings: Settings,
    sources: Sequence[Source],
    build: Callable[..., dg.Definitions],
    seconds: float = 60.0,
    began_s: float | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Estimate:
    """What a run over these sources will cost on this machine, from about so many `seconds` of measuring.

    `build` makes the definitions (`build_definitions`); `began_s`: when the process began, by the system's clock.
    Raises NothingToMeasure, and what the models raise.
    """
    until_s = time.monotonic() + seconds
    start_s, start_core_s = (time.time() - began_s, time.process_time()) if began_s else (0.0, 0.0)
    subjects, faults = subjects_of(sources)
    due = due_of(settings, [subject.source for subject in subjects])
    done = [key for key, assets in due.items() if not assets]
    to_do = [subject for subject in subjects if due[subject.source.key]]
    if not to_do:
        if faults:
            raise NothingToMeasure("; ".join(f"{path}: {reason}" for path, reason in faults.items()))
        return _nothing_due(settings, done)
    chosen = sampled(to_do)
    with (
        tempfile.TemporaryDirectory(prefix="dataset-pipeline-", ignore_cleanup_errors=True) as temporary,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        root = Path(temporary)
        (root / "home").mkdir()
        (root / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
        opened_s, opened_core_s = time.monotonic(), time.process_time()
        with dg.DagsterInstance.from_config(str(root / "home")) as instance:
            bench = Bench(root, instance, settings, build)
            start_s += time.monotonic() - opened_s
            start_core_s += time.process_time() - opened_core_s
            measured_all = _measured(bench, chosen, until_s, seconds, progress)
    return _scaled(settings, subjects, to_do, due, done, faults, measured_all, start_s, start_core_s)


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


def _measured(
    bench: Bench,
    chosen: Sequence[Subject],
    until_s: float,
    seconds: float,
    progress: Callable[[str, int, int], None],
) -> Measured:
    begun_s, first = time.monotonic(), chosen[0]
    short = _excerpt(first, bench.root / "short", FIRST_PICTURES if first.is_folder else seconds * FIRST_SHARE)
    progress("loading models", 0, 3)
    bench.let_look(0.0)
    cold = bench.warmed(bench.run("cold", [_as_source(first, short)]))
    progress("measuring a short excerpt", 1, 3)
    bench.let_look(seconds * LOOK_SHARE / 2)
    small = bench.run("small", [_as_source(first, short)])
    progress("measuring longer excerpts", 2, 3)
    core_s, probe_s = time.process_time(), {subject.source.key: _seconds_of_probe(subject) for subject in chosen}
    core_s = time.process_time() - core_s
    steps = list(small.wall.steps.values())
    growing_s = max(0.1, sum(steps) - len(steps) * min(steps))
    left_s = until_s - time.monotonic() - (small.wall.total_s - growing_s)
    length = _length(first, short)
    affordable = length * max(LEAST_GROWTH, 0.8 * left_s / growing_s)
    excerpts, large = {first.source.key: short}, small
    if short.path != first.source.path or len(chosen) > 1:
        share = max(affordable / len(chosen), length)
        excerpts = {
            subject.source.key: _excerpt(subject, bench.root / f"long{number}", share)
            for number, subject in enumerate(chosen)
        }
        bench.let_look(seconds * LOOK_SHARE)
        large = bench.run("large", [_as_source(subject, excerpts[subject.source.key]) for subject in chosen])
    within_s = max(1.0, until_s - time.monotonic()) / len(chosen)
    wholes = {subject.source.key: _whole(bench.settings, large, subject, excerpts, within_s) for subject in chosen}
    return Measured(cold, small, large, excerpts, list(chosen), wholes, probe_s, core_s, time.monotonic() - begun_s)


def _length(subject: Subject, excerpt: Excerpt) -> float:
    return float(len(list_pictures(excerpt.path))) if subject.is_folder else excerpt.seconds


def _excerpt(subject: Subject, folder: Path, length: float) -> Excerpt:
    """An excerpt of about that length; the source itself where it is little longer."""
    path = subject.source.path
    share = length / subject.length
    if share > 0.8:
        return Excerpt(path, 1, subject.seconds, 0)
    if subject.is_folder:
        return copied(subject.pictures, folder / path.name, round(length))
    folder.mkdir()
    return cut(path, folder / f"{path.stem}.mkv", spread(subject.seconds, share, MOST_WINDOWS, WINDOW_S))


def _as_source(subject: Subject, excerpt: Excerpt) -> Source:
    size = _bytes_in(excerpt.path) if subject.is_folder else excerpt.path.stat().st_size
    return replace(subject.source, path=excerpt.path, size_bytes=size)


def _seconds_of_probe(subject: Subject) -> float:
    """How long it takes to probe a whole video; a folder's pictures cost one by one."""
    if subject.is_folder:
        return 0.0
    start_s = time.perf_counter()
    probe_source({"episode": subject.source.key, "path": str(subject.source.path), "kind": subject.source.kind})
    return time.perf_counter() - start_s


def _whole(
    settings: Settings, large: Pass, subject: Subject, excerpts: Mapping[str, Excerpt], within_s: float
) -> Units:
    """The units of a whole source of which an excerpt went through the graph."""
    key, excerpt = subject.source.key, excerpts[subject.source.key]
    sample = large.units[key]
    if excerpt.path == subject.source.path:
        return sample
    if subject.is_folder:
        candidates = sample.candidates * len(subject.pictures) / max(1, len(list_pictures(excerpt.path)))
    elif settings.keyframes.mode == "iframes" and excerpt.key_frames:
        frames = key_frames_of(subject.source.path, subject.seconds, within_s)
        candidates = sample.candidates * frames / excerpt.key_frames
    else:
        candidates = sample.candidates * subject.seconds / max(sample.seconds, 1e-9)
    halves = _halves(large.store, key, settings)
    stills = distinct_of(candidates, int(sample.candidates), int(sample.stills), halves)
    # Few crops show nobody often enough to be known; the whole may, so these images count as selected there.
    unknown = _reasons(large.store, key).count("nobody_known")
    sample = replace(sample, selected=sample.selected + unknown)
    return whole_of(sample, subject.seconds, candidates, stills)


@dataclass(frozen=True)
class Job:
    """What is to be done: the units of every episode, which assets of it are due, and the sampled source that stands
    for it."""

    to_do: list[Subject]
    units: dict[str, Units]
    due: Mapping[str, set[str]]
    stands_for: dict[str, Subject]
    every_frame_is_looked_at: bool


def _scaled(
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
    job = Job(to_do, units, due, stands_for, settings.keyframes.mode != "iframes")
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
    """An asset of each episode by itself, at the rate of the sampled source that stands for it."""
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
    seconds = amount = 0.0
    for subject in job.to_do:
        key, other = subject.source.key, job.stands_for[subject.source.key].source.key
        if asset in job.due[key]:
            work = getattr(job.units[key], drivers[other])
            amount += work
            probed = asset == "video_probe" and not subject.is_folder
            seconds += probe_s[other] if probed else rates[other].of(work)
    bytes_each = found.large.bytes_of.get(asset, 0) / sum(much.values()) if any(much.values()) else 0.0
    return Stage(asset, seconds, bytes_each * amount, drivers[first], amount)


def _nothing_due(settings: Settings, done: list[str]) -> Estimate:
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
