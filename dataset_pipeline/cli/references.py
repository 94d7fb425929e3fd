"""`references`: who is known by which pictures, what these found, and adding crops to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_pipeline.cli.common import PARTLY, JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import FOR_PATHS, err, out, table_of

if TYPE_CHECKING:
    from dataset_pipeline.reports.references import Account
    from dataset_pipeline.settings import Settings

references_app = typer.Typer(
    help="Pictures that show who is who: what they found, and adding crops to them.", invoke_without_command=True
)


@references_app.callback()
def references(
    context: typer.Context, models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False
) -> None:
    """List names and their pictures, what these found, which crops are doubtful, and which would be good references."""
    context.obj = (models, settings_file)
    if context.invoked_subcommand:
        return
    settings = settings_from(settings_file, models)
    account = _account(settings)
    if as_json:
        print(json.dumps(account.as_dict(), indent=1))
    else:
        print_account(account, settings.run_command)
    if account.passed_over:
        raise typer.Exit(PARTLY)


@references_app.command("add")
def add(
    context: typer.Context,
    crops: Annotated[
        list[str] | None, typer.Argument(help="Ids of crops, or of a character, whose most typical crops are meant.")
    ] = None,
    name: Annotated[str, typer.Option("--as", help="Whom they show; the name that they bear if not given.")] = "",
    outfit: Annotated[str, typer.Option(help="What they wear: a folder in that of the name.")] = "",
    proposed: Annotated[bool, typer.Option("--proposed", help="All crops that the list proposes.")] = False,
) -> None:
    r"""Copy crops into the folder of \[references], from which the next run names people."""
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.references import NotAdded, add_references

    models, settings_file = context.obj
    settings = settings_from(settings_file, models)
    wanted = list(crops or ())
    if proposed and name:
        stop("--proposed takes crops of several names, each for the name it bears: leave --as away")
    if proposed:
        wanted += [crop for it in _account(settings).names for crop in it.proposed]
    if not wanted:
        stop("nothing to add: name crops or a character, or say --proposed if the list proposes any")
    try:
        added = add_references(settings, store_of(settings), _identity(settings), wanted, name, outfit)
    except NotAdded as error:
        stop(str(error))
    for _, path, is_new in added:
        out.print(f"{path}{'' if is_new else ' is there already'}", **FOR_PATHS)
    err.print(f"the next `{settings.run_command}` names people by them", highlight=False)


def _account(settings: Settings) -> Account:
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.references import account_of

    return account_of(settings, store_of(settings), _identity(settings))


def _identity(settings: Settings) -> Any:
    from dataset_pipeline.models.injected import model_resources

    return model_resources(settings)["identity"]


def print_account(account: Account, run_command: str) -> None:
    if not account.names and not account.noise:
        out.print(f"there are no references: put pictures into {Path(account.folder) / '<name>'}", **FOR_PATHS)
    else:
        table = table_of("name", "pictures", "crops that bear it")
        for it in account.names:
            table.add_row(it.name, str(len(it.files)), str(it.crops))
        if account.noise:
            table.add_row("(noise)", str(len(account.noise)), "")
        out.print(table)
        for it in account.names:
            _print_ids(f"most doubtful as {it.name}", it.doubtful)
            _print_ids(f"proposed as references of {it.name}", it.proposed)
    if account.unnamed:
        unnamed = table_of("character without a name", "show", "crops", "what the tagger calls it")
        for it in account.unnamed:
            called = f"{it.proposed_name} ({it.share:.0%} of the crops)" if it.proposed_name else ""
            unnamed.add_row(it.character, it.show, str(it.crops), called)
        out.print(unnamed)
        out.print("`dataset-pipeline references add <character> --as <name>` names one", highlight=False)
    for file, reason in account.passed_over.items():
        err.print(f"{file}: {reason}", style="yellow", **FOR_PATHS)
    if not account.measured:
        err.print(f"references have changed since the last run: `{run_command}` reads them", style="yellow")


def _print_ids(what: str, crops: Sequence[str]) -> None:
    """A line for each, whole however long, so that it can be copied."""
    if crops:
        out.print(f"{what}:", highlight=False)
    for crop in crops:
        out.print(f"  {crop}", **FOR_PATHS)
