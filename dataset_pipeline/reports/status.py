"""Where every episode stands in every asset: fresh, stale and why, missing, running, failed.

Truth is the store: each table says which code, settings, models and inputs it was made from. Dagster is asked only for
what is under way and for what failed; its web UI shows no staleness of partitioned assets.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import dagster as dg

from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.graph.declaration import DECLARATIONS, Declaration, is_joined
from dataset_pipeline.graph.project import demo_hint, location_prefix, partitions_name
from dataset_pipeline.graph.staleness import Present, verdict_on
from dataset_pipeline.graph.versions import joined_version, version_for
from dataset_pipeline.models.injected import NOT_PULLED, known_weights, model_resources
from dataset_pipeline.orchestration.runs import phases, plain_error
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.passed_over import last_summaries
from dataset_pipeline.store.condition import Condition, Glances
from dataset_pipeline.store.store import Store

State = Literal["failed", "stale", "missing", "waiting", "queued", "running", "fresh"]
STATES: tuple[State, ...] = get_args(State)  # what needs a person first
JOINED = ""  # stands where an episode's key would, for assets over all episodes

NOT_BEGUN = frozenset({dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED})
ENDED = frozenset({dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})
ABSENT = "its inputs are missing"
PAGE = 500
ASSETS_NAMED = 3
NO_WORD = "its run failed without a word"

Place = tuple[str, str]  # asset, and episode or JOINED


@dataclass(frozen=True)
class Cell:
    """One asset of one episode. `why`: empty if fresh."""

    state: State
    why: str = ""


FRESH = Cell("fresh")


@dataclass(frozen=True)
class Reason:
    """Cells of an asset in one state for one reason. `episodes` is empty if the asset is joined."""

    asset: str
    state: State
    why: str
    episodes: tuple[str, ...]

    def __str__(self) -> str:
        many = f"{len(self.episodes)} episodes" if len(self.episodes) > 1 else "".join(self.episodes)
        about = " ".join(part for part in (many, self.state) if part)
        return f"{self.asset}: {about}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Status:
    """`cells`: by asset in the order of the work, then by episode, or under JOINED. By episode: `gone` has the path at
    which the source is not any more, `faults` what speaks against its checks, damage above all. `notes`: what else to
    know. `passed_over`: what the last looks for episodes did not take in, in sentences."""

    store: str
    episodes: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    gone: Mapping[str, str]
    faults: Mapping[str, Sequence[str]]
    notes: Sequence[str]
    passed_over: Sequence[str] = ()

    def counts(self, *assets: str) -> dict[State, int]:
        """How many cells are in each state: of the named assets, or of all."""
        found = Counter(cell.state for asset in assets or self.cells for cell in self.cells[asset].values())
        return {state: found[state] for state in STATES}

    @property
    def worst(self) -> State:
        """The state that comes first in STATES of those there are."""
        there: list[State] = [state for state, count in self.counts().items() if count]
        return there[0] if there else "fresh"

    @property
    def whole(self) -> bool:
        """Everything is fresh, nothing speaks against any check, and nothing was passed over."""
        return self.worst == "fresh" and not self.faults and not self.passed_over

    def reasons(self) -> list[Reason]:
        """Everything that is not fresh, alike cells together; what needs a person first, then in the order of the work.

        Runs differ for each episode and are left out of the reasons of what is queued or running.
        """
        groups: dict[tuple[State, str, str], list[str]] = {}
        for asset, cells in self.cells.items():
            for episode, cell in cells.items():
                if cell.state != "fresh":
                    why = "" if cell.state in ("queued", "running") else cell.why
                    groups.setdefault((cell.state, asset, why), []).append(episode)
        found = [
            Reason(asset, state, why, tuple(episode for episode in episodes if episode != JOINED))
            for (state, asset, why), episodes in groups.items()
        ]
        return sorted(found, key=lambda reason: STATES.index(reason.state))

    def told(self) -> list[str]:
        """The reasons in words, a line for each cause; what only follows from others is one line for all assets."""
        causes: list[str] = []
        following: dict[tuple[State, str], list[Reason]] = {}
        for reason in self.reasons():
            if reason.state in ("stale", "failed") or (reason.state == "missing" and ABSENT not in reason.why):
                causes.append(str(reason))
            else:
                following.setdefault((reason.state, reason.why), []).append(reason)
        for (state, why), reasons in following.items():
            assets = ", ".join(reason.asset for reason in reasons[:ASSETS_NAMED])
            more = f" and {len(reasons) - ASSETS_NAMED} more assets" if len(reasons) > ASSETS_NAMED else ""
            episodes = {episode for reason in reasons for episode in reason.episodes}
            causes.append(str(Reason(f"{assets}{more}", state, why, tuple(sorted(episodes)))))
        return causes

    def problems(self) -> list[str]:
        """What a person should look at: notes, failures, sources that are gone, damage."""
        failed = [str(reason) for reason in self.reasons() if reason.state == "failed"]
        gone = [f"{episode}: its source is not at {path} any more" for episode, path in self.gone.items()]
        return [*self.notes, *failed, *gone, *self.found_wrong()]

    def found_wrong(self) -> list[str]:
        """What speaks against the checks, a line for each episode, and what was passed over."""
        faults = [f"{episode or 'all episodes'}: {'; '.join(faults)}" for episode, faults in self.faults.items()]
        return [*faults, *self.passed_over]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them.

        `store`, `episodes`, `notes`, `gone`, `faults`, `passed_over` and `whole` as above; `counts`: cells by state;
        `assets`: the same for each asset; `open`: the cells that are not fresh, each with `asset`, `episode` (null if
        joined), `state`, `why`.
        """
        return {
            "store": self.store,
            "episodes": list(self.episodes),
            "counts": self.counts(),
            "assets": {asset: self.counts(asset) for asset in self.cells},
            "open": [
                {"asset": asset, "episode": episode or None, "state": cell.state, "why": cell.why}
                for asset, cells in self.cells.items()
                for episode, cell in cells.items()
                if cell.state != "fresh"
            ],
            "gone": dict(self.gone),
            "whole": self.whole,
            "faults": {episode: list(faults) for episode, faults in self.faults.items()},
            "notes": list(self.notes),
            "passed_over": list(self.passed_over),
        }


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
    tables, gone = _read_tables(store, episodes)
    judge = _Judge(Present(settings, weights), assets, episodes, tables, _attempts(instance, settings, assets))
    cells = {
        asset: {key: judge(asset, key) for key in ((JOINED,) if is_joined(asset) else episodes)} for asset in assets
    }
    faults = {key: found for key in (JOINED, *episodes) if (found := _faults(tables, assets, key))}
    return Status(
        store.root,
        episodes,
        cells,
        gone,
        faults,
        _notes(settings, store, episodes, weights),
        last_summaries(store),
    )


