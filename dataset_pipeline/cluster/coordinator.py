"""Dagster's queue of runs, with the tags that a cluster goes by on every run, whoever asked for it."""

from __future__ import annotations

from typing import Any

import dagster as dg

import dataset_pipeline.assets  # noqa: F401  (what assets declare is known once their modules are imported)
from dataset_pipeline.cluster.home import QUEUE_TAG
from dataset_pipeline.cluster.tags import expectations, queue_of, settings_of
from dataset_pipeline.orchestration.dagster_internals import QueuedRunCoordinator, SubmitRunContext, instance_of


class ClusterRunCoordinator(QueuedRunCoordinator):
    """As Dagster's own; its limits by tag count the runs of each queue."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> ClusterRunCoordinator:
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        run = context.dagster_run
        settings = settings_of(run)
        told = expectations(settings) if settings else {}
        instance_of(self).add_run_tags(run.run_id, {QUEUE_TAG: queue_of(run), **told})
        return super().submit_run(context)
