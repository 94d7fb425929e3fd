"""What the commands share: options, exit codes, the settings, the store and Dagster's history."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dataset_pipeline.base.errors import full_disk
from dataset_pipeline.cli.console import FOR_PATHS, err
from dataset_pipeline.settings import DEMO_DEFAULTS, Settings, SettingsError, load_settings, project_folder

if TYPE_CHECKING:
    import dagster as dg

    from dataset_pipeline.store.store import Store

FAILED, PARTLY = 1, 3  # exit codes: it failed; not everything is done, or some inputs were damaged or failed
DIFFERENT = PARTLY  # `diff`: the two sets are not the same
INTERRUPTED = 130  # what shells give a program that Ctrl-C ended

SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A file that changes defaults; instead of settings.local.toml.", resolve_path=True),
]
SourcesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        help=r"Videos, folders of pictures, or trees of shows; the roots of \[episodes] if not given.",
        resolve_path=True,
    ),
]
ModelsOption = Annotated[str, typer.Option("--models", help="The model pack: real, demo, or one of models.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]


def stop(message: str) -> NoReturn:
    """End the command as failed, with a sentence on standard error."""
    err.print(message, style="red", **FOR_PATHS)
    raise typer.Exit(FAILED)


def settings_from(overlay: Path | None, models: str = "", **changes: Any) -> Settings:
    """The project's settings, changed by a file and then by single values. models: the pack, if one was given; the demo
    has defaults of its own."""
    if models:
        changes["models__pack"] = models
    try:
        return load_settings(overlay, pack_defaults=DEMO_DEFAULTS if models == "demo" else None, **changes)
    except SettingsError as error:
        stop(str(error))


def store_to_write(settings: Settings) -> Store:
    """The project's store; ends the command where other models wrote into it."""
    from dataset_pipeline.graph.project import mixing_fault, store_of

    store = store_of(settings)
    if fault := mixing_fault(settings, store):
        stop(fault)
    return store


@contextmanager
def dagster_instance(home: Path | None, settings: Settings | None = None) -> Iterator[dg.DagsterInstance]:
    """The instance of the web UI: that of `[cluster]` if the settings name one, else DAGSTER_HOME if set, else the
    project's dagster.yaml; or one that lies in `home`."""
    import dagster as dg
    from filelock import FileLock

    chosen = os.environ.get("DAGSTER_HOME")
    if home is None and settings is not None and settings.cluster.is_set:
        from dataset_pipeline.cluster.addresses import database_fault
        from dataset_pipeline.cluster.home import cluster_home

        chosen = str(cluster_home(settings))
        if fault := database_fault(settings.cluster.database):
            stop(fault)
    elif home is not None:
        from dataset_pipeline.orchestration.history import lay_out

        lay_out(home)
    elif chosen and not Path(chosen).is_dir():
        stop(f"{chosen}, which DAGSTER_HOME names, is not a folder; make it, or unset DAGSTER_HOME")
    elif not chosen:
        os.chdir(project_folder())  # dagster.yaml names its folders relative to the project
    # Dagster makes its tables when it is opened first, which two commands must not do at once.
    folder = home or Path(chosen or ".")
    history = folder.absolute() / ".dagster"
    try:
        with FileLock(folder / ".dagster" / "opening.lock"):
            opened = dg.DagsterInstance.from_config(str(folder))
    except OSError as error:
        stop(f"Dagster's history in {history} cannot be written: {error.strerror or error}")
    except Exception as error:
        if not (reason := full_disk(error, history)):
            raise
        stop(f"Dagster's history cannot be written: {reason}")
    from dataset_pipeline.orchestration.unfinished import fail_dead_runs

    with opened as instance:
        try:
            fail_dead_runs(instance)
            yield instance
        except Exception as error:
            if not (reason := full_disk(error, history)):
                raise
            stop(reason)
