"""Where every episode stands in every asset: fresh, stale and why, missing, running, failed.

Truth is the store: each table says which code, settings, models and inputs it was made from. Dagster is asked only for
what is under way and for what failed; its web UI shows no staleness of partitioned assets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import dagster as dg

from dataset_pipeline.base.parallel import map_files
from dataset_pipeline.graph.declaration import DECLARATIONS, Declaration, declared, is_joined
from dataset_pipeline.graph.project import demo_hint, partitions_name
from dataset_pipeline.graph.staleness import Present, verdict_on
from dataset_pipeline.graph.versions import joined_version, version_for
from dataset_pipeline.models.injected import NOT_PULLED, known_weights, model_resources
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.reports.corrections import account_of
from dataset_pipeline.reports.notices import in_words
from dataset_pipeline.reports.regularization import unmade_classes
from dataset_pipeline.reports.status.attempts import last_attempts
from dataset_pipeline.reports.status.states import ABSENT, FRESH, JOINED, Cell, Place, Status
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.passed_over import last_summaries
from dataset_pipeline.sources.roots import path_of
from dataset_pipeline.store.condition import Condition, Glances
from dataset_pipeline.store.files import StoreError
from dataset_pipeline.store.provenance import ANIMATIONS
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

ABSENT_TABLE = Condition()
PROBLEMS_NAMED = 20  # corrections that found nothing; more are counted


@runtime_checkable
class OfSeveralMachines(Protocol):
    """A launcher of runs that hands them to other machines."""

    def machines(self) -> list[str]:
        """In sentences which answer, and which do not and have runs."""
        ...


def status_of(
    settings: Settings, store: Store, instance: dg.DagsterInstance, weights: Mapping[str, str] | None = None
) -> Status:
    """Compare every table of the registered episodes with the settings, weights, inputs and pictures of now.

    weights: sha256 by model role, those of the project's models if not given. Cells of models that are not pulled are
    judged by everything else. In an object store neither tables nor pictures are looked at, only what is recorded.
    """
    weights = known_weights(model_resources(settings)) if weights is None else weights
    assets = [asset for phase in phases() for asset in phase.assets]
    episodes = tuple(sorted(instance.get_dynamic_partitions(partitions_name(settings))))
    tables, gone = _read_tables(settings, store, episodes)
    judge = _Judge(
        Present(settings, weights),
        assets,
        episodes,
        tables,
        last_attempts(instance, settings, assets),
        declared(settings),
    )
    cells = {
        asset: {key: judge(asset, key) for key in ((JOINED,) if is_joined(asset) else episodes)} for asset in assets
    }
    faults = {key: found for key in (JOINED, *episodes) if (found := _faults(tables, assets, key))}
    corrections, lost = _corrections(settings, store)
    notes = [*_notes(settings, store, episodes, weights), *lost, *_moving(tables, episodes)]
    machines = instance.run_launcher.machines() if isinstance(instance.run_launcher, OfSeveralMachines) else []
    return Status(store.root, episodes, cells, gone, faults, notes, last_summaries(store), corrections, machines)


def _corrections(settings: Settings, store: Store) -> tuple[str, list[str]]:
    """What a person said in all, and what of it does not count or found nothing."""
    try:
        account = account_of(settings, store)
    except (StoreError, OSError) as error:
        return "", [f"what was corrected by hand cannot be read: {error}"]
    problems = account.problems()
    more = [f"and {len(problems) - PROBLEMS_NAMED} corrections more"] if len(problems) > PROBLEMS_NAMED else []
    return account.summary if account.said else "", problems[:PROBLEMS_NAMED] + more


def _notes(settings: Settings, store: Store, episodes: Sequence[str], weights: Mapping[str, str]) -> list[str]:
    used = {role for declaration in declared(settings).values() for role in declaration.models}
    absent = [role for role in sorted(used) if weights[role] == NOT_PULLED]
    notes = []
    if absent:
        notes.append(f"the weights of {', '.join(absent)} are not here: `dataset-pipeline models pull` fetches them")
    if unmade := unmade_classes(store, settings):
        notes.append(f"no regularization pictures of {', '.join(unmade)}: `dataset-pipeline regularize` makes them")
    unknown = set(store.episodes("video")) - set(episodes)
    if unknown:
        notes.append(
            f"{store.root} holds {len(unknown)} episodes that this Dagster instance does not know, "
            f"{min(unknown)} the first: `{settings.run_command}` on their sources makes them known"
        )
    elif not episodes:
        notes.append(f"no episode is known yet: `{settings.run_command} <folder>` takes in the first")
        if hint := demo_hint(settings, store):
            notes.append(hint)
    return notes


def _moving(tables: Mapping[Place, Condition], episodes: Sequence[str]) -> list[str]:
    """Animations among pictures."""
    pointers = ((episode, tables.get(("keyframes", episode), ABSENT_TABLE).pointer) for episode in episodes)
    return in_words((episode, it.provenance.numbers.get(ANIMATIONS, "")) for episode, it in pointers if it)


# ------------------------------------------------------------------------------------------------ the store


def _read_tables(
    settings: Settings, store: Store, episodes: Sequence[str]
) -> tuple[dict[Place, Condition], dict[str, str]]:
    """Every table, of made and external assets; and the episodes whose source is gone, with its path."""
    glance = Glances(store)
    names = {*DECLARATIONS, *(read for declaration in DECLARATIONS.values() for read in declaration.reads)}
    joined, single = sorted(filter(is_joined, names)), sorted(name for name in names if not is_joined(name))

    glance.prepare(single, episodes)

    def read(episode: str) -> tuple[dict[Place, Condition], str]:
        tables = {(asset, episode): glance(asset, episode) for asset in single}
        path = path_of(settings, tables.get(("video", episode), ABSENT_TABLE).pointer)
        return tables, "" if not path or os.path.exists(path) else path

    found: dict[Place, Condition] = {}
    gone = {}
    for episode, (tables, path) in zip(episodes, map_files(read, episodes), strict=True):
        found |= tables
        if path:
            gone[episode] = path
    return found | {(asset, JOINED): glance(asset) for asset in joined}, gone


def _faults(tables: Mapping[Place, Condition], assets: Sequence[str], key: str) -> list[str]:
    """What the tables of one episode, or the joined ones, say against their checks; each fault once."""
    pointers = (tables.get((asset, key), ABSENT_TABLE).pointer for asset in assets)
    faults = (fault for pointer in pointers if pointer for fault in pointer.provenance.faults.values())
    return list(dict.fromkeys(faults))


# ------------------------------------------------------------------------------------------------ judging


@dataclass
class _Judge:
    """Judges assets in the order of the work, each by what it has judged before."""

    present: Present
    assets: Sequence[str]
    episodes: Sequence[str]
    tables: Mapping[Place, Condition]
    attempts: Mapping[Place, Cell]
    graph: Mapping[str, Declaration]
    # For each cell that is not fresh: the assets that have to be made first, and whether that needs a person.
    roots: dict[Place, dict[str, bool]] = field(default_factory=dict)
    _over_all: dict[tuple[str, str], str] = field(default_factory=dict)

    def __call__(self, asset: str, key: str) -> Cell:
        upstream = self._upstream(asset, key)
        cell, roots = self._judged(self.graph[asset], key, upstream)
        if cell.state != "fresh":
            self.roots[asset, key] = roots
        return cell

    def _judged(
        self, declaration: Declaration, key: str, upstream: dict[str, dict[str, bool]]
    ) -> tuple[Cell, dict[str, bool]]:
        asset = declaration.name
        before = {name: person for roots in upstream.values() for name, person in roots.items()}
        own = {name: person for name, person in before.items() if not person} or {asset: False}
        attempt = self.attempts.get((asset, key))
        if attempt is not None:
            return attempt, {asset: True} if attempt.state == "failed" else own
        inputs = self._inputs(declaration, key)
        verdict = verdict_on(declaration, self.tables[asset, key], self.present, inputs)
        if verdict.missing:
            absent = [read for read, version in inputs.items() if not version]
            if self.tables[asset, key].fault or not absent:
                return Cell("missing", verdict.missing), own
            first = {name: person for read in absent for name, person in upstream.get(read, {read: True}).items()}
            return Cell("missing", f"{ABSENT}: {self._listed(first)}"), first
        if verdict.stale:
            return Cell("stale", "; ".join((*verdict.stale, *verdict.again))), own
        if before:
            return Cell("waiting", f"after {self._listed(before)}"), before
        if verdict.follows:
            return Cell("stale", "; ".join((*verdict.follows, *verdict.again))), own
        if verdict.again:
            return Cell("stale", "; ".join(verdict.again)), {}  # it may be so for good: nothing waits for it
        return FRESH, {}

    def _listed(self, names: Iterable[str]) -> str:
        """In the order of the work, external assets first."""
        names = set(names)
        return ", ".join([*sorted(names.difference(self.assets)), *(asset for asset in self.assets if asset in names)])

    def _upstream(self, asset: str, key: str) -> dict[str, dict[str, bool]]:
        """By table that is read, what has to be made first. Joined assets wait for no episode that needs a person."""
        found: dict[str, dict[str, bool]] = {}
        for read in self.graph[asset].reads:
            if key != JOINED or is_joined(read):
                roots = self.roots.get((read, JOINED if is_joined(read) else key), {})
            else:
                every = (self.roots.get((read, episode), {}) for episode in self.episodes)
                roots = {name: person for roots in every for name, person in roots.items() if not person}
            if roots:
                found[read] = roots
        return found

    def _inputs(self, declaration: Declaration, key: str) -> dict[str, str]:
        """What the asset would find now, as `graph.materializing.inputs_of` records it."""
        reader = declaration.name
        return {
            read: self._version_over_all(read, reader)
            if key == JOINED and not is_joined(read)
            else self._version(read, key, reader)
            for read in declaration.reads
        }

    def _version(self, asset: str, key: str, reader: str) -> str:
        pointer = self.tables[asset, JOINED if is_joined(asset) else key].pointer
        return version_for(key or None, asset, pointer, reader)

    def _version_over_all(self, asset: str, reader: str) -> str:
        by = reader if SCHEMAS[asset].part == "reader" else ""
        if (asset, by) not in self._over_all:
            pointers = ((episode, self.tables[asset, episode].pointer) for episode in self.episodes)
            found = [(episode, pointer) for episode, pointer in pointers if pointer]
            self._over_all[asset, by] = joined_version(asset, found, reader)
        return self._over_all[asset, by]
