"""`review export` and `review import`: corrections by moving pictures between folders."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_pipeline.cli.common import PARTLY, JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import FOR_PATHS, err, out

if TYPE_CHECKING:
    from dataset_pipeline.reports.review_folders import Imported

NAMED = 20  # lines of a kind; more are counted
WORDS = {
    "rename": "renamed",
    "merge": "merged",
    "set_character": "given to a character",
    "not_character": "taken from a character",
    "reject": "rejected",
    "undo": "no longer rejected",
}
FolderArgument = Annotated[Path, typer.Argument(help="The folder of characters.", resolve_path=True)]


def export_folders(
    context: typer.Context,
    folder: FolderArgument,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a folder for each character, with a picture of each person on each still, to sort by hand.

    Rename, merge and make folders, move and delete pictures, and `review import` says it to the project.
    """
    from dataset_pipeline.reports.review_folders import export_folders as export

    settings, store = _project(context, models, settings_file)
    done = export(settings, store, folder)
    if as_json:
        print(json.dumps(asdict(done), indent=1))
    else:
        out.print(f"{done.pictures} pictures of {done.characters} characters: {done.folder}", **FOR_PATHS)
        _listed(list(done.unread.values()))
    if done.unread:
        raise typer.Exit(PARTLY)


def import_folders(
    context: typer.Context,
    folder: FolderArgument,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    only_tell: Annotated[bool, typer.Option("--dry-run", help="Tell what would be said, and say nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say to the project what was changed in a folder of `review export`. Exit code 3 if something of it was not."""
    from dataset_pipeline.reports.review_folders import import_folders as take_over

    settings, store = _project(context, models, settings_file)
    done = take_over(settings, store, folder, only_tell)
    if as_json:
        print(json.dumps(done.as_dict, indent=1))
    else:
        print_imported(done, only_tell, settings.run_command)
    if done.conflicts or done.foreign:
        raise typer.Exit(PARTLY)


def _project(context: typer.Context, models: str, settings_file: Path | None) -> tuple[Any, Any]:
    """Settings and store. What was given after the command's name wins over what was given after `review`."""
    from dataset_pipeline.graph.project import store_of

    models_before, file_before = context.obj
    settings = settings_from(settings_file or file_before, models or models_before)
    store = store_of(settings)
    if store.pointer("character_gallery") is None:
        stop(f"there are no characters in {store.root} yet: `{settings.run_command}` finds them")
    return settings, store


def print_imported(done: Imported, only_tell: bool, run_command: str) -> None:
    for do, count in Counter(it["do"] for it in done.said).items():
        pictures = sum(len(it.get("images", ())) for it in done.said if it["do"] == do)
        out.print(f"{pictures or count} {WORDS[do]}", highlight=False)
    if not done.said:
        out.print("nothing new is said", highlight=False)
    _listed([f"not taken over: {it}" for it in done.conflicts])
    _listed(done.notices)
    _listed([f"{it}: the project does not know it" for it in done.foreign])
    if done.foreign:
        err.print("pictures of your own that show somebody belong into references/<name>/", highlight=False)
    if done.said:
        last = "nothing was said, leave --dry-run away" if only_tell else f"the next `{run_command}` follows"
        err.print(last, highlight=False)


def _listed(lines: Sequence[str]) -> None:
    for line in lines[:NAMED]:
        err.print(line, style="yellow", **FOR_PATHS)
    if len(lines) > NAMED:
        err.print(f"and {len(lines) - NAMED} more; --json lists all", style="yellow", highlight=False)
