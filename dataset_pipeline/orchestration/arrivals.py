"""Episodes that arrive by themselves: the sensor that looks at the folders of `[episodes] roots` and carries out what
`arrival_plan` decides.

What was taken up stands in the sensor's cursor, and without one in the events of `video`. An arrival is written to the
store first, then reported, then run, so that a look that breaks off anywhere is simply repeated.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import dagster as dg

from dataset_pipeline.graph.project import mixing_fault, partitions_name
from dataset_pipeline.models.injected import cut_fault, missing_weights, model_resources
from dataset_pipeline.orchestration.automation import interval_s
from dataset_pipeline.orchestration.corrected import Brought
from dataset_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition
from dataset_pipeline.orchestration.registration import (
    FINGERPRINT_TAG,
    carry_over,
    found_event,
    recorded,
    video_key,
    write_source,
)
from dataset_pipeline.orchestration.unfinished import fail_dead_runs, project_tag, unfinished_backfills, unfinished_runs
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.arrival_plan import (
    CLOCKS_APART_S,
    READS_AT_ONCE,
    Capacity,
    KnownFile,
    Listing,
    Mark,
    Plan,
    Recorded,
    State,
    Whereabouts,
    has_settled,
    plan,
)
from dataset_pipeline.sources.finding import Content, ContentOf, Discovery, content_of, scan
from dataset_pipeline.sources.keys import claims_of, keys_of, source_of
from dataset_pipeline.sources.locations import path_key, whereabouts
from dataset_pipeline.sources.passed_over import remember_passed_over
from dataset_pipeline.sources.roots import roots_of
from dataset_pipeline.sources.source import Found, Source
from dataset_pipeline.store.store import Store

APART_S = 10  # looks, at least: what is new is taken up by the first that finds it settled
APART_S_AN_EPISODE = 0.009  # a look takes a tenth of that, more on a network drive
RUN_KEY_TAG = "dagster/run_key"

log = logging.getLogger(__name__)


def arrivals_sensor(
    settings: Settings,
    store: Store,
    job: dg.JobDefinition | UnresolvedAssetJobDefinition,
    episodes: int = 0,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """The sensor `arrivals`: one run of `job`, which measures one partition, for each new or replaced episode.

    episodes: how many there are; the more, the further its looks lie apart.
    """

    brought = Brought()

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        fail_dead_runs(context.instance)
        roots = roots_of(settings)
        before, now_s = State.of(context.cursor), time.time()
        content_at = SettledContent(before.files, settings.arrivals.settle_s, now_s)
        listings = survey(roots, content_at)
        facts = DagsterFacts(settings, store, context.instance, job.name)
        done = plan(before, listings, content_at.known, settings.arrivals, facts, now_s)
        _carry_over(done, context.instance, store, settings)
        for source in _registered_by(done):
            write_source(store, settings, source)
        for note in done.notes:
            context.log.info(note)
        _keep_looks(store, listings)
        partitions = dg.DynamicPartitionsDefinition(name=partitions_name(settings))
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(arrival.run_key, partition_key=arrival.source.key, tags=project_tag(settings))
                for arrival in done.arriving
            ],
            skip_reason=None if done.arriving else dg.SkipReason("\n".join(done.notes) or _nothing_new(listings)),
            dynamic_partitions_requests=[
                partitions.build_add_request([arrival.source.key for arrival in done.arriving])
            ]
            if done.arriving
            else [],
            asset_events=[
                *(found_event(settings, arrival.source, arrival.run_key) for arrival in done.arriving),
                *(found_event(settings, source) for source in done.moved),
                *(_marked(settings, mark) for mark in done.marks),
                *brought.bring(context.instance, store, settings, bool(done.arriving)),
            ],
            cursor=done.state.cursor,
        )

    return dg.SensorDefinition(
        name="arrivals",
        evaluation_fn=evaluate,
        job=job,
        minimum_interval_seconds=interval_s(max(APART_S, APART_S_AN_EPISODE * episodes)),
        default_status=default_status,
        description="Takes up the episodes that appear in the folders of [episodes] roots and has each one measured.",
    )


def look_for_new(settings: Settings, store: Store, instance: dg.DagsterInstance) -> list[Source]:
    """What lies in the roots, has settled by its age, and is new or differs from what is on record of it. What is of
    the last day has to look the same a second time, `settle_s` later: its date is by the clock of who keeps it.

    What else lies there is kept in the store, for `status` to tell of.
    """
    now_s, settle_s = time.time(), settings.arrivals.settle_s
    listings = survey(roots_of(settings), content_of)
    _keep_looks(store, listings)
    for listing in listings:
        if listing.fault:
            log.warning(listing.fault)
    found = _found_in(listings)
    on_record = recorded(instance, store, settings, [key for claim in claims_of(found) for key in claim])

    def owner_of(key: str) -> Path | None:
        path = Path(on_record[key].path) if key in on_record else None
        return path if path and path.exists() else None

    new: dict[Found, Source] = {}
    for item, key in zip(found, keys_of(found, owner_of), strict=True):
        if item.unfinished or abs(now_s - item.mtime_ns / 1e9) < settle_s:
            continue
        try:
            fingerprint = item.fingerprint()
        except OSError as error:
            log.warning(f"{item.path} cannot be read: {error.strerror or error}")
            continue
        if key not in on_record or on_record[key].fingerprint != fingerprint:
            new[item] = source_of(item, key, fingerprint)
    if settle_s and any(now_s - item.mtime_ns / 1e9 < settle_s + CLOCKS_APART_S for item in new):
        time.sleep(settle_s)
        same = {(item.real_path, item.stamp) for item in _found_in(survey(roots_of(settings), content_of))}
        new = {item: source for item, source in new.items() if (item.real_path, item.stamp) in same}
    return sorted(new.values(), key=lambda source: source.key)


def _found_in(listings: Sequence[Listing]) -> list[Found]:
    """What was found, each once; of a source that several roots hold the first root's."""
    return list({item.real_path: item for listing in reversed(listings) for item in listing.found}.values())


