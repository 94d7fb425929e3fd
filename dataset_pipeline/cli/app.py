"""The command line. It materializes the same assets in the same Dagster instance that the web UI shows."""

from __future__ import annotations

import io
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from dataset_pipeline.base.errors import PassingError, PermanentError, full_disk
from dataset_pipeline.cli.cluster import cluster, engine_app, worker, workers
from dataset_pipeline.cli.common import FAILED, INTERRUPTED
from dataset_pipeline.cli.console import err
from dataset_pipeline.cli.dev import dev
from dataset_pipeline.cli.diff import diff
from dataset_pipeline.cli.doctor import doctor
from dataset_pipeline.cli.episodes import clean, prune
from dataset_pipeline.cli.estimate import estimate
from dataset_pipeline.cli.explain import explain
from dataset_pipeline.cli.find import find
from dataset_pipeline.cli.models import models_app
from dataset_pipeline.cli.references import references_app
from dataset_pipeline.cli.regularize import regularize
from dataset_pipeline.cli.review import review_app
from dataset_pipeline.cli.run import demo, run
from dataset_pipeline.cli.sets import export, rebalance, recaption, report
from dataset_pipeline.cli.sr import sr
from dataset_pipeline.cli.status import status


class Commands(TyperGroup):
    """The commands, any of which a person may stop."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("stopped; what is finished is kept, run again to go on", style="yellow")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    help="Video episodes in, training datasets for image models out.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (demo, run, sr, regularize, estimate):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(dev)
for command in (status, explain, find, export, recaption, rebalance, report, diff, clean, prune, doctor):
    app.command()(command)
for command in (cluster, worker, workers):
    app.command()(command)
app.add_typer(engine_app, name="engine")
app.add_typer(references_app, name="references")
app.add_typer(review_app, name="review")
app.add_typer(models_app, name="models")


def main() -> None:
    """Entry point of `dataset-pipeline`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that cannot show a title must not stop a run
    try:
        app()
    except (PermanentError, PassingError) as error:
        err.print(str(error), style="red", soft_wrap=True)
        sys.exit(FAILED)
    except Exception as error:
        if not (reason := full_disk(error, "standard output")):
            raise
        err.print(reason, style="red", soft_wrap=True)
        sys.exit(FAILED)