def _notes(settings: Settings, store: Store, episodes: Sequence[str], weights: Mapping[str, str]) -> list[str]:
    used = {role for declaration in DECLARATIONS.values() for role in declaration.models}
    absent = [role for role in sorted(used) if weights[role] == NOT_PULLED]
    notes = []
    if absent:
        notes.append(f"the weights of {', '.join(absent)} are not here: `dataset-pipeline models pull` fetches them")
    unknown = set(store.episodes("video")) - set(episodes)
    if unknown:
        notes.append(
            f"{store.root} holds {len(unknown)} episodes that this Dagster instance does not know, "
            f"{min(unknown)} the first: `dataset-pipeline run` on their sources makes them known"
        )
    elif not episodes:
        notes.append("no episode is known yet: `dataset-pipeline run <folder>` takes in the first")
        if hint := demo_hint(settings, store):
            notes.append(hint)
    return notes


# ------------------------------------------------------------------------------------------------ the store


ABSENT_TABLE = Condition()


def _read_tables(store: Store, episodes: Sequence[str]) -> tuple[dict[Place, Condition], dict[str, str]]:
    """Every table, of made and external assets; and the episodes whose source is gone, with its path."""
    glance = Glances(store)
    names = {*DECLARATIONS, *(read for declaration in DECLARATIONS.values() for read in declaration.reads)}
    joined, single = sorted(filter(is_joined, names)), sorted(name for name in names if not is_joined(name))

    def read(episode: str) -> tuple[dict[Place, Condition], str]:
        tables = {(asset, episode): glance(asset, episode) for asset in single}
        pointer = tables.get(("video", episode), ABSENT_TABLE).pointer
        path = pointer.provenance.path if pointer else ""
        return tables, "" if not path or os.path.exists(path) else path

    found: dict[Place, Condition] = {}
    gone = {}
    for episode, (tables, path) in zip(episodes, map_all(read, episodes), strict=True):
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
    # For each cell that is not fresh: the assets that have to be made first, and whether that needs a person.
    roots: dict[Place, dict[str, bool]] = field(default_factory=dict)
    _over_all: dict[str, str] = field(default_factory=dict)

    def __call__(self, asset: str, key: str) -> Cell:
        upstream = self._upstream(asset, key)
        cell, roots = self._judged(DECLARATIONS[asset], key, upstream)
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
        for read in DECLARATIONS[asset].reads:
            if key != JOINED or is_joined(read):
                roots = self.roots.get((read, JOINED if is_joined(read) else key), {})
            else:
                every = (self.roots.get((read, episode), {}) for episode in self.episodes)
                roots = {name: person for roots in every for name, person in roots.items() if not person}
            if roots:
                found[read] = roots
        return found

    def _inputs(self, declaration: Declaration, key: str) -> dict[str, str]:
        """What the asset would find now, as `inputs_of` of the framework records it."""
        return {
            read: self._version_over_all(read) if key == JOINED and not is_joined(read) else self._version(read, key)
            for read in declaration.reads
        }

    def _version(self, asset: str, key: str) -> str:
        pointer = self.tables[asset, JOINED if is_joined(asset) else key].pointer
        return version_for(key or None, asset, pointer) if pointer else ""

    def _version_over_all(self, asset: str) -> str:
        if asset not in self._over_all:
            pointers = ((episode, self.tables[asset, episode].pointer) for episode in self.episodes)
            self._over_all[asset] = joined_version([(episode, pointer) for episode, pointer in pointers if pointer])
        return self._over_all[asset]