def survey(roots: Sequence[Path], content_at: ContentOf) -> list[Listing]:
    """List each root by itself: one that is away says nothing about the others."""
    listings = []
    for root in dict.fromkeys(roots):
        try:
            with os.scandir(root):
                scanned = scan([root], content_at, folders_of_shows=True)
                listings.append(Listing(root, scanned.found, scanned.rejected, passed_over=scanned.passed_over))
        except FileNotFoundError:
            remedy = "mount its disk, create it and put episodes in as <show>/<file>, or change [episodes] roots"
            listings.append(Listing(root, fault=f"there is no folder {root}: {remedy}"))
        except OSError as error:
            listings.append(Listing(root, fault=f"{root} cannot be listed: {error.strerror or error}"))
    return listings


class SettledContent:
    """Tells what files are whose ending does not, opening each once, when it has settled. `known`: to be remembered."""

    def __init__(self, before: Mapping[str, KnownFile], settle_s: float, now_s: float) -> None:
        self.before, self.settle_s, self.now_s = before, settle_s, now_s
        self.known: dict[str, KnownFile] = {}
        self.opened = 0

    def __call__(self, path: Path, status: os.stat_result) -> Content | None:
        at, stamp = path_key(path), f"{status.st_size}-{status.st_mtime_ns}"
        known = self.before.get(at)
        if known is None or known.stamp != stamp:
            known = KnownFile(stamp, int(self.now_s))
        elif (
            not known.content
            and self.opened < READS_AT_ONCE
            and has_settled(status.st_mtime_ns, known.since_s, self.settle_s, self.now_s)
        ):
            self.opened += 1
            known = replace(known, content=content_of(path))
        self.known[at] = known
        return cast(Content, known.content) if known.content else None


