"""The assets as Dagster runs and shows them."""

import base64
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import dagster as dg
import numpy as np

from dataset_pipeline.base.errors import PermanentError, full_disk, is_out_of_memory
from dataset_pipeline.graph.catalog import PipelineAsset
from dataset_pipeline.graph.declaration import DECLARATIONS, parted
from dataset_pipeline.graph.materializing import InputsMissing, is_current, materialize
from dataset_pipeline.graph.picture_memory import memory_of
from dataset_pipeline.graph.project import partitions_name
from dataset_pipeline.graph.reading import work_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.models.loading import unload_all
from dataset_pipeline.store.store import Pointer, Store, StoreError

# Projections handle many episodes in one run by a backfill policy, and checks bear the episode they speak of; Dagster
# calls the one beta and the other a preview.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy.*")
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*AssetCheckSpec.*")

# A busy disk, a full GPU or a network drive may be better a moment later.
RETRIES, RETRY_DELAY_S = 1, 2

SHEETS_FOR = 20  # contact sheets are shown by runs of at most so many episodes: they lie in Dagster's own storage
SHEET_BYTES = 110_000  # base64 adds a third
SHEET_COLUMNS, SHEET_ROWS, SHEET_THUMB_PX = 6, 4, 150


def asset_definition(
    made: PipelineAsset,
    prefix: Sequence[str],
    episodes: dg.PartitionsDefinition,
    code_version: str,
    condition: dg.AutomationCondition | None,
    classes: dg.PartitionsDefinition | None = None,
) -> dg.AssetsDefinition:
    """The Dagster asset of one project: its keys under `prefix`. episodes, classes: partitions of what is
    made episode by episode, and of what is made class by class of regularization sets."""
    declaration = made.declaration
    key = dg.AssetKey([*prefix, made.name])
    partitions = {"all": None, "class": classes, "episode": episodes}[parted(made.name)]

    @dg.asset(
        key=key,
        deps=[_dependency(made.name, asset, dg.AssetKey([*prefix, asset])) for asset in declaration.reads],
        partitions_def=partitions,
        group_name=made.group,
        description=made.function.__doc__,
        kinds={declaration.kind.value, *made.labels},
        code_version=code_version,
        automation_condition=condition,
        required_resource_keys={
            "store",
            "settings",
            *declaration.models,
            *(["export_root"] if declaration.exports else []),
            *(["generator"] if declaration.generates else []),
        },
        pool="gpu" if declaration.models or declaration.generates else None,
        op_tags={"dagster/priority": "1"} if made.goes_first else None,
        backfill_policy=dg.BackfillPolicy.single_run() if declaration.projection else None,
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=key, description=check.description, blocking=check.blocking, partitions_def=partitions
            )
            for name, check in made.checks.items()
        ],
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        try:
            return _made(made, context)
        except dg.Failure:
            raise
        except Exception as error:
            # Not by a RetryPolicy: that would also try again what a person interrupts, and the run would go on.
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_DELAY_S) from error

    return asset


def _dependency(asset: str, read: str, key: dg.AssetKey) -> dg.AssetDep:
    """That an asset reads another: all its partitions where one goes by episodes and the other by classes."""
    apart = {parted(asset), parted(read)} == {"class", "episode"}
    return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping() if apart else None)


def _made(made: PipelineAsset, context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    resources = context.resources
    memory = memory_of(context.run.run_id, resources.settings.store.picture_memory_mib)
    if made.declaration.joined or made.declaration.by_class:
        registered = context.instance.get_dynamic_partitions(partitions_name(resources.settings))
        of_class = context.partition_key if made.declaration.by_class else None
        return _alone(made, Step(made.declaration, resources, of_class, context.log, registered, memory=memory))
    episodes = list(context.partition_keys)
    if len(episodes) == 1:
        beside = _due_beside(context, episodes[0])
        step = Step(made.declaration, resources, episodes[0], context.log, episodes, None, beside, memory)
        return _alone(made, step)
    with _registered_once(context.instance, partitions_name(resources.settings)):
        return _together(made, context, episodes)


def _due_beside(context: dg.AssetExecutionContext, episode: str) -> Callable[[str], bool]:
    """Whether this run makes an asset of the episode anew that it has not made yet."""
    selected = {step.split("__")[-1] for step in context.run.step_keys_to_execute or ()}

    def is_due(asset: str) -> bool:
        if asset not in selected:
            return False
        try:
            return not is_current(Step(DECLARATIONS[asset], context.resources, episode, context.log, [episode]))
        except PermanentError:
            return True  # its own step says what is wrong, or mends it

    return is_due


def _alone(made: PipelineAsset, step: Step) -> dg.MaterializeResult:
    """One episode, or all of them joined."""
    try:
        pointer, kept = materialize(made, step)
    except PermanentError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        if reason := full_disk(error):
            raise dg.Failure(reason, allow_retries=False) from error
        if is_out_of_memory(error):
            unload_all()
            raise RuntimeError(
                f"the GPU's memory is full: lower [models] batch_size or keep_loaded ({error})"
            ) from error
        raise
    return dg.MaterializeResult(
        metadata=_metadata(made, step, pointer, kept, with_sheet=True),
        data_version=dg.DataVersion(version_of(pointer)),
        check_results=_check_results(made, {"": pointer}),
    )


def _together(made: PipelineAsset, context: dg.AssetExecutionContext, episodes: Sequence[str]) -> dg.MaterializeResult:
    """Many episodes in one run, which Dagster gives one common data version.

    An episode whose inputs were never made is left out. One that fails makes the run fail, after the others have been
    made and recorded.
    """
    shared: dict[str, Any] = {}
    done: dict[str, Pointer] = {}
    failed: dict[str, Exception] = {}
    for episode in episodes:
        step = Step(made.declaration, context.resources, episode, context.log, episodes, shared)
        try:
            done[episode], kept = materialize(made, step)
        except InputsMissing as error:
            context.log.warning(str(error))
            context.add_asset_metadata({"left_out": str(error)}, asset_key=context.asset_key, partition_key=episode)
        except Exception as error:
            failed[episode] = error
        else:
            metadata = _metadata(made, step, done[episode], kept, with_sheet=len(episodes) <= SHEETS_FOR)
            context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=episode)
    if failed:
        for episode, pointer in done.items():
            tags = {"dagster/data_version": version_of(pointer)}
            context.log_event(dg.AssetMaterialization(asset_key=context.asset_key, partition=episode, tags=tags))
        first = next(iter(failed))
        raise dg.Failure(
            f"{made.name} failed for {len(failed)} of {len(episodes)} episodes ({', '.join(failed)}); "
            f"{first}: {full_disk(failed[first]) or failed[first]}",
            allow_retries=False,
        ) from failed[first]
    listing = json.dumps([(episode, version_of(pointer)) for episode, pointer in sorted(done.items())])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(hashlib.sha256(listing.encode()).hexdigest()),
        check_results=_check_results(made, done),  # Dagster takes one for the whole run, and fails without it
    )