# ------------------------------------------------------------------------------------------------ runs


def _attempts(instance: dg.DagsterInstance, settings: Settings, assets: Sequence[str]) -> dict[Place, Cell]:
    """The places whose last attempt has not ended, or failed, with nothing materialized since."""
    planned = _unanswered(instance, settings, assets)
    runs = {record.dagster_run.run_id: record for record in _run_records(instance, set(planned.values()))}
    not_made: dict[str, set[str]] = {}
    for (asset, _), run_id in planned.items():
        not_made.setdefault(run_id, set()).add(asset)
    failed = {
        # what reads something that the same run did not make either was skipped by it
        run_id: {asset for asset in not_made[run_id] if not not_made[run_id].intersection(DECLARATIONS[asset].reads)}
        for run_id, record in runs.items()
        if record.dagster_run.status == dg.DagsterRunStatus.FAILURE
    }
    errors = _errors(instance, [runs[run_id] for run_id in failed], failed)
    found = {}
    for (asset, key), run_id in planned.items():
        if run_id not in runs:
            continue  # deleted from Dagster's history
        if runs[run_id].dagster_run.status not in ENDED:
            found[asset, key] = _under_way(runs[run_id])
        elif asset in failed.get(run_id, ()):
            found[asset, key] = Cell("failed", errors.get(run_id, {}).get(asset, NO_WORD))
    return found


