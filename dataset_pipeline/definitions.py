"""Assembles assets, checks, resources, sensors, jobs and the schedule into code locations: `defs` on the user's models,
`demo_defs` on the shipped ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from dataset_pipeline.assets.corrections import corrections as corrections_spec
from dataset_pipeline.assets.video import video as video_spec
from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import Declaration, ancestors, declared, is_joined
from dataset_pipeline.graph.framework import asset_definition
from dataset_pipeline.graph.project import LOCATIONS, export_root, location_prefix, partitions_name, store_of
from dataset_pipeline.models.injected import generator_of, known_weights, model_resources
from dataset_pipeline.orchestration import jobs
from dataset_pipeline.orchestration.arrivals import arrivals_sensor
from dataset_pipeline.orchestration.automation import automation_sensor, keep_current
from dataset_pipeline.reports.status.asset import status_asset, status_sensor
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.store import Store

log = logging.getLogger(__name__)


def build_definitions(settings: Settings, roles: Mapping[str, Any] | None = None) -> dg.Definitions:
    """One project as a code location.

    A pack other than the real one prefixes its asset keys and its partitions, so that projects share a Dagster
    instance without mixing. `roles`: what stands for the settings' models, by role.
    """
    prefix = location_prefix(settings)
    partitions = dg.DynamicPartitionsDefinition(name=partitions_name(settings))
    classes = dg.StaticPartitionsDefinition([it.name for it in settings.regularization.classes])
    store = store_of(settings)
    roles = dict(roles or model_resources(settings))
    weights = known_weights(roles)
    external = [
        spec.replace_attributes(key=dg.AssetKey([*prefix, *spec.key.path]), partitions_def=partitions)
        for spec in (video_spec, corrections_spec)
    ]
    graph = declared(settings)
    conditions = _conditions(graph, prefix)
    assets = [
        asset_definition(
            made.under(settings),
            prefix,
            partitions,
            made.declaration.code_version(settings, weights),
            conditions.get(name),
            classes,
        )
        for name, made in ASSETS.items()
    ]
    measure_episode = jobs.measure_episode(settings, partitions)
    episodes = _episodes_in(store)
    process_new_episodes = jobs.process_new_episodes(settings, build_definitions)
    return dg.Definitions(
        assets=[*external, *assets, status_asset(prefix)],
        resources={
            "settings": settings,
            "store": store,
            "export_root": export_root(settings),
            "generator": generator_of(settings),
            **roles,
        },
        jobs=[
            measure_episode,
            jobs.rebuild_set(settings, build_definitions),
            process_new_episodes,
            jobs.regularize(settings, build_definitions),
            jobs.export(settings),
        ],
        schedules=[jobs.nightly(process_new_episodes)],
        sensors=[
            arrivals_sensor(settings, store, measure_episode, episodes),
            automation_sensor((dg.AssetKey([*prefix, name]) for name in ASSETS), episodes),
            status_sensor(settings, store, dg.AssetKey([*prefix, "status"])),
        ],
        executor=dg.in_process_executor,  # a run's steps share a process, so that models are loaded once
    )


def _episodes_in(store: Store) -> int:
    """How many episodes there are as the definitions are loaded."""
    try:
        return len(store.episodes("video"))
    except (OSError, PermanentError) as error:  # runs will tell of it; definitions without a store are better than none
        log.warning("%s cannot be listed (%s): automation looks as often as in a small project", store.root, error)
        return 0


def _conditions(graph: Mapping[str, Declaration], prefix: list[str]) -> dict[str, dg.AutomationCondition]:
    """By asset. Sets are exported on demand, and so is all for super-resolution and regularization; all else keeps
    current by itself."""
    together = [name for name, it in graph.items() if _follows(it)]
    measured = {above for name in together for above in ancestors(graph[name], graph)} & graph.keys() - {*together}
    joined = next(name for name in together if is_joined(name))

    def keys(names: Iterable[str]) -> list[dg.AssetKey]:
        return [dg.AssetKey([*prefix, name]) for name in names]

    sources = dg.AssetSelection.assets(*keys(["video"]))
    automatic = [name for name, it in graph.items() if not (it.exports or it.on_demand)]
    conditions = dict.fromkeys(automatic, keep_current(sources))
    for name in together:
        above = keys(sorted(ancestors(graph[name], graph) & {*together}))
        conditions[name] = keep_current(
            sources, keys(sorted(measured)), keys(together), above, dg.AssetKey([*prefix, joined])
        )
    return conditions


def _follows(declaration: Declaration) -> bool:
    """Whether an asset is made once all episodes are at rest."""
    automatic = not (declaration.exports or declaration.on_demand)
    return automatic and (declaration.joined or declaration.projection)


def _of_location(name: str) -> dg.Definitions:
    return build_definitions(LOCATIONS[name]())


@dg.definitions
def defs() -> dg.Definitions:
    """The user's project."""
    return _of_location("defs")


@dg.definitions
def demo_defs() -> dg.Definitions:
    """The same graph on the shipped demo models, over the drawn episodes, in a store of its own. Nothing where the
    user's project has these models itself: two locations that define the same assets stop all automation."""
    mine, demo = LOCATIONS["defs"](), LOCATIONS["demo_defs"]()
    return dg.Definitions() if location_prefix(mine) == location_prefix(demo) else build_definitions(demo)
