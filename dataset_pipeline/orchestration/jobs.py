"""What a person may start by hand in the web UI, and the schedule for those who want no automation."""

from collections.abc import Callable, Collection

import dagster as dg

from dataset_pipeline.graph.declaration import regularization_assets
from dataset_pipeline.graph.project import location_prefix, store_of
from dataset_pipeline.orchestration.arrivals import look_for_new
from dataset_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition
from dataset_pipeline.orchestration.registration import carry_over, register
from dataset_pipeline.orchestration.runs import materialize_all, phases
from dataset_pipeline.orchestration.together import TERSE
from dataset_pipeline.orchestration.unfinished import project_tag
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.roots import roots_of

NIGHTLY = "0 3 * * *"


def measure_episode(settings: Settings, partitions: dg.PartitionsDefinition) -> UnresolvedAssetJobDefinition:
    """One episode through everything that needs only itself: probing, frames, crops, embeddings, scores, tags."""
    return dg.define_asset_job(
        "measure_episode",
        selection=dg.AssetSelection.assets(
            *(dg.AssetKey([*location_prefix(settings), name]) for name in phases()[0].assets)
        ),
        partitions_def=partitions,
        config=TERSE,
        tags=project_tag(settings),
        description="Measure one episode: probing, frames, crops, embeddings, scores, tags. Models are loaded once.",
    )


def export(settings: Settings) -> UnresolvedAssetJobDefinition:
    """The current set, written for a trainer."""
    return dg.define_asset_job(
        "export",
        selection=dg.AssetSelection.assets(dg.AssetKey([*location_prefix(settings), "exported_set"])),
        tags=project_tag(settings),
        description="Write the current training set into a fresh folder, for the trainer of `[exported_set] profile`.",
    )


def rebuild_set(settings: Settings, build: Callable[[Settings], dg.Definitions]) -> dg.JobDefinition:
    """Everything that is joined over episodes, up to the set. Each step is a run of its own in the same process."""

    @dg.op(name="rebuild_set_op", description="Joined assets and projections of all episodes, in order.")
    def rebuild(context: dg.OpExecutionContext) -> None:
        _materialize(context, settings, build, [])

    @dg.job(
        name="rebuild_set",
        executor_def=dg.in_process_executor,
        tags=project_tag(settings),
        description="Characters, tags, selection, captions, balance and the set, from what has been measured.",
    )
    def job() -> None:
        rebuild()

    return job


def regularize(settings: Settings, build: Callable[[Settings], dg.Definitions]) -> dg.JobDefinition:
    """The pictures of all classes of `[regularization]`, of what has been measured. Each step is a run of its own."""

    @dg.op(name="regularize_op", description="Asks for, judges and chooses the pictures of each class.")
    def make(context: dg.OpExecutionContext) -> None:
        _materialize(context, settings, build, [], only=regularization_assets())

    @dg.job(
        name="regularize",
        executor_def=dg.in_process_executor,
        tags=project_tag(settings),
        description="Make the pictures of the classes of `[regularization]`, which an export lays beside the set.",
    )
    def job() -> None:
        make()

    return job


def process_new_episodes(settings: Settings, build: Callable[[Settings], dg.Definitions]) -> dg.JobDefinition:
    """New and replaced episodes are measured, then the set is rebuilt: what sensor and automation do, in one go."""

    @dg.op(name="process_new_episodes_op", description="Look for new episodes, measure them, rebuild the set.")
    def process(context: dg.OpExecutionContext) -> None:
        store = store_of(settings)
        found = look_for_new(settings, store, context.instance)
        context.log.info(f"{len(found)} new or replaced episodes: {', '.join(source.key for source in found)}")
        carried = carry_over(context.instance, store, settings, found, roots_of(settings))
        for note in carried.notes:
            context.log.info(note)
        register(context.instance, store, settings, carried.sources)
        _materialize(context, settings, build, [source.key for source in carried.sources])

    @dg.job(
        name="process_new_episodes",
        executor_def=dg.in_process_executor,
        tags=project_tag(settings),
        description="Measure every new or replaced episode, then rebuild the set.",
    )
    def job() -> None:
        process()

    return job


def nightly(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Off until somebody turns it on; for those who keep the sensors off."""
    return dg.ScheduleDefinition(
        name="nightly",
        job=job,
        cron_schedule=NIGHTLY,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every night at three, where sensors are turned off.",
    )


def _materialize(
    context: dg.OpExecutionContext,
    settings: Settings,
    build: Callable[[Settings], dg.Definitions],
    episodes: list[str],
    only: Collection[str] | None = None,
) -> None:
    def log_progress(what: str, done: int, total: int) -> None:
        context.log.info(f"{done + 1} of {total}: {what}")

    graph, leave_out = build(settings), ["exported_set"]
    outcome = materialize_all(
        *(graph, context.instance, settings, episodes, log_progress, leave_out), only=only, within=context.run_id
    )
    if outcome.failures:
        reasons = "; ".join(f"{failure.asset} {failure.episode}: {failure.error}" for failure in outcome.failures)
        raise dg.Failure(f"{len(outcome.failures)} steps failed: {reasons}", allow_retries=False)
