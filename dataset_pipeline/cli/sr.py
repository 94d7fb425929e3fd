"""`sr`: episodes or folders of pictures into a set for super-resolution."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_pipeline.cli.common import (
    FAILED,
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    SourcesArgument,
    settings_from,
    stop,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out, table_of
from dataset_pipeline.cli.run import Ran, print_troubles, run_graph
from dataset_pipeline.settings.metrics import OF_ANY_MODEL

if TYPE_CHECKING:
    from dataset_pipeline.reports.super_resolution import SrReport
    from dataset_pipeline.settings import Settings

LAYOUTS = "reds, vimeo, trainner"
METRICS = "quality, blockiness, sharpness, noise, banding, complexity"


def sr(
    paths: SourcesArgument = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="The best so many tiles, of each stratum its share.")
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", help=f"What tiles are ranked by: {METRICS}; only quality takes a model.")
    ] = "",
    excluded: Annotated[
        Path | None,
        typer.Option("--excluded", help="A folder of test images that must not be in the set.", resolve_path=True),
    ] = None,
    sequences: Annotated[
        str,
        typer.Option("--sequences", help=f"Sequences of frames in place of tiles, as trainers want them: {LAYOUTS}."),
    ] = "",
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn episodes or folders of pictures into a set for super-resolution: tiles, and their low-quality pictures.

    The set is of what lies in the paths, without one of all that lies in the roots of the settings. What was measured
    once is kept, so another --keep takes seconds. Files stay where they lie.
    """
    from dataset_pipeline.graph.declaration import behind
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.super_resolution import sr_report_on

    changes: dict[str, Any] = {"sr_selection__metric": metric} if metric else {}
    if keep is not None:
        changes |= {"sr_selection__how": "keep_best", "sr_selection__by": "count", "sr_selection__amount": float(keep)}
    if excluded is not None:
        changes["sr_sources__excluded"] = str(excluded)
    if sequences:
        changes["sr_sequences__layout"] = sequences
    settings = settings_from(settings_file, models, **changes)
    import dataset_pipeline.definitions  # noqa: F401  makes the assets known

    asked = "sr_sequences" if sequences else "sr_set"
    needed = behind(asked, settings)
    _stop_without_weights(settings, needed)
    ran = run_graph(settings, paths, as_json, only=needed, narrowed=_of_these if paths else _of_all)
    report = sr_report_on(store_of(settings), ran.outcome, ran.calls, needed, asked)
    if as_json:
        told = report.as_dict() | {"rejected": ran.rejected, "passed_over": list(ran.passed_over)}
        print(json.dumps(told, indent=1))
    else:
        print_sr(report, ran)
    if not report.folder:
        raise typer.Exit(FAILED)
    if report.failures or report.faults or report.changed or ran.rejected or ran.passed_over:
        raise typer.Exit(PARTLY)


def _of_these(settings: Settings, episodes: Sequence[str]) -> Settings:
    section = settings.super_resolution.model_copy(update={"episodes": list(episodes)})
    return settings.model_copy(update={"super_resolution": section})


def _of_all(settings: Settings, episodes: Sequence[str]) -> Settings:
    return settings


def _stop_without_weights(settings: Settings, needed: Collection[str]) -> None:
    """End the command where the cut is meant for another metric, or a model is not here that the set needs, with the
    way that takes none."""
    from dataset_pipeline.graph.declaration import DECLARATIONS
    from dataset_pipeline.models.injected import missing_weights, model_resources
    from dataset_pipeline.training.score_cut import metric_fault

    roles = {role for name in needed for role in DECLARATIONS[name].models}
    resources = {role: it for role, it in model_resources(settings).items() if role in roles}
    metric = settings.sr_selection.metric
    scores_are_of = resources["quality"].terms()["metric"] if "quality" in resources else metric
    if metric != OF_ANY_MODEL and (fault := metric_fault(scores_are_of, metric, "sr_selection")):
        stop(fault)
    missing = missing_weights(resources)
    if missing and "quality" in roles and settings.sr_selection.by_model:
        missing.append("or rank tiles by what takes no model, e.g. --metric sharpness")
    if missing and "embedder" in roles and settings.sr_set.by_embeddings:
        missing.append('or hold out tiles by what takes no model: [sr_set] validation_by = "signatures"')
    if missing:
        stop("\n".join(missing))


def print_sr(report: SrReport, ran: Ran) -> None:
    """What became of pictures and tiles, what other sizes would be, and where the set lies."""
    from rich.markdown import Markdown

    table = table_of("what", "what became of it", "count", title="What everything became", title_justify="left")
    for what, reasons in (("pictures", report.pictures), ("tiles", report.tiles), ("sequences", report.sequences)):
        for reason, count in sorted(reasons.items(), key=lambda it: -it[1]):
            table.add_row(what, reason, str(count))
        table.add_section()
    out.print(table)
    titles = {"ladder": "The best so many tiles would be", "strata": "What each stratum keeps"}
    for title, text in report.notes.items():
        out.print(titles.get(title, title))
        out.print(Markdown(text))
    if report.too_small:
        err.print(f"{len(report.too_small)} pictures are smaller than a tile, {report.too_small[0]} the first",
                  style="yellow", **FOR_PATHS)  # fmt: skip
    print_troubles(ran.rejected, (*ran.passed_over, *report.faults, *filter(None, [report.changed])), report.failures)
    calls = sum(count for name, count in report.model_calls.items() if name.endswith(".pictures"))
    out.print(f"{report.seconds:.0f} s, {calls} tiles or pictures through models", highlight=False)
    if report.made_with_demo_models:
        out.print("Ranked by a demo model, which knows only drawn scenes: good for trying things out.", style="yellow")
    if report.folder:
        what = "sequences" if report.sequences else "tiles"
        out.print(f"The set of {report.selected} {what}:", report.folder, **FOR_PATHS)
    else:
        err.print("No set was written: nothing was selected, or a step failed, see above.", style="red")
