"""`explain`: where one image comes from and what was decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_pipeline.cli.common import JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import FOR_PATHS, out, table_of

if TYPE_CHECKING:
    from dataset_pipeline.reports.explain import Explanation
    from dataset_pipeline.settings import Settings
    from dataset_pipeline.store.store import Store


def explain(
    image: Annotated[
        str,
        typer.Argument(
            help="An image id, the path of a picture that was exported, `<episode>/shot-<number>`, or `<class>/<id>`."
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Every row of every table, with settings, models and versions.")
    ] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where an image comes from and what was decided about it, each value against its limit."""
    from dataset_pipeline.base.errors import PassingError
    from dataset_pipeline.graph.project import correction_log
    from dataset_pipeline.reports.explain import UnknownImage, clip_lines, clips_of_shot, image_of, with_speakers
    from dataset_pipeline.reports.explain import explain as gather
    from dataset_pipeline.reports.regularization import class_lines
    from dataset_pipeline.store.store import StoreError

    try:
        image_id = image_of(image)
    except ValueError as error:
        stop(str(error))
    found: Explanation | None = None
    faults = []
    for store in _stores_that_may_know(image, models, settings_file):
        try:
            if "/shot-" in image_id and (rows := clips_of_shot(store, image_id)):
                print(json.dumps(rows, indent=1) if as_json else "\n".join(clip_lines(rows)))
                return
            if lines := class_lines(store, image_id):
                print(json.dumps(lines, indent=1) if as_json else "\n".join(lines))
                return
            found = gather(store, image_id)
            break
        except (UnknownImage, StoreError, PassingError, ValueError) as error:
            faults.append(str(error))
    if found is None:
        stop("\n".join(dict.fromkeys(faults)))
    found = with_speakers(found, map(correction_log, _settings_of(models, settings_file)))
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    elif everything:
        print_explanation(found)
    else:
        print_first_screen(found)


def _stores_that_may_know(image: str, models: str, settings_file: Path | None) -> Iterator[Store]:
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.store.store import Store

    path = Path(image)
    if path.is_file():
        for parent in path.resolve().parents:
            if parent.name == "exports" and (parent.parent / "store").is_dir():
                yield Store(str(parent.parent / "store"))
    yield from map(store_of, _settings_of(models, settings_file))


def _settings_of(models: str, settings_file: Path | None) -> Iterator[Settings]:
    """Those of the pack that was named; else those of the project, then those of its demo."""
    for pack in (models,) if models else ("", "demo"):
        yield settings_from(settings_file, pack)


def print_first_screen(explanation: Explanation) -> None:
    """What is decided of an image, a line each."""
    from dataset_pipeline.reports.first_screen import first_screen

    first, *rest = first_screen(explanation)
    out.print(first, style="bold", **FOR_PATHS)
    for line in rest:
        out.print(line, **FOR_PATHS)


def print_explanation(explanation: Explanation) -> None:
    """Every row about an image, with what it was made by."""
    out.print(explanation.image_id, style="bold", highlight=False)
    until = f" to {explanation.end_s:.3f}" if explanation.end_s is not None else ""
    where = f"second {explanation.second_s:.3f}{until} of " if explanation.second_s is not None else ""
    out.print(f"from {where}{explanation.source}", **FOR_PATHS)
    if explanation.box_px:
        x0, y0, x1, y1 = explanation.box_px
        out.print(f"cut at x {x0}..{x1}, y {y0}..{y1} px")
    if explanation.made_with_demo_models:
        out.print("made with the demo models", style="yellow")
    table = table_of("asset", "what it says", "by")
    for decision in explanation.decisions:
        says = "\n".join(f"{name}: {_short(value)}" for name, value in decision.row.items() if value not in (None, ""))
        by = [f"code {decision.code_version}"]
        by += [
            f"[{section}] {name} = {value}"
            for section, values in decision.settings.items()
            for name, value in values.items()
        ]
        by += [f"{model['role']} {model['model']} {model['sha256'][:12]}" for model in decision.models]
        name = decision.asset if decision.of == explanation.image_id else f"{decision.asset}\n(of the still)"
        table.add_row(name, says, "\n".join(by))
        table.add_section()
    out.print(table)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        parts = [_tag(entry) if isinstance(entry, dict) else str(entry) for entry in value]
        return ", ".join(parts[:20]) + (f" … {len(parts) - 20} more" if len(parts) > 20 else "")
    return str(value)


def _tag(entry: dict[str, Any]) -> str:
    detail = entry.get("reason") or f"{entry.get('score', 0):.2f}"
    return f"{entry.get('tag', '')} ({detail})"
