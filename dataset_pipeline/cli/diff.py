"""`diff`: what differs between two sets, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_pipeline.cli.common import DIFFERENT, JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import FOR_PATHS, out, table_of

if TYPE_CHECKING:
    from dataset_pipeline.reports.set_diff.sides import Side
    from dataset_pipeline.settings import Settings
    from dataset_pipeline.store.store import Store
    from dataset_pipeline.training.set_diff.diff import SetDiff

SIDE = "an exported folder, its manifest.json, `current`, or the beginning of a name that --list shows"


def diff(
    old: Annotated[str, typer.Argument(help=f"A set: {SIDE}.")] = "",
    new: Annotated[str, typer.Argument(help="The set it is compared with; the current one if not given.")] = "current",
    list_versions: Annotated[bool, typer.Option("--list", help="List the sets that still lie in the store.")] = False,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Images named for each reason.")] = 3,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write an HTML file with pictures.", dir_okay=False, resolve_path=True)
    ] = None,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what differs between two sets and why: images that came or left, captions, concepts, pictures.

    Exit code 0 if they are the same, 3 if they differ or a folder was edited, 1 if they cannot be compared.
    """
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.set_diff.sides import SideError, compare
    from dataset_pipeline.settings.tag_rules import RulesError
    from dataset_pipeline.store.store import StoreError
    from dataset_pipeline.training.exporters import ExportError

    settings = settings_from(settings_file, models)
    store = store_of(settings)
    if list_versions:
        print_versions(store, as_json)
        return
    if not old:
        stop(f"name the set to compare with: {SIDE}")
    try:
        explicit = bool(models or settings_file)
        sides = [
            _side(name, settings, store if explicit else _store_beside(other, store))
            for name, other in ((old, new), (new, old))
        ]
    except (SideError, ExportError, StoreError, RulesError, OSError) as error:
        stop(str(error))
    found = compare(*sides)
    if page is not None:
        _write_page(page, found, sides)
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        print_diff(found, examples)
        if page is not None:
            out.print(str(page), **FOR_PATHS)
    if not found.same:
        raise typer.Exit(DIFFERENT)


def _side(name: str, settings: Settings, store: Store) -> Side:
    from dataset_pipeline.reports.set_diff.sides import CURRENT, side_of_folder, side_of_store

    path = Path(name)
    if name != CURRENT and path.exists():
        return side_of_folder(path.absolute(), _stores_of(path.absolute(), store))
    return side_of_store(store, name, settings)


def _store_beside(other: str, store: Store) -> Store:
    """The store where a set is looked for that is compared with `other`: of a folder the one beside it, if that has
    sets."""
    from dataset_pipeline.reports.set_diff.sides import CURRENT, SET

    path = Path(other)
    stores = _stores_of(path.absolute(), store) if other != CURRENT and path.exists() else ()
    return next((it for it in stores if it.pointer(SET) is not None), store)


def _stores_of(path: Path, store: Store) -> Iterator[Store]:
    """The stores that may have made a folder: that beside its exports, and the project's."""
    from dataset_pipeline.store.store import Store

    for parent in path.parents:
        if parent.name == "exports" and (parent.parent / "store").is_dir():
            yield Store(str(parent.parent / "store"))
    yield store


def _write_page(page: Path, found: SetDiff, sides: list[Side]) -> None:
    from dataset_pipeline.base.paths import write_whole
    from dataset_pipeline.reports.set_diff.page import page as page_of

    try:
        write_whole(page, page_of(found, lambda image_id, is_new: sides[is_new].picture(image_id)).encode())
    except OSError as error:
        stop(f"{page}: {error.strerror or error}: name another file with --page")


def print_diff(found: SetDiff, examples: int) -> None:
    from dataset_pipeline.reports.set_diff.text import lines

    for style, line in lines(found, examples):
        out.print(line, style=style or None, **FOR_PATHS)


def print_versions(store: Store, as_json: bool) -> None:
    """The training sets that still lie in the store, a line each."""
    from dataclasses import asdict

    from dataset_pipeline.reports.set_diff.sides import versions_in

    versions = versions_in(store)
    if as_json:
        print(json.dumps([asdict(version) for version in versions], indent=1))
        return
    table = table_of("set", "images", "age", "", title=f"Training sets in {store.root}", title_justify="left")
    for version in versions:
        notes = ["current" if version.current else "", "" if version.traced else "what it was made from is not noted"]
        age = f"{version.age_s / 3600:.1f} h"
        table.add_row(version.name, str(version.images), age, ", ".join(filter(None, notes)))
    out.print(table)