def _under_way(record: dg.RunRecord) -> Cell:
    since = f" since {datetime.fromtimestamp(record.start_time):%Y-%m-%d %H:%M}" if record.start_time else ""
    state: State = "queued" if record.dagster_run.status in NOT_BEGUN else "running"
    return Cell(state, f"run {record.dagster_run.run_id[:8]}{since}")


def _unanswered(instance: dg.DagsterInstance, settings: Settings, assets: Sequence[str]) -> dict[Place, str]:
    """The last run that was to make a place, where it has not been materialized since: one query for each asset.

    Dagster writes down what a run is to make when the run is created, so queued runs and ranges count too.
    """
    keys = {asset: dg.AssetKey([*location_prefix(settings), asset]) for asset in assets}
    found: dict[Place, str] = {}
    for asset in assets:
        if not is_joined(asset):
            log = instance.event_log_storage
            attempts = log.get_latest_asset_partition_materialization_attempts_without_materializations(keys[asset])
            found |= {(asset, episode): run_id for episode, (run_id, _) in attempts.items()}
    joined = {keys[asset]: asset for asset in assets if is_joined(asset)}
    records = instance.get_asset_records(list(joined)) if joined else []
    for entry in (record.asset_entry for record in records):
        planned = instance.get_latest_planned_materialization_info(entry.asset_key)
        if planned and planned.storage_id > (entry.last_materialization_storage_id or 0):
            found[joined[entry.asset_key], JOINED] = planned.run_id
    return found


def _run_records(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> list[dg.RunRecord]:
    ids = sorted(run_ids)
    pages = (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
    return [record for page in pages for record in instance.get_run_records(dg.RunsFilter(run_ids=page))]


def _errors(
    instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], failed: Mapping[str, set[str]]
) -> dict[str, dict[str, str]]:
    """The first lines of the errors, by run id and asset, of the assets that each run `failed` to make.

    Dagster writes the first failed step into the event of the run's failure, so that many runs are one query; the log
    of a run is read only where more than that step is in question.
    """
    found: dict[str, dict[str, str]] = {}
    if not records:
        return found
    since = min(record.create_timestamp.timestamp() for record in records) - 1.0
    wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_timestamp=since)
    cursor: str | None = None
    while True:
        page = instance.fetch_run_status_changes(wanted, limit=PAGE, cursor=cursor)
        for entry in (record.event_log_entry for record in page.records):
            if entry.run_id in failed and entry.run_id not in found and entry.dagster_event is not None:
                found[entry.run_id] = _errors_of_run(instance, entry.run_id, entry.dagster_event, failed[entry.run_id])
        if not page.has_more or len(found) == len(failed):
            return found
        cursor = page.cursor


def _errors_of_run(
    instance: dg.DagsterInstance, run_id: str, event: dg.DagsterEvent, assets: Iterable[str]
) -> dict[str, str]:
    details = event.event_specific_data  # None if the run was ended from outside
    first: dg.DagsterEvent | None = getattr(details, "first_step_failure_event", None)
    if first is None:
        return dict.fromkeys(assets, _first_line(plain_error(event)))
    errors = {_asset_of(first): _step_error(first)}
    others = set(assets) - errors.keys()
    if others:
        records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        steps = [step for record in records if (step := record.event_log_entry.dagster_event)]
        errors |= {_asset_of(step): _step_error(step) for step in steps}
    stopped_by = f"{_asset_of(first)} failed: {_step_error(first)}"
    return dict.fromkeys(others, stopped_by) | errors


def _asset_of(step: dg.DagsterEvent) -> str:
    return (step.step_key or "").split("__")[-1]


def _step_error(step: dg.DagsterEvent) -> str:
    return _first_line(plain_error(step))


def _first_line(text: str) -> str:
    """With the one after it if it only announces that."""
    first, _, rest = text.strip().partition("\n")
    return f"{first} {rest.strip().partition(chr(10))[0]}" if first.endswith(":") and rest else first
