"""`dev`: the web UI on the project's own history."""

from __future__ import annotations

import os
import sys

import typer

from dataset_pipeline.cli.common import stop
from dataset_pipeline.settings import load_settings, project_folder


def dev(context: typer.Context) -> None:
    """Open the web UI on the project's history, which outlives it. Takes the options of `dagster dev`, e.g. --port."""
    if load_settings().cluster.is_set:
        stop("[cluster] is set: its one head has the web UI, `dataset-pipeline cluster`; a second daemon harms runs")
    home = os.environ.get("DAGSTER_HOME") or str(project_folder())
    os.chdir(project_folder())
    # Without a home Dagster announces a temporary one, though dagster.yaml says where everything is kept.
    become([sys.executable, "-m", "dagster", "dev", *context.args], os.environ | {"DAGSTER_HOME": home})


def become(command: list[str], environment: dict[str, str]) -> None:
    """Go on as another program, to which signals and Ctrl-C go; on Windows, which cannot do that, wait for its end."""
    if os.name != "nt":
        os.execve(command[0], command, environment)
    import subprocess

    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                raise typer.Exit(process.wait())
            except KeyboardInterrupt:  # the program was told as well and ends by itself
                continue
