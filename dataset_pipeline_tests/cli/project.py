"""A project reached by the command line alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from typer.testing import CliRunner

from dataset_pipeline.cli.app import app
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.store.store import Store

# A PNG of one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f0005fe02fea7"
    "35818d0000000049454e44ae426082"
)


@dataclass
class Project:
    """A project on the demo models with a history of its own, reached by the command line alone."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "dagster"

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))

    def register(self, *names: str) -> None:
        """Folders with a picture in each; `one` becomes the episode `one.one`."""
        for name in names:
            folder = self.root / "episodes" / name
            folder.mkdir(parents=True)
            (folder / "page.png").write_bytes(PIXEL)
        found = find_sources([self.root / "episodes" / name for name in names])
        assert [source.key for source in found.sources] == [f"{name}.{name}" for name in names]
        with self.instance() as instance:
            register(instance, self.store, load_settings(models__pack="demo"), found.sources)

    def command(self, *arguments: str, answer: str = "") -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        overlay = {"DATASET_PIPELINE_SETTINGS": str(self.root / "settings.toml"), "DAGSTER_HOME": str(self.home)}
        result = CliRunner().invoke(app, list(arguments), env=overlay | {"COLUMNS": "200"}, input=answer)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr
