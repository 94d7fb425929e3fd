"""The training set: exporting it for a trainer, reporting on it, captioning and balancing an exported one again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from dataset_pipeline.cli.common import (
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    dagster_instance,
    settings_from,
    stop,
    store_to_write,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out
from dataset_pipeline.training.exporters import PROFILES

if TYPE_CHECKING:
    from dataset_pipeline.settings import Settings
    from dataset_pipeline.store.store import Store
    from dataset_pipeline.training.exporters.rewrite import RewriteReport

FolderArgument = Annotated[
    Path, typer.Argument(help="An exported set, wherever it was copied to.", exists=True, file_okay=False)
]
DropMissingOption = Annotated[
    bool, typer.Option("--drop-missing", help="Take images out of the set whose pictures somebody deleted.")
]


def export(
    profile: Annotated[str, typer.Argument(help=f"The trainer: {', '.join(PROFILES)}.")] = "everydream",
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the current training set for a trainer, into a fresh folder."""
    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.orchestration.runs import materialize_assets

    settings = settings_from(settings_file, models, exported_set__profile=profile)
    store = store_to_write(settings)
    _stop_without_a_set(settings, store)
    with dagster_instance(None, settings) as instance:
        failures = materialize_assets(build_definitions(settings), instance, settings, ["exported_set"])
    if failures:
        stop(failures[0].error)
    rows, pointer = store.read("exported_set").to_pylist(), store.pointer("exported_set")
    if not rows or pointer is None:
        stop("the training set is empty: nothing was exported")
    exported = rows[0] | {"folder": pointer.provenance.numbers["folder"]}
    for note in pointer.provenance.notes.values():
        err.print(note, style="yellow", **FOR_PATHS)
    if as_json:
        print(json.dumps(exported))
    else:
        out.print(f"{exported['pictures']} pictures in {exported['concepts']} concepts for {profile}:")
        out.print(exported["folder"], soft_wrap=True, highlight=False)


def report(
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where it goes; beside the exports if not given.", resolve_path=True)
    ] = None,
    resolution: Annotated[int, typer.Option(min=256, max=2048, help="What the set is to be trained at, px.")] = 1024,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what speaks against training on the set, a line each, and write readiness.html and readiness.json.

    Exit code 0 if nothing serious does, 3 otherwise.
    """
    from dataset_pipeline.graph.project import export_root, store_of
    from dataset_pipeline.reports.readiness.of_store import readiness_of, write_readiness

    settings = settings_from(settings_file, models)
    store = store_of(settings)
    _stop_without_a_set(settings, store)
    found = readiness_of(store, settings, resolution)
    try:
        written = write_readiness(found, folder or export_root(settings))
    except OSError as error:
        stop(f"{error.filename}: {error.strerror}: name another folder with --out")
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_readiness(found, written)
    if found["worst"] == "serious":
        raise typer.Exit(PARTLY)


def recaption(
    folder: FolderArgument,
    template: Annotated[str, typer.Option("--template", help="booru, sentence or components.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help=r'A key of \[captions], e.g. --set keep_mark="|||". Repeatable.')
    ] = None,
    drop_missing: DropMissingOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the captions of an exported set again, from that folder alone. Captions edited by hand are kept.

    The settings are those it was made with, but for what is given. Exit code 3 if files were left as somebody changed
    them.
    """
    from dataset_pipeline.training.exporters import remake

    values = dict(map(_key_and_value, changes or ()))
    if template:
        values["template"] = template
    _print_rewritten(lambda: remake.recaption(folder, values, drop_missing), as_json)


def rebalance(
    folder: FolderArgument,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Lines `pattern,weight`, instead of those it was made with.")
    ] = None,
    min_multiply: Annotated[float | None, typer.Option("--min-multiply", help="Of the least likely image.")] = None,
    max_multiply: Annotated[
        float | None, typer.Option("--max-multiply", help="Above this no image is repeated.")
    ] = None,
    drop_missing: DropMissingOption = False,
    as_json: JsonOption = False,
) -> None:
    """Balance an exported set again, from that folder alone; where folder names hold repeats, folders are renamed.

    The settings are those it was made with, but for what is given. Exit code 3 if files were left as somebody changed
    them.
    """
    from dataset_pipeline.settings import read_weights
    from dataset_pipeline.training.exporters import remake

    def balanced() -> RewriteReport:
        given = {
            "weights": None if weights is None else [weight.model_dump() for weight in read_weights(weights)],
            "min_multiply": min_multiply,
            "max_multiply": max_multiply,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        return remake.rebalance(folder, changes, drop_missing)

    _print_rewritten(balanced, as_json)


def _stop_without_a_set(settings: Settings, store: Store) -> None:
    from dataset_pipeline.graph.project import demo_hint

    if store.pointer("training_set") is None:
        run = "run --submit` has episodes measured, and the set made after them"
        makes = run if settings.cluster.is_set else "run` makes one"
        nothing = f"there is no training set in {store.root} yet; `dataset-pipeline {makes}"
        stop("\n".join(filter(None, [nothing, demo_hint(settings, store)])))


def _key_and_value(text: str) -> tuple[str, Any]:
    """`key=value` as TOML has it; a value that is none is taken for a string."""
    import tomllib

    key, separator, value = text.partition("=")
    if not separator:
        stop(f"--set {text}: write --set key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _print_rewritten(make: Callable[[], RewriteReport], as_json: bool) -> None:
    from dataset_pipeline.training.exporters import ExportError

    try:
        made = make()
    except ExportError as error:
        stop(str(error))
    except OSError as error:
        stop(f"{error.filename or 'a file'}: {error.strerror or error}: set that right and run the same again")
    if as_json:
        values = asdict(made) | {"folder": str(made.folder)}
        print(json.dumps(values | {name: sorted(values[name]) for name in ("captions", "multiplies")}, indent=1))
    else:
        print_rewritten(made)
    if made.left:
        raise typer.Exit(PARTLY)


def print_rewritten(made: RewriteReport) -> None:
    """What was made again of an exported set, and what was left as a person had changed it."""
    if made.finished:
        out.print("finished what was stopped half way before")
    changed = f"{len(made.captions)} captions and {len(made.multiplies)} multiplies"
    out.print(
        f"{made.folder}: {changed} of {made.images} images changed, {made.written} files written",
        **FOR_PATHS,
    )
    notes = (
        ("folders are named by their repeats; give the trainer the new names", made.renamed, out),
        ("the picture is gone, so the image left the set", made.dropped, out),
        ("changed by hand and left so; delete it to have it written again", made.left, err),
        ("a trainer's cache of what changed; delete it", made.stale, err),
    )
    for note, names, console in notes:
        for name in names:
            console.print(f"{name}: {note}", style="yellow" if console is err else None, **FOR_PATHS)


def print_readiness(found: Mapping[str, Any], page: Path) -> None:
    """The faults of `readiness`, a line each, and where the page lies."""
    colors = {"serious": "red", "warning": "yellow"}
    for fault in found["faults"]:
        line = Text.assemble((f"{fault['severity']}:", colors.get(fault["severity"], "dim")), " ", fault["message"])
        out.print(line, soft_wrap=True, highlight=False)
    if not found["faults"]:
        out.print("nothing speaks against training on this set", style="green")
    out.print(str(page), soft_wrap=True, highlight=False)