class DagsterFacts:
    """What a plan asks, from the disk and the Dagster instance."""

    def __init__(self, settings: Settings, store: Store, instance: dg.DagsterInstance, job_name: str) -> None:
        self.settings, self.store, self.instance, self.job_name = settings, store, instance, job_name

    def fingerprint(self, source: Found) -> str:
        return source.fingerprint()

    def whereabouts(self, path: str, root: Path | None) -> Whereabouts:
        return whereabouts(Path(path), root)

    def recorded(self, keys: Sequence[str]) -> Mapping[str, Recorded]:
        return recorded(self.instance, self.store, self.settings, keys)

    def registered(self) -> Set[str]:
        return frozenset(self.instance.get_dynamic_partitions(partitions_name(self.settings)))

    def started(self, run_key: str) -> bool:
        tags = {RUN_KEY_TAG: run_key, **project_tag(self.settings)}
        return bool(self.instance.get_runs(dg.RunsFilter(tags=tags), limit=1))

    def capacity(self) -> Capacity:
        resources = model_resources(self.settings)
        if missing := missing_weights(resources):
            return Capacity(0, "\n".join(missing))
        if fault := cut_fault(self.settings, resources["quality"]):
            return Capacity(0, fault)
        if fault := mixing_fault(self.settings, self.store):
            return Capacity(0, fault)
        measuring = sum(run.job_name == self.job_name for run in self._unfinished)
        return Capacity(max(0, self.settings.arrivals.at_once - measuring))

    def busy(self) -> bool:
        return bool(self._unfinished or unfinished_backfills(self.instance, self.settings))

    @cached_property
    def _unfinished(self) -> list[dg.DagsterRun]:
        return unfinished_runs(self.instance, self.settings)


def _keep_looks(store: Store, listings: Sequence[Listing]) -> None:
    """Remember what lies in each root and is not taken in; a root that is away says nothing about what lay there."""
    for listing in listings:
        if not listing.fault:
            left = Discovery([], list(listing.rejected), list(listing.passed_over)).left_in(listing.root)
            remember_passed_over(store, listing.root, left)


def _carry_over(done: Plan, instance: dg.DagsterInstance, store: Store, settings: Settings) -> None:
    """What arrives and is on record under another key brings its tables along. Its run then finds nothing to measure.

    What has to wait for a run of its own is as if it had not been seen yet.
    """
    if not done.arriving:
        return
    sources = [arrival.source for arrival in done.arriving]
    carried = carry_over(instance, store, settings, sources, roots_of(settings))
    done.notes += carried.notes
    seen = dict(done.state.sources)
    arriving = []
    for arrival, source in zip(done.arriving, carried.sources, strict=True):
        at = path_key(source.path)
        if source.key in carried.waiting:
            seen[at] = replace(seen[at], episode="", taken="")
        else:
            seen[at] = replace(seen[at], episode=source.key)
            arriving.append(replace(arrival, source=source))
    done.arriving, done.state = arriving, replace(done.state, sources=seen)


def _registered_by(done: Plan) -> list[Source]:
    return [*(arrival.source for arrival in done.arriving), *done.moved]


def _marked(settings: Settings, mark: Mark) -> dg.AssetObservation:
    """The version stays what it was, so that nothing downstream takes the mark for news."""
    return dg.AssetObservation(
        asset_key=video_key(settings),
        partition=mark.episode,
        metadata={"source": f"{'back' if mark.back else 'removed'}: {mark.path}"},
        tags={FINGERPRINT_TAG: mark.fingerprint},
    )


def _nothing_new(listings: Sequence[Listing]) -> str:
    if any(listing.found for listing in listings):
        return "nothing new"
    roots = " or ".join(str(listing.root) for listing in listings)
    return f"no episodes yet: put them into {roots}, as <show>/<file>" if roots else "[episodes] roots names no folder"
