"""Making the table of an asset, unless what is current already answers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from dataset_pipeline.base.timing import span
from dataset_pipeline.graph.catalog import PipelineAsset
from dataset_pipeline.graph.declaration import is_by_class
from dataset_pipeline.graph.lineage import lineage_of
from dataset_pipeline.graph.reading import work_of
from dataset_pipeline.graph.staleness import Present, Verdict, verdict_on
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import MAY_BE_ABSENT, joined_version, version_for
from dataset_pipeline.store.condition import condition_of
from dataset_pipeline.store.left_out import KEPT
from dataset_pipeline.store.provenance import OF_AN_ASSET, Provenance
from dataset_pipeline.store.store import Pointer, TableMissing


class InputsMissing(TableMissing):
    """An episode lacks a table that an asset reads."""


def materialize(made: PipelineAsset, step: Step) -> tuple[Pointer, bool]:
    """What is current of one asset for one episode (or all), and whether that was so before.

    Its function is run unless its current table already answers. Raises InputsMissing.
    """
    work = work_of(step)
    declaration, store, settings = work.declaration, work.store, work.settings
    code_version, inputs = step.code_version, inputs_of(step)
    # A class may do without what is not of classes: not each class reads all that some class may.
    needed = [asset for asset in inputs.versions if is_by_class(asset) or not declaration.by_class]
    if step.episode is not None and (absent := [asset for asset in needed if not inputs.versions[asset]]):
        raise InputsMissing(
            f"{made.name} of {step.episode} needs {', '.join(absent)}, which was never made: materialize that first"
        )
    before, verdict = _judged(step, inputs)
    if before is not None and verdict.current and not declaration.exports:
        return before, True
    lineage = lineage_of(step) if declaration.traced else None
    with span("rules"):
        result = made.function(step)
    if inputs.missing:
        tables, episodes = ", ".join(inputs.incomplete), ", ".join(inputs.missing)
        step.log.warning(f"{made.name} goes without some episodes' {tables} ({episodes}): materialize them first")
    if unknown := result.faults.keys() - made.checks.keys():
        raise LookupError(f"{made.name} does not declare the checks {sorted(unknown)}")
    provenance = Provenance(
        code_version=code_version,
        settings_hash=settings.section_hash(*declaration.settings),
        settings={name: getattr(settings, name).counted() for name in declaration.settings},
        models=[fingerprint.as_dict() for fingerprint in step.fingerprints.values()],
        demo=inputs.demo or any(fingerprint.demo for fingerprint in step.fingerprints.values()),
        inputs=inputs.versions,
        numbers=result.numbers | ({"episodes_missing": len(inputs.missing)} if step.episode is None else {}),
        faults={name: fault for name, fault in result.faults.items() if fault},
        notes=result.notes,
        left_out=dict(itertools.islice(result.left_out.items(), KEPT)),
        recorded=OF_AN_ASSET,
    )
    with span("store"):
        # Not what is current now: another run may have put its own in place.
        return store.write(made.name, result.table, step.episode, provenance, lineage).pointer, False


def is_current(step: Step) -> bool:
    """Whether materializing would keep the current table."""
    return not step.declaration.exports and _judged(step, inputs_of(step))[1].current


@dataclass(frozen=True)
class Inputs:
    """What an asset reads: versions by table, hashed over the episodes for a joined asset; whether demo models had a
    part in any of it; the episodes that lack a table, which a joined asset goes without, and the tables they lack."""

    versions: dict[str, str]
    demo: bool
    missing: list[str]
    incomplete: list[str]


def inputs_of(step: Step) -> Inputs:
    """The state of everything that a step's asset declares it reads."""
    versions: dict[str, str] = {}
    demo, missing, incomplete = False, set(), []
    for asset in step.declaration.reads:
        if (over := step.keys_over(asset)) is not None:
            keys, found = sorted(over), list(step.pointers(asset).items())
            versions[asset] = joined_version(asset, found, step.declaration.name)
            if asset not in MAY_BE_ABSENT:
                missing |= set(keys) - {key for key, _ in found}
                incomplete += [asset] if len(found) < len(keys) else []
            demo = demo or any(pointer.provenance.demo for _, pointer in found)
            continue
        pointer = step.pointer(asset)
        of_episode = None if step.declaration.by_class else step.episode
        versions[asset] = version_for(of_episode, asset, pointer, step.declaration.name)
        demo = demo or (pointer is not None and pointer.provenance.demo)
    return Inputs(versions, demo, sorted(missing), incomplete)


def _judged(step: Step, inputs: Inputs) -> tuple[Pointer | None, Verdict]:
    """What there is of a step's asset, looked at closely, and the verdict on it."""
    declaration, work = step.declaration, work_of(step)
    weights = {role: fingerprint.sha256 for role, fingerprint in step.fingerprints.items()}
    present = step.shared(f"present of {declaration.name}", lambda: Present(work.settings, weights))
    found = condition_of(work.store, declaration.name, step.episode)
    return found.pointer, verdict_on(declaration, found, present, inputs.versions)
