"""`cluster`, `worker`, `workers`, `engine init`: several machines on one project."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dataset_pipeline.cli.common import (
    FAILED,
    JsonOption,
    SettingsOption,
    dagster_instance,
    settings_from,
    stop,
    store_to_write,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out, table_of
from dataset_pipeline.settings import OVERLAY_VARIABLE, Settings, project_folder

if TYPE_CHECKING:
    import dagster as dg

Queue = Literal["gpu", "head"]
engine_app = typer.Typer(no_args_is_help=True, help="The servers that several machines share.")


def cluster(
    port: Annotated[int, typer.Option(help="Of the web UI.")] = 3000,
    host: Annotated[str, typer.Option(help="The address that the web UI listens at.")] = "127.0.0.1",
    head_slots: Annotated[
        int | None,
        typer.Option(min=0, help=r"Runs at once of joins and exports here, if not those of \[cluster]; 0 = none."),
    ] = None,
    settings_file: SettingsOption = None,
) -> None:
    """Be the head of a cluster: web UI and daemon, and a worker for joins and exports. Ctrl-C ends all after the run of
    that worker, twice at once."""
    _stop_on_windows()
    settings = _settings(settings_file)
    slots = settings.cluster.head_slots if head_slots is None else head_slots
    with _instance(settings) as instance:
        from dataset_pipeline.cluster.head import Kept, alone, fail_what_was_lost, keep, ours

        if slots and (reasons := _unfit(settings, "head")):
            stop("this machine cannot be the head:\n" + "\n".join(reasons))
        os.chdir(project_folder())
        ui = [sys.executable, "-m", "dagster", "dev", "--port", str(port), "--host", host]
        processes = [Kept("the web UI with its daemon", ui)]
        if slots:
            processes.append(Kept("the worker", ours("worker", "--queue", "head", "--slots", str(slots))))
        with alone(settings.cluster.database) as is_alone:
            if not is_alone:
                stop("another `dataset-pipeline cluster` works on this database: two daemons would begin runs twice")
            keep(processes, lambda: fail_what_was_lost(instance))


def worker(
    queue: Annotated[
        Queue, typer.Option(help="gpu: episodes, wherever models are asked; head: joins, exports.")
    ] = "gpu",
    slots: Annotated[int, typer.Option(min=1, max=64, help="Runs at once, each with its models in memory.")] = 1,
    settings_file: SettingsOption = None,
) -> None:
    """Work on the runs of a cluster. Ctrl-C ends it after its run, twice at once."""
    _stop_on_windows()
    settings = _settings(settings_file)
    with _instance(settings) as instance:
        from dataset_pipeline.cluster.launcher import ClusterRunLauncher

        launcher = instance.run_launcher
        assert isinstance(launcher, ClusterRunLauncher)
        app = launcher.celery
        if reasons := _unfit(settings, queue):
            stop("this machine cannot be a worker:\n" + "\n".join(reasons))
    from dataset_pipeline.cluster.worker import serve

    raise typer.Exit(serve(app, queue, slots))


def workers(settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Say which workers answer, what each holds, and how many runs wait. Exit code 1 if none answers."""
    settings = _settings(settings_file)
    with _instance(settings) as instance:
        from dataset_pipeline.cluster.launcher import ClusterRunLauncher
        from dataset_pipeline.cluster.overview import overview

        launcher = instance.run_launcher
        assert isinstance(launcher, ClusterRunLauncher)
        found = overview(launcher.celery, instance)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print_workers(found)
        for queue, limit in (("gpu", settings.cluster.gpu_slots), ("head", settings.cluster.head_slots)):
            slots = sum(it["slots"] for it in found["workers"].values() if it["queue"] == queue)
            if slots > limit:
                out.print(f"{slots} slots answer, and [cluster] {queue}_slots = {limit}: raise it, or some stay idle")
    if not found["workers"]:
        raise typer.Exit(FAILED)


@engine_app.command("init")
def engine_init(
    weights: Annotated[
        bool, typer.Option("--weights", help="This machine's weights are from now on those that all workers must have.")
    ] = False,
    settings_file: SettingsOption = None,
) -> None:
    """Try the addresses of database, broker and store, open a fresh database, and write down which weights all use."""
    settings = _settings(settings_file)
    with _instance(settings):
        from dataset_pipeline.cluster.fitness import agree_on_weights, open_store

        out.print("database and broker answer")
        store = store_to_write(settings)
        if reasons := open_store(settings):
            stop("\n".join(reasons))
        out.print("the store can be written:", store.root, **FOR_PATHS)
        if reasons := agree_on_weights(settings, anew=weights):
            stop("\n".join(reasons))
        out.print(f"weights of the pack {settings.models.pack!r} are agreed on in {store.root}", **FOR_PATHS)
    out.print("start `dataset-pipeline cluster` here, and `dataset-pipeline worker` on each machine with a GPU")


def _stop_on_windows() -> None:
    if os.name == "nt":
        stop("head and workers need Linux: on Windows start them in WSL")


def _settings(settings_file: Path | None) -> Settings:
    """As other commands have them; processes that are started from here read the same file."""
    if settings_file is not None:
        os.environ[OVERLAY_VARIABLE] = str(settings_file)
    return settings_from(settings_file)


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The cluster's instance, as the one of all processes that are started from here."""
    from dataset_pipeline.cluster.addresses import broker_fault
    from dataset_pipeline.cluster.home import cluster_home

    os.environ["DAGSTER_HOME"] = str(cluster_home(settings))
    if fault := broker_fault(settings.cluster.broker):
        stop(fault)
    with dagster_instance(None, settings) as instance:
        yield instance


def _unfit(settings: Settings, queue: Queue) -> list[str]:
    """Asked in a process of its own, as what a GPU was asked from cannot be forked."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from dataset_pipeline.cluster.fitness import faults

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(faults, settings, queue == "gpu").result()


def _print_workers(found: dict[str, Any]) -> None:
    table = table_of("worker", "queue", "slots", "works on", "")
    for name, told in found["workers"].items():
        runs = "\n".join(f"{it['run_id'][:8]} {it['what']}" for it in told["runs"])
        refuses = f"stands back: {told['refuses']}" if told["refuses"] else ""
        table.add_row(name, told["queue"], str(told["slots"]), runs, refuses)
    if found["workers"]:
        out.print(table)
    else:
        err.print("no worker answers: start `dataset-pipeline worker` on a machine", style="red")
    for queue, runs in found["waiting"].items():
        out.print(f"{queue}: {len(runs)} runs wait for a worker")
    out.print(f"{found['queued']} runs are queued behind them")
    for it in found["silent"]:
        err.print(f"{it['worker']} does not answer and has {it['run_id'][:8]} {it['what']}", style="yellow")
    for it in found["refused"]:
        err.print(f"{it['run_id'][:8]} {it['what']}: {it['refused']}", style="yellow", **FOR_PATHS)
