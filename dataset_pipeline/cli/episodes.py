"""`clean` and `prune`: files that nothing refers to any more, and episodes taken out for good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from dataset_pipeline.cli.common import (
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    dagster_instance,
    settings_from,
    store_to_write,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out, showing_progress


def clean(
    grace_h: Annotated[
        float, typer.Option(min=0.0, help="Younger files stay, in hours: more than the longest run takes.")
    ] = 48.0,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove tables and pictures that nothing current refers to any more, and what killed runs left half written."""
    from dataset_pipeline.graph.project import export_root, store_of
    from dataset_pipeline.training.exporters.folder import clean_unfinished

    settings = settings_from(settings_file, models)
    store, sets = store_of(settings), export_root(settings)
    cleaned = store.clean(grace_h * 3600)
    unfinished_sets, set_bytes = clean_unfinished(sets, grace_h * 3600)
    if as_json:
        print(json.dumps(asdict(cleaned) | {"unfinished_sets": unfinished_sets, "unfinished_sets_bytes": set_bytes}))
    else:
        out.print(
            f"removed {cleaned.tables} tables, {cleaned.pictures} pictures and {cleaned.temporary} unfinished files "
            f"from {store.root}: {cleaned.size_bytes / 1e6:.1f} MB",
            **FOR_PATHS,
        )  # fmt: skip
        if unfinished_sets:
            out.print(f"removed {unfinished_sets} unfinished sets from {sets}: {set_bytes / 1e6:.1f} MB", **FOR_PATHS)
        for reason in cleaned.unreadable:
            kept = f"all that this damaged table may refer to was kept: {reason}"
            err.print(kept, style="yellow", **FOR_PATHS)
    if cleaned.unreadable:
        raise typer.Exit(PARTLY)


def prune(
    episodes: Annotated[
        list[str] | None, typer.Argument(help="Episodes as `status` names them; those whose source is gone if none.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. With --json nothing is done without it.")] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take episodes out for good, and make the set again without them. Sources stay where they are."""
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.orchestration.prune import gone_episodes
    from dataset_pipeline.orchestration.prune import prune as take_out
    from dataset_pipeline.orchestration.runs import Outcome, materialize_all
    from dataset_pipeline.reports.run_report import account

    settings = settings_from(settings_file, models)
    store = store_to_write(settings)
    with dagster_instance(None, settings) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = episodes or gone_episodes(settings, store, instance)
        if not yes and as_json:
            print(json.dumps({"would_remove": chosen}))
            return
        if not chosen:
            out.print("every source is where it was: there is nothing to take out")
            return
        if not yes:
            for episode in chosen:
                out.print(episode, highlight=False)
            typer.confirm(f"Take these {len(chosen)} out?", abort=True)
        pruned = take_out(instance, store, settings, chosen)
        outcome = Outcome()
        if pruned.removed:
            with showing_progress(as_json) as show:
                outcome = materialize_all(
                    build_definitions(settings), instance, settings, [], show.outer, leave_out=["exported_set"]
                )
        funnel = account(store, outcome.registered)
    if as_json:
        failures = [asdict(failure) for failure in outcome.failures]
        print(json.dumps(asdict(pruned) | {"failures": failures, "funnel": funnel}, indent=1))
    else:
        for reason in pruned.refused.values():
            err.print(reason, style="yellow", **FOR_PATHS)
        for failure in outcome.failures:
            err.print(f"{failure.asset} failed: {failure.error}", style="red", **FOR_PATHS)
        if pruned.removed:
            out.print(f"took out {', '.join(pruned.removed)}", **FOR_PATHS)
            out.print(funnel_line(funnel), **FOR_PATHS)
    if pruned.refused or outcome.failures:
        raise typer.Exit(PARTLY)


def funnel_line(stages: Sequence[tuple[str, str, int]]) -> str:
    """The rows of `funnel` in one line: `frames: 40 kept, 60 near_duplicate; … set: 38 in the set`."""
    counts: dict[str, list[str]] = {}
    for stage, outcome, count in stages:
        counts.setdefault(stage, []).append(f"{count} {outcome}")
    return "; ".join(f"{stage}: {', '.join(outcomes)}" for stage, outcomes in counts.items())