@contextmanager
def _registered_once(instance: dg.DagsterInstance, partitions: str) -> Iterator[None]:
    """Which episodes there are is looked up once. Dagster looks up all of them with the metadata of each."""
    keys = list(instance.get_dynamic_partitions(partitions))
    known = frozenset(keys)
    ask_all, ask_one = instance.get_dynamic_partitions, instance.has_dynamic_partition

    def all_of(partitions_def_name: str) -> Sequence[str]:
        return keys if partitions_def_name == partitions else ask_all(partitions_def_name)

    def has(partitions_def_name: str, partition_key: str) -> bool:
        if partitions_def_name == partitions:
            return partition_key in known
        return ask_one(partitions_def_name, partition_key)

    vars(instance).update(get_dynamic_partitions=all_of, has_dynamic_partition=has)
    try:
        yield
    finally:
        for name in ("get_dynamic_partitions", "has_dynamic_partition"):
            vars(instance).pop(name, None)  # gone already where two were nested


def _metadata(made: PipelineAsset, step: Step, pointer: Pointer, kept: bool, with_sheet: bool) -> dict[str, Any]:
    provenance = pointer.provenance
    store = work_of(step).store
    numbers = dict(provenance.numbers)
    if kept and "measured" in numbers:
        numbers |= {"measured": 0, "reused": numbers["measured"] + numbers["reused"]}
    metadata: dict[str, Any] = {
        "dagster/row_count": pointer.rows,
        **numbers,
        "settings_hash": provenance.settings_hash,
        "unchanged": kept,
        "table": dg.MetadataValue.path(store.uri(pointer.file)),
        "folder": dg.MetadataValue.path(_folder(store, pointer)),
    }
    metadata |= {title: dg.MetadataValue.md(text) for title, text in provenance.notes.items()}
    if made.shows is not None and with_sheet and (pictures := made.shows(step)):
        metadata["contact_sheet"] = dg.MetadataValue.md(_sheet(step, pictures))
    if provenance.models:
        metadata["models"] = dg.MetadataValue.json(provenance.models)
    if provenance.demo:
        metadata["made_with_demo_models"] = True
    return metadata


def _folder(store: Store, pointer: Pointer) -> str:
    """The folder of a table and its pictures, as the file manager takes it, or its address in an object store."""
    local = store.local_path(pointer.file)
    return str(local.parent) if local else store.uri(pointer.file).rpartition("/")[0]


def _sheet(step: Step, pictures: Mapping[str, Sequence[str]]) -> str:
    """Markdown that holds a JPEG: a row for each label, or one grid if there is a single one. Pictures that are gone or
    damaged are passed over."""
    from dataset_pipeline.images.sheets import contact_sheet, row_sheet, spread, thumbnail

    def shown(paths: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
        read = zip(paths, step.readable(paths, partial(thumbnail, thumb_px=SHEET_THUMB_PX)), strict=True)
        there = [(path, picture) for path, picture in read if not isinstance(picture, Exception)]
        return [path for path, _ in there], [picture for _, picture in there]

    try:
        if len(pictures) == 1:
            paths, thumbs = shown(spread(next(iter(pictures.values())), SHEET_COLUMNS * SHEET_ROWS))
            labels = [path.rpartition("@")[2].rpartition("-")[0] for path in paths]
            jpeg = contact_sheet(thumbs, labels, SHEET_COLUMNS, SHEET_THUMB_PX, SHEET_BYTES)
        else:
            rows = {label: shown(spread(paths, SHEET_COLUMNS))[1] for label, paths in pictures.items()}
            jpeg = row_sheet(rows, SHEET_COLUMNS, SHEET_THUMB_PX, SHEET_BYTES)
    except (StoreError, OSError) as error:  # the table is written, and a sheet is no reason to fail
        return str(error)
    return f"![contact sheet](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})"


def _check_results(made: PipelineAsset, pointers: Mapping[str, Pointer]) -> list[dg.AssetCheckResult]:
    """What each check says of these episodes together; "" is one that needs no name."""
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=not (found := _faults(name, pointers)),
            severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
            description="; ".join(found),
        )
        for name, check in made.checks.items()
    ]


def _faults(check: str, pointers: Mapping[str, Pointer]) -> list[str]:
    found = {episode: pointer.provenance.faults.get(check) for episode, pointer in pointers.items()}
    return [f"{episode}: {fault}" if episode else fault for episode, fault in found.items() if fault]
