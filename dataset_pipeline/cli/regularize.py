"""`regularize`: pictures of classes that stand beside the training images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from dataset_pipeline.cli.common import (
    FAILED,
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    dagster_instance,
    settings_from,
    stop,
    store_to_write,
)
from dataset_pipeline.cli.console import err, out, showing_progress, table_of
from dataset_pipeline.cli.run import print_troubles

if TYPE_CHECKING:
    from dataset_pipeline.reports.regularization import RegularizationReport
    from dataset_pipeline.settings import Settings

NO_CLASSES = (
    "no class of regularization pictures is named: write into your settings, e.g.\n"
    "[[regularization.classes]]\n"
    'name = "scenery"\nsource = "stills"\ncaption = "scenery"\n'
    "The comments of [regularization] say what else there is."
)


def regularize(models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Make the pictures of the classes of \\[regularization], which `export` lays beside the training images.

    They are generated, or taken from a folder or from stills on which nobody is. What was made once is kept; stopped,
    it goes on where it was.
    """
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.graph.declaration import regularization_assets
    from dataset_pipeline.models.loading import CALLS, reset_calls
    from dataset_pipeline.orchestration.runs import materialize_all
    from dataset_pipeline.reports.regularization import regularization_report_on

    settings = settings_from(settings_file, models)
    _stop_if_something_is_missing(settings)
    store = store_to_write(settings)
    reset_calls()
    with dagster_instance(None, settings) as instance, warnings.catch_warnings(), showing_progress(as_json) as show:
        warnings.simplefilter("ignore")
        outcome = materialize_all(
            build_definitions(settings), instance, settings, [], show.outer, only=regularization_assets()
        )
    report = regularization_report_on(settings, store, outcome, dict(CALLS))
    if as_json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        print_regularization(report)
    if report.failures and not any(it.kept for it in report.classes):
        raise typer.Exit(FAILED)
    if report.failures or report.faults or any(it.faults or not it.kept for it in report.classes):
        raise typer.Exit(PARTLY)


def _stop_if_something_is_missing(settings: Settings) -> None:
    """End the command where no class is named, or weights are missing; what else a class needs its own steps say."""
    from dataset_pipeline.graph.declaration import declared, regularization_assets
    from dataset_pipeline.models.injected import missing_weights, model_resources

    if not settings.regularization.classes:
        stop(NO_CLASSES)
    graph = declared(settings)
    roles = {role for name in regularization_assets() for role in graph[name].models}
    resources = model_resources(settings)
    missing = missing_weights({role: resources[role] for role in sorted(roles)})
    if missing:
        stop("\n".join(missing))


def print_regularization(report: RegularizationReport) -> None:
    """What became of the pictures of each class."""
    table = table_of("class", "what became of it", "pictures", title="Regularization", title_justify="left")
    for it in report.classes:
        table.add_row(it.name, "asked for" if it.source in ("prompts", "captions") else "there", str(it.asked))
        for reason, count in sorted(it.pictures.items(), key=lambda pair: -pair[1]):
            table.add_row("", reason, str(count))
        table.add_section()
    out.print(table)
    faults = [*report.faults, *(f"{it.name}: {fault}" for it in report.classes for fault in it.faults)]
    print_troubles({}, faults, report.failures)
    for it in report.classes:
        if it.hint:
            out.print(f"{it.name}: {it.hint}", highlight=False)
    seen = {name: count for name, count in report.model_calls.items() if name.endswith(".pictures")}
    made = seen.pop("generator.pictures", 0)
    out.print(
        f"{report.seconds:.0f} s, {made} pictures generated, {sum(seen.values())} through models", highlight=False
    )
    if any(it.kept for it in report.classes):
        if report.made_with_demo_models:
            told = "Judged by the demo models, which know only drawn scenes: good for trying things out."
            out.print(told, style="yellow")
        out.print("`dataset-pipeline export <trainer>` lays them beside the training images.")
    else:
        err.print("No picture was kept, see above.", style="red")
