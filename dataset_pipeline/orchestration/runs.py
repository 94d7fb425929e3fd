"""Materializing the whole graph from the command line, in the instance that the web UI shows.

Each episode gets one run through those of its measuring assets that are due; joined assets follow, one run each level;
projections handle many episodes in one run. Episodes of which everything is current are passed over.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import dagster as dg

from dataset_pipeline.base.errors import PermanentError, full_disk
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.base.progress import TimeLeft
from dataset_pipeline.graph.declaration import DECLARATIONS, Declaration, declared, is_joined, parted
from dataset_pipeline.graph.materializing import is_current
from dataset_pipeline.graph.project import location_prefix, partitions_name
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import MAY_BE_ABSENT
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.orchestration.dagster_internals import FAILURE_PREFIX, backfill_of, keep_subsets
from dataset_pipeline.orchestration.together import printing_from
from dataset_pipeline.orchestration.unfinished import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    UnderWay,
    process_tags,
    project_tag,
    unfinished_backfills,
    unfinished_runs,
)
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.store import Store

QUIET = printing_from("CRITICAL")
LATEST_RUNS = 100  # of which earlier durations are read
WRAPPERS = ("Dagster", "RetryRequested")  # what Dagster wraps around an error
INTERRUPTS = frozenset({"KeyboardInterrupt", "DagsterExecutionInterruptedError"})


@dataclass(frozen=True)
class Phase:
    """Assets that run together: for each episode or each class alone, for all episodes at once, or joined."""

    assets: tuple[str, ...]
    joined: bool
    projection: bool
    by_class: bool = False

    @property
    def name(self) -> str:
        return ", ".join(self.assets)


@dataclass
class Failure:
    """An asset that could not be made: for which episode (empty if joined) and why."""

    asset: str
    episode: str
    error: str


@dataclass
class Outcome:
    """What a run of the graph did: measured `episodes`, and joined all `registered` ones."""

    episodes: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    runs: int = 0


def phases(
    leave_out: Sequence[str] = (),
    only: Collection[str] | None = None,
    graph: Mapping[str, Declaration] = DECLARATIONS,
) -> list[Phase]:
    """The graph in the order of the work: of the assets in `only`, or of all but those made on demand. Without the
    graph of a project by all that assets may read, so that it is one order under all settings.

    An asset's level is the number of times its inputs change between per episode, per class and joined. What is made on
    demand and not asked for makes nobody wait.
    """
    asked = {name for name, it in graph.items() if not it.on_demand} if only is None else set(only)

    @cache
    def level(asset: str) -> int:
        if asset not in graph:
            return 0
        mine = parted(asset)
        waits_for = [it for it in graph[asset].reads if it in asked or it not in graph or not graph[it].on_demand]
        return max((level(read) + (parted(read) != mine) for read in waits_for), default=int(mine != "episode"))

    @cache
    def depth(asset: str) -> int:
        return 1 + max((depth(read) for read in graph[asset].reads if read in graph), default=0)

    def group(asset: str) -> tuple[int, bool, bool, bool]:
        return level(asset), graph[asset].joined, graph[asset].projection, graph[asset].by_class

    wanted = sorted(asked.difference(leave_out), key=lambda a: (level(a), depth(a), a))
    return [
        Phase(tuple(members), joined, projection, by_class)
        for (_, joined, projection, by_class), members in itertools.groupby(wanted, key=group)
    ]


def materialize_all(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    episodes: Sequence[str],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    leave_out: Sequence[str] = (),
    time_left: TimeLeft | None = None,
    only: Collection[str] | None = None,
    within: str = "",
) -> Outcome:
    """Run the graph: measuring for `episodes`, everything after a join for all registered ones, where it is due; of it
    the assets in `only`, or all but those made on demand. within: the id of the run that this process carries, if any.

    `progress(what, done, total)` is called before each run, and `time_left` learns of the runs. One episode's failure
    leaves the others alone, now and in later runs. Raises KeyboardInterrupt if a run is interrupted.
    """
    start_s = time.monotonic()
    outcome = Outcome(
        episodes=list(episodes), registered=list(instance.get_dynamic_partitions(partitions_name(settings)))
    )
    try:
        work = _phases_under(settings, leave_out, only)
        make = partial(materialize_assets, defs, instance, settings, within=within)
        store = _store_of(defs)
        _work(make, instance, settings, store, outcome, progress, work, time_left or TimeLeft())
    except Exception as error:
        # Of a body's errors Dagster makes failures; this one is of its own history, and there is a report all the same.
        reason = full_disk(error, instance.storage_directory())
        if not reason:
            raise
        outcome.failures.append(Failure("Dagster's history", "", reason))
    outcome.seconds = time.monotonic() - start_s
    return outcome


def _store_of(defs: dg.Definitions) -> Store:
    """The store that runs of these definitions read and write, so that what they wrote is seen at once."""
    return (defs.resources or {})["store"]


@dataclass(frozen=True)
class Asked:
    """A backfill that the daemon carries out; empty if there is nothing to do. under_way: episodes that were due and
    have a run or a backfill already."""

    backfill_id: str
    episodes: list[str]
    under_way: list[str]


def submit_measuring(
    defs: dg.Definitions, instance: dg.DagsterInstance, settings: Settings, episodes: Sequence[str]
) -> Asked:
    """Ask the daemon for one run of the measuring assets for each episode for which that is due."""
    measuring = phases()[0].assets
    found = due(measuring, instance, settings, _store_of(defs), episodes)
    wanted = set().union(*(members for _, members in found))
    registered = instance.get_dynamic_partitions(partitions_name(settings))
    # A run of what follows from all episodes covers each of them, and measures none.
    keys = {dg.AssetKey([*location_prefix(settings), name]) for name in measuring}
    runs = [run for run in unfinished_runs(instance, settings) if keys & (run.asset_selection or keys)]
    work = UnderWay(registered, runs, unfinished_backfills(instance, settings))
    under_way = [episode for episode in episodes if episode in wanted and work.on(episode)]
    asked = [episode for episode in episodes if episode in wanted and episode not in under_way]
    if not asked:
        return Asked("", [], under_way)
    backfill = backfill_of(
        defs,
        instance,
        [dg.AssetKey([*location_prefix(settings), name]) for name in measuring],
        asked,
        {**project_tag(settings)},
        f"measure {len(asked)} episodes",
    )
    instance.add_backfill(backfill)
    return Asked(backfill.backfill_id, asked, under_way)


def _phases_under(settings: Settings, leave_out: Sequence[str], only: Collection[str] | None) -> list[Phase]:
    """The phases of a run: what was asked for on demand goes by what it reads under the settings, in no more runs than
    that takes."""
    return phases(leave_out, only, DECLARATIONS if only is None else declared(settings))


def earlier_rates(
    instance: dg.DagsterInstance,
    settings: Settings,
    sizes: Mapping[str, float],
    leave_out: Sequence[str] = (),
    only: Collection[str] | None = None,
) -> dict[str, float]:
    """By phase, the seconds for one unit of size that its latest runs took, for `TimeLeft`: an episode's by `sizes`, in
    the middle of those that are known; all else has the size 1."""
    work = {frozenset(phase.assets): phase for phase in _phases_under(settings, leave_out, only)}
    done = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags=project_tag(settings))
    rates: dict[str, list[float]] = {}
    for record in instance.get_run_records(done, limit=LATEST_RUNS):
        run, start_s, end_s = record.dagster_run, record.start_time, record.end_time
        phase = work.get(frozenset(key.path[-1] for key in run.asset_selection or ()))
        if phase is None or start_s is None or end_s is None:
            continue
        alone = not (phase.joined or phase.projection or phase.by_class)
        size = sizes.get(run.tags.get(PARTITION_TAG, "")) if alone else 1.0
        if size and (alone or phase.name not in rates):
            rates.setdefault(phase.name, []).append((end_s - start_s) / size)
    return {name: sorted(found)[len(found) // 2] for name, found in rates.items()}


def _work(
    make: Callable[..., list[Failure]],
    instance: dg.DagsterInstance,
    settings: Settings,
    store: Store,
    outcome: Outcome,
    progress: Callable[[str, int, int], None],
    work: Sequence[Phase],
    time_left: TimeLeft,
) -> None:
    episodes, registered = outcome.episodes, outcome.registered

    def execute(assets: Sequence[str], **partition: Any) -> bool:
        failures = make(assets, **partition)
        outcome.runs += 1
        outcome.failures += failures
        return not failures

    failed: set[str] = set()
    classes = [it.name for it in settings.regularization.classes]

    def keys_of(phase: Phase) -> Sequence[str]:
        return [""] if phase.joined or phase.projection else classes if phase.by_class else episodes

    def sizes_of(phase: Phase, keys: Iterable[str]) -> list[float]:
        by_episode = not (phase.joined or phase.projection or phase.by_class)
        return [time_left.size_of(key) if by_episode else 1.0 for key in keys]

    total = sum(len(keys_of(phase)) for phase in work)
    done = 0
    for phase in work:
        time_left.expect(phase.name, sizes_of(phase, keys_of(phase)))
    for phase in work:
        if phase.joined:
            progress(phase.name, done, total)
            with time_left.part(phase.name):
                execute(phase.assets)
            done += 1
        elif phase.projection:
            progress(phase.name, done, total)
            with time_left.part(phase.name):
                for assets, ready in ready_for(phase, store, registered, failed, declared(settings)):
                    for together, wanted in due(assets, instance, settings, store, ready):
                        for first, last in _ranges(registered, wanted):
                            one = first == last
                            tags = {PARTITION_TAG: first} if one else {RANGE_START_TAG: first, RANGE_END_TAG: last}
                            execute(together, tags=tags)
            done += 1
        else:
            keys = keys_of(phase)
            found = due(phase.assets, instance, settings, store, keys, registered)
            wanted = {key: [it for assets, of in found if key in of for it in assets] for key in keys}
            time_left.expect(phase.name, sizes_of(phase, [key for key in keys if wanted[key]]))
            for key, size in zip(keys, sizes_of(phase, keys), strict=True):
                progress(f"{key}: {phase.assets[0]} … {phase.assets[-1]}", done, total)
                if wanted[key] and key not in failed:  # in an earlier phase
                    with time_left.part(phase.name, size):
                        if not execute(wanted[key], partition_key=key):
                            failed.add(key)
                done += 1


def ready_for(
    phase: Phase,
    store: Store,
    registered: Sequence[str],
    failed: set[str],
    graph: Mapping[str, Declaration] = DECLARATIONS,
) -> list[tuple[tuple[str, ...], set[str]]]:
    """Which of a phase's projections can be made for which of the registered episodes: for those with every table that
    is read of them. Projections of the same episodes are made together.

    Failed ones keep what they had, except where nothing measured is read: old multiplies would contradict new ones.
    """
    there: dict[str, set[str]] = {}
    ready: dict[str, set[str]] = {}
    for asset in phase.assets:
        reads = [read for read in graph[asset].reads if not is_joined(read) and read not in MAY_BE_ABSENT]
        ready[asset] = set(registered)
        for read in reads:
            if read not in ready and read not in there:
                there[read] = set(store.episodes(read))
            ready[asset] &= ready[read] if read in ready else there[read]
        if any(read not in graph or not graph[read].projection for read in reads):
            ready[asset] -= failed
    return [(tuple(assets), episodes) for episodes, assets in itertools.groupby(phase.assets, key=ready.__getitem__)]


def due(
    assets: Sequence[str],
    instance: dg.DagsterInstance,
    settings: Settings,
    store: Store,
    episodes: Collection[str],
    registered: Sequence[str] = (),
) -> list[tuple[tuple[str, ...], set[str]]]:
    """For which episodes, or classes, assets would be made again, or are not known to Dagster as made; those of the
    same episodes together, in the order given. registered: all episodes, for what is made class by class."""
    found: dict[str, set[str]] = {}
    graph = declared(settings)
    resources = SimpleNamespace(settings=settings, store=store, **model_resources(settings))
    for asset in assets:
        key = dg.AssetKey([*location_prefix(settings), asset])
        log = instance.event_log_storage
        unanswered = log.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        wanted = (set(episodes) - instance.get_materialized_partitions(key)) | (unanswered.keys() & set(episodes))
        wanted = wanted.union(*(found[read] for read in graph[asset].reads if read in found))
        shared: dict[str, Any] = {}

        def outdated(episode: str, asset: str = asset, shared: dict[str, Any] = shared) -> bool:
            try:
                of = registered if graph[asset].by_class else [episode]
                return not is_current(Step(graph[asset], resources, episode, None, of, shared))
            except PermanentError:
                return True  # the run says what is wrong, or mends it

        rest = [episode for episode in episodes if episode not in wanted]
        wanted |= {episode for episode, is_due in zip(rest, map_all(outdated, rest), strict=True) if is_due}
        found[asset] = wanted
    return [(tuple(group), wanted) for wanted, group in itertools.groupby(assets, key=found.__getitem__) if wanted]


def materialize_assets(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    assets: Sequence[str],
    partition_key: str | None = None,
    tags: dict[str, str] | None = None,
    within: str = "",
) -> list[Failure]:
    """One run in this process: of the named assets, of one episode, or of a range of them given by tags. within: the id
    of the run that it belongs to, if any.

    Raises KeyboardInterrupt if it is interrupted, which Dagster takes for one more failed step.
    """
    job = defs.resolve_implicit_global_asset_job_def()
    keep_subsets(job)
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([*location_prefix(settings), name]) for name in assets],
        partition_key=partition_key,
        tags={**(tags or {}), **process_tags(instance, within), **project_tag(settings)},
        run_config=QUIET,
        raise_on_error=False,
    )
    events = result.filter_events(lambda event: event.is_failure)
    errors = [getattr(event.event_specific_data, "error", None) for event in events]
    if any(error and error.cls_name in INTERRUPTS for error in errors):
        raise KeyboardInterrupt
    episode = partition_key or ""
    steps = [event for event in events if event.step_key]
    if steps:
        return [Failure((event.step_key or "").split("__")[-1], episode, plain_error(event)) for event in steps]
    return [Failure(asset, episode, plain_error(event)) for event in events for asset in assets]


def _ranges(registered: Sequence[str], usable: set[str]) -> Iterator[tuple[str, str]]:
    """Stretches of usable episodes in registration order, which is how Dagster reads a range of dynamic partitions."""
    for good, members in itertools.groupby(registered, key=usable.__contains__):
        if good:
            stretch = list(members)
            yield stretch[0], stretch[-1]


def plain_error(event: dg.DagsterEvent) -> str:
    """The error of a failed step as its author wrote it, out of Dagster's wrapping."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None and error.cls_name.startswith(WRAPPERS):
        error = error.cause
    if error is None:
        return event.message or "failed"
    return error.message.strip().removeprefix(FAILURE_PREFIX)
