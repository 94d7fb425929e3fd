"""Projects that benchmarks make assets in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from dataset_pipeline.cli.common import dagster_instance
from dataset_pipeline.definitions import build_definitions
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import materialize_assets
from dataset_pipeline.settings import Settings, load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.store.store import Store


@dataclass(frozen=True)
class Project:
    """A project whose sources are registered."""

    settings: Settings
    store: Store
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    episodes: tuple[str, ...]

    def make(self, assets: Sequence[str], episode: str | None) -> None:
        """Materialize assets in one run, of all episodes if they are joined. The benchmark ends where one fails."""
        failures = materialize_assets(self.definitions, self.instance, self.settings, assets, partition_key=episode)
        if failures:
            raise SystemExit(f"{failures[0].asset} of {episode or 'all episodes'}: {failures[0].error}")


@contextmanager
def project_at(folder: Path, sources: Sequence[Path], **settings: Any) -> Iterator[Project]:
    """A project in `folder` of the videos and folders in `sources`, with the networks of the demo unless settings
    (`section__key`) name others, and with a history of Dagster's as one of the command line has it."""
    usual = {
        "models__pack": "demo",
        "store__root": str(folder / "store"),
        "exported_set__root": str(folder / "exports"),
    }
    chosen = load_settings(**(usual | settings))
    store, found = store_of(chosen), find_sources(sources).sources
    with dagster_instance(folder / "dagster") as instance:
        register(instance, store, chosen, found)
        yield Project(chosen, store, instance, build_definitions(chosen), tuple(it.key for it in found))
