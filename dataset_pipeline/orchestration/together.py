"""What follows from all episodes, made in one run: joins and projections are five stages, and as runs of their own each
would wait for ticks, for the queue and for a process that has loaded its code.

Dagster asks for assets with unlike partitions in a backfill, stage by stage. Here the first that is due brings
everything below it along, over all episodes: what would come out as it is stays as it is, so that a stage too many
costs a look. Every event log of this package loads this module into the daemon; where another log does without it all
is made stage by stage, with the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg

from dataset_pipeline.orchestration.dagster_internals import (
    AssetGraph,
    EntitySubset,
    request_runs_by,
    skip_empty_subsets,
    tell_runs_of_all_updates,
)
from dataset_pipeline.orchestration.unfinished import RANGE_END_TAG, RANGE_START_TAG

FOLLOWS = "all episodes are at rest"  # label of a part of the condition of what is made together
THROUGH_TAG = "dataset_pipeline/through"  # of a run that makes all that follows from what it makes


def printing_from(level: str) -> dict[str, Any]:
    """The config of a run that prints messages of that level and above. Dagster prints every event of a run as well,
    thousands for a thousand episodes."""
    return {"loggers": {"console": {"config": {"log_level": level}}}}


TERSE = printing_from("ERROR")  # of runs that the daemon starts


def runs_together(
    graph: AssetGraph,
    keys: AbstractSet[dg.AssetKey],
    asked: Sequence[EntitySubset],
    partitions: Callable[[dg.AssetKey], Sequence[str]],
) -> tuple[list[dg.RunRequest], list[EntitySubset]]:
    """The one run for what is asked for and follows from all episodes, if there is any, and what else is asked for.

    keys: the assets that a tick looks at. partitions: all of an asset, in the order in which Dagster reads a range.
    """
    following = {key for key in keys if follows(graph, key)}
    first = {it.key: it for it in asked if it.key in following}
    if not first:
        return [], list(asked)
    made: set[dg.AssetKey] = set()
    found = set(first)
    while found:
        made |= found
        found = {below for key in found for below in graph.get(key).child_keys} & following - made
    tags = {THROUGH_TAG: "true"}
    projected = {key for key in made if graph.get(key).is_partitioned}
    episodes = partitions(min(projected)) if projected else ()
    if not any(_above(graph, key) & made - projected for key in projected):
        asked_for = (it.expensively_compute_partition_keys() for key, it in first.items() if key in projected)
        wanted = set().union(*asked_for)
        places = [place for place, episode in enumerate(episodes) if episode in wanted]
        episodes = episodes[places[0] : places[-1] + 1] if places else episodes
    if episodes:
        tags |= {RANGE_START_TAG: episodes[0], RANGE_END_TAG: episodes[-1]}
    else:
        made -= projected
    # A check is asked for with its asset, and comes with it.
    rest = [it for it in asked if (it.key.asset_key if isinstance(it.key, dg.AssetCheckKey) else it.key) not in made]
    return [dg.RunRequest(asset_selection=sorted(made), run_config=TERSE, tags=tags)], rest


def follows(graph: AssetGraph, key: dg.AssetKey) -> bool:
    """Whether an asset is made once all episodes are at rest, by its condition."""
    condition = graph.get(key).automation_condition
    return condition is not None and any(it.get_label() == FOLLOWS for it in condition.children)


def _above(graph: AssetGraph, key: dg.AssetKey) -> set[dg.AssetKey]:
    above: set[dg.AssetKey] = set()
    found = {key}
    while found := {parent for it in found for parent in graph.get(it).parent_keys} - above:
        above |= found
    return above


request_runs_by(runs_together)
tell_runs_of_all_updates()
skip_empty_subsets()
