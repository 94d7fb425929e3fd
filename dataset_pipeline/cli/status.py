"""`status`: where every episode stands in every asset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dataset_pipeline.cli.common import (
    FAILED,
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    dagster_instance,
    settings_from,
    store_to_write,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out, table_of

if TYPE_CHECKING:
    from dataset_pipeline.reports.status.states import Cell, State, Status

SYMBOLS: dict[State, str] = {
    "fresh": ".",
    "stale": "s",
    "waiting": "w",
    "missing": "-",
    "running": ">",
    "queued": "q",
    "failed": "F",
}
COLORS: dict[State, str] = {"fresh": "green", "stale": "yellow", "missing": "magenta", "failed": "red"}
ROWS_OF_EPISODES = 40  # more episodes are counted by asset
MOST_REASONS = 60
ASSETS_NAMED = 3  # of an episode in one state; more are counted


def status(
    stale: Annotated[bool, typer.Option("--stale", help="Only what is not fresh, a line each.")] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where every episode stands in every asset: fresh, stale and why, missing, running, failed.

    Exit code 0 if all is fresh and nothing damaged, unreadable or passed over, 1 if something failed, 3 otherwise.
    """
    import dataset_pipeline.definitions  # noqa: F401  (the graph is known once its modules are imported)
    from dataset_pipeline.reports.status.judging import status_of

    settings = settings_from(settings_file, models)
    store = store_to_write(settings)
    with dagster_instance(None, settings) as instance:
        found = status_of(settings, store, instance)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
    elif stale:
        print_open(found)
        for line in found.fault_lines():
            err.print(line, style="yellow", **FOR_PATHS)
    else:
        print_status(found)
    if not found.whole:
        raise typer.Exit(FAILED if found.worst == "failed" else PARTLY)


def print_status(status: Status) -> None:
    """Totals, problems, a row for each episode (or, of many, for each asset), and why things are not fresh."""
    counts = ", ".join(f"{count} {state}" for state, count in status.counts().items() if count)
    out.print(f"{len(status.episodes)} episodes in {status.store}: {counts}", **FOR_PATHS)
    if status.corrections:
        out.print(status.corrections, **FOR_PATHS)
    for machine in status.machines:
        out.print(machine, **FOR_PATHS)
    problems = status.problems()
    for problem in problems:
        out.print(problem, style="red" if " failed: " in problem else "yellow", **FOR_PATHS)
    if len(status.episodes) > ROWS_OF_EPISODES:
        out.print(_by_asset(status))
    elif not status.episodes:
        return
    else:
        out.print(_by_episode(status))
        out.print("  ".join(f"{symbol} {state}" for state, symbol in SYMBOLS.items()), style="dim")
    reasons = [line for line in status.reason_lines() if line not in problems]
    for line in reasons[:MOST_REASONS]:
        out.print(line, **FOR_PATHS)
    if len(reasons) > MOST_REASONS:
        out.print(f"… and {len(reasons) - MOST_REASONS} more: `dataset-pipeline status --stale` lists everything")


def print_open(status: Status) -> None:
    """`<asset> <episode> <state> <why>`, one line for each cell that is not fresh; `-` stands for all episodes."""
    for asset, cells in status.cells.items():
        for episode, cell in cells.items():
            if cell.state != "fresh":
                out.print(f"{asset} {episode or '-'} {cell.state} {cell.why}".rstrip(), **FOR_PATHS)


def _by_asset(status: Status) -> Table:
    table = table_of("asset", *SYMBOLS, box=None)
    for asset in status.cells:
        counts = status.counts(asset)
        table.add_row(asset, *(Text(str(counts[state] or ""), COLORS.get(state, "")) for state in SYMBOLS))
    return table


def _by_episode(status: Status) -> Table:
    """A symbol for each asset in the order of the work, then in words what is not fresh."""
    table = table_of("episode", "assets", "", box=None)
    joined = {asset: cells[""] for asset, cells in status.cells.items() if "" in cells}
    for episode in status.episodes:
        cells = {asset: cells[episode] for asset, cells in status.cells.items() if episode in cells}
        table.add_row(episode, _symbols(cells), _in_words(cells))
    table.add_row("all together", _symbols(joined), _in_words(joined))
    return table


def _symbols(cells: dict[str, Cell]) -> Text:
    return Text.assemble(*((SYMBOLS[cell.state], COLORS.get(cell.state, "")) for cell in cells.values()))


def _in_words(cells: dict[str, Cell]) -> str:
    assets: dict[str, list[str]] = {}
    for asset, cell in cells.items():
        assets.setdefault(cell.state, []).append(asset)
    return "; ".join(f"{state} {_named(assets[state])}" for state in SYMBOLS if state != "fresh" and state in assets)


def _named(assets: Sequence[str]) -> str:
    return ", ".join(assets) if len(assets) <= ASSETS_NAMED else f"{len(assets)} assets"
